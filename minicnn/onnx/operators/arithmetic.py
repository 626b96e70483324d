"""Elementwise arithmetic."""

from __future__ import annotations

from collections.abc import Callable
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
    return node.add(B.IntegerDivide() if node.dtype().kind in "iu" else B.Divide(), 0, 1)


@operator("Add", since=6)
def add_aligned(node: Any) -> Any:
    return node.add(B.Add(), 0, _aligned(node))


@operator("Sub", since=6)
def subtract_aligned(node: Any) -> Any:
    return node.add(B.Subtract(), 0, _aligned(node))


@operator("Mul", since=6)
def multiply_aligned(node: Any) -> Any:
    return node.add(B.Multiply(), 0, _aligned(node))


@operator("Div", since=6)
def divide_aligned(node: Any) -> Any:
    return node.add(B.Divide(), 0, _aligned(node))


def _aligned(node: Any) -> Any:
    """Before opset 7 the second operand is laid along the first from `axis` on."""
    a, b = node.shape(0), node.shape(1)
    if not node.attribute("broadcast", 0) or a == b:
        return node.inputs[1]
    axis = node.attribute("axis", len(a) - len(b)) % max(1, len(a))
    behind = len(a) - axis - len(b)
    return node.add(B.Reshape((*b, *[1] * behind)), 1) if behind > 0 else node.inputs[1]


@operator("Mod", since=10)
def modulo(node: Any) -> Any:
    if node.dtype().kind == "f" and node.attribute("fmod", 0):
        return node.add(B.Remainder(), 0, 1)
    return node.add(B.Modulo(bool(node.attribute("fmod", 0))), 0, 1)


@operator("Pow", since=6)
def power_aligned(node: Any) -> Any:
    return _power(node, _aligned(node))


@operator("Pow", since=7)
def power(node: Any) -> Any:
    return _power(node, node.inputs[1])


def _power(node: Any, exponent: Any) -> Any:
    one_number = node.is_constant(1) and exponent.array.size == 1
    if node.dtype().kind == "f" and one_number and len(exponent.shape) <= len(node.shape()):
        return node.add(B.Power(float(exponent.array.item())))
    if node.dtype().kind == "f" and exponent.dtype.kind != "f":
        exponent = node.add(B.Cast(node.dtype().name), 1)
    y = node.add(B.Pow(), 0, exponent)
    return y if y.dtype == node.dtype() else node.add(B.Cast(node.dtype().name), y)


@operator("Neg")
def negative(node: Any) -> Any:
    return node.add(B.Scale(-1.0))


@operator("Abs")
def absolute(node: Any) -> Any:
    return node.add(B.Abs())


@operator("Reciprocal")
def reciprocal(node: Any) -> Any:
    return node.add(B.Power(-1.0))


@operator("Sqrt")
def square_root(node: Any) -> Any:
    return node.add(B.Sqrt())


@operator("Exp")
def exponential(node: Any) -> Any:
    return node.add(B.Exp())


@operator("Log")
def logarithm(node: Any) -> Any:
    return node.add(B.Log())


@operator("Sin", since=7)
def sine(node: Any) -> Any:
    return node.add(B.Sin())


@operator("Cos", since=7)
def cosine(node: Any) -> Any:
    return node.add(B.Cos())


def _folded(node: Any, block: Callable[[], B.Block]) -> Any:
    """One block after the other over any number of inputs."""
    total = node.inputs[0]
    for other in node.inputs[1:]:
        total = node.add(block(), total, other)
    return total if len(node.inputs) > 1 else node.add(B.Identity())


@operator("Sum")
def sum_of_inputs(node: Any) -> Any:
    return _folded(node, B.Add)


@operator("Mean")
def mean_of_inputs(node: Any) -> Any:
    return node.add(B.Scale(1 / len(node.inputs)), _folded(node, B.Add))


@operator("Max")
def maximum(node: Any) -> Any:
    return _folded(node, B.Maximum)


@operator("Min")
def minimum(node: Any) -> Any:
    return _folded(node, B.Minimum)


@operator("CumSum", since=11)
def cumulative_sum(node: Any) -> Any:
    axis = int(np.asarray(node.constant(1, "axis")).item())
    exclusive, reverse = node.attribute("exclusive", 0), node.attribute("reverse", 0)
    return node.add(B.CumSum(axis, bool(exclusive), bool(reverse)))


@operator("Einsum", since=12)
def einsum(node: Any) -> Any:
    return node.add(B.Einsum(node.attribute("equation")), *range(len(node.inputs)))
