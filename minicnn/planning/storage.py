"""Storage: where each value of a plan lives.

Values that are asked for get memory of their own in every run. All others share one arena: a value
occupies its place from the group that writes it to the last one that reads it, and then the place
is free for others. Views take no memory: slices of channels, flattened single pixels, and the
operands of a concatenation, which are computed right where the concatenation wants them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from minicnn.blocks import Concat, Flatten, Identity, Reshape, Shape, Slice, Squeeze
from minicnn.graph import Node
from minicnn.kernels.cpu.program import Image, Place

__all__ = ["ARENA", "Home", "Homes", "arena_layout", "view_of"]

ARENA = "arena"


@dataclass(frozen=True)
class Home:
    """Where a value lives: some channels of a root value's memory."""

    root: str
    first: int = 0


def view_of(node: Node, shapes: Mapping[str, Shape]) -> int | None:
    """If a node's value is a view of its operand, the first channel that it shows; else None."""
    block, source, shape = node.block, shapes[node.operands[0]], shapes[node.name]
    if len(source) not in (2, 4) or len(shape) not in (2, 4):
        return None
    if isinstance(block, Identity):
        return 0
    if isinstance(block, (Flatten, Reshape, Squeeze)):
        return 0 if source[:2] == shape[:2] and prod(source[2:]) == prod(shape[2:]) == 1 else None
    if isinstance(block, Slice):
        index = [s.indices(n) for s, n in zip(block.index, source, strict=False)]
        whole = all(
            (start, stop, step) == (0, n, 1)
            for axis, ((start, stop, step), n) in enumerate(zip(index, source, strict=False))
            if axis != 1
        )
        return index[1][0] if whole and len(index) > 1 and index[1][2] == 1 else None
    return None


class Homes:
    """The home of every value of a plan.

    Parameters
    ----------
    nodes : sequence of Node
    computed : collection of str
        Values that kernels compute, which can write anywhere.
    shapes : mapping
    """

    def __init__(
        self, nodes: Sequence[Node], computed: Collection[str], shapes: Mapping[str, Shape]
    ) -> None:
        self._homes: dict[str, Home] = {}
        self.copied: dict[str, list[tuple[str, int]]] = {}  # operands that must be copied
        self.views: set[str] = set()
        for node in nodes:
            if isinstance(node.block, Concat) and self.lays_out(node, shapes):
                self._lay_concat(node, computed, shapes)
            elif node.operands and node.operands[0] in shapes:
                first = view_of(node, shapes)
                if first is not None:
                    below = self.of(node.operands[0])
                    self._homes[node.name] = Home(below.root, below.first + first)
                    self.views.add(node.name)

    @staticmethod
    def lays_out(node: Node, shapes: Mapping[str, Shape]) -> bool:
        """Whether a concatenation is one of channels of images."""
        block = node.block
        assert isinstance(block, Concat)
        shape = shapes[node.name]
        return len(shape) in (2, 4) and block.axis % len(shape) == 1

    def _lay_concat(
        self, node: Node, computed: Collection[str], shapes: Mapping[str, Shape]
    ) -> None:
        first, copied = 0, []
        for operand in node.operands:
            if operand in computed and operand not in self._homes:
                self._homes[operand] = Home(node.name, first)
            else:
                copied.append((operand, first))
            first += shapes[operand][1]
        self.copied[node.name] = copied
        self.views.add(node.name)

    def of(self, name: str) -> Home:
        """Where a value lives in the end."""
        first = 0
        while name in self._homes:
            home = self._homes[name]
            if home.root == name:
                break
            name, first = home.root, first + home.first
        return Home(name, first)


def arena_layout(
    sizes: Mapping[str, int], lives: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, int], int]:
    """Offsets in the arena for values of given sizes in bytes and lives (first, last step).

    Largest first, each at the lowest offset where no value that lives at the same time lies.
    """
    placed: list[tuple[int, int, tuple[int, int]]] = []
    offsets, end = {}, 0
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        size, (first, last) = -(-sizes[name] // 64) * 64, lives[name]
        others = sorted((start, stop) for start, stop, (a, b) in placed if a <= last and first <= b)
        offset = 0
        for start, stop in others:
            if offset + size <= start:
                break
            offset = max(offset, stop)
        placed.append((offset, offset + size, (first, last)))
        offsets[name] = offset
        end = max(end, offset + size)
    return offsets, end


def image_at(place: Place, shape: Shape, first: int, channels: int) -> Image:
    """Some channels of a root's memory, as an image of the root's shape."""
    whole = Image.whole(place.buffer, shape)
    moved = Image(place, whole.batch, whole.channels, whole.height, whole.width, whole.pixel)
    return moved.part(first, channels)
