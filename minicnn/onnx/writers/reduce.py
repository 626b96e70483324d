"""Writers of reductions over axes, and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer

_ALIKE: dict[type[B.Block], str] = {
    B.LogSumExp: "ReduceLogSumExp",
    B.Max: "ReduceMax",
    B.Min: "ReduceMin",
    B.Product: "ReduceProd",
    B.Sum: "ReduceSum",
}


@writer(*_ALIKE)
def alike(call: Any) -> Any:
    return _reduced(call, _ALIKE[type(call.block)])


@writer(B.Mean)
def mean(call: Any) -> Any:
    """Runtimes take planes of up to three axes for GlobalAveragePool."""
    block, rank = call.block, call[0].rank
    if block.keepdims and 2 < rank < 6 and block.over((1,) * rank) == tuple(range(2, rank)):
        return call.node("GlobalAveragePool", call[0])
    return _reduced(call, "ReduceMean")


@writer(B.Norm)
def norm(call: Any) -> Any:
    if call.block.axes == ():
        return call.node("Abs", call[0])
    return _reduced(call, f"ReduceL{call.block.order}")


def _reduced(call: Any, op: str) -> Any:
    """No axes at all means every axis to ONNX; to a block it means none, and nothing happens."""
    axes = call.block.axes
    if axes == ():
        return call[0]
    return call.node(op, call[0], axes, keepdims=int(call.block.keepdims))


@writer(B.CumSum)
def running_sum(call: Any) -> Any:
    block = call.block
    return call.node(
        "CumSum",
        call[0],
        np.array(block.axis, np.int64),
        exclusive=int(block.exclusive) or None,
        reverse=int(block.reverse) or None,
    )
