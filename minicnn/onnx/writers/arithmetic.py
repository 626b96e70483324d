"""Writers of arithmetic with broadcasting, powers, and repeating what was broadcast."""

from __future__ import annotations

from typing import Any

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer

_ALIKE: dict[type[B.Block], str] = {
    B.Add: "Add",
    B.Divide: "Div",
    B.Multiply: "Mul",
    B.Subtract: "Sub",
}


@writer(*_ALIKE)
def alike(call: Any) -> Any:
    return call.node(_ALIKE[type(call.block)], *call.promoted(*call.operands))


@writer(B.Scale)
def scale(call: Any) -> Any:
    return call.node("Mul", call[0], call.block.factor)


@writer(B.Power)
def power(call: Any) -> Any:
    return call.node("Pow", call[0], call.block.exponent)


@writer(B.BroadcastTo)
def broadcast_to(call: Any) -> Any:
    return call.node("Expand", call[0], call.block.target)


@writer(B.SumTo)
def sum_to(call: Any) -> Any:
    """Over leading axes, which go, and over axes of length 1 in the target, which stay."""
    target = call.block.target
    lead = call[0].rank - len(target)
    stay = [lead + i for i, n in enumerate(target) if n == 1]
    x = call.node("ReduceSum", call[0], stay, keepdims=1) if stay else call[0]
    return call.node("ReduceSum", x, tuple(range(lead)), keepdims=0) if lead else x


@writer(B.Pow)
def pow_(call: Any) -> Any:
    return call.node("Pow", *call.promoted(*call.operands))


@writer(B.Remainder)
def remainder(call: Any) -> Any:
    return call.node("Mod", call[0], call[1], fmod=1)
