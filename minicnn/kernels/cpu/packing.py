"""Filters as the kernels read them.

    panels       [group][panel][tap][depth][COLUMNS], columns beyond the last filter being zero

where depth is input channels and columns are filters for a convolution, the other way round for its
transpose. Winograd's filters are packed alike, with the e x e places of the transformed filter as
groups: G w G^T, computed in float64.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Program
from minicnn.kernels.cpu.vector import load_double, load_int, load_one, store_one
from minicnn.kernels.problems import Convolution

__all__ = ["panels", "winograd_panels"]


@kernel
def pack(
    worker, item, w, by_group, by_depth, by_column, by_tap, taps, terms, depth, columns, panels,
    target,
):  # fmt: skip
    """One panel of one group; `taps` holds the numbers of the taps wanted."""
    group, panel = item // panels, item % panels
    first = panel * COLUMNS
    target += 4 * item * terms * depth * COLUMNS
    for term in range(terms):
        source = w + group * by_group + load_int(taps + 8 * term) * by_tap
        for k in range(depth):
            for column in range(min(COLUMNS, columns - first)):
                value = load_one(source + k * by_depth + (first + column) * by_column)
                store_one(value, target + 4 * column)
            target += 4 * COLUMNS


@inline
def _row(g, i, w0, w1, w2):
    """Row i of G times three numbers."""
    at = g + 24 * i
    return load_double(at) * w0 + load_double(at + 8) * w1 + load_double(at + 16) * w2


@kernel
def pack_winograd(
    worker, item, w, by_depth, by_column, by_tap, last_tap, g, e, depth, columns, panels, target,
):  # fmt: skip
    """One panel at one depth; tap t is read at |last_tap - t|, which turns filters round."""
    k, panel = item // panels, item % panels
    for column in range(min(COLUMNS, columns - panel * COLUMNS)):
        source = w + k * by_depth + (panel * COLUMNS + column) * by_column
        w0 = float(load_one(source + abs(last_tap) * by_tap))
        w1 = float(load_one(source + abs(last_tap - 1) * by_tap))
        w2 = float(load_one(source + abs(last_tap - 2) * by_tap))
        w3 = float(load_one(source + abs(last_tap - 3) * by_tap))
        w4 = float(load_one(source + abs(last_tap - 4) * by_tap))
        w5 = float(load_one(source + abs(last_tap - 5) * by_tap))
        w6 = float(load_one(source + abs(last_tap - 6) * by_tap))
        w7 = float(load_one(source + abs(last_tap - 7) * by_tap))
        w8 = float(load_one(source + abs(last_tap - 8) * by_tap))
        for i in range(e):
            a = _row(g, i, w0, w3, w6)
            b = _row(g, i, w1, w4, w7)
            c = _row(g, i, w2, w5, w8)
            for j in range(e):
                place = ((i * e + j) * panels + panel) * depth + k
                store_one(_row(g, j, a, b, c), target + 4 * (place * COLUMNS + column))


def _steps(w: np.ndarray, groups: int, transposed: bool) -> dict[str, int]:
    """Bytes from one filter element to the next along each axis of the packed form."""
    by_filter, by_channel = w.strides[:2]
    by_depth, by_column = (by_filter, by_channel) if transposed else (by_channel, by_filter)
    return {
        "by_group": by_filter * (w.shape[0] // groups),
        "by_depth": by_depth,
        "by_column": by_column,
        "by_tap": w.itemsize,
    }


def _taps_last(w: np.ndarray) -> np.ndarray:
    """Filters whose taps lie side by side in memory."""
    return w.reshape(*w.shape[:2], -1) if w[0, 0].flags.c_contiguous else (
        np.ascontiguousarray(w).reshape(*w.shape[:2], -1)
    )  # fmt: skip


def panels(w: np.ndarray, groups: int, transposed: bool, taps: tuple[int, ...]) -> np.ndarray:
    """Filters (O, C/groups, *kernel) as panels of the given taps."""
    w = _taps_last(w)
    filters, channels = w.shape[0] // groups, w.shape[1]
    depth, columns = (filters, channels) if transposed else (channels, filters)
    count = -(-columns // COLUMNS)
    packed = np.zeros((groups, count, len(taps), depth, COLUMNS), np.float32)
    program = Program()
    program.step(
        pack,
        groups * count if taps else 0,
        w=program.constant(w),
        **_steps(w, groups, transposed),
        taps=program.constant(np.array(taps, np.int64)),
        terms=len(taps),
        depth=depth,
        columns=columns,
        panels=count,
        target=program.constant(packed),
    )
    program.run({})
    return packed


def winograd_panels(w: np.ndarray, problem: Convolution, g: np.ndarray) -> np.ndarray:
    """Filters (O, C, 3, 3) as panels (e e, panels, depth, COLUMNS) of G w G^T."""
    w = _taps_last(w)
    e, count = len(g), -(-problem.columns // COLUMNS)
    packed = np.zeros((e * e, count, problem.depth, COLUMNS), np.float32)
    program = Program()
    steps = _steps(w, 1, problem.transposed)
    del steps["by_group"]
    program.step(
        pack_winograd,
        problem.depth * count,
        w=program.constant(w),
        **steps,
        last_tap=8 if problem.transposed else 0,
        g=program.constant(np.ascontiguousarray(g, np.float64)),
        e=e,
        depth=problem.depth,
        columns=problem.columns,
        panels=count,
        target=program.constant(packed),
    )
    program.run({})
    return packed
