"""Constants, and the small operators with which exporters compute shapes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx

from minicnn import blocks as B
from minicnn.errors import UnsupportedOperatorError
from minicnn.onnx.registry import operator


@operator("Constant")
def constant(node: Any) -> Any:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = node.attribute(name)
        if value is not None:
            dtype = {"value_float": np.float32, "value_floats": np.float32}.get(name)
            array = value if name == "value" else np.asarray(value, dtype or np.int64)
            return node.make(array, node.proto.output[0])
    raise UnsupportedOperatorError("only numbers are read, not strings or sparse tensors")


@operator("Range", since=11)
def number_range(node: Any) -> Any:
    start, limit, delta = (node.constant(i, "limits") for i in range(3))
    count = max(0, int(np.ceil((limit - start) / delta).item()))
    node.lowering.allowance.ask((3 * count,))  # and what is made on the way
    return node.make((start + np.arange(count) * delta).astype(start.dtype).reshape(-1))


@operator("EyeLike", since=9)
def eye_like(node: Any) -> Any:
    shape, kind = node.shape(), node.attribute("dtype")
    dtype = node.dtype() if kind is None else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    node.depends_on_size()
    node.lowering.allowance.ask(shape)
    return node.make(np.eye(shape[0], shape[1], k=node.attribute("k", 0), dtype=dtype))


@operator("Size")
def size(node: Any) -> Any:
    if not node.is_constant():
        node.depends_on_size()
    return node.make(np.array(prod(node.shape()), np.int64))


@operator("ConstantOfShape", since=9)
def constant_of_shape(node: Any) -> Any:
    shape = tuple(int(n) for n in node.constant(0, "shape"))
    node.lowering.allowance.ask(shape)
    value = node.attribute("value", np.zeros(1, np.float32))
    return node.make(np.full(shape, value.item(), value.dtype), node.proto.output[0])


@operator("Shape")
def shape(node: Any) -> Any:
    if not node.is_constant():
        node.depends_on_size()
    start, end = node.attribute("start", 0), node.attribute("end")
    return node.make(np.array(node.shape()[start:end], np.int64))


@operator("Identity")
def identity(node: Any) -> Any:
    return node.add(B.Identity())


@operator("Cast", since=6)
def cast(node: Any) -> Any:
    try:
        target = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.attribute("to")))
    except (KeyError, TypeError):
        raise UnsupportedOperatorError(f"type {node.attribute('to')} does not exist") from None
    return _cast(node, target)


@operator("CastLike", since=15)
def cast_like(node: Any) -> Any:
    return _cast(node, node.dtype(1))


def _cast(node: Any, target: np.dtype) -> Any:
    """All floats are the network's own: between them nothing happens."""
    if target.name in ("float16", "float32", "float64", "bfloat16"):
        target = node.lowering.dtype
    elif target.kind not in "iub" or target.itemsize > 8 or "4" in target.name[:4]:
        raise UnsupportedOperatorError(f"a cast to {target} is not read")
    if target == node.dtype():
        return node.add(B.Identity())
    if node.is_constant():
        value, _ = B.Cast(target.name).forward(node.inputs[0].array)
        return node.make(value, node.inputs[0].name)
    return node.add(B.Cast(target.name))
