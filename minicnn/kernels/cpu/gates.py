"""ReLU, mask and sum on arrays: copies with an epilogue.

relu     y = max(x, 0), and its signs, 1 bit a number
masked   y = x where the bit is set, else 0
added    y = a + b
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu import ending
from minicnn.kernels.cpu.copying import lay_finished
from minicnn.kernels.cpu.laid import pixels
from minicnn.kernels.cpu.pooling import on_arrays
from minicnn.kernels.cpu.program import Image, Place, Program, bit_steps
from minicnn.kernels.packed import Packed

__all__ = ["added", "masked", "relu"]


def _lay_relu(prog: Program, x: Image, y: Image) -> None:
    shape = (y.batch, y.channels, y.height, y.width)
    signs = bit_steps("signs", Place("signs"), shape)
    lay_finished(prog, x, y, mode=ending.RECTIFY, **signs)


def _lay_mask(prog: Program, x: Image, y: Image, images: int) -> None:
    shape = (images, y.channels, y.height, y.width)
    mask = bit_steps("mask", Place("mask"), shape)
    lay_finished(prog, x, y, mode=ending.MASK, mask_images=images, **mask)


def _lay_sum(prog: Program, x: Image, y: Image) -> None:
    other = Image.whole("other", (y.batch, y.channels, y.height, y.width))
    lay_finished(prog, x, y, **other.steps("residual"))


def _planes(x: np.ndarray) -> np.ndarray:
    """(N, C) as (N, C, 1, 1)."""
    return x if x.ndim == 4 else x.reshape(*x.shape, 1, 1)


def relu(x: np.ndarray) -> tuple[np.ndarray, Packed]:
    """max(x, 0) and where x > 0, for float32 of shape (N, C) or (N, C, H, W)."""
    signs = Packed.unfilled(x.shape)
    images = _planes(x)
    y = on_arrays(_lay_relu, images, images.shape, signs=signs.planes)
    return y.reshape(x.shape) if x.ndim == 2 else y, signs


def masked(x: np.ndarray, mask: Packed) -> np.ndarray:
    """x where the mask is set, else 0; the mask may be of fewer images, which then repeat."""
    images = _planes(x)
    y = on_arrays(_lay_mask, images, images.shape, mask.shape[0], mask=mask.planes)
    return y.reshape(x.shape) if x.ndim == 2 else y


def added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b, for float32 of one shape (N, C, H, W)."""
    return on_arrays(_lay_sum, a, a.shape, other=pixels(b))
