"""Writers of normalisations.

A sum over neighbouring channels is a 1x1 convolution whose matrix has ones on a band. LRN itself is
ONNX's where runtimes take it: images, an odd number of channels; elsewhere, and for its transpose,
the formulas of `blocks.norm` are written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import OutputError
from minicnn.onnx.writers.registry import writer


def _around(call: Any, x: Any, before: int, after: int) -> str:
    """Sum over channels c - before .. c + after."""
    channels, spatial = call.channels(), call[0].rank - 2
    if spatial > 3:
        raise OutputError(f"At {call.name}: ONNX has no convolution over {spatial} spatial axes.")
    apart = np.arange(channels) - np.arange(channels)[:, None]  # (output, input)
    band = ((apart >= -before) & (apart <= after)).astype(call.dtype)
    if not spatial:
        return call.node("MatMul", x, np.ascontiguousarray(band.T))
    return call.node("Conv", x, band.reshape(channels, channels, *[1] * spatial))


@writer(B.ChannelSum)
def channel_sum(call: Any) -> Any:
    return _around(call, call[0], call.block.before, call.block.after)


def _energy(call: Any, x: Any) -> str:
    """LRN's s = bias + alpha/size sum x^2."""
    block = call.block
    squares = call.node("Mul", x, x)
    total = _around(call, squares, (block.size - 1) // 2, block.size // 2)
    return call.node("Add", call.node("Mul", total, block.alpha / block.size), block.bias)


@writer(B.LRN)
def lrn(call: Any) -> Any:
    block, x = call.block, call[0]
    if x.rank == 4 and block.size % 2:
        numbers = {key: float(getattr(block, key)) for key in ("alpha", "beta", "bias")}
        return call.node("LRN", x, size=block.size, **numbers)
    return call.node("Mul", x, call.node("Pow", _energy(call, x), -block.beta))


@writer(B.LRNTransposed)
def lrn_transposed(call: Any) -> Any:
    block, (p, x) = call.block, call.operands
    s = _energy(call, x)
    straight = call.node("Mul", p, call.node("Pow", s, -block.beta))
    weighted = call.node("Mul", call.node("Mul", p, x), call.node("Pow", s, -block.beta - 1))
    around = _around(call, weighted, block.size // 2, (block.size - 1) // 2)
    k = 2 * block.alpha / block.size * block.beta
    return call.node("Sub", straight, call.node("Mul", around, call.node("Mul", x, k)))


@writer(B.BatchNorm)
def batch_norm(call: Any) -> Any:
    return call.node("BatchNormalization", *call.operands, epsilon=float(call.block.eps))


def _normalised(call: Any, axes: tuple[int, ...], eps: float) -> str:
    def mean(x: Any) -> Any:
        return call.node("ReduceMean", x, axes) if axes else x

    centred = call.node("Sub", call[0], mean(call[0]))
    variance = mean(call.node("Mul", centred, centred))
    return call.node("Div", centred, call.node("Sqrt", call.node("Add", variance, eps)))


@writer(B.Normalise)
def normalise(call: Any) -> Any:
    return _normalised(call, call.block.axes, call.block.eps)


@writer(B.GroupNormalise)
def group_normalise(call: Any) -> Any:
    """Groups as the channels of ONNX's InstanceNormalization."""
    groups, shape = call.block.groups, call[0].shape
    one, none = (np.full(groups, n, call.dtype) for n in (1, 0))
    lines = call.node("Reshape", call[0], (0, groups, -1))
    y = call.node("InstanceNormalization", lines, one, none, epsilon=float(call.block.eps))
    target = call.node("Shape", call[0]) if None in shape[1:] else (0, *shape[1:])
    return call.node("Reshape", y, target)


@writer(B.BatchNormTraining)
def batch_norm_training(call: Any) -> Any:
    """By the statistics of the batch at hand, as while learning."""
    rank = call[0].rank
    y = _normalised(call, (0, *range(2, rank)), call.block.eps)
    gain, shift = call[1], call[2]
    if rank > 2:
        behind = tuple(range(1, rank - 1))
        gain, shift = (call.node("Unsqueeze", values, behind) for values in (gain, shift))
    return call.node("Add", call.node("Mul", y, gain), shift)
