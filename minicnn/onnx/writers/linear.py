"""Writers of matrix products."""

from __future__ import annotations

from typing import Any

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer


@writer(B.MatMul)
def matmul(call: Any) -> Any:
    return call.node("MatMul", call[0], call[1])


@writer(B.Linear)
def linear(call: Any) -> Any:
    """Gemm for rows of features; it takes no other number of axes."""
    if call[0].rank == 2:
        return call.node("Gemm", *call.operands, transB=1)
    y = call.node("MatMul", call[0], call.node("Transpose", call[1], perm=(1, 0)))
    return y if len(call) < 3 else call.node("Add", y, call[2])
