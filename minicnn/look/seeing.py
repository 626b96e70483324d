"""What the units of a value see of the input, carried through one block.

Along each axis, output o of a block reads the units u of its operand that `Block.reads` says, and
sees what these see:

    span(o) = hull of span(u), u in reads(o)

Units in the padding (u < 0, or beyond the last) see what a longer value's would, a stride further
on; besides, the hull without them is kept, which is what really counts at borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from minicnn.blocks import Block, Shape
from minicnn.blocks.sight import Box, Span

__all__ = ["Axes", "Axis", "joined", "through"]

NOTHING = (2**31, -(2**31))  # the span of no pixel: a hull with any other is that other


@dataclass(frozen=True, eq=False)
class Axis:
    """What the units along one axis see of the same axis of the input: pixels first to end - 1."""

    spans: np.ndarray  # (units, 2): first and end, the padding included
    inside: np.ndarray  # (units, 2): without what any layer only pads
    stride: Fraction  # pixels from one unit to the next

    def over(self, units: Span) -> tuple[Span, Span]:
        """The hull of what some units see, with the padding and without."""
        first, end = max(units[0], 0), min(units[1], len(self.spans))
        padded = [u for u in (units[0], units[1] - 1) if not 0 <= u < len(self.spans)]
        beyond = [self._beyond(u) for u in padded if units[0] < units[1]]
        return _hull(self.spans[first:end], *beyond), _hull(self.inside[first:end])

    def _beyond(self, unit: int) -> np.ndarray:
        """What a unit before the first or after the last would see, shape (1, 2)."""
        border = 0 if unit < 0 else len(self.spans) - 1
        return self.spans[border : border + 1] + int((unit - border) * self.stride // 1)

    def joined(self, other: Axis) -> Axis:
        """What is seen here or through another path."""
        spans, inside = (
            np.stack([np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])], axis=1)
            for a, b in ((self.spans, other.spans), (self.inside, other.inside))
        )
        return Axis(spans, inside, max(self.stride, other.stride))


def _hull(*parts: np.ndarray) -> Span:
    """The hull of spans, shape (..., 2)."""
    spans = np.concatenate(parts)
    return (int(spans[:, 0].min()), int(spans[:, 1].max())) if len(spans) else NOTHING


Axes = tuple[Axis, ...] | None  # for each spatial axis; None: all is seen


def through(block: Block, wrt: int, shapes: Sequence[Shape], seen: Axes, out: Shape) -> Axes:
    """What the outputs of a block see through one of its operands."""
    size = out[2:]
    if seen is None or len(size) != len(seen):
        return None
    if block.pointwise and shapes[wrt][2:] == size:
        return seen
    reads: list[Box] = []
    for unit in range(max(size) + 1):  # one more, to measure the stride
        box = block.reads(wrt, shapes, tuple((unit, unit + 1) for _ in size))
        if box is None:
            return None
        reads.append(box)
    axes = []
    for place, (axis, count) in enumerate(zip(seen, size, strict=True)):
        read = [box[place] for box in reads[: count + 1]]
        spans, inside = zip(*(axis.over(units) for units in read[:count]), strict=True)
        stride = axis.stride * _step(read, len(axis.spans))
        axes.append(Axis(np.array(spans), np.array(inside), stride))
    return tuple(axes)


def _step(spans: Sequence[Span], operands: int) -> Fraction:
    """Units of the operand from one output to the next, from what outputs 0..n read."""
    count = len(spans) - 1
    middle = [first for first, _ in spans[count // 4 : count - count // 4]]  # borders may differ
    for period in range(1, len(middle) // 2):
        moves = {b - a for a, b in zip(middle, middle[period:], strict=False)}
        if len(moves) == 1:
            return Fraction(moves.pop(), period)
    if spans[0][0] < spans[0][1] and spans[count][0] < spans[count][1]:
        return Fraction(spans[count][0] - spans[0][0], count)
    return Fraction(operands, count)


def joined(paths: Sequence[Axes]) -> Axes:
    """What is seen through any of several paths."""
    result = paths[0]
    for path in paths[1:]:
        if result is None or path is None:
            return None
        result = tuple(a.joined(b) for a, b in zip(result, path, strict=True))
    return result
