"""The filters' gradient on the card; see `sources/filters.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, channels_last, empty, processors, steps

__all__ = ["conv_filter"]

BLOCKS = 6  # blocks that a processor holds
_CORRELATE, _ADD = Kernel("filters", "correlate"), Kernel("filters", "add")


def conv_filter(p: Any, x: Any, window: Window, groups: int) -> Any:
    """The filters' gradient (O, C/groups, h, w); see `reference.conv_filter`."""
    p, x = channels_last(p), channels_last(x)
    filters, channels, taps = p.shape[1] // groups, x.shape[1] // groups, window.volume
    out_height, out_width = p.shape[2:]
    pixels = p.shape[0] * out_height * out_width
    tiles = blocks_of(channels, 64)
    blocks = blocks_of(filters, 64) * tiles * taps * groups
    splits = max(1, min(pixels // 64, processors(p) * BLOCKS // blocks))
    count = groups * filters * taps * channels
    partial, w = empty(p, (splits, count)), empty(p, (p.shape[1], channels, *window.kernel))
    whole = filters % 4 == 0 and channels % 4 == 0  # groups begin where four can be read at once
    constants = {
        "ALIGNED": int(whole and aligned(p, x)),
        "BLOCKS": BLOCKS if p.dtype == np.float32 else 1,
    }
    _CORRELATE(
        (tiles * taps * splits * groups, blocks_of(filters, 64)), 64, p.dtype, constants,
        **steps("p", p), **steps("x", x), height=x.shape[2], width=x.shape[3],
        out_height=out_height, out_width=out_width, filters=filters, channels=channels, taps=taps,
        kernel_width=window.kernel[1], stride_height=window.stride[0],
        stride_width=window.stride[1], pad_top=window.pads[0], pad_left=window.pads[1],
        dilation_height=window.dilation[0], dilation_width=window.dilation[1], column_tiles=tiles,
        pixels=pixels, splits=splits, groups=groups, partial=partial,
    )  # fmt: skip
    _ADD(
        (blocks_of(count, 256),), 256, p.dtype, constants,
        partial=partial, w=w, splits=splits, taps=taps, channels=channels, count=count,
    )  # fmt: skip
    return w
