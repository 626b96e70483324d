"""ReLU, masks, and bits packed and unpacked, on the card."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.devices import module_of
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, channels_last, empty, new_image, steps, unfilled
from minicnn.kernels.packed import Packed, plane_shape

__all__ = ["masked", "pack", "relu", "unpack"]

BLOCK = 256
_RELU, _MASKED = Kernel("gates", "relu"), Kernel("gates", "masked")
_PACK, _UNPACK = Kernel("gates", "pack"), Kernel("gates", "unpack")


def _items(shape: tuple[int, ...]) -> dict[str, int]:
    """Threads that an image needs, each with eight channels of a pixel, and its measures."""
    height, width = (*shape[2:], 1, 1)[:2]
    items = prod(plane_shape(shape))
    return {"height": height, "width": width, "channels": shape[1], "items": items}


def relu(x: Any) -> tuple[Any, Packed]:
    """max(x, 0), and where x > 0; of images (N, C, H, W) or rows (N, C)."""
    x, y, signs = channels_last(x), new_image(x, x.shape), unfilled(x, x.shape)
    sizes = _items(x.shape)
    _RELU(
        (blocks_of(sizes["items"], BLOCK),), BLOCK, x.dtype, {"ALIGNED": aligned(x, y)},
        **steps("x", x), y=y, signs=signs.planes, **sizes,
    )  # fmt: skip
    return y, signs


def masked(x: Any, mask: Packed) -> Any:
    """x where the mask is set, else 0; a mask of fewer images is repeated."""
    x, y = channels_last(x), new_image(x, x.shape)
    sizes = _items(x.shape)
    _MASKED(
        (blocks_of(sizes["items"], BLOCK),), BLOCK, x.dtype, {"ALIGNED": aligned(x, y)},
        **steps("x", x), mask=mask.planes, mask_images=mask.shape[0], y=y, **sizes,
    )  # fmt: skip
    return y


def pack(values: Any, levels: int = 2) -> Packed:
    """Integers below `levels` as bits; see `Packed.pack`."""
    packed = unfilled(values, values.shape, levels)
    bits, items = packed.planes.shape[0], prod(packed.planes.shape[1:])
    if bits:
        last = _channels_last(values).astype(np.uint32)
        last = module_of(values).ascontiguousarray(last)
        _PACK(
            (blocks_of(items, BLOCK),), BLOCK, np.float32, {"ALIGNED": 1},
            values=last, planes=packed.planes, bits=bits, channels=last.shape[-1], items=items,
        )  # fmt: skip
    return packed


def unpack(packed: Packed) -> Any:
    """The values again; see `Packed.unpack`."""
    shape, channels = packed.shape, packed.shape[min(1, len(packed.shape) - 1)] if (
        packed.shape
    ) else 1  # fmt: skip
    lead = plane_shape(shape)[:-1]
    values = empty(packed.planes, (*lead, channels), np.uint32)
    items = prod(packed.planes.shape[1:])
    if packed.planes.shape[0]:
        _UNPACK(
            (blocks_of(items, BLOCK),), BLOCK, np.float32, {"ALIGNED": 1},
            planes=packed.planes, values=values, bits=packed.planes.shape[0], channels=channels,
            items=items,
        )  # fmt: skip
    else:
        values.fill(0)
    levels = packed.levels
    dtype = np.dtype(bool) if levels == 2 else np.min_scalar_type(max(levels - 1, 1))
    axis = min(1, len(shape) - 1) if shape else 0
    return np.moveaxis(values.astype(dtype), -1, axis).reshape(shape)


def _channels_last(values: Any) -> Any:
    values = values.reshape(1) if values.ndim == 0 else values
    return np.moveaxis(values, min(1, values.ndim - 1), -1)
