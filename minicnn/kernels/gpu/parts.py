"""Parts of an image with changed boxes pasted in, on the card; see `reference.parts`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.devices import place_of, to_device
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, channels_last, new_image, steps
from minicnn.kernels.packed import plane_shape

__all__ = ["parts"]

BLOCK = 128
_PARTS = Kernel("parts", "parts")


def parts(clean: Any, changed: Any, places: Any, size: tuple[int, int], filling: float) -> Any:
    """Parts of an image, (N, C, *size); places are copied to the card."""
    clean, changed = channels_last(clean), channels_last(changed)
    y = new_image(changed, (*changed.shape[:2], *size))
    where = to_device(np.ascontiguousarray(places, np.int64), place_of(clean))
    items = prod(plane_shape(y.shape))
    _PARTS(
        (blocks_of(items, BLOCK),), BLOCK, clean.dtype, {"ALIGNED": aligned(clean, changed, y)},
        **steps("clean", clean), clean_height=clean.shape[2], clean_width=clean.shape[3],
        **steps("changed", changed), changed_height=changed.shape[2],
        changed_width=changed.shape[3], places=where, filling=filling, y=y, height=size[0],
        width=size[1], channels=clean.shape[1], items=items,
    )  # fmt: skip
    return y
