"""Reductions over axes. The axes are an attribute, and an input since 13 (sum) or 18 (others)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.registry import operator

Reduced = Callable[[Any, tuple[int, ...], bool], Any]


def _reduce(name: str, since_input: int = 18) -> Callable[[Reduced], Reduced]:
    """Enter a function of node, axes and keepdims under both ways to give the axes."""

    def enter(function: Reduced) -> Reduced:
        def of_attribute(node: Any) -> Any:
            return _over(node, function, node.attribute("axes"))

        def of_input(node: Any) -> Any:
            return _over(node, function, node.constant(1, "axes"))

        operator(name)(of_attribute)
        operator(name, since=since_input)(of_input)
        return function

    return enter


def _of_nothing(name: str, dtype: np.dtype) -> Any:
    """What a reduction over no values gives: the number that changes nothing."""
    largest = name == "ReduceMin"
    if dtype.kind == "b":
        return largest
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    limits = np.iinfo(dtype)
    return limits.max if largest else limits.min


def _over(node: Any, function: Reduced, axes: Any) -> Any:
    if axes is None or len(axes) == 0:
        if node.attribute("noop_with_empty_axes", 0):
            axes = ()
        else:
            axes = range(len(node.shape()))
    axes, keepdims = tuple(int(axis) for axis in axes), bool(node.attribute("keepdims", 1))
    name, dtype = node.proto.op_type, node.dtype()
    if 0 in node.shape() and name in ("ReduceMax", "ReduceMin", "ReduceLogSumExp"):
        shape = B.Sum(axes, keepdims).shape(node.shape())
        return node.make(np.full(shape, _of_nothing(name, dtype), dtype))
    return function(node, axes, keepdims)


@_reduce("ReduceMean")
def reduce_mean(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Mean(axes, keepdims))


@_reduce("ReduceSum", since_input=13)
def reduce_sum(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Sum(axes, keepdims))


@_reduce("ReduceMax")
def reduce_max(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Max(axes, keepdims))


@_reduce("ReduceMin")
def reduce_min(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Min(axes, keepdims))


@_reduce("ReduceProd")
def reduce_product(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Product(axes, keepdims))


@_reduce("ReduceL1")
def reduce_l1(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Norm(1, axes, keepdims))


@_reduce("ReduceL2")
def reduce_l2(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Norm(2, axes, keepdims))


@_reduce("ReduceSumSquare")
def reduce_sum_of_squares(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Sum(axes, keepdims), node.add(B.Multiply(), 0, 0))


@_reduce("ReduceLogSum")
def reduce_log_sum(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.Log(), node.add(B.Sum(axes, keepdims)))


@_reduce("ReduceLogSumExp")
def reduce_log_sum_exp(node: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return node.add(B.LogSumExp(axes, keepdims))
