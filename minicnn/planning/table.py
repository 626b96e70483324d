"""The table of lowerings: one line a kind of block that kernels compute in plans."""

from __future__ import annotations

from minicnn.blocks import Block, Conv, ConvTranspose
from minicnn.graph import Node
from minicnn.planning.convolutions import CONVOLUTION
from minicnn.planning.layers import LAYERS
from minicnn.planning.lowering import Context, Lowering

__all__ = ["LOWERINGS", "lowering_of"]

LOWERINGS: dict[type[Block], Lowering] = {Conv: CONVOLUTION, ConvTranspose: CONVOLUTION, **LAYERS}


def lowering_of(context: Context, node: Node) -> Lowering | None:
    """The entry that serves a node, if any."""
    found = LOWERINGS.get(type(node.block))
    if found is None or 0 in context.shapes[node.name] or node.operands[0] in context.arrays:
        return None
    return found if found.applies(context, node) else None
