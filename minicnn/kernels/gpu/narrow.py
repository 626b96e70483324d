"""Convolutions to at most eight channels on the card; see `sources/narrow.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.convolution import geometry, largest_phase
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import aligned, empty, steps
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.problems import Convolution

__all__ = ["NARROW", "ROWS", "SLAB", "pack", "run", "why_not"]

BLOCK, ROWS, SLAB = 256, 128, 32  # threads and pixels of a block, channels of a slab
BLOCKS = 2  # that a processor holds, at least
_NARROW = Kernel("narrow", "narrow")


def why_not(problem: Convolution) -> str:
    """Why it does not apply; empty where it does."""
    if problem.groups != 1:
        return "is for one group"
    return "" if problem.columns <= 8 else "is for at most eight channels computed"


def pack(w: Any, groups: int, transposed: bool) -> Any:
    """Filters (O, C, h, w) as the kernel reads them: (taps, slabs, 4 * 2, 8, 4), zeros around."""
    by_tap = w.reshape(*w.shape[:2], -1)
    by_tap = by_tap.transpose(2, 0, 1) if transposed else by_tap.transpose(2, 1, 0)
    taps, depth, columns = by_tap.shape
    whole = empty(w, (taps, -(-depth // SLAB) * SLAB, 8))
    whole[...] = 0
    whole[:, :depth, :columns] = by_tap
    packed = empty(w, (taps, whole.shape[1] // SLAB, 8, SLAB // 4, 4))
    shared = whole.reshape(taps, -1, SLAB // 4, 4, 2, 4)  # a thread's channels, halves of columns
    packed.reshape(taps, -1, 4, 2, SLAB // 4, 4)[...] = shared.transpose(0, 1, 3, 4, 2, 5)
    return packed


def run(x: Any, packed: Any, problem: Convolution, y: Any, ending: Ending) -> None:
    """Compute a problem for a batch; parameters as those of `convolution.run`."""
    window = problem.window
    phases = window.stride[0] * window.stride[1] if problem.transposed else 1
    rows = y.shape[0] * largest_phase(y.shape[2:], window, problem.transposed)
    row_blocks = blocks_of(rows, ROWS)
    constants = {
        "TRANSPOSED": int(problem.transposed),
        "VECTOR": int(problem.depth % 4 == 0 and aligned(x) == 1),
        "ALIGNED": aligned(y),
        "BLOCKS": BLOCKS if x.dtype == np.float32 else 1,
    }
    _NARROW(
        (row_blocks * phases,), BLOCK, x.dtype, constants,
        **steps("x", x), height=x.shape[2], width=x.shape[3], weights=packed, depth=problem.depth,
        slabs=packed.shape[1], phases=phases, row_blocks=row_blocks,
        **geometry(window, y.shape[0]), **ending.arguments(y),
    )  # fmt: skip


NARROW = Method("narrow", pack, run, why_not)
