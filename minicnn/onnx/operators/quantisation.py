"""Quantised numbers: x = (q - zero) scale, q = round(x / scale) + zero.

Weights stored as integers become floats when loading; what a running network quantises has no
gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from minicnn import blocks as B
from minicnn.errors import UnsupportedOperatorError
from minicnn.onnx.node import Constant
from minicnn.onnx.registry import operator


def _spread(node: Any, index: int) -> Any:
    """Scale or zero point, brought to a shape that broadcasts over the first input."""
    value, shape = node.inputs[index], node.shape()
    block = node.attribute("block_size", 0)
    if len(value.shape) == 0 or value.shape == (1,):
        return node.add(B.Reshape(()), value) if value.shape else value
    axis = node.attribute("axis", 1) % len(shape)
    if block:
        indices = np.arange(shape[axis]) // block
        return node.add(B.Take(indices, axis), value)
    return node.add(B.Reshape((-1, *[1] * (len(shape) - axis - 1))), value)


@operator("DequantizeLinear", since=10)
def dequantize(node: Any) -> Any:
    x, dtype = node.inputs[0], node.lowering.dtype.name
    if x.dtype.kind not in "iu":
        raise UnsupportedOperatorError(f"numbers of type {x.dtype} are not read, only whole ones")
    wide = "int64" if x.dtype.itemsize > 2 else dtype  # floats do not hold all of 32 bits
    value = node.add(B.Cast(wide), x)
    if node.has(2):
        zero = _own(node.add(B.Cast(wide), _spread(node, 2)))
        value = node.add(B.Subtract(), value, zero)
    value = value if wide == dtype else node.add(B.Cast(dtype), value)
    y = node.add(B.Multiply(), value, _spread(node, 1))
    return Constant(y.array, x.name) if isinstance(y, Constant) else y


def _own(value: Any) -> Any:
    """A zero point is no parameter."""
    return replace(value, own=True) if isinstance(value, Constant) else value


@operator("QuantizeLinear", since=10)
def quantize(node: Any) -> Any:
    wanted = node.attribute("output_dtype", 0)
    if wanted:
        target = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(wanted))
    else:
        target = node.dtype(2) if node.has(2) else np.dtype(np.uint8)
    if target.name not in ("int8", "uint8", "int16", "uint16"):
        raise UnsupportedOperatorError(f"it quantises to {target}, which is not read")
    axis = node.attribute("axis", 1)
    zero = node.inputs[2] if node.has(2) else node.make(np.zeros((), target))
    if not node.attribute("block_size", 0):
        return node.add(B.Quantize(axis, target.name), 0, 1, zero)
    steps = node.add(B.Round(), node.add(B.Divide(), 0, _spread(node, 1)))
    if node.has(2):
        zero = _own(node.add(B.Cast(node.lowering.dtype.name), _spread(node, 2)))
        steps = node.add(B.Add(), steps, zero)
    one, none = node.make(np.ones(())), node.make(np.zeros((), target))
    return node.add(B.Quantize(axis, target.name), steps, one, none)
