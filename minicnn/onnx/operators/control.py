"""Control flow: a branch chosen by a condition that is known when loading."""

from __future__ import annotations

from typing import Any

from minicnn.onnx.registry import operator


@operator("If")
def if_constant(node: Any) -> Any:
    chosen = bool(node.constant(0, "condition").item())
    graph = node.graph("then_branch" if chosen else "else_branch")
    return node.lowering.branch(graph)
