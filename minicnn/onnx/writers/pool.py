"""Writers of pooling and its transposes.

Switches become indices into each channel's pixels, so Unpool is ScatterElements with addition and
Gather is GatherElements. Runtimes read ceil_mode and wide pads in several ways: where they could
differ the pads are written out, and an average's divisor too.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.blocks import Packed, Shape
from minicnn.kernels import Window, center_tap
from minicnn.onnx.writers.conv import each_channel, explicit_ends, padded
from minicnn.onnx.writers.registry import writer


def is_plain(window: Window) -> bool:
    """Whether every runtime takes its pads: none negative, none as long as the kernel."""
    pads = zip(window.begins, window.ends, window.kernel, strict=True)
    return all(0 <= b < k and 0 <= e < k for b, e, k in pads)


def lowest(dtype: np.dtype) -> float:
    """What never is a maximum: finite, since files with infinite numbers are refused by some."""
    return float(np.finfo(dtype).min)


def _may_drop(window: Window) -> bool:
    """Whether rounding up can leave a last window in the padding, which not all runtimes drop."""
    axes = zip(window.ends, window.stride, window.extent, strict=True)
    return window.ceil_mode and any(e + s > k for e, s, k in axes)


@writer(B.MaxPool)
def max_pool(call: Any) -> Any:
    window = call.block.window
    if window is None:
        return call.node("GlobalMaxPool", call[0])
    settings = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation if set(window.dilation) != {1} else None,
    }
    if is_plain(window) and not _may_drop(window):
        ceil = int(window.ceil_mode) or None
        return call.node("MaxPool", call[0], pads=window.pads, ceil_mode=ceil, **settings)
    ends = window.ends
    if window.ceil_mode:
        ends = explicit_ends(window, call.fixed(0, slice(2, None)))
    x = padded(call, call[0], window.begins, ends, lowest(call.dtype))
    return call.node("MaxPool", x, **settings)


def _indices(switches: Packed, window: Window, size: Shape, images: int) -> tuple[Any, bool]:
    """Pixel that each switch names, (N, C, windows); those in the padding are one past the last.

    Gives too whether there are any in the padding.
    """
    switch = switches.unpack()
    taps = np.unravel_index(switch, window.kernel)
    pixel, outside = np.zeros(switch.shape, np.int32), np.zeros(switch.shape, bool)
    for axis, (tap, n) in enumerate(zip(taps, size, strict=True)):
        steps = np.arange(switch.shape[2 + axis]) * window.stride[axis] - window.begins[axis]
        place = steps.reshape(-1, *[1] * (window.rank - 1 - axis)) + tap * window.dilation[axis]
        outside |= (place < 0) | (place >= n)
        pixel = pixel * n + place.astype(np.int32)
    pixel[outside] = prod(size)
    pixel = np.concatenate([pixel] * (images // len(pixel)))
    return pixel.reshape(*pixel.shape[:2], -1).astype(np.int32), bool(outside.any())


@writer(B.Unpool)
def unpool(call: Any) -> Any:
    block, (images, channels) = call.block, call.fixed(0, slice(2))
    pixels = prod(block.size)
    indices, outside = _indices(block.switches, block.window, block.size, images)
    flat = call.node("Reshape", call[0], (0, 0, -1))
    empty = call.zeros((images, channels, pixels + outside))
    x = call.node("ScatterElements", empty, indices, flat, axis=2, reduction="add")
    if outside:
        x = call.node("Slice", x, [0], [pixels], [2])
    return call.node("Reshape", x, (0, 0, *block.size))


@writer(B.Gather)
def gather(call: Any) -> Any:
    block, x = call.block, call.fixed()
    indices, outside = _indices(block.switches, block.window, x[2:], x[0])
    flat = call.node("Reshape", call[0], (0, 0, -1))
    if outside:
        flat = call.node("Pad", flat, (0, 0, 0, 0, 0, 1))
    y = call.node("GatherElements", flat, indices, axis=2)
    return call.node("Reshape", y, (0, 0, *block.switches.shape[2:]))


@writer(B.UnpoolCenter)
def unpool_center(call: Any) -> Any:
    window = call.block.window
    taps = np.zeros(window.volume, call.dtype)
    taps[center_tap(window)] = 1
    return each_channel(call, call[0], taps, window, call.block.size)


def _divisor(window: Window, size: Shape, include_pad: bool) -> np.ndarray:
    """How many taps of each window count, (1, 1, *out) in float64."""
    divisor = np.ones((1,) * (window.rank + 2))
    for axis, pixels in enumerate(window.pixels_by_axis(size, include_pad)):  # (out, kernel)
        shape = [1] * (window.rank + 2)
        shape[2 + axis] = len(pixels)
        divisor = divisor * np.maximum(pixels.sum(1), 1).reshape(shape)
    return divisor


@writer(B.AveragePool)
def average_pool(call: Any) -> Any:
    window = call.block.window
    dilated = set(window.dilation) != {1}
    settings = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation if dilated else None,
    }
    if not window.ceil_mode and is_plain(window) and not (dilated and any(window.pads)):
        include = int(call.block.include_pad) or None
        return call.node(
            "AveragePool", call[0], pads=window.pads, count_include_pad=include, **settings
        )
    size = call.fixed(0, slice(2, None))
    x = padded(call, call[0], window.begins, explicit_ends(window, size))
    y = call.node("AveragePool", x, **settings)
    divisor = _divisor(window, size, call.block.include_pad)
    return y if (divisor == window.volume).all() else call.node("Mul", y, window.volume / divisor)


@writer(B.AverageUnpool)
def average_unpool(call: Any) -> Any:
    block = call.block
    divisor = _divisor(block.window, block.size, block.include_pad)
    shared = call.node("Div", call[0], divisor)
    return each_channel(call, shared, np.ones(block.window.volume), block.window, block.size)
