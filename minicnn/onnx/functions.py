"""Local functions of a model: operators that the file itself defines, written out where they stand.

onnx inlines them; how large the result would be is counted first, for thirty functions that call
each other twice are a billion nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import inliner

from minicnn.errors import ModelFileError

__all__ = ["inlined"]

Name = tuple[str, str, str]  # domain, operator, overload


def inlined(model: onnx.ModelProto, most: int, where: str) -> onnx.ModelProto:
    """The model with the bodies of its functions in place of their calls.

    Raises
    ------
    ModelFileError
        If they call each other in a circle, or so often that the graph would have more than `most`
        bytes.
    """
    bodies = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes: dict[Name, int] = {}

    def size(nodes: Iterable[onnx.NodeProto], within: tuple[Name, ...]) -> int:
        """Bytes of nodes once all calls in them are inlined."""
        total = 0
        for node in nodes:
            name = (node.domain, node.op_type, node.overload)
            if name in within or len(within) > 50:
                raise ModelFileError(
                    f"{where}: its functions call each other in a circle or more than 50 deep, at "
                    f"{node.op_type}."
                )
            if name in bodies and name not in sizes:
                sizes[name] = size(bodies[name].node, (*within, name))
            total += node.ByteSize() + sizes.get(name, 0)
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    total += size(graph.node, within)
            if total > most:
                raise ModelFileError(
                    f"{where}: its functions call each other so often that the graph would take "
                    f"more than the memory budget."
                )
        return total

    size(model.graph.node, ())
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # what the C++ library raises is not documented
        raise ModelFileError(
            f"{where}: its local functions cannot be inlined: {_first_line(error)}."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
