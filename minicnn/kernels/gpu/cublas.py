"""1x1 convolutions at stride 1 as plain products, by cuBLAS.

Its last bits may change with the batch, so it serves where it is asked for by name or found to be
the fastest by a measurement: `minicnn.using(conv2d="cublas")`, `minicnn.using(measured=True)`.
"""

from __future__ import annotations

from typing import Any

from minicnn.kernels.devices import module_of
from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.images import channels_last, new_image
from minicnn.kernels.problems import Convolution

__all__ = ["conv", "conv_transpose", "why_not"]


def why_not(problem: Convolution) -> str:
    """Why it does not apply; empty where it does."""
    window = problem.window
    plain = window.volume == 1 and {*window.stride} == {1} and not any(window.pads)
    return "" if plain and problem.groups == 1 else "is for 1x1 filters at stride 1 in one group"


def _product(x: Any, matrix: Any, b: Any) -> Any:
    """Each pixel's channels times a matrix (in, out), plus b."""
    y = new_image(x, (x.shape[0], matrix.shape[1], *x.shape[2:]))
    rows = channels_last(x).transpose(0, 2, 3, 1)
    module_of(x).matmul(rows, matrix, out=y.transpose(0, 2, 3, 1))
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
