"""Statistics over a batch and batch norm on the card; see `sources/batch.cu` and `reference`."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, channels_last, empty, new_image, per_channel

__all__ = ["batch_norm", "batch_norm_transposed", "batch_statistics", "pixel_sum"]

THREADS, JOINING = 256, 128  # a block; a block that joins parts, at most
EIGHT, ACROSS = 8, 32  # channels a thread, and threads that a block has across channels at most
FEW, MANY = 4, 1024  # pixels that are worth a thread, and blocks that are enough for every card
_MOMENTS, _JOIN_MOMENTS = Kernel("batch", "moments"), Kernel("batch", "join_moments")
_SUMS, _JOIN_SUMS = Kernel("batch", "sums"), Kernel("batch", "join_sums")
_NORM, _NORM_TRANSPOSED = Kernel("batch", "batch_norm"), Kernel("batch", "batch_norm_transposed")


def _in_steps(x: Any) -> tuple[Any, int]:
    """The array, copied where need be to be one step in memory from pixel to pixel; that step."""
    x = channels_last(x)
    axes = [axis for axis in (0, *range(2, x.ndim)) if x.shape[axis] > 1]
    if any(x.strides[a] != x.shape[b] * x.strides[b] for a, b in pairwise(axes)):
        image, x = x, new_image(x, x.shape)
        x[...] = image
    return x, x.strides[axes[-1]] // x.itemsize if axes else x.shape[1]


def _power(count: int) -> int:
    """The least power of two from a number on."""
    return 1 << (count - 1).bit_length()


def _shares(x: Any) -> tuple[tuple[int, int], dict[str, int]]:
    """A grid over channels and parts of the pixels, by the shape alone."""
    channels, pixels = x.shape[1], prod(x.shape) // x.shape[1]
    eights = blocks_of(channels, EIGHT)
    across = min(ACROSS, _power(eights))
    columns, lines = blocks_of(eights, across), THREADS // across
    parts = max(1, min(MANY // columns, blocks_of(pixels, lines * FEW)))
    each = blocks_of(pixels, parts)
    sizes = {"across": across, "channels": channels, "pixels": pixels, "each": each}
    return (columns, blocks_of(pixels, each)), sizes


def _aligned(*arrays: Any) -> dict[str, int]:
    """Whether images, and numbers by channel, can be read four at once."""
    return {"ALIGNED": aligned(*(a.reshape(1, -1) if a.ndim == 1 else a for a in arrays))}


def _statistics(x: Any, step: int, eps: float = 0.0) -> tuple[Any, Any, Any]:
    """Mean, variance and 1 / sqrt(variance + eps)."""
    grid, sizes = _shares(x)
    channels, parts = x.shape[1], grid[1]
    found = empty(x, (channels, parts, 2), np.float64)
    mean, variance, inverse = (empty(x, (channels,)) for _ in range(3))
    _MOMENTS(grid, THREADS, x.dtype, _aligned(x), x=x, x_pixel=step, found=found, **sizes)
    _JOIN_MOMENTS(
        (channels,), min(JOINING, _power(parts)), x.dtype, _aligned(x),
        found=found, parts=parts, pixels=sizes["pixels"], each=sizes["each"], eps=eps, mean=mean,
        variance=variance, inverse=inverse,
    )  # fmt: skip
    return mean, variance, inverse


def batch_statistics(x: Any) -> tuple[Any, Any]:
    """Mean and biased variance of each channel; see `reference.batch_statistics`."""
    return _statistics(*_in_steps(x))[:2]


def _summed(
    p: Any, p_pixel: int, x: Any = None, x_pixel: int = 0, mean: Any = None, inverse: Any = None
) -> tuple[Any, Any]:
    """Sums over pixels of p, and of p times x normalised."""
    grid, sizes = _shares(p)
    channels, parts = p.shape[1], grid[1]
    constants = _aligned(*(a for a in (p, x, mean, inverse) if a is not None))
    found = empty(p, (channels, parts, 2), np.float64)
    total = empty(p, (channels,))
    product = None if x is None else empty(p, (channels,))
    _SUMS(
        grid, THREADS, p.dtype, constants,
        p=p, p_pixel=p_pixel, x=x, x_pixel=x_pixel, mean=mean, inverse=inverse, found=found,
        **sizes,
    )  # fmt: skip
    _JOIN_SUMS(
        (channels,), min(JOINING, _power(parts)), p.dtype, constants,
        found=found, parts=parts, sum=total, product=product,
    )  # fmt: skip
    return total, product


def pixel_sum(x: Any) -> Any:
    """The sum of each channel over images and pixels: (C,)."""
    return _summed(*_in_steps(x))[0]


def batch_norm(x: Any, gain: Any, shift: Any, eps: float) -> Any:
    """By the batch's own statistics; see `reference.batch_norm`."""
    (x, step), y = _in_steps(x), new_image(x, x.shape)
    mean, _, inverse = _statistics(x, step, eps)
    gain, shift = per_channel(gain, x), per_channel(shift, x)
    grid, sizes = _shares(x)
    _NORM(
        grid, THREADS, x.dtype, _aligned(x, y, gain, shift),
        x=x, x_pixel=step, y=y, mean=mean, inverse=inverse, gain=gain, shift=shift, **sizes,
    )  # fmt: skip
    return y


def batch_norm_transposed(p: Any, x: Any, gain: Any, eps: float) -> tuple[Any, Any, Any]:
    """Gradients with respect to x, gain and shift; see `reference.batch_norm_transposed`."""
    (p, p_pixel), (x, x_pixel), y = _in_steps(p), _in_steps(x), new_image(p, p.shape)
    mean, _, inverse = _statistics(x, x_pixel, eps)
    dshift, dgain = _summed(p, p_pixel, x, x_pixel, mean, inverse)
    gain = per_channel(gain, x)
    grid, sizes = _shares(x)
    _NORM_TRANSPOSED(
        grid, THREADS, p.dtype, _aligned(p, x, y, gain),
        p=p, p_pixel=p_pixel, x=x, x_pixel=x_pixel, y=y, mean=mean, inverse=inverse, gain=gain,
        dgain=dgain, dshift=dshift, one=1 / sizes["pixels"], **sizes,
    )  # fmt: skip
    return y, dgain, dshift
