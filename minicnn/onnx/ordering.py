"""The order in which a graph's nodes can run; files need not keep one."""

from __future__ import annotations

import onnx

from minicnn.errors import ModelFileError

__all__ = ["sorted_nodes"]


def reads(node: onnx.NodeProto) -> list[str]:
    """The values that a node reads, those that its branches read from outside included."""
    names = list(node.input)
    for attribute in node.attribute:
        graph = attribute.g
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own.update(name for inner in graph.node for name in inner.output)
        inside = [name for inner in graph.node for name in reads(inner)]
        inside += [output.name for output in graph.output]
        names += [name for name in inside if name not in own]
    return names


def sorted_nodes(graph: onnx.GraphProto, known: set[str], where: str) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, in an order in which they can run.

    Raises
    ------
    ModelFileError
        If a value is never made, or values wait for each other in a circle.
    """
    maker: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        for name in filter(None, node.output):
            if name in maker or name in known:
                raise ModelFileError(f"{where}: {name!r} is made twice; every value has one maker.")
            maker[name] = node
    ready = {*known, ""}
    order: list[onnx.NodeProto] = []
    done: set[int] = set()
    for output in graph.output:
        stack = [maker[output.name]] if output.name in maker else []
        waiting: set[int] = set()
        while stack:
            node = stack[-1]
            missing = [name for name in reads(node) if name not in ready]
            if id(node) in done or not missing:
                stack.pop()
                if id(node) not in done:
                    done.add(id(node))
                    order.append(node)
                    ready.update(node.output)
                continue
            for name in missing:
                if name not in maker:
                    raise ModelFileError(
                        f"{where}: node {node.name or node.op_type} reads {name!r}, which nothing "
                        f"in the file makes. The file is damaged."
                    )
            if id(node) in waiting:
                raise ModelFileError(
                    f"{where}: the graph runs in a circle through {node.name or node.op_type}."
                )
            waiting.add(id(node))
            stack.extend(maker[name] for name in reversed(missing))
    return order
