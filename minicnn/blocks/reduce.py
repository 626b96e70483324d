"""Sums and means over axes: their transposes repeat, as broadcasting does.

Sum     y = sum of x over axes     p -> p repeated
Mean    y = sum / count            p -> p / count repeated
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.arithmetic import BroadcastTo, Scale
from minicnn.blocks.base import Block, Kept, Piece, Shape, axis_of
from minicnn.errors import ShapeError
from minicnn.kernels import as_array

__all__ = ["Mean", "Sum"]


class _Reduction(Block):
    """Shapes of a reduction; axes None means all."""

    axes: tuple[int, ...] | None
    keepdims: bool

    def over(self, x: Shape) -> tuple[int, ...]:
        """The axes reduced, counted from the front."""
        if self.axes is None:
            return tuple(range(len(x)))
        axes = sorted(axis_of(self, axis, len(x)) for axis in self.axes)
        for axis in axes:
            if axes.count(axis) > 1:
                raise ShapeError(f"{self.kind}: axis {axis} is named twice in {self.axes}.")
        return tuple(axes)

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        axes = self.over(x)
        if self.keepdims:
            return tuple(1 if i in axes else n for i, n in enumerate(x))
        return tuple(n for i, n in enumerate(x) if i not in axes)

    def flops(self, *shapes: Shape) -> int:
        return prod(shapes[0])

    def repeat(self, p: Any, x: Shape) -> Any:
        """p, whether it keeps the axes or not, repeated to the shape x."""
        axes = self.over(x)
        kept = tuple(1 if i in axes else n for i, n in enumerate(x))
        return BroadcastTo(x)(p if p.shape == kept else p.reshape(kept))


@dataclass(frozen=True)
class Sum(_Reduction):
    """y = sum of x over axes."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False
    kinds = "iuf"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        axes = self.over(x.shape)
        if x.ndim == 4 and axes == (0, 2, 3) and not self.keepdims:
            return kernels.pixel_sum(x), None
        return as_array(x.sum(axis=axes, keepdims=self.keepdims, dtype=x.dtype)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: self.repeat(p, kept.shapes[0])


@dataclass(frozen=True)
class Mean(_Reduction):
    """y = mean of x over axes."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        axes = self.over(x.shape)
        if x.ndim == 4 and axes == (2, 3):
            means = kernels.plane_means(x)
            return (means[:, :, None, None] if self.keepdims else means), None
        return as_array(x.mean(axis=axes, keepdims=self.keepdims)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        x = kept.shapes[0]
        count = prod(x[axis] for axis in self.over(x))
        return Piece(Scale(1 / count)) >> (lambda p: self.repeat(p, x))
