"""Elementwise arithmetic and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.registry import operator


@operator("Add", since=7)
def add(node: Any) -> Any:
    return node.add(B.Add(), 0, 1)


@operator("Sub", since=7)
def subtract(node: Any) -> Any:
    return node.add(B.Subtract(), 0, 1)


@operator("Mul", since=7)
def multiply(node: Any) -> Any:
    return node.add(B.Multiply(), 0, 1)


@operator("Div", since=7)
def divide(node: Any) -> Any:
    a, b = node.inputs
    if node.is_constant(0) and node.is_constant(1) and a.array.dtype.kind in "iu":
        quotient = np.abs(a.array) // np.abs(b.array)  # ONNX divides integers towards zero
        return node.make((np.sign(a.array) * np.sign(b.array) * quotient).astype(a.array.dtype))
    return node.add(B.Divide(), 0, 1)


@operator("Sum")
def sum_of_inputs(node: Any) -> Any:
    total = node.inputs[0]
    for other in node.inputs[1:]:
        total = node.add(B.Add(), total, other)
    return total if len(node.inputs) > 1 else node.add(B.Identity())


def _reduce(node: Any, kind: type, axes: Any) -> Any:
    if axes is None or len(axes) == 0:
        if node.attribute("noop_with_empty_axes", 0):
            return node.add(B.Identity())
        axes = range(len(node.shape()))
    keepdims = bool(node.attribute("keepdims", 1))
    return node.add(kind(tuple(int(axis) for axis in axes), keepdims))


@operator("ReduceMean")
def reduce_mean_attributes(node: Any) -> Any:
    return _reduce(node, B.Mean, node.attribute("axes"))


@operator("ReduceMean", since=18)
def reduce_mean(node: Any) -> Any:
    return _reduce(node, B.Mean, node.constant(1, "axes"))


@operator("ReduceSum")
def reduce_sum_attributes(node: Any) -> Any:
    return _reduce(node, B.Sum, node.attribute("axes"))


@operator("ReduceSum", since=13)
def reduce_sum(node: Any) -> Any:
    return _reduce(node, B.Sum, node.constant(1, "axes"))
