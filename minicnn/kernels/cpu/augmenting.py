"""Images moved, turned, scaled, mirrored and normalised in one pass, ready to learn from.

For each image n with its own shift (d, e), angle a, factor s, mirror and covered box, pixel (i, j)
of

    y[n, c, i, j] = x[n, c, u, v] scale[c] + offset[c]

is read at (u, v), where (i, j') = (i, W - 1 - j) if mirrored else (i, j) and, about the centre m,

    (u, v) - m = R(-a) ((i, j') - m - (d, e)) / s

bilinearly, or exactly where nothing turns and the shift is whole. Beyond the border stands 0, the
nearest pixel ("edge") or the mirror image ("reflect"); covered pixels become the channel's mean.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from minicnn.kernels.cpu import compiled
from minicnn.kernels.cpu.compiled import inline
from minicnn.kernels.cpu.team import threads

__all__ = ["COLUMNS", "FILLS", "augmented"]

FILLS = {"zero": 0, "edge": 1, "reflect": 2}
COLUMNS = ("down", "right", "angle", "factor", "mirror", "top", "left")  # of the table of draws


@inline
def _within(place, size, fill):
    """A row or column that may lie beyond the border: where it is read, or -1."""
    if 0 <= place < size:
        return place
    if fill == 0:
        return -1
    if fill == 1 or size == 1:
        return min(max(place, 0), size - 1)
    place = abs(place) % (2 * size - 2)
    return 2 * size - 2 - place if place >= size else place


def _move(first, last, x, table, side, fill, scale, offset, cover, y):
    """Images first .. last; x (N, C, H, W), y (N, H, W, C)."""
    channels, height, width = x.shape[1], x.shape[2], x.shape[3]
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    for n in range(first, last):
        down, right, angle, factor = table[n, 0], table[n, 1], table[n, 2], table[n, 3]
        mirror, top, left = table[n, 4] > 0, int(table[n, 5]), int(table[n, 6])
        exact = angle == 0 and factor == 1 and down == np.floor(down) and right == np.floor(right)
        cosine, sine = np.cos(angle) / factor, np.sin(angle) / factor
        for i in range(height):
            for j in range(width):
                if top <= i < top + side and left <= j < left + side:
                    for c in range(channels):
                        y[n, i, j, c] = cover
                    continue
                column = width - 1 - j if mirror else j
                if exact:
                    u = _within(i - int(down), height, fill)
                    v = _within(column - int(right), width, fill)
                    for c in range(channels):
                        value = np.float32(x[n, c, u, v]) if u >= 0 and v >= 0 else np.float32(0)
                        y[n, i, j, c] = value * scale[c] + offset[c]
                    continue
                p, q = i - middle_row - down, column - middle_column - right
                row, col = cosine * p + sine * q + middle_row, cosine * q - sine * p + middle_column
                above, before = int(np.floor(row)), int(np.floor(col))
                a, b = np.float32(row - above), np.float32(col - before)
                u0, u1 = _within(above, height, fill), _within(above + 1, height, fill)
                v0, v1 = _within(before, width, fill), _within(before + 1, width, fill)
                for c in range(channels):
                    value = np.float32(0)
                    if u0 >= 0 and v0 >= 0:
                        value += (1 - a) * (1 - b) * x[n, c, u0, v0]
                    if u0 >= 0 and v1 >= 0:
                        value += (1 - a) * b * x[n, c, u0, v1]
                    if u1 >= 0 and v0 >= 0:
                        value += a * (1 - b) * x[n, c, u1, v0]
                    if u1 >= 0 and v1 >= 0:
                        value += a * b * x[n, c, u1, v1]
                    y[n, i, j, c] = value * scale[c] + offset[c]


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """Compiled when first needed."""
    function = numba.njit(nogil=True, error_model="numpy")(_move)
    function._cache = compiled.kept(function.py_func)
    return function


def augmented(
    x: np.ndarray,
    table: np.ndarray,
    side: int,
    fill: str,
    scale: np.ndarray,
    offset: np.ndarray,
    cover: float = 0.0,
) -> np.ndarray:
    """Each image moved as its row of the table says.

    Parameters
    ----------
    x : array (N, C, H, W), uint8 or float32
    table : float64 array (N, 7)
        See `COLUMNS`: pixels, pixels, radians, factor, above 0 if mirrored, and the covered box.
    side : int
        Of the covered box; 0 covers nothing.
    fill : str
        One of `FILLS`.
    scale, offset : float32 arrays (C)
        Applied to each value read.
    cover : float
        What covered pixels become.

    Returns
    -------
    float32 array (N, C, H, W), channels last in memory
    """
    count, channels, height, width = x.shape
    y = np.empty((count, height, width, channels), np.float32)
    workers = min(threads(), max(count // 16, 1))
    edges = [count * i // workers for i in range(workers + 1)]
    move, settings = _compiled(), (side, FILLS[fill], scale, offset, np.float32(cover))
    x = np.ascontiguousarray(x)

    def run(worker: int) -> None:
        move(edges[worker], edges[worker + 1], x, table, *settings, y)

    if workers == 1:
        run(0)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, range(workers)))
    return y.transpose(0, 3, 1, 2)
