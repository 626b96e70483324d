"""Lowering: how each kind of block becomes steps of a program.

One entry a block: when it applies, whether its kernel has an epilogue, and what it adds. Blocks
without an entry run as they are, on arrays, between two programs; a new kernel is a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from minicnn.blocks import Block, Conv, ConvTranspose, Flatten, Reshape, Shape
from minicnn.graph import Node
from minicnn.kernels import Convolution, registry
from minicnn.kernels.cpu.copying import lay_relaid
from minicnn.kernels.cpu.program import Image, Program
from minicnn.planning.packs import Packs

__all__ = ["LOWERINGS", "Context", "Lowering", "lowering_of", "merges_rows"]


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
        return self.packs.get(
            self.arrays[name], "plain", lambda: [np.ascontiguousarray(self.arrays[name])]
        )[0]


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
    epilogue: Callable[[Context, Node], bool] = lambda context, node: True


def lowering_of(context: Context, node: Node) -> Lowering | None:
    """The entry that serves a node, if any."""
    found = LOWERINGS.get(type(node.block))
    if found is None or context.shapes[node.name].count(0):
        return None
    return found if found.applies(context, node) else None


# Convolutions


def _problem(context: Context, node: Node) -> Convolution:
    block, w = node.block, context.arrays[node.operands[1]]
    assert isinstance(block, (Conv, ConvTranspose))
    transposed = isinstance(block, ConvTranspose)
    size = context.shapes[node.name if transposed else node.operands[0]][2:]
    return Convolution(
        w.shape[1] * block.groups, w.shape[0], size, block.window, block.groups, transposed
    )


def _chosen(context: Context, node: Node) -> tuple[registry.Entry, str]:
    problem = _problem(context, node)
    return registry.choose("conv_transpose2d" if problem.transposed else "conv2d", problem)


def _is_planned(context: Context, node: Node) -> bool:
    constant = all(o in context.arrays for o in node.operands[1:])
    if not constant or node.operands[0] in context.arrays:
        return False
    if len(context.shapes[node.name]) != 4:
        return False
    entry, why = _chosen(context, node)
    if entry.method is None:
        context.notes[node.name] = (entry.name, why)
        return False
    return True


def _ends(context: Context, node: Node) -> bool:
    """Bits are stored by whole bytes, which groups of channels must not share."""
    problem = _problem(context, node)
    return problem.groups == 1 or problem.columns % 8 == 0


def merges_rows(context: Context, node: Node) -> bool:
    """Whether a convolution takes its image with the axes in any order."""
    if not isinstance(node.block, (Conv, ConvTranspose)):
        return False
    entry, _ = _chosen(context, node)
    return entry.method is not None and bool(entry.method.merges(_problem(context, node)))


def _lay_convolution(
    program: Program,
    context: Context,
    node: Node,
    images: list[Image],
    y: Image,
    before: np.ndarray | None = None,
    **epilogue: Any,
) -> None:
    problem = _problem(context, node)
    entry, why = _chosen(context, node)
    method, w = entry.method, context.arrays[node.operands[1]]
    how = (method.name, problem.transposed, problem.window, problem.groups, method.taps(problem))
    if before is None:
        packed = context.packs.get(w, how, lambda: method.pack(w, problem))
    else:
        scaled = (how, before.tobytes())
        packed = context.packs.get(
            w, scaled, lambda: method.pack(_scaled(w, before, problem), problem)
        )
    if len(node.operands) > 2:
        epilogue["bias"] = program.constant(context.constant(node.operands[2]))
    places = [program.constant(filters) for filters in packed]
    method.lay(program, problem, images[0], y, places, **epilogue)
    context.notes[node.name] = (entry.name, why)


def _scaled(w: np.ndarray, gains: np.ndarray, problem: Convolution) -> np.ndarray:
    """Filters that multiply their input by one number a channel first."""
    shape = (-1, 1, 1, 1) if problem.transposed else (1, -1, 1, 1)
    return w * gains.reshape(shape)


# Changes of shape


def _reorders(context: Context, node: Node) -> bool:
    """(N, C, H, W) to (N, C H W), or back."""
    source, shape = context.shapes[node.operands[0]], context.shapes[node.name]
    if len(source) == len(shape) or prod(source[2:]) == prod(shape[2:]) == 1:
        return False  # the same order: a view
    there = len(source) == 4 and shape == (source[0], prod(source[1:]))
    back = len(shape) == 4 and source == (shape[0], prod(shape[1:]))
    return node.operands[0] not in context.arrays and (there or back)


def _lay_reorder(
    program: Program, context: Context, node: Node, images: list[Image], y: Image
) -> None:
    x = images[0]
    if y.height == y.width == 1:  # channels-last to channels-first: pixels become the inner axis
        shape = (x.batch, x.height * x.width, x.channels, 1)
        strides = (4 * x.image, 4 * x.pixel, 4, 0)
    else:
        shape = (y.batch, y.channels, y.height, y.width)
        pixels = y.height * y.width
        strides = (4 * x.image, 4 * pixels, 4 * y.width, 4)
    lay_relaid(program, x.place, shape, strides, y.place)
    context.notes[node.name] = ("relaid", "changes the order of the axes in memory")


def _no_epilogue(context: Context, node: Node) -> bool:
    return False


_convolution = Lowering(_is_planned, _lay_convolution, _ends)
_reorder = Lowering(_reorders, _lay_reorder, _no_epilogue)

LOWERINGS: dict[type[Block], Lowering] = {
    Conv: _convolution,
    ConvTranspose: _convolution,
    Flatten: _reorder,
    Reshape: _reorder,
}
"""By kind of block."""
