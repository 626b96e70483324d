"""Blocks that move values without changing them. Each transpose moves them back.

Reshape, Flatten, Squeeze, Unsqueeze  <->  Reshape to the shape before
Transpose                             <->  Transpose by the inverse permutation
Concat                                <->  Slice, one for each operand ("split")
Slice (crop)                          <->  Place (zero padding)
Pad with a constant                   <->  Slice (crop)
Take                                  <->  PutAdd (adds where an index occurs twice)
PadFromInside (reflect, edge, wrap)   <->  PutAdd an axis: what was repeated adds up
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape, axis_of
from minicnn.blocks.sight import Box, clipped, of_table, to_table
from minicnn.errors import ShapeError

__all__ = [
    "Concat",
    "Flatten",
    "Pad",
    "PadFromInside",
    "Place",
    "PutAdd",
    "Reshape",
    "Slice",
    "Squeeze",
    "Take",
    "Transpose",
    "Unsqueeze",
]


class _Free(Block):
    """Moving values costs no arithmetic."""

    kinds = "biuf"

    def flops(self, *shapes: Shape) -> int:
        return 0


class _Reshaping(_Free):
    """Same values in the same order, another shape."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x.reshape(self.shape(x.shape)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Reshape(kept.shapes[0])

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        x, y = shapes[0], self.shape(*shapes)
        return box if box and x[-len(box) :] == y[-len(box) :] else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.reads(wrt, shapes, box)


@dataclass(frozen=True)
class Reshape(_Reshaping):
    """y = x in another shape; one -1 is inferred, and 0 copies x's axis when copy_zero is set."""

    target: Shape
    copy_zero: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        target = list(self.target)
        if self.copy_zero:
            target = [x[i] if n == 0 and i < len(x) else n for i, n in enumerate(target)]
        if target.count(-1) == 1:
            rest = prod(n for n in target if n != -1)
            target[target.index(-1)] = prod(x) // rest if rest else 0
        if prod(target) != prod(x) or min(target, default=0) < 0:
            raise ShapeError(f"Cannot reshape {x} ({prod(x)} values) to {self.target}.")
        return tuple(target)


@dataclass(frozen=True)
class Flatten(_Reshaping):
    """y = x with axes start .. end made one."""

    start: int = 1
    end: int = -1

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if not x:
            return (1,)
        start, end = axis_of(self, self.start, len(x)), axis_of(self, self.end, len(x))
        if start > end:
            raise ShapeError(f"Cannot flatten axes {self.start} to {self.end} of {x}.")
        return (*x[:start], prod(x[start : end + 1]), *x[end + 1 :])


@dataclass(frozen=True)
class Squeeze(_Reshaping):
    """y = x without the given axes of length 1 (None: all such axes)."""

    axes: tuple[int, ...] | None = None

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        axes = [i for i, n in enumerate(x) if n == 1] if self.axes is None else self.axes
        gone = {axis_of(self, axis, len(x)) for axis in axes}
        if any(x[axis] != 1 for axis in gone):
            raise ShapeError(f"Cannot squeeze axes {self.axes} of {x}: they must have length 1.")
        return tuple(n for i, n in enumerate(x) if i not in gone)


@dataclass(frozen=True)
class Unsqueeze(_Reshaping):
    """y = x with new axes of length 1 at the given places of the output."""

    axes: tuple[int, ...]

    def shape(self, *shapes: Shape) -> Shape:
        rank = len(shapes[0]) + len(self.axes)
        new = {axis_of(self, axis, rank) for axis in self.axes}
        if len(new) < len(self.axes):
            raise ShapeError(f"{self.kind}: axes {self.axes} name a place twice.")
        rest = iter(shapes[0])
        return tuple(1 if i in new else next(rest) for i in range(rank))


@dataclass(frozen=True)
class Transpose(_Free):
    """y = x with its axes permuted."""

    axes: tuple[int, ...]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x.transpose(self.axes), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Transpose(tuple(int(i) for i in np.argsort(self.axes)))

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        rank = len(self.axes)
        stay = self.axes[rank - len(box) :] == tuple(range(rank - len(box), rank))
        return box if stay else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.reads(wrt, shapes, box)

    def shape(self, *shapes: Shape) -> Shape:
        if sorted(self.axes) != list(range(len(shapes[0]))):
            raise ShapeError(f"Cannot permute the axes of {shapes[0]} as {self.axes}.")
        return tuple(shapes[0][axis] for axis in self.axes)


@dataclass(frozen=True)
class Concat(_Free):
    """y = the operands one after the other along an axis. Transposed: the slice of each."""

    axis: int = 1

    def forward(self, *operands: np.ndarray) -> tuple[np.ndarray, None]:
        return np.concatenate(operands, axis=self.axis), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        axis = self.axis % len(kept.shapes[0])
        start = sum(shape[axis] for shape in kept.shapes[:wrt])
        stop = start + kept.shapes[wrt][axis]
        return Slice((slice(None),) * axis + (slice(start, stop),))

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        rank = len(shapes[0])
        return box if self.axis % rank < rank - len(box) else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.reads(wrt, shapes, box)

    def on_part(self) -> Concat | None:
        return self if self.axis in (0, 1) else None

    def shape(self, *shapes: Shape) -> Shape:
        first = shapes[0]
        axis = axis_of(self, self.axis, len(first))
        for other in shapes[1:]:
            if len(other) != len(first) or any(
                a != b for i, (a, b) in enumerate(zip(first, other, strict=True)) if i != axis
            ):
                listed = ", ".join(map(str, shapes))
                raise ShapeError(f"Cannot concatenate {listed} along axis {self.axis}.")
        return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


@dataclass(frozen=True)
class Slice(_Free):
    """y = x[index], a tuple of slices, one an axis from the front."""

    index: tuple[slice, ...]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x[self.index], None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Place(self.index, kept.shapes[0])

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return tuple(
            of_table(table, span)
            for table, span in zip(self._tables(shapes[0], box), box, strict=True)
        )

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return tuple(
            to_table(table, span)
            for table, span in zip(self._tables(shapes[0], box), box, strict=True)
        )

    def on_part(self) -> Slice | None:
        return self if len(self.index) <= 2 else None

    def _tables(self, x: Shape, box: Box) -> list[np.ndarray]:
        """For each of the last axes, which place each output is taken from: (outputs, 1)."""
        cuts = [*self.index, *[slice(None)] * (len(x) - len(self.index))][len(x) - len(box) :]
        sizes = x[len(x) - len(box) :]
        return [np.arange(n)[cut][:, None] for cut, n in zip(cuts, sizes, strict=True)]

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if len(self.index) > len(x):
            raise ShapeError(f"Cannot take {len(self.index)} slices of an array of shape {x}.")
        lengths = tuple(len(range(*s.indices(n))) for s, n in zip(self.index, x, strict=False))
        return lengths + x[len(self.index) :]

    def settings(self) -> str:
        shown = []
        for s in self.index:
            step = "" if s.step in (None, 1) else f":{s.step}"
            start = "" if s.start is None else s.start
            stop = "" if s.stop is None else s.stop
            shown.append(f"{start}:{stop}{step}")
        return ", ".join(shown)


@dataclass(frozen=True)
class Place(_Free):
    """x = zeros of shape `target` with x[index] = p: the transpose of Slice."""

    index: tuple[slice, ...]
    target: Shape

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, None]:
        x = np.zeros_like(p, shape=self.target)
        x[self.index] = p
        return x, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Slice(self.index)

    def shape(self, *shapes: Shape) -> Shape:
        if Slice(self.index).shape(self.target) != shapes[0]:
            raise ShapeError(f"Cannot place {shapes[0]} at {self.settings()}.")
        return self.target

    def settings(self) -> str:
        return f"{Slice(self.index).settings()} of {self.target}"


@dataclass(frozen=True)
class Pad(_Free):
    """y = x with a constant around it; pads are (begin, end) an axis, negative ones crop."""

    pads: tuple[tuple[int, int], ...]
    value: float = 0.0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        y = np.full_like(x, self.value, shape=self.shape(x.shape))
        y[self._inside(x.shape)] = x[
            tuple(slice(max(0, -b), n + min(0, e)) for (b, e), n in self._axes(x.shape))
        ]
        return y, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if any(n < 0 for pair in self.pads for n in pair):
            return Pad(tuple((-b, -e) for b, e in self.pads))
        return Slice(self._inside(kept.shapes[0]))

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return tuple((a - b, z - b) for (a, z), (b, _) in zip(box, self._last(box), strict=True))

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        moved = tuple((a + b, z + b) for (a, z), (b, _) in zip(box, self._last(box), strict=True))
        return clipped(moved, self.shape(*shapes))

    def _last(self, box: Box) -> tuple[tuple[int, int], ...]:
        return self.pads[len(self.pads) - len(box) :]

    def _inside(self, x: Shape) -> tuple[slice, ...]:
        """Where x lies in the output."""
        return tuple(
            slice(max(0, b), max(0, b) + n + min(0, b) + min(0, e)) for (b, e), n in self._axes(x)
        )

    def _axes(self, x: Shape) -> list[tuple[tuple[int, int], int]]:
        return list(zip(self.pads, x, strict=True))

    def shape(self, *shapes: Shape) -> Shape:
        if len(self.pads) != len(shapes[0]):
            raise ShapeError(f"{len(self.pads)} pairs of pads for an array of shape {shapes[0]}.")
        result = tuple(n + b + e for (b, e), n in self._axes(shapes[0]))
        if min(result, default=1) < 1:
            raise ShapeError(f"Pads {self.pads} leave nothing of an array of shape {shapes[0]}.")
        return result


@dataclass(frozen=True)
class PadFromInside(_Free):
    """y = x with its own values around it; modes reflect, edge and wrap as in numpy.pad."""

    pads: tuple[tuple[int, int], ...]
    mode: str

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.pad(x, self.pads, mode=self.mode), None  # type: ignore[call-overload]

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        x = kept.shapes[0]

        def back(p: Any) -> Any:
            for axis, pair in reversed(list(enumerate(self.pads))):
                if any(pair):
                    indices = np.pad(np.arange(x[axis]), pair, mode=self.mode)  # type: ignore[call-overload]
                    p = PutAdd(indices, axis, x[axis])(p)
            return p

        return back

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        tables = self._tables(shapes[0], box)
        return tuple(of_table(table, span) for table, span in zip(tables, box, strict=True))

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        tables = self._tables(shapes[0], box)
        return tuple(to_table(table, span) for table, span in zip(tables, box, strict=True))

    def _tables(self, x: Shape, box: Box) -> list[np.ndarray]:
        """For each of the last axes, which place each output shows: (outputs, 1)."""
        first = len(x) - len(box)
        return [
            np.pad(np.arange(n), pair, mode=self.mode)[:, None]  # type: ignore[call-overload]
            for n, pair in zip(x[first:], self.pads[first:], strict=True)
        ]

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if len(self.pads) != len(x):
            raise ShapeError(f"{len(self.pads)} pairs of pads for an array of shape {x}.")
        for axis, (pair, n) in enumerate(zip(self.pads, x, strict=True)):
            if min(pair) < 0 or (any(pair) and n < (2 if self.mode == "reflect" else 1)):
                raise ShapeError(
                    f"Cannot pad axis {axis} of length {n} by {pair} with mode {self.mode}."
                )
        return tuple(n + b + e for (b, e), n in zip(self.pads, x, strict=True))


@dataclass(frozen=True, eq=False)
class Take(_Free):
    """y = x[..., indices, ...] along an axis, for an array of integers."""

    indices: np.ndarray
    axis: int = 0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.take(x, kernels.table(self.indices, x), axis=self.axis), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        size = kept.shapes[0][self.axis]
        return PutAdd(np.asarray(self.indices % size), self.axis % len(kept.shapes[0]), size)

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        axis = axis_of(self, self.axis, len(x))
        low, high = self.indices.min(initial=0), self.indices.max(initial=0)
        if low < -x[axis] or high >= x[axis]:
            raise ShapeError(
                f"Cannot take index {low if low < -x[axis] else high} of axis {self.axis}: "
                f"the array has shape {x}."
            )
        return (*x[:axis], *self.indices.shape, *x[axis + 1 :])


@dataclass(frozen=True, eq=False)
class PutAdd(_Free):
    """x[..., indices, ...] += p along an axis of the given size: the transpose of Take."""

    indices: np.ndarray
    axis: int
    size: int

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.put_add(p, self.indices, self.axis, self.size), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Take(self.indices, self.axis)

    def shape(self, *shapes: Shape) -> Shape:
        p = shapes[0]
        if p[self.axis : self.axis + self.indices.ndim] != self.indices.shape:
            raise ShapeError(f"Cannot put {p} at {self.indices.shape} indices of axis {self.axis}.")
        return (*p[: self.axis], self.size, *p[self.axis + self.indices.ndim :])
