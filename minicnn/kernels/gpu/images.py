"""Images on the card as kernels see them: an address and steps in numbers, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import DeviceError
from minicnn.kernels.devices import module_of
from minicnn.kernels.packed import Packed

__all__ = [
    "aligned",
    "card_memory",
    "channels_last",
    "empty",
    "new_image",
    "per_channel",
    "processors",
    "steps",
    "unfilled",
]

FOUR = 16  # bytes at which four numbers are read at once
MOST_PIXELS = (1 << 31) - 1024  # of all images together: kernels count them in 32 bits


def empty(like: Any, shape: Sequence[int], dtype: Any = None) -> Any:
    """New memory on the same card, of arbitrary content."""
    with like.device:
        return module_of(like).empty(tuple(shape), like.dtype if dtype is None else dtype)


def new_image(like: Any, shape: Sequence[int]) -> Any:
    """A new array (N, C, ...) with channels last in memory.

    Raises
    ------
    DeviceError
        If it has more pixels than kernels count.
    """
    batch, channels, *size = shape
    if prod((batch, *size)) > MOST_PIXELS:
        raise DeviceError(
            f"An array of shape {tuple(shape)} has {prod((batch, *size)):,} pixels; kernels of a "
            f"card take {MOST_PIXELS:,}. Give fewer images at once."
        )
    last = empty(like, (batch, *size, channels))
    return last.transpose(0, last.ndim - 1, *range(1, last.ndim - 1))


def channels_last(x: Any) -> Any:
    """The array itself where its channels lie side by side, else a copy that is so."""
    side_by_side = x.shape[1] == 1 or x.strides[1] == x.itemsize
    if side_by_side and all(step % x.itemsize == 0 and step >= 0 for step in x.strides):
        return x
    y = new_image(x, x.shape)
    y[...] = x
    return y


def steps(name: str, x: Any) -> dict[str, Any]:
    """An image (N, C, H, W) or rows (N, C) as arguments: name, name_image, name_row, name_pixel."""
    image, _, row, pixel = (*(step // x.itemsize for step in x.strides), 0, 0)[:4]
    return {name: x, f"{name}_image": image, f"{name}_row": row, f"{name}_pixel": pixel}


def aligned(*arrays: Any) -> int:
    """1 if four channels can be read at once from every eighth channel of each, else 0."""
    for x in arrays:
        if x is None:
            continue
        if x.data.ptr % FOUR:
            return 0
        for axis, step in enumerate(x.strides):
            if axis != 1 and x.shape[axis] > 1 and step % FOUR:
                return 0
    return 1


def per_channel(values: Any, like: Any) -> Any:
    """One number a channel, in one piece and of the image's type."""
    if values is None:
        return None
    return module_of(like).ascontiguousarray(values.reshape(-1).astype(like.dtype, copy=False))


@cache
def _properties(cupy: Any, index: int) -> dict[str, Any]:
    found: dict[str, Any] = cupy.cuda.runtime.getDeviceProperties(index)
    return found


def card_memory(like: Any) -> int:
    """Bytes of memory that the card of an array has."""
    return int(_properties(module_of(like), like.device.id)["totalGlobalMem"])


def processors(like: Any) -> int:
    """How many multiprocessors the card of an array has."""
    return int(_properties(module_of(like), like.device.id)["multiProcessorCount"])


def unfilled(like: Any, shape: tuple[int, ...], levels: int = 2) -> Packed:
    """Bits that a kernel is about to fill."""
    return Packed(empty(like, Packed.planes_shape(shape, levels), np.uint8), shape, levels)
