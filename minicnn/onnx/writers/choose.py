"""Writers of choices, truth values, and functions that jump."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer

_OF_TWO: dict[type[B.Block], str] = {
    B.IntegerDivide: "Div",
    B.Maximum: "Max",
    B.Minimum: "Min",
}
_RELATIONS = {
    "equal": "Equal",
    "greater": "Greater",
    "greater_or_equal": "GreaterOrEqual",
    "less": "Less",
    "less_or_equal": "LessOrEqual",
}


@writer(B.Ceil, B.Floor, B.Round)
def whole(call: Any) -> Any:
    """ONNX rounds floats; whole numbers are whole."""
    return call.node(call.block.kind, call[0]) if call[0].dtype.kind == "f" else call[0]


@writer(B.Sign)
def sign(call: Any) -> Any:
    return call.node("Sign", call[0])


@writer(B.IsNaN)
def is_nan(call: Any) -> Any:
    return call.node("IsNaN", _floats(call))


@writer(*_OF_TWO)
def of_two(call: Any) -> Any:
    return call.node(_OF_TWO[type(call.block)], *call.promoted(*call.operands))


@writer(B.Where)
def where(call: Any) -> Any:
    return call.node("Where", _truth(call, 0), *call.promoted(call[1], call[2]))


@writer(B.Compare)
def compare(call: Any) -> Any:
    return call.node(_RELATIONS[call.block.relation], *call.promoted(*call.operands))


@writer(B.Logic)
def logic(call: Any) -> Any:
    op = {"and": "And", "or": "Or", "xor": "Xor"}[call.block.operation]
    return call.node(op, _truth(call, 0), _truth(call, 1))


@writer(B.Not)
def negation(call: Any) -> Any:
    return call.node("Not", _truth(call, 0))


def _truth(call: Any, index: int) -> Any:
    """An operand as truth values."""
    return call[index] if call[index].dtype == bool else call.cast(call[index], bool)


@writer(B.Cast)
def cast(call: Any) -> Any:
    return call.cast(call[0], call.block.to)


@writer(B.IsInf)
def is_inf(call: Any) -> Any:
    block = call.block
    signs = {"detect_negative": int(block.negative), "detect_positive": int(block.positive)}
    return call.node("IsInf", _floats(call), **signs)


def _floats(call: Any) -> Any:
    """The operand as floats, which ONNX asks such things of; no whole number is too large."""
    return call[0] if call[0].dtype.kind == "f" else call.cast(call[0], call.dtype)


@writer(B.ArgMax)
def arg_max(call: Any) -> Any:
    block = call.block
    return call.node(
        "ArgMax" if block.largest else "ArgMin",
        call[0],
        axis=block.axis,
        keepdims=int(block.keepdims),
        select_last_index=int(block.last) or None,
    )


@writer(B.Modulo)
def modulo(call: Any) -> Any:
    """ONNX takes floats with the sign of the first operand only."""
    a, b = call.promoted(*call.operands)
    floats = np.result_type(call[0].dtype, call[1].dtype).kind == "f"
    if call.block.fmod or not floats:
        return call.node("Mod", a, b, fmod=int(call.block.fmod))
    return call.node("Sub", a, call.node("Mul", b, call.node("Floor", call.node("Div", a, b))))


@writer(B.Quantize)
def quantize(call: Any) -> Any:
    """QuantizeLinear for bytes; other integers step by step, those of 32 bits in doubles."""
    block, (x, scale, zero) = call.block, call.operands
    single = scale.shape != () and scale.shape == (1,)
    if block.to in ("int8", "uint8") and zero.dtype == block.to and not single:
        axis = None if scale.shape == () else block.axis
        return call.node("QuantizeLinear", x, scale, zero, axis=axis)
    limits = np.iinfo(block.to)
    along = (-1, *[1] * (x.rank - 1 - block.axis % x.rank))
    scale, zero = (v if v.shape == () else call.node("Reshape", v, along) for v in (scale, zero))
    exact = np.dtype(np.float64) if limits.bits > 16 else call.dtype
    steps = call.cast(call.node("Round", call.node("Div", x, scale)), exact)
    moved = call.node("Add", steps, call.cast(zero, exact))
    least, most = (call.array(np.array(n, exact)) for n in (limits.min, limits.max))
    return call.cast(call.node("Clip", moved, least, most), block.to)
