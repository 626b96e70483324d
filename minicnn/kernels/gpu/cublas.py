"""Products by cuBLAS, and with them 1x1 convolutions at stride 1.

cuBLAS computes in float32, whatever CUPY_TF32 says. `minicnn.using(tf32=True)` lets it round what
it multiplies to TF32, which has 10 bits behind the point for 23, and runs on tensor cores.

Its last bits may change with the batch, so of convolutions it serves those that ask for it by name,
or where a measurement found it the fastest: `minicnn.using(conv2d="cublas")`,
`minicnn.using(measured=True)`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.kernels.devices import module_of
from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.images import channels_last, new_image
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import overruled

__all__ = ["conv", "conv_transpose", "einsum", "matmul", "why_not"]

_rounding = threading.Lock()  # how CuPy asks cuBLAS to compute holds for the whole process


@contextmanager
def _as_asked(like: Any) -> Iterator[Any]:
    """CuPy, which within this context has cuBLAS compute on arrays like this as is asked for."""
    module = module_of(like)
    routines = module._core._routines_linalg
    exact, rounded = routines.COMPUTE_TYPE_DEFAULT, routines.COMPUTE_TYPE_TF32
    wanted = rounded if overruled().get("tf32") else exact
    with _rounding:
        if np.dtype(like.dtype) != np.float32 or routines.get_compute_type(like.dtype) == wanted:
            yield module
            return
        before = routines.get_compute_type(like.dtype)
        routines.set_compute_type(like.dtype, wanted)
        try:
            yield module
        finally:
            routines.set_compute_type(like.dtype, before)


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """a b of matrices, or stacks of them."""
    with _as_asked(a) as module:
        return module.matmul(a, b, out=out)


def einsum(equation: str, *operands: Any) -> Any:
    """Sums of products over named axes, as numpy.einsum has them."""
    with _as_asked(operands[0]) as module:
        return module.einsum(equation, *operands, optimize=True)


def why_not(problem: Convolution) -> str:
    """Why it does not apply; empty where it does."""
    window = problem.window
    plain = window.volume == 1 and {*window.stride} == {1} and not any(window.pads)
    return "" if plain and problem.groups == 1 else "is for 1x1 filters at stride 1 in one group"


def _product(x: Any, matrix: Any, b: Any) -> Any:
    """Each pixel's channels times a matrix (in, out), plus b."""
    y = new_image(x, (x.shape[0], matrix.shape[1], *x.shape[2:]))
    rows = channels_last(x).transpose(0, 2, 3, 1)
    matmul(rows, matrix, out=y.transpose(0, 2, 3, 1))
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
