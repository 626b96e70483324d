"""Products by cuBLAS, and with them 1x1 convolutions at stride 1.

cuBLAS computes in float32, whatever CUPY_TF32 says. `minicnn.using(tf32=True)` lets it round what
it multiplies to TF32, which has 10 bits behind the point for 23, and runs on tensor cores; CuPy
asks for that for single matrices, not for stacks of them.

Its last bits may change with the batch, so of convolutions it serves those that ask for it by name,
or where a measurement found it the fastest: `minicnn.using(conv2d="cublas")`,
`minicnn.using(measured=True)`.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minicnn.kernels.devices import module_of
from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.images import channels_last, new_image
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import overruled

__all__ = ["conv", "conv_transpose", "matmul", "why_not"]

_rounding = threading.Lock()  # how CuPy asks cuBLAS to compute holds for the whole process


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """a b of matrices, or stacks of them; CuPy rounds stacks never."""
    module = module_of(a)
    if np.dtype(a.dtype) != np.float32 or max(a.ndim, b.ndim) > 2:
        return module.matmul(a, b, out=out)
    with _rounding:
        routines = module._core._routines_linalg
        exact, rounded = routines.COMPUTE_TYPE_DEFAULT, routines.COMPUTE_TYPE_TF32
        before, wanted = routines.get_compute_type(a.dtype), exact
        if overruled().get("tf32"):
            wanted = rounded
        if before == wanted:
            return module.matmul(a, b, out=out)
        routines.set_compute_type(a.dtype, wanted)
        try:
            return module.matmul(a, b, out=out)
        finally:
            routines.set_compute_type(a.dtype, before)


def why_not(problem: Convolution) -> str:
    """Why it does not apply; empty where it does."""
    window = problem.window
    plain = window.volume == 1 and {*window.stride} == {1} and not any(window.pads)
    return "" if plain and problem.groups == 1 else "is for 1x1 filters at stride 1 in one group"


def _product(x: Any, matrix: Any, b: Any) -> Any:
    """Each pixel's channels times a matrix (in, out), plus b."""
    y = new_image(x, (x.shape[0], matrix.shape[1], *x.shape[2:]))
    rows = module_of(x).ascontiguousarray(channels_last(x).transpose(0, 2, 3, 1))
    flat = y.transpose(0, 2, 3, 1).reshape(-1, y.shape[1])  # y's own memory, one matrix
    matmul(rows.reshape(-1, x.shape[1]), matrix, out=flat)
    if b is not None:
        y += b.reshape(-1, 1, 1)
    return y


def conv(x: Any, w: Any, b: Any, window: Window, groups: int) -> Any:
    """Convolution; see `reference.conv`."""
    return _product(x, w[:, :, 0, 0].T, b)


def conv_transpose(
    p: Any, w: Any, b: Any, window: Window, groups: int, size: tuple[int, ...]
) -> Any:
    """Transposed convolution; see `reference.conv_transpose`."""
    return _product(p, w[:, :, 0, 0], b)
