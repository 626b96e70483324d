"""Writers of convolutions.

ONNX's Conv and ConvTranspose take no negative pads, and ConvTranspose in onnxruntime no output
padding of a stride or more. What they do not take is done by a Pad beside them.

A convolution's transpose with respect to its filters is a convolution too, with batch and channels
exchanged, and stride and dilation as well:

    w[o, c, t] = sum_n,i p[n, o, i] x[n, c, s i - pad + d t]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.kernels import Window
from minicnn.onnx.writers.registry import writer

__all__ = ["each_channel", "explicit_ends", "padded"]


def padded(
    call: Any, x: Any, begins: Sequence[int], ends: Sequence[int], value: float | None = None
) -> Any:
    """A value with its spatial axes padded, or cropped where numbers are negative."""
    if not any(begins) and not any(ends):
        return x
    return call.node("Pad", x, (0, 0, *begins, 0, 0, *ends), value)


def _cropped(call: Any, x: Any, begins: Sequence[int], ends: Sequence[int]) -> Any:
    """A value cut by the negative pads; the others are for the convolution itself."""
    return padded(call, x, [min(n, 0) for n in begins], [min(n, 0) for n in ends])


def explicit_ends(window: Window, size: Sequence[int]) -> tuple[int, ...]:
    """End pads with which the windows fit exactly: nothing is left over, nothing rounded up."""
    out = window.output_size(tuple(size))
    return tuple(
        s * (o - 1) + k - n - b
        for s, o, k, n, b in zip(
            window.stride, out, window.extent, size, window.begins, strict=True
        )
    )


@writer(B.Conv)
def conv(call: Any) -> Any:
    window = call.block.window
    ends = window.ends
    if window.ceil_mode:
        ends = explicit_ends(window, call.fixed(0, slice(2, None)))
    return call.node(
        "Conv",
        _cropped(call, call[0], window.begins, ends),
        *call.operands[1:],
        kernel_shape=window.kernel,
        strides=window.stride,
        dilations=window.dilation,
        pads=[max(n, 0) for n in (*window.begins, *ends)],
        group=call.block.groups,
    )


@writer(B.ConvTranspose)
def conv_transpose(call: Any) -> Any:
    bias = call[2] if len(call) > 2 else None
    block = call.block
    return spread(call, call[0], call[1], bias, block.window, block.groups, block.output_padding)


def spread(
    call: Any, p: Any, w: Any, bias: Any, window: Window, groups: int, extra: Sequence[int]
) -> str:
    """ConvTranspose, then what has to be padded beyond it."""
    begins, ends, extra = list(window.begins), list(window.ends), list(extra)
    for axis, stride in enumerate(window.stride):
        if extra[axis] >= stride:
            ends[axis], extra[axis] = ends[axis] - extra[axis], 0  # the same size: cut off less
    before, after = [max(0, -n) for n in begins], [max(0, -n) for n in ends]
    outside = any(before) or any(after)
    x = call.node(
        "ConvTranspose",
        p,
        w,
        None if outside else bias,
        kernel_shape=window.kernel,
        strides=window.stride,
        dilations=window.dilation,
        pads=[max(0, n) for n in (*begins, *ends)],
        output_padding=extra if any(extra) else None,
        group=groups,
    )
    x = padded(call, x, before, after)
    if bias is None or not outside:
        return x
    channels = call.node("Unsqueeze", bias, tuple(range(1, window.rank + 1)))
    return call.node("Add", x, channels)


@writer(B.ConvFilter)
def conv_filter(call: Any) -> Any:
    """Groups become blocks of channels: x (C/G, G N, *size) with filters (O, N, *out)."""
    window, groups = call.block.window, call.block.groups
    p, x = call.fixed(0), call.fixed(1)
    spatial = tuple(range(2, len(x)))
    begins, ends = window.begins, explicit_ends(window, x[2:])
    images = _cropped(call, call[1], begins, ends)
    if groups > 1:
        size = tuple(n + min(b, 0) + min(e, 0) for n, b, e in zip(x[2:], begins, ends, strict=True))
        grouped = call.node("Reshape", images, (x[0], groups, x[1] // groups, *size))
        turned = call.node("Transpose", grouped, perm=(2, 1, 0, *(i + 1 for i in spatial)))
        images = call.node("Reshape", turned, (x[1] // groups, groups * x[0], *size))
    else:
        images = call.node("Transpose", images, perm=(1, 0, *spatial))
    filters = call.node(
        "Conv",
        images,
        call.node("Transpose", call[0], perm=(1, 0, *spatial)),
        kernel_shape=p[2:],
        strides=window.dilation,
        dilations=window.stride,
        pads=[max(n, 0) for n in (*begins, *ends)],
        group=groups,
    )
    return call.node("Transpose", filters, perm=(1, 0, *spatial))


def each_channel(call: Any, p: Any, taps: np.ndarray, window: Window, size: Sequence[int]) -> str:
    """Spread p over windows, channel by channel, weighted by the same taps."""
    channels = call.channels()
    out = window.output_size(tuple(size))
    least = window.transposed_size(out, (0,) * window.rank)
    w = np.broadcast_to(taps.reshape(window.kernel), (channels, 1, *window.kernel))
    extra = [n - m for n, m in zip(size, least, strict=True)]
    ends = [e - min(0, n) for e, n in zip(window.ends, extra, strict=True)]
    plain = Window(window.kernel, window.stride, (*window.begins, *ends), window.dilation)
    return spread(call, p, w, None, plain, channels, [max(0, n) for n in extra])
