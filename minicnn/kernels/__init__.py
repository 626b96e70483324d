"""Kernels: the arithmetic of blocks on arrays, and the one place that says which kernel serves.

Kernels know arrays and window geometry, never tensors, tapes or networks. Blocks import from here
only, so that faster kernels can take a block over without any block noticing.
"""

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.geometry import Window
from minicnn.kernels.packed import Packed
from minicnn.kernels.problems import Convolution
from minicnn.kernels.reference import (
    average_pool,
    average_unpool,
    center_tap,
    channel_sum,
    gather,
    max_pool,
    put_add,
    unpool,
    unpool_center,
)
from minicnn.kernels.registry import choose, overruled, using

__all__ = [
    "Convolution",
    "Packed",
    "Window",
    "average_pool",
    "average_unpool",
    "center_tap",
    "channel_sum",
    "conv",
    "conv_filter",
    "conv_transpose",
    "gather",
    "max_pool",
    "put_add",
    "set_threads",
    "unpool",
    "unpool_center",
    "using",
]


def set_threads(number: int) -> None:
    """Let kernels use this many threads from now on, in the calling thread.

    Raises
    ------
    InputError
        If there are not that many: Numba starts as many as NUMBA_NUM_THREADS says, or one a core.
    """
    from minicnn.kernels.cpu import team

    team.set_threads(number)


def _reference_serves(problem: Convolution, block: str) -> bool:
    """Without Numba's kernels: other precisions, other ranks, nobody asked for a kernel."""
    plain = problem.dtype != "float32" or len(problem.size) not in (1, 2)
    return plain and (block not in overruled() or len(problem.size) != 2)


def conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """Convolution by the kernel that serves; see `reference.conv`."""
    problem = Convolution.forward(x, w, window, groups)
    if _reference_serves(problem, "conv2d"):
        return reference.conv(x, w, b, window, groups)
    if len(problem.size) == 1:
        return conv(x[:, :, None], w[:, :, None], b, window.lifted(), groups)[:, :, 0]
    return choose("conv2d", problem)[0].run(x, w, b, window, groups)


def conv_transpose(
    p: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    window: Window,
    groups: int,
    size: tuple[int, ...],
) -> np.ndarray:
    """Transposed convolution by the kernel that serves; see `reference.conv_transpose`."""
    problem = Convolution.backward(p, w, window, groups, size)
    if _reference_serves(problem, "conv_transpose2d"):
        return reference.conv_transpose(p, w, b, window, groups, size)
    if len(problem.size) == 1:
        lifted = window.lifted()
        return conv_transpose(p[:, :, None], w[:, :, None], b, lifted, groups, (1, *size))[:, :, 0]
    return choose("conv_transpose2d", problem)[0].run(p, w, b, window, groups, size)


def conv_filter(p: np.ndarray, x: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """The filters' gradient by the kernel that serves; see `reference.conv_filter`."""
    problem = Convolution(
        x.shape[1], p.shape[1], x.shape[2:], window, groups, dtype=str(np.result_type(p, x))
    )
    if _reference_serves(problem, "conv_filter2d"):
        return reference.conv_filter(p, x, window, groups)
    if len(problem.size) == 1:
        return conv_filter(p[:, :, None], x[:, :, None], window.lifted(), groups)[:, :, 0]
    return choose("conv_filter2d", problem)[0].run(p, x, window, groups)
