"""Freedom: whether a graph, lowered for one shape, is the same for others.

A network takes any batch if lowering the file for one and two more images gives the same blocks
with the same settings on the same arrays, and images of any size if doubling their open sides does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import numpy as np

from minicnn.blocks import Block, Shape
from minicnn.errors import MiniCNNError, ModelFileError
from minicnn.graph import Node
from minicnn.onnx.lower import Lowering
from minicnn.structure import FreeShape

__all__ = ["doubled_sizes", "is_free", "more_images"]


def more_images(shape: Shape, count: int) -> Shape:
    """The same for some more images."""
    return (shape[0] + count, *shape[1:]) if shape else shape


def doubled_sizes(free: FreeShape, shape: Shape) -> Shape:
    """The same with the sides that a file leaves open twice as long."""
    return (*shape[:1], *(2 * n if side is None else n for side, n in zip(free[1:], shape[1:])))


def is_free(
    one: Lowering,
    lowered: Callable[[Mapping[str, Shape]], Lowering],
    shapes: Mapping[str, Shape],
    outputs: Sequence[str],
    insist: bool = False,
) -> bool:
    """Whether other input shapes give the same graph: whether the network is free in them."""
    try:
        other = lowered(shapes)
    except MiniCNNError as error:
        if not insist:
            return False
        raise ModelFileError(f"{error} This file does not work for other batches.") from None
    same = _same_graph(one, other) and _same_lengths(one, other, outputs)
    if insist and not same:
        odd = [a.name for a, b in zip(one.nodes, other.nodes, strict=False) if not _same_node(a, b)]
        raise ModelFileError(
            f"{one.where}: its graph depends on the batch"
            + (f", first at {odd[0]}" if odd else "")
            + ". Give a number (batch=8), or export it with a dynamic batch axis."
        )
    return same


def _same_lengths(one: Lowering, other: Lowering, outputs: Sequence[str]) -> bool:
    """Whether outputs that are as long as the batch stay so: a graph may look at one image only."""
    pairs = [(one.values[name], other.values[name]) for name in outputs if name in one.values]
    return all(b.shape[:1] == (other.images,) for a, b in pairs if a.shape[:1] == (one.images,))


def _same_graph(one: Lowering, other: Lowering) -> bool:
    pairs = zip(one.nodes, other.nodes, strict=False)
    return (
        len(one.nodes) == len(other.nodes)
        and one.arrays.keys() == other.arrays.keys()
        and all(_same_node(a, b) for a, b in pairs)
        and all(_equal(array, other.arrays[name]) for name, array in one.arrays.items())
    )


def _same_node(a: Node, b: Node) -> bool:
    return a.operands == b.operands and _alike(a.block, b.block)


def _alike(a: Block, b: Block) -> bool:
    return type(a) is type(b) and all(
        _equal(getattr(a, f.name), getattr(b, f.name))
        for f in fields(a)  # type: ignore[arg-type]  # blocks are dataclasses
    )


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return _same_memory(a, b) or (a.dtype == b.dtype and np.array_equal(a, b))
    return a == b


def _same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same view of the same memory: no number need be compared."""
    mine, other = a.__array_interface__, b.__array_interface__
    return all(mine[key] == other[key] for key in ("data", "shape", "strides", "typestr"))
