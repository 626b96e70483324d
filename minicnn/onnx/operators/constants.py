"""Constants, and the small operators with which exporters compute shapes."""

from __future__ import annotations

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


@operator("ConstantOfShape", since=9)
def constant_of_shape(node: Any) -> Any:
    shape = tuple(int(n) for n in node.constant(0, "shape"))
    node.lowering.check_budget(shape)
    value = node.attribute("value", np.zeros(1, np.float32))
    return node.make(np.full(shape, value.item(), value.dtype))


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
    """Between numbers on constants; on the network's values only from float to float."""
    target = onnx.helper.tensor_dtype_to_np_dtype(node.attribute("to"))
    if node.is_constant():
        value = node.inputs[0].array.astype(target if target.kind in "iub" else np.float64)
        return node.make(value, node.inputs[0].name)
    if target.kind == "f" or target.name in ("bfloat16", "float16"):
        return node.add(B.Identity())
    raise UnsupportedOperatorError(f"a cast of the network's values to {target} is not read")
