"""Comparisons, logic and choices: what jumps, and gets no signal back."""

from __future__ import annotations

from typing import Any

from minicnn import blocks as B
from minicnn.onnx.registry import operator


@operator("Equal", since=7)
def equal(node: Any) -> Any:
    return node.add(B.Compare("equal"), 0, 1)


@operator("Greater", since=7)
def greater(node: Any) -> Any:
    return node.add(B.Compare("greater"), 0, 1)


@operator("GreaterOrEqual", since=12)
def greater_or_equal(node: Any) -> Any:
    return node.add(B.Compare("greater_or_equal"), 0, 1)


@operator("Less", since=7)
def less(node: Any) -> Any:
    return node.add(B.Compare("less"), 0, 1)


@operator("LessOrEqual", since=12)
def less_or_equal(node: Any) -> Any:
    return node.add(B.Compare("less_or_equal"), 0, 1)


@operator("And", since=7)
def logical_and(node: Any) -> Any:
    return node.add(B.Logic("and"), 0, 1)


@operator("Or", since=7)
def logical_or(node: Any) -> Any:
    return node.add(B.Logic("or"), 0, 1)


@operator("Xor", since=7)
def logical_xor(node: Any) -> Any:
    return node.add(B.Logic("xor"), 0, 1)


@operator("Not")
def logical_not(node: Any) -> Any:
    return node.add(B.Not())


@operator("IsNaN", since=9)
def is_nan(node: Any) -> Any:
    return node.add(B.IsNaN())


@operator("IsInf", since=10)
def is_inf(node: Any) -> Any:
    negative, positive = node.attribute("detect_negative", 1), node.attribute("detect_positive", 1)
    return node.add(B.IsInf(bool(negative), bool(positive)))


@operator("Where", since=9)
def where(node: Any) -> Any:
    return node.add(B.Where(), 0, 1, 2)


@operator("Floor")
def floor(node: Any) -> Any:
    return node.add(B.Floor())


@operator("Ceil")
def ceil(node: Any) -> Any:
    return node.add(B.Ceil())


@operator("Round", since=11)
def round_half_to_even(node: Any) -> Any:
    return node.add(B.Round())


@operator("Sign", since=9)
def sign(node: Any) -> Any:
    return node.add(B.Sign())


@operator("ArgMax")
def argmax(node: Any) -> Any:
    return _arg(node, largest=True)


@operator("ArgMin")
def argmin(node: Any) -> Any:
    return _arg(node, largest=False)


def _arg(node: Any, largest: bool) -> Any:
    keepdims, last = node.attribute("keepdims", 1), node.attribute("select_last_index", 0)
    return node.add(B.ArgMax(node.attribute("axis", 0), bool(keepdims), bool(last), largest))
