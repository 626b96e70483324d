"""Lowering: how a kind of block becomes steps of a program.

One `Lowering` a kind: when it applies, whether its kernel has an epilogue, and what it adds. Those
of convolutions are in `convolutions`, the others in `layers`; `table` lists them all. Blocks
without one run as they are, on arrays, between two programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from minicnn.blocks import Shape
from minicnn.graph import Node
from minicnn.planning.packs import Packs

__all__ = ["Context", "Lowering", "always", "never"]


@dataclass
class Context:
    """What lowering a node may look at.

    Parameters
    ----------
    arrays : mapping
        Parameters and constants.
    shapes : mapping
        Of every value.
    packs : Packs
        Filters packed before.
    notes : dict
        For each node, which kernel serves it and why.
    """

    arrays: Mapping[str, np.ndarray]
    shapes: Mapping[str, Shape]
    packs: Packs
    notes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def constant(self, name: str) -> np.ndarray:
        """A parameter, C-contiguous, in float32."""
        array = self.arrays[name]
        return self.packs.get(array, "plain", lambda: [np.ascontiguousarray(array)])[0]


@dataclass(frozen=True)
class Lowering:
    """How a kind of block becomes steps.

    Parameters
    ----------
    applies : callable
        Whether this node can be lowered, from context and node.
    lay : callable
        Adds the steps: program, context, node, images of the values read, image of the result,
        and further arguments: `before`, the epilogue's fields.
    epilogue : callable
        Whether the kernel can finish its results.
    """

    applies: Callable[[Context, Node], bool]
    lay: Callable[..., None]
    epilogue: Callable[[Context, Node], bool]


def always(context: Context, node: Node) -> bool:
    """Every node."""
    return True


def never(context: Context, node: Node) -> bool:
    """No node."""
    return False
