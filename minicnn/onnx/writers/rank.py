"""Writer of the gate by rank: TopK of each image's products, the last of which is the threshold."""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer


@writer(B.RankGate)
def rank_gate(call: Any) -> Any:
    units = prod(call.fixed(0, slice(1, None)))
    product = call.node("Mul", call[0], call[1])
    each = call.node("Reshape", product, (0, -1))
    places = call.node("TopK", each, (units - call.block.rank(units),), output=1, axis=1)
    largest = call.node("GatherElements", each, places, axis=1)
    tau = call.node("ReduceMin", largest, (1,), keepdims=1)
    tau = call.node("Reshape", tau, (-1, *[1] * (call[0].rank - 1)))
    return call.node("Where", call.node("Greater", product, tau), call[0], 0.0)
