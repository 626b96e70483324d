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
PIECE = 2**20  # values copied in about 1 ms: less is not worth the start of a thread
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


@inline
def _shifted(x, down, right, mirror, fill, scale, offset, places, y):
    """By whole pixels: x (C, H, W) to y (H, W, C); `places` is room for W columns."""
    channels, height, width = x.shape
    for j in range(width):
        places[j] = _within((width - 1 - j if mirror else j) - right, width, fill)
    for i in range(height):
        row = _within(i - down, height, fill)
        for c in range(channels):
            for j in range(width):
                column = places[j]
                value = np.float32(x[c, row, column]) if row >= 0 and column >= 0 else np.float32(0)
                y[i, j, c] = value * scale[c] + offset[c]


@inline
def _turned(x, down, right, angle, factor, mirror, fill, scale, offset, y):
    """By any map, bilinearly: x (C, H, W) to y (H, W, C)."""
    channels, height, width = x.shape
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    cosine, sine = np.cos(angle) / factor, np.sin(angle) / factor
    for i in range(height):
        for j in range(width):
            column = width - 1 - j if mirror else j
            p, q = i - middle_row - down, column - middle_column - right
            row, col = cosine * p + sine * q + middle_row, cosine * q - sine * p + middle_column
            above, before = int(np.floor(row)), int(np.floor(col))
            a, b = np.float32(row - above), np.float32(col - before)
            u0, u1 = _within(above, height, fill), _within(above + 1, height, fill)
            v0, v1 = _within(before, width, fill), _within(before + 1, width, fill)
            for c in range(channels):
                value = np.float32(0)
                if u0 >= 0 and v0 >= 0:
                    value += (1 - a) * (1 - b) * x[c, u0, v0]
                if u0 >= 0 and v1 >= 0:
                    value += (1 - a) * b * x[c, u0, v1]
                if u1 >= 0 and v0 >= 0:
                    value += a * (1 - b) * x[c, u1, v0]
                if u1 >= 0 and v1 >= 0:
                    value += a * b * x[c, u1, v1]
                y[i, j, c] = value * scale[c] + offset[c]


def _move(first, last, x, table, side, fill, scale, offset, cover, y):
    """Images first .. last; x (N, C, H, W), y (N, H, W, C)."""
    height, width = x.shape[2], x.shape[3]
    places = np.empty(width, np.int64)
    for n in range(first, last):
        down, right, angle, factor = table[n, 0], table[n, 1], table[n, 2], table[n, 3]
        mirror, top, left = table[n, 4] > 0, int(table[n, 5]), int(table[n, 6])
        if angle == 0 and factor == 1 and down == np.floor(down) and right == np.floor(right):
            _shifted(x[n], int(down), int(right), mirror, fill, scale, offset, places, y[n])
        else:
            _turned(x[n], down, right, angle, factor, mirror, fill, scale, offset, y[n])
        for i in range(max(top, 0), min(top + side, height)):
            for j in range(max(left, 0), min(left + side, width)):
                y[n, i, j] = cover


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
        The images.
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
    turned = bool((table[:, 2] != 0).any() or (table[:, 3] != 1).any())
    work = y.size * (8 if turned else 1)  # bilinear reading takes about as much more time
    workers = min(threads(), max(work // PIECE, 1), max(count, 1))
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
