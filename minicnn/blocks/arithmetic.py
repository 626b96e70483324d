"""Elementwise arithmetic with broadcasting, and the sums that undo it.

    y = a + b       p -> p            p -> p
    y = a - b       p -> p            p -> -p
    y = a * b       p -> p b          p -> p a
    y = a / b       p -> p / b        p -> -p y / b
    y = x ^ e       p -> p e x^(e-1)

each summed back to its operand's shape: broadcasting and summing are each other's transposes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import OUTPUT, Block, Kept, Piece, Shape, broadcast
from minicnn.errors import ShapeError
from minicnn.kernels import as_array

__all__ = [
    "Add",
    "BroadcastTo",
    "Divide",
    "Multiply",
    "Power",
    "Remainder",
    "Scale",
    "Subtract",
    "SumTo",
]


@dataclass(frozen=True)
class SumTo(Block):
    """Sum over the axes that broadcasting `target` to the input's shape would repeat."""

    target: Shape
    kinds = "iuf"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        lead = x.ndim - len(self.target)
        axes = tuple(range(lead)) + tuple(
            lead + i for i, n in enumerate(self.target) if n == 1 and x.shape[lead + i] != 1
        )
        return (x.sum(axis=axes).reshape(self.target) if axes else x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return BroadcastTo(kept.shapes[0])

    def shape(self, *shapes: Shape) -> Shape:
        if broadcast(self, shapes[0], self.target) != shapes[0]:
            raise ShapeError(f"{self.target} does not broadcast to {shapes[0]}: nothing to sum.")
        return self.target


@dataclass(frozen=True)
class BroadcastTo(Block):
    """Repeat the input along new axes and axes of length 1 until it has shape `target`."""

    target: Shape
    kinds = "biuf"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.broadcast_to(x, self.target), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return SumTo(kept.shapes[0])

    def shape(self, *shapes: Shape) -> Shape:
        if broadcast(self, shapes[0], self.target) != self.target:
            raise ShapeError(f"Cannot broadcast {shapes[0]} to {self.target}.")
        return self.target

    def flops(self, *shapes: Shape) -> int:
        return 0


def summed(function: Callable[[Any], Any], kept: Kept, wrt: int) -> Callable[[Any], Any]:
    """`function`, then a sum back to operand wrt's shape where it was broadcast."""
    target = kept.shapes[wrt]
    if np.broadcast_shapes(*kept.shapes) == target:
        return function
    return Piece(function) >> SumTo(target)


class _Binary(Block):
    operand_names = ("a", "b")
    pointwise = True


@dataclass(frozen=True)
class Add(_Binary):
    """y = a + b; also what gathers the signals of a value that several blocks read."""

    kinds = "iuf"

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.added(a, b), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return summed(_same, kept, wrt)


@dataclass(frozen=True)
class Subtract(_Binary):
    """y = a - b."""

    kinds = "iuf"

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return a - b, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return summed(_same if wrt == 0 else Scale(-1.0), kept, wrt)


@dataclass(frozen=True)
class Multiply(_Binary):
    """y = a b."""

    kinds = "iuf"

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return a * b, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return summed(lambda p: p * kept[1 - wrt], kept, wrt)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1 - wrt,)


@dataclass(frozen=True)
class Divide(_Binary):
    """y = a / b."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return a / b, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            return summed(lambda p: p / kept[1], kept, wrt)
        return summed(lambda p: p * (-(kept.output / kept[1])), kept, wrt)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1,) if wrt == 0 else (1, OUTPUT)


@dataclass(frozen=True)
class Remainder(_Binary):
    """y = a - b trunc(a / b), what is left of a; of numbers between its jumps."""

    nonlinear = True

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        with np.errstate(invalid="ignore"):
            return as_array(np.fmod(a, b)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            return summed(_same, kept, wrt)
        return summed(lambda p: p * ((kept.output - kept[0]) / kept[1]), kept, wrt)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return () if wrt == 0 else (0, 1, OUTPUT)


@dataclass(frozen=True)
class Scale(Block):
    """y = factor x, a constant factor; its own transpose."""

    factor: float
    kinds = "if"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x * x.dtype.type(self.factor), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return self


@dataclass(frozen=True)
class Power(Block):
    """y = x^exponent, a constant exponent."""

    exponent: float
    nonlinear = True
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x ** x.dtype.type(self.exponent), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if self.exponent == 1:
            return _same
        if self.exponent == 0:
            return Scale(0.0)
        if self.exponent == 2:
            return lambda p: p * (kept[0] * 2.0)
        return lambda p: p * (kept[0] ** (self.exponent - 1) * self.exponent)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return () if self.exponent in (0, 1) else (0,)


def _same(p: Any) -> Any:
    return p
