"""Reductions that are not linear, and running sums.

    Max, Min    y = the largest, the smallest      p -> p spread evenly over those that have it
    Norm        y = sum |x|, or sqrt(sum x^2)      p -> p sign x, or p x / y (0 where y is 0)
    Product     y = product of x                   p -> p times the product of the others
    LogSumExp   y = ln sum e^x                     p -> p e^(x - y)
    CumSum      y_i = x_0 + ... + x_i              p -> the same from the other end

Axes and shapes are those of `reduce`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.blocks.base import OUTPUT, Block, Kept, Shape, axis_of, numbers
from minicnn.blocks.discrete import Sign
from minicnn.blocks.reduce import _Reduction
from minicnn.blocks.shape import Concat, Reshape, Slice, Transpose
from minicnn.blocks.smooth import Exp
from minicnn.errors import InputError, ShapeError
from minicnn.kernels import as_array

__all__ = ["CumSum", "LogSumExp", "Max", "Min", "Norm", "Product"]


class _Extreme(_Reduction):
    """One value of many; what comes back is shared by all that have it."""

    nonlinear = True
    kinds = "biuf"

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        def pull(p: Any) -> Any:
            x, y = numbers(kept[0]), numbers(kept.output)
            ties = x == self.repeat(y, x.shape)
            count = ties.sum(axis=self.over(x.shape), keepdims=True)
            return self.repeat(p, x.shape) * (ties / count).astype(x.dtype)

        return pull

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0, OUTPUT)

    def shape(self, *shapes: Shape) -> Shape:
        if 0 in (shapes[0][axis] for axis in self.over(shapes[0])):
            raise ShapeError(f"{self.kind} over {self.axes} of shape {shapes[0]}: no values.")
        return super().shape(*shapes)


@dataclass(frozen=True)
class Max(_Extreme):
    """y = the largest value over axes."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return as_array(x.max(axis=self.over(x.shape), keepdims=self.keepdims)), None


@dataclass(frozen=True)
class Min(_Extreme):
    """y = the smallest value over axes."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return as_array(x.min(axis=self.over(x.shape), keepdims=self.keepdims)), None


@dataclass(frozen=True)
class Norm(_Reduction):
    """y = sum |x| (order 1) or sqrt(sum x^2) (order 2) over axes."""

    order: int = 2
    axes: tuple[int, ...] | None = None
    keepdims: bool = False
    nonlinear = True

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise InputError(f"Norm is of order 1 or 2; got {self.order}.")

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        axes = self.over(x.shape)
        if self.order == 1:
            return as_array(np.abs(x).sum(axis=axes, keepdims=self.keepdims)), None
        return as_array(np.sqrt((x * x).sum(axis=axes, keepdims=self.keepdims))), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        x = kept.shapes[0]
        if self.order == 1:
            return lambda p: self.repeat(p, x) * Sign()(kept[0])

        def pull(p: Any) -> Any:
            y = kept.output
            zero = numbers(y) == 0  # there x is 0 as well: dividing by 1 gives the 0 wanted
            return self.repeat(p / (y + zero.astype(y.dtype)), x) * kept[0]

        return pull

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,) if self.order == 1 else (0, OUTPUT)


@dataclass(frozen=True)
class Product(_Reduction):
    """y = product of x over axes. Zeros among x are no trouble for the transpose."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False
    nonlinear = True
    kinds = "iuf"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        axes = self.over(x.shape)
        return as_array(x.prod(axis=axes, keepdims=self.keepdims, dtype=x.dtype)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: self.repeat(p, kept.shapes[0]) * self._others(kept[0])

    def _others(self, x: Any) -> Any:
        """For each value the product of the others: all before it times all after it."""
        axes = self.over(x.shape)
        rest = tuple(i for i in range(len(x.shape)) if i not in axes)
        order = (*axes, *rest)
        last = Transpose(order)(x)
        rows = Reshape((-1, prod(x.shape[i] for i in rest)))(last)
        parts = [Slice((slice(i, i + 1),))(rows) for i in range(rows.shape[0])]
        before, after = [np.ones_like(numbers(parts[0]))], [np.ones_like(numbers(parts[0]))]
        for part in parts[:-1]:
            before.append(before[-1] * part)
        for part in parts[:0:-1]:
            after.append(after[-1] * part)
        found = [a * b for a, b in zip(before, reversed(after), strict=True)]
        back = tuple(order.index(i) for i in range(len(order)))
        return Transpose(back)(Reshape(last.shape)(Concat(0)(*found)))

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)


@dataclass(frozen=True)
class LogSumExp(_Reduction):
    """y = ln sum e^x over axes, the largest x taken out first so that nothing overflows."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False
    nonlinear = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        axes = self.over(x.shape)
        top = x.max(axis=axes, keepdims=True)
        top = np.where(np.isfinite(top), top, x.dtype.type(0))
        with np.errstate(divide="ignore"):  # the logarithm of nothing is minus infinity
            y = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
        return as_array(y).reshape(self.shape(x.shape)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        x = kept.shapes[0]
        return lambda p: self.repeat(p, x) * Exp()(kept[0] - self.repeat(kept.output, x))

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0, OUTPUT)

    def flops(self, *shapes: Shape) -> int:
        return 3 * prod(shapes[0])


@dataclass(frozen=True)
class CumSum(Block):
    """y_i = x_0 + ... + x_i along an axis; without x_i (exclusive), or from the end (reverse)."""

    axis: int
    exclusive: bool = False
    reverse: bool = False
    kinds = "iuf"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        ahead = np.flip(x, self.axis) if self.reverse else x
        y = np.cumsum(ahead, axis=self.axis, dtype=x.dtype)
        if self.exclusive:
            y = np.roll(y, 1, self.axis)
            np.moveaxis(y, self.axis, 0)[:1] = 0
        return (np.flip(y, self.axis) if self.reverse else y), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return CumSum(self.axis, self.exclusive, not self.reverse)

    def shape(self, *shapes: Shape) -> Shape:
        axis_of(self, self.axis, len(shapes[0]))
        return shapes[0]
