"""Statistics over a batch and batch norm on the card; see `sources/batch.cu` and `reference`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import (
    aligned,
    channels_last,
    empty,
    new_image,
    per_channel,
    processors,
    steps,
)
from minicnn.kernels.packed import plane_shape

__all__ = ["batch_norm", "batch_norm_transposed", "batch_statistics", "pixel_sum"]

BLOCK, CHANNELS = 256, 32
FEW = 64  # pixels that are worth a block
_MOMENTS, _JOIN_MOMENTS = Kernel("batch", "moments"), Kernel("batch", "join_moments")
_SUMS, _JOIN_SUMS = Kernel("batch", "sums"), Kernel("batch", "join_sums")
_NORM, _NORM_TRANSPOSED = Kernel("batch", "batch_norm"), Kernel("batch", "batch_norm_transposed")


def _size(x: Any) -> dict[str, int]:
    height, width = (*x.shape[2:], 1, 1)[:2]
    return {"height": height, "width": width, "channels": x.shape[1]}


def _split(x: Any) -> tuple[tuple[int, int], dict[str, int]]:
    """A grid over channels and parts of the pixels."""
    pixels, across = prod(x.shape) // x.shape[1], blocks_of(x.shape[1], CHANNELS)
    parts = max(1, min(pixels // FEW, 8 * processors(x) // across, 1024))
    each = blocks_of(pixels, parts)
    parts = blocks_of(pixels, each)
    return (across, parts), {**_size(x), "pixels": pixels, "each": each}


def _items(x: Any) -> dict[str, int]:
    return {**_size(x), "items": prod(plane_shape(x.shape))}


def batch_statistics(x: Any) -> tuple[Any, Any]:
    """Mean and biased variance of each channel; see `reference.batch_statistics`."""
    x, channels = channels_last(x), x.shape[1]
    grid, sizes = _split(x)
    found = empty(x, (grid[1], channels, 3), np.float64)
    mean, variance = empty(x, (channels,)), empty(x, (channels,))
    _MOMENTS(grid, BLOCK, x.dtype, None, **steps("x", x), found=found, **sizes)
    _JOIN_MOMENTS(
        (blocks_of(channels, BLOCK),), BLOCK, x.dtype,
        found=found, parts=grid[1], channels=channels, mean=mean, variance=variance,
    )  # fmt: skip
    return mean, variance


def _summed(p: Any, x: Any = None, mean: Any = None, inverse: Any = None) -> tuple[Any, Any]:
    """Sums over pixels of p, and of p times x normalised."""
    grid, sizes = _split(p)
    channels = p.shape[1]
    found = empty(p, (grid[1], channels, 2), np.float64)
    other = {"x": None, "x_image": 0, "x_row": 0, "x_pixel": 0} if x is None else steps("x", x)
    total = empty(p, (channels,))
    product = None if x is None else empty(p, (channels,))
    _SUMS(
        grid, BLOCK, p.dtype, None,
        **steps("p", p), **other, mean=mean, inverse=inverse, found=found, **sizes,
    )  # fmt: skip
    _JOIN_SUMS(
        (blocks_of(channels, BLOCK),), BLOCK, p.dtype,
        found=found, parts=grid[1], channels=channels, sum=total, product=product,
    )  # fmt: skip
    return total, product


def pixel_sum(x: Any) -> Any:
    """The sum of each channel over images and pixels: (C,)."""
    return _summed(channels_last(x))[0]


def _statistics(x: Any, eps: float) -> tuple[Any, Any]:
    """Mean and 1 / sqrt(variance + eps)."""
    mean, variance = batch_statistics(x)
    return mean, ((variance.astype(np.float64) + eps) ** -0.5).astype(x.dtype)


def batch_norm(x: Any, gain: Any, shift: Any, eps: float) -> Any:
    """By the batch's own statistics; see `reference.batch_norm`."""
    x, y = channels_last(x), new_image(x, x.shape)
    mean, inverse = _statistics(x, eps)
    items = _items(x)
    _NORM(
        (blocks_of(items["items"], BLOCK),), BLOCK, x.dtype, {"ALIGNED": aligned(x, y)},
        **steps("x", x), y=y, mean=mean, inverse=inverse, gain=per_channel(gain, x),
        shift=per_channel(shift, x), **items,
    )  # fmt: skip
    return y


def batch_norm_transposed(p: Any, x: Any, gain: Any, eps: float) -> tuple[Any, Any, Any]:
    """Gradients with respect to x, gain and shift; see `reference.batch_norm_transposed`."""
    p, x, y = channels_last(p), channels_last(x), new_image(p, p.shape)
    mean, inverse = _statistics(x, eps)
    dshift, dgain = _summed(p, x, mean, inverse)
    items = _items(x)
    _NORM_TRANSPOSED(
        (blocks_of(items["items"], BLOCK),), BLOCK, p.dtype, {"ALIGNED": aligned(p, x, y)},
        **steps("p", p), **steps("x", x), y=y, mean=mean, inverse=inverse,
        gain=per_channel(gain, x), dgain=dgain, dshift=dshift,
        share=x.shape[1] / prod(x.shape), **items,
    )  # fmt: skip
    return y, dgain, dshift
