"""Pooling, and its undoing by indices."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import UnsupportedOperatorError
from minicnn.onnx.operators.windows import window
from minicnn.onnx.registry import operator


@operator("MaxPool")
def max_pool(node: Any) -> Any:
    chosen = window(node, node.attribute("kernel_shape"))
    y = node.add(B.MaxPool(chosen))
    if len(node.proto.output) > 1 and node.proto.output[1]:
        by_columns = bool(node.attribute("storage_order", 0))
        return [y, node.add(B.MaxPoolIndices(chosen, by_columns))]
    return y


@operator("MaxUnpool", since=9)
def max_unpool(node: Any) -> Any:
    """x[index] = p, with indices into the whole output laid out in a row."""
    x = node.shape()
    kernel = node.attribute("kernel_shape")
    inner = window(node, kernel).transposed_size(x[2:], (0,) * len(kernel))
    target = (*x[:2], *inner)
    node.depends_on_size()
    flat = node.add(B.Reshape((-1,)))
    if node.dtype(1).kind not in "iu":
        raise UnsupportedOperatorError(f"indices of type {node.dtype(1)} make no sense")
    places = node.add(B.Reshape((-1,)), 1)
    put = node.add(B.PutElements(0, (prod(target),), adds=False), flat, places)
    y = node.add(B.Reshape(target), put)
    wanted = node.constant(2, "output shape")
    if wanted is None or tuple(int(n) for n in wanted) == target:
        return y
    pads = tuple((0, int(n) - m) for n, m in zip(wanted, target, strict=True))
    return node.add(B.Pad(pads), y)


@operator("AveragePool")
def average_pool(node: Any) -> Any:
    include = bool(node.attribute("count_include_pad", 0))
    return node.add(B.AveragePool(window(node, node.attribute("kernel_shape")), include))


@operator("LpPool")
def lp_pool(node: Any) -> Any:
    """(sum of |x|^p over the window)^(1/p): an average, times how many it was taken over."""
    order = float(node.attribute("p", 2))
    chosen = window(node, node.attribute("kernel_shape"))
    powers = node.add(B.Power(order), node.add(B.Abs()))
    mean = node.add(B.AveragePool(chosen, include_pad=True), powers)
    counts = np.ones((), int)
    for axis, inside in enumerate(chosen.pixels_by_axis(node.shape()[2:], include_pad=True)):
        count = np.maximum(inside.sum(1), 1).reshape(
            [-1 if i == axis else 1 for i in range(chosen.rank)]
        )
        counts = counts * count
    if chosen.ceil_mode:
        node.depends_on_size()  # images of other sizes may have windows that are not full
    if np.ptp(counts):
        node.depends_on_size()
        total = node.add(B.Multiply(), mean, node.make(counts.astype(node.lowering.dtype)))
    else:
        total = node.add(B.Scale(float(chosen.volume)), mean)
    return _root(node, total, order)


@operator("GlobalAveragePool")
def global_average_pool(node: Any) -> Any:
    return node.add(B.Mean(tuple(range(2, len(node.shape()))), keepdims=True))


@operator("GlobalMaxPool")
def global_max_pool(node: Any) -> Any:
    return node.add(B.MaxPool(None))


@operator("GlobalLpPool", since=2)
def global_lp_pool(node: Any) -> Any:
    order, axes = float(node.attribute("p", 2)), tuple(range(2, len(node.shape())))
    powers = node.add(B.Power(order), node.add(B.Abs()))
    return _root(node, node.add(B.Sum(axes, keepdims=True), powers), order)


def _root(node: Any, total: Any, order: float) -> Any:
    """total^(1/order); a trace is added, so that the signal of zeros is 0 and not NaN."""
    return node.add(B.Power(1 / order), node.add(B.Add(), total, node.make(np.full((), 1e-30))))
