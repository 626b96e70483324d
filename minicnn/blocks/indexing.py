"""Reading and writing single elements at indices that are computed, not settings.

    TakeElements   y[i, j] = x[indices[i, j], j]         (axis 0; ONNX GatherElements)
    PutElements    x[indices[i, j], j] += p[i, j]        into zeros: its transpose; or assigns
    TopKIndices    the indices of the k largest
    MaxPoolIndices where each pooling window's maximum lies in the whole array

Indices get no signal. Negative ones count from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape, axis_of, numbers
from minicnn.blocks.pool import MaxPool
from minicnn.blocks.relu import Mask
from minicnn.errors import InputError, ShapeError
from minicnn.kernels import Packed, Window, counting
from minicnn.kernels.devices import module_of

__all__ = ["MaxPoolIndices", "PutElements", "TakeElements", "TopKIndices"]


def _flat(block: Block, indices: np.ndarray, axis: int, shape: Shape) -> np.ndarray:
    """Places in a flat array of that shape, one for each index, in row-major order."""
    axis %= len(shape)
    if indices.size and not (-shape[axis] <= indices.min() and indices.max() < shape[axis]):
        raise InputError(
            f"{block.kind}: indices {indices.min()} to {indices.max()} do not lie within axis "
            f"{axis} of length {shape[axis]}."
        )
    places: Any = 0
    for i, n in enumerate(shape):
        along = counting(indices.shape[i], indices)
        along = along.reshape(-1, *[1] * (len(shape) - 1 - i))
        places = places * n + (indices % n if i == axis else along)
    return np.broadcast_to(places, indices.shape).reshape(-1)


def _fits(block: Block, indices: Shape, axis: int, shape: Shape) -> None:
    """Check that indices name elements of an array of that shape."""
    axis = axis_of(block, axis, len(shape))
    if len(indices) != len(shape) or any(
        few > n for i, (few, n) in enumerate(zip(indices, shape, strict=True)) if i != axis
    ):
        raise ShapeError(
            f"{block.kind} along axis {axis}: indices of shape {indices} do not fit an array of "
            f"shape {shape}."
        )


@dataclass(frozen=True)
class TakeElements(Block):
    """y[..., k, ...] = x[..., indices[..., k, ...], ...] along an axis."""

    axis: int = 0
    operand_names = ("input", "indices")
    blind = (1,)
    kinds = "biuf"

    def forward(self, x: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, None]:
        places = _flat(self, indices, self.axis, x.shape)
        return np.take(x.reshape(-1), places).reshape(indices.shape), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt:
            return super().transposed(kept, wrt)
        put = PutElements(self.axis, kept.shapes[0])
        return lambda p: put(p, kept[1])

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1,) if wrt == 0 else ()

    def shape(self, *shapes: Shape) -> Shape:
        _fits(self, shapes[1], self.axis, shapes[0])
        return shapes[1]

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return dtypes[0]

    def flops(self, *shapes: Shape) -> int:
        return 0


@dataclass(frozen=True)
class PutElements(Block):
    """x = zeros of shape `target`, with p added at its indices along an axis.

    Without `adds` it is assigned: where an index occurs twice the last one wins, and alone gets the
    signal back.
    """

    axis: int
    target: Shape
    adds: bool = True
    operand_names = ("signal", "indices")
    blind = (1,)
    kinds = "iuf"

    def forward(self, p: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, None]:
        places = _flat(self, indices, self.axis, self.target)
        x = np.zeros_like(p, shape=(prod(self.target),))
        if self.adds:
            module_of(x).add.at(x, places, p.reshape(-1))
        else:
            x[places] = p.reshape(-1)
        return x.reshape(self.target), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt:
            return super().transposed(kept, wrt)
        take = TakeElements(self.axis)
        if self.adds:
            return lambda q: take(q, kept[1])
        return lambda q: self._winners(numbers(kept[1]))(take(q, kept[1]))

    def _winners(self, indices: np.ndarray) -> Mask:
        places = _flat(self, indices, self.axis, self.target)
        turns = counting(places.size, places)
        last = np.zeros_like(turns, shape=(prod(self.target),))
        last[places] = turns
        return Mask(Packed.pack((last[places] == turns).reshape(indices.shape)))

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1,) if wrt == 0 else ()

    def shape(self, *shapes: Shape) -> Shape:
        _fits(self, shapes[1], self.axis, self.target)
        if shapes[0] != shapes[1]:
            raise ShapeError(f"PutElements of {shapes[0]} needs as many indices; got {shapes[1]}.")
        return self.target

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return dtypes[0]


@dataclass(frozen=True)
class TopKIndices(Block):
    """y = the indices of the k largest (or smallest) values along an axis, the best first.

    Of equal values the one with the lower index comes first. Without `sort` they come in the order
    in which they stand.
    """

    k: int
    axis: int = -1
    largest: bool = True
    sort: bool = True
    blind = (0,)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        if self.largest:  # backwards twice, so that of equal values the first stays first
            last = x.shape[self.axis] - 1
            up = np.argsort(np.flip(x, self.axis), axis=self.axis, kind="stable")
            order = last - np.flip(up, self.axis)
        else:
            order = np.argsort(x, axis=self.axis, kind="stable")
        best = np.take(order, counting(self.k, x), axis=self.axis)
        return (best if self.sort else np.sort(best, axis=self.axis)), None

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        axis = axis_of(self, self.axis, len(x))
        if not 0 <= self.k <= x[axis]:
            raise ShapeError(f"There are no {self.k} values along axis {self.axis} of shape {x}.")
        return (*x[:axis], self.k, *x[axis + 1 :])

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(np.int64)

    def flops(self, *shapes: Shape) -> int:
        return 20 * prod(shapes[0])  # sorting


@dataclass(frozen=True)
class MaxPoolIndices(Block):
    """y = where each window's maximum lies in the whole array (N, C, *spatial), counted flat.

    With `column_major` the first spatial axis is the one that moves fastest within a plane.
    """

    window: Window | None
    column_major: bool = False
    blind = (0,)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        window, size = MaxPool(self.window).over(x.shape), x.shape[2:]
        _, switches = kernels.max_pool(x, window)
        taps = np.unravel_index(switches.unpack().astype(np.int64), window.kernel)
        out, planes = switches.shape[2:], prod(x.shape[:2])
        places = []
        for axis, tap in enumerate(taps):
            first = counting(out[axis], x) * window.stride[axis] - window.begins[axis]
            after = (1,) * (len(out) - 1 - axis)
            places.append(first.reshape(-1, *after) + tap * window.dilation[axis])
        axes = range(len(size)) if not self.column_major else reversed(range(len(size)))
        within: Any = 0
        for axis in axes:
            within = within * size[axis] + places[axis]
        base = (counting(planes, x) * prod(size)).reshape(*x.shape[:2], *[1] * len(size))
        return base + within, None

    def shape(self, *shapes: Shape) -> Shape:
        return MaxPool(self.window).shape(*shapes)

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(np.int64)

    def flops(self, *shapes: Shape) -> int:
        return MaxPool(self.window).flops(*shapes)

    def settings(self) -> str:
        return MaxPool(self.window).settings()
