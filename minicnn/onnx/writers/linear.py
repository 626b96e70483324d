"""Writers of matrix products, and of sums of products over named axes."""

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


@writer(B.Einsum)
def einsum(call: Any) -> Any:
    """ONNX's ellipses are equally long, and are not summed where the output leaves them out."""
    left, arrow, output = call.block.equation.replace(" ", "").partition("->")
    terms = left.split(",")
    widths = [v.rank - len(t.replace("...", "")) for v, t in zip(call.operands, terms, strict=True)]
    widest = max(widths)
    operands: list[Any] = []
    for value, term, width in zip(call.operands, terms, widths, strict=True):
        if "..." in term and width < widest:
            first = term.index("...")
            value = call.node("Unsqueeze", value, tuple(range(first, first + widest - width)))
        operands.append(value)
    summed = arrow and widest and "..." not in output
    equation = f"{left}->...{output}" if summed else f"{left}{arrow}{output}"
    y = call.node("Einsum", *operands, equation=equation)
    return call.node("ReduceSum", y, tuple(range(widest)), keepdims=0) if summed else y
