"""Which taps reach which pixels: a convolution and its transpose as plain sums over taps.

Both are lists of `Phase`s, each a sum

    y[i, j] = sum_t x[a i + u_t, b j + v_t] w[t]

over some of the output's pixels. For one axis with stride s, dilation d and begin pad b:

    conv        one phase        y at i               a = s, u_k = d k - b
    transposed  residues r < s   y at r + s i         a = 1, u_k = (r + b - d k) / s
                                 for the taps k with r + b - d k divisible by s
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.kernels.geometry import Window

__all__ = ["Phase", "conv_phases", "joined_phases", "transposed_phases"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Phase:
    """A sum over taps for one lattice of output pixels.

    Parameters
    ----------
    size : (int, int)
        Pixels of this phase: rows, columns.
    origin, spacing : (int, int)
        Output pixel of the first, and steps from one to the next.
    step : (int, int)
        Steps in the input.
    offsets : tuple of (int, int)
        (u, v) of each tap.
    taps : tuple of int
        Row-major number of each tap in the filter.
    """

    size: Pair
    origin: Pair
    spacing: Pair
    step: Pair
    offsets: tuple[Pair, ...]
    taps: tuple[int, ...]

    @property
    def pixels(self) -> int:
        """Number of output pixels."""
        return self.size[0] * self.size[1]

    def table(self) -> np.ndarray:
        """The offsets as an array of int64 (taps, 2)."""
        return np.array(self.offsets, np.int64).reshape(-1, 2)


def conv_phases(window: Window, out: Sequence[int]) -> list[Phase]:
    """The only phase of a convolution with output size `out`."""
    offsets = [
        [d * k - b for k in range(n)]
        for n, d, b in zip(window.kernel, window.dilation, window.begins, strict=True)
    ]
    rows, columns = out
    pairs = tuple((u, v) for u, v in itertools.product(*offsets))
    step = (window.stride[0], window.stride[1])
    return [Phase((rows, columns), (0, 0), (1, 1), step, pairs, tuple(range(len(pairs))))]


def joined_phases(window: Window, size: Sequence[int], times: int = 1) -> tuple[Phase, np.ndarray]:
    """All phases of a transposed convolution as one sum over the taps of any of them.

    Parameters
    ----------
    window : Window
        Of the convolution.
    size : sequence of int
        Spatial size of the output.
    times : int
        How many periods of s columns stand side by side.

    Returns
    -------
    phase : Phase
        For blocks of s x (s times) output pixels; its taps are numbered as in the table.
    taps : numpy.ndarray of int, shape (s, s times, terms)
        For each pixel of a block and each term, the tap of the filter, -1 for none.
    """
    block = (window.stride[0], window.stride[1] * times)
    reach = []
    for pixels, kernel, s, d, b in zip(
        block, window.kernel, window.stride, window.dilation, window.begins, strict=True
    ):
        found = {
            (r, (r + b - d * k) // s): k
            for r in range(pixels)
            for k in range(kernel)
            if (r + b - d * k) % s == 0
        }
        reach.append((found, sorted({u for _, u in found})))
    (down, rows), (across, columns) = reach
    offsets = tuple(itertools.product(rows, columns))
    taps = np.full((*block, len(offsets)), -1)
    for r, s in itertools.product(range(block[0]), range(block[1])):
        for term, (u, v) in enumerate(offsets):
            if (r, u) in down and (s, v) in across:
                taps[r, s, term] = down[r, u] * window.kernel[1] + across[s, v]
    blocks = (-(-size[0] // block[0]), -(-size[1] // block[1]))
    return Phase(blocks, (0, 0), (1, 1), (1, times), offsets, tuple(range(len(offsets)))), taps


def transposed_phases(window: Window, size: Sequence[int]) -> list[Phase]:
    """The phases of a transposed convolution with output size `size`."""
    by_axis = []
    for n, kernel, s, d, b in zip(
        size, window.kernel, window.stride, window.dilation, window.begins, strict=True
    ):
        axis = []
        for residue in range(min(s, n)):
            reaching = [
                ((residue + b - d * k) // s, k)
                for k in range(kernel)
                if (residue + b - d * k) % s == 0
            ]
            axis.append((residue, -(-(n - residue) // s), reaching))
        by_axis.append(axis)
    phases = []
    for (r, rows, above), (c, columns, across) in itertools.product(*by_axis):
        both = list(itertools.product(above, across))
        phases.append(
            Phase(
                (rows, columns),
                (r, c),
                (window.stride[0], window.stride[1]),
                (1, 1),
                tuple((u, v) for (u, _), (v, _) in both),
                tuple(k * window.kernel[1] + m for (_, k), (_, m) in both),
            )
        )
    return phases
