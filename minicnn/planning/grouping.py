"""Grouping: which blocks run as one kernel.

A group is a head (a convolution, a product, a pooling, or nothing) and the blocks that its epilogue
can do, in this order:

    scale       batch norm with frozen statistics, a product with a number, or one a channel
    residual    a sum with another value of the same shape
    mask        p 1[x > 0]
    rectify     max(., 0), with its sign bits where they are wanted

A block joins the group that computes its operand if nobody else reads that operand, nobody asked
for it, and no later stage was reached yet. A product with one number a channel in front of a
convolution that nothing else can take up is folded into the convolution's filters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from minicnn.blocks import (
    Add,
    BatchNorm,
    Conv,
    ConvTranspose,
    Mask,
    Multiply,
    Packed,
    ReLU,
    Scale,
    Shape,
    Stacked,
)
from minicnn.graph import Node
from minicnn.kernels.cpu import ending

__all__ = ["Group", "gates", "grouped", "per_channel"]

SCALE, RESIDUAL, MASK, RECTIFY = 1, 2, 3, 4


@dataclass
class Group:
    """Nodes that one kernel computes.

    Attributes
    ----------
    head : Node or None
        What the kernel computes; None for a copy.
    source : str
        For a copy, the value that it reads.
    tails : list of Node
        What its epilogue does, in order.
    before : Node or None
        A product with one number a channel, folded into the head's filters.
    stage : int
        The last stage of the epilogue in use.
    """

    head: Node | None
    source: str = ""
    tails: list[Node] = field(default_factory=list)
    before: Node | None = None
    stage: int = 0

    @property
    def nodes(self) -> list[Node]:
        """All nodes, in running order."""
        front = [node for node in (self.before, self.head) if node]
        return [*front, *self.tails]

    @property
    def name(self) -> str:
        """The value that comes out."""
        return self.nodes[-1].name

    def reads(self, arrays: Collection[str]) -> list[str]:
        """Values that the group reads, parameters aside."""
        inside = {node.name for node in self.nodes}
        found = [o for node in self.nodes for o in node.operands]
        return [o for o in dict.fromkeys(found) if o not in inside and o not in arrays]


def per_channel(array: np.ndarray, shape: Shape) -> bool:
    """Whether an array holds one number a channel of a value of that shape."""
    lead = (1,) * (len(shape) - array.ndim) + array.shape
    return len(shape) in (2, 4) and lead == (1, shape[1], *[1] * (len(shape) - 2))


def _stage(node: Node, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape]) -> int:
    """The stage of the epilogue that can do a node's work; 0 if none can."""
    block, shape = node.block, shapes[node.name]
    if len(shape) not in (2, 4):
        return 0
    if isinstance(block, BatchNorm):
        return SCALE if all(o in arrays for o in node.operands[1:]) else 0
    if isinstance(block, Multiply):
        values = [o for o in node.operands if o not in arrays]
        constants = [arrays[o] for o in node.operands if o in arrays]
        one_each = len(values) == len(constants) == 1 and per_channel(constants[0], shape)
        return SCALE if one_each and shapes[values[0]] == shape else 0
    if isinstance(block, Scale):
        return SCALE
    if isinstance(block, Add):
        same = all(o not in arrays and shapes[o] == shape for o in node.operands)
        return RESIDUAL if same and node.operands[0] != node.operands[1] else 0
    if isinstance(block, Mask):
        plain = block.inside == 1.0 and block.outside == 0.0
        return MASK if plain and block.mask.shape[1:] == shape[1:] else 0
    if isinstance(block, Stacked):
        return MASK if gates(block) else 0
    return RECTIFY if isinstance(block, ReLU) else 0


def gates(block: Stacked) -> tuple[Packed | None, list[int]] | None:
    """A stack of masks and ReLUs as one mask and a mode of the epilogue for each part."""
    masks: list[Packed] = []
    modes = []
    for chain in block.parts:
        mode = 0
        for each in chain:
            if isinstance(each, Mask) and each.inside == 1.0 and each.outside == 0.0 and not mode:
                masks.append(each.mask)
                mode = ending.MASK
            elif isinstance(each, ReLU):
                mode |= ending.RECTIFY
            else:
                return None
        modes.append(mode)
    if any(mask is not masks[0] for mask in masks):
        return None
    return (masks[0] if masks else None), modes


def grouped(
    nodes: Sequence[Node],
    wanted: Collection[str],
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, Shape],
    is_head: Callable[[Node], bool],
    ends: Callable[[Node], bool],
    foreign: Collection[str] = (),
) -> list[Group | Node]:
    """Groups, and nodes that no kernel computes, in an order in which they can run.

    Parameters
    ----------
    nodes : sequence of Node
        In running order.
    wanted : collection of str
        Values asked for: they cannot disappear inside a group.
    arrays, shapes : mapping
        Parameters, and the shape of every value.
    is_head, ends : callable
        Whether a kernel computes a node, and whether that kernel has an epilogue.
    foreign : collection of str
        Values of other types than float32, which kernels leave alone.
    """
    readers: dict[str, int] = {}
    for node in nodes:
        for operand in node.operands:
            readers[operand] = readers.get(operand, 0) + 1
    open_groups: dict[str, Group] = {}  # by the value that comes out
    found: list[Group | Node] = []

    def alone(name: str) -> bool:
        return readers.get(name) == 1 and name not in wanted

    for node in nodes:
        stage = 0 if node.name in foreign else _stage(node, arrays, shapes)
        values = [o for o in node.operands if o not in arrays]
        if stage:
            joined = [
                open_groups[o]
                for o in reversed(values)
                if o in open_groups and alone(o) and open_groups[o].stage < stage
                and shapes[o] == shapes[node.name]
            ]  # fmt: skip
            if joined:
                group = joined[0]
                del open_groups[group.name]
                found.remove(group)  # it runs where its last block does
            else:
                group = Group(None, values[0])
            group.tails.append(node)
            group.stage = RECTIFY if isinstance(node.block, Stacked) else stage
        elif is_head(node):
            group = Group(node)
            before = open_groups.get(values[0]) if values else None
            if before and _folds(before, node) and alone(values[0]):
                del open_groups[before.name]
                found.remove(before)
                group.before = before.tails[0]
        else:
            found.append(node)
            continue
        found.append(group)
        if group.head is None or ends(group.head):
            open_groups[group.name] = group
    return found


def _folds(group: Group, node: Node) -> bool:
    """Whether a group is but a product with one number a channel, in front of a convolution."""
    if not isinstance(node.block, (Conv, ConvTranspose)) or node.block.groups > 1:
        return False
    only = group.tails[0] if len(group.tails) == 1 and group.head is None else None
    return only is not None and isinstance(only.block, Multiply)
