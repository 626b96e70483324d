"""Functions that jump: types, roundings, positions, quantisation, tests for NaN.

A jump has no slope worth sending back (it is 0, or there is none), so these blocks are blind to all
their operands: signals end here, and asking for their transpose is an error that says so. The one
exception is a cast between floats, which passes the signal on.

They compute on integers as well as on floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.blocks.base import Block, Kept, Shape, axis_of
from minicnn.errors import InputError, ShapeError
from minicnn.kernels import as_array

__all__ = [
    "ArgMax",
    "Cast",
    "Ceil",
    "Floor",
    "IntegerDivide",
    "IsInf",
    "IsNaN",
    "Modulo",
    "Quantize",
    "Round",
    "Sign",
]


@dataclass(frozen=True)
class Cast(Block):
    """y = x in another type, a NumPy name such as "int64"; floats are cut towards 0 to integers.

    Between floats the signal goes back in the operand's type.
    """

    to: str
    kinds = "biuf"
    pointwise = True

    def __post_init__(self) -> None:
        try:
            np.dtype(self.to)
        except TypeError:
            raise InputError(f"Cast: there is no type {self.to!r}.") from None

    @property
    def blind(self) -> tuple[int, ...]:  # type: ignore[override]
        return () if np.dtype(self.to).kind == "f" else (0,)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and what does not fit in
            return x.astype(self.to, copy=False), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if self.blind or kept[0].dtype.kind != "f":
            return super().transposed(kept, wrt)
        return Cast(kept[0].dtype.name)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return () if self.blind else (0,)

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(self.to)

    def flops(self, *shapes: Shape) -> int:
        return 0


class _Jump(Block):
    """A function of one operand that is flat but for its jumps."""

    blind = (0,)
    pointwise = True


class _Number(_Jump):
    """A question of size, which truth values do not have."""

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        if dtypes[0].kind == "b":
            raise InputError(f"{self.kind} takes numbers, not truth values; Cast them first.")
        return dtypes[0]

    def rounded(self, x: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The function of floats; whole numbers stay what they are."""
        return x if self.dtype(x.dtype).kind in "iu" else function(x)


@dataclass(frozen=True)
class Round(_Number):
    """y = the nearest whole number, the even one of two."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return self.rounded(x, np.rint), None


@dataclass(frozen=True)
class Floor(_Number):
    """y = the largest whole number that is not above x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return self.rounded(x, np.floor), None


@dataclass(frozen=True)
class Ceil(_Number):
    """y = the smallest whole number that is not below x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return self.rounded(x, np.ceil), None


@dataclass(frozen=True)
class Sign(_Number):
    """y = -1, 0 or 1."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.sign(x, dtype=self.dtype(x.dtype)), None


class _Test(_Jump):
    """A question to each value."""

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(bool)


@dataclass(frozen=True)
class IsNaN(_Test):
    """y = whether x is not a number."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.isnan(x), None


@dataclass(frozen=True)
class IsInf(_Test):
    """y = whether x is infinite, of the signs asked for."""

    negative: bool = True
    positive: bool = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        y = np.isinf(x)
        if not self.negative:
            y = y & (x > 0)
        if not self.positive:
            y = y & (x < 0)
        return y, None


@dataclass(frozen=True)
class ArgMax(Block):
    """y = the index of the largest value (or smallest) along an axis, the first or the last."""

    axis: int = 0
    keepdims: bool = True
    last: bool = False
    largest: bool = True
    blind = (0,)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        find = np.argmax if self.largest else np.argmin
        if not self.last:
            return find(x, axis=self.axis, keepdims=self.keepdims), None
        found = find(np.flip(x, self.axis), axis=self.axis, keepdims=self.keepdims)
        return x.shape[self.axis] - 1 - found, None

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        axis = axis_of(self, self.axis, len(x))
        if x[axis] == 0:
            raise ShapeError(f"ArgMax along axis {self.axis} of shape {x}: there are no values.")
        return (*x[:axis], *([1] if self.keepdims else []), *x[axis + 1 :])

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(np.int64)

    def flops(self, *shapes: Shape) -> int:
        return prod(shapes[0])


class _Whole(Block):
    """Division with whole results."""

    operand_names = ("a", "b")
    blind = (0, 1)
    pointwise = True

    def _checked(self, a: np.ndarray, b: np.ndarray) -> None:
        whole = a.dtype.kind in "iu" and b.dtype.kind in "iu"
        if whole and not np.all(b):
            raise InputError(f"{self.kind}: a whole number cannot be divided by 0.")


@dataclass(frozen=True)
class IntegerDivide(_Whole):
    """y = a / b of integers, cut towards 0."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        self._checked(a, b)
        down = a // b
        # one more where rounding down went away from 0: the rest is there, the signs differ
        up = (a != down * b) & ((a < 0) != (b < 0))
        return as_array(down + up.astype(down.dtype)), None


@dataclass(frozen=True)
class Modulo(_Whole):
    """y = the rest of a / b, with the sign of b, or (fmod) of a."""

    fmod: bool = False

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        self._checked(a, b)
        with np.errstate(invalid="ignore"):
            return as_array(np.fmod(a, b) if self.fmod else np.mod(a, b)), None


@dataclass(frozen=True)
class Quantize(Block):
    """y = round(x / scale) + zero point, held within the integers of type `to`.

    Scale and zero point are one number, or one each along `axis`. Halves go to the even number.
    """

    axis: int = 1
    to: str = "uint8"
    operand_names = ("input", "scale", "zero_point")
    blind = (0, 1, 2)

    def forward(
        self, x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray
    ) -> tuple[np.ndarray, None]:
        limits = np.iinfo(self.to)
        scale, zero = (self._along(values, x.ndim) for values in (scale, zero_point))
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.rint(x / scale)
            if limits.bits > 16:
                steps = steps.astype(np.float64)  # float32 does not hold all of them
            held = np.clip(steps + zero.astype(steps.dtype), limits.min, limits.max)
            return held.astype(self.to), None

    def _along(self, values: np.ndarray, rank: int) -> np.ndarray:
        if values.size == 1:
            return values.reshape(())
        after = rank - 1 - self.axis % rank
        return values.reshape(-1, *[1] * after)

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        for name, shape in zip(self.operand_names[1:], shapes[1:], strict=True):
            if prod(shape) != 1 and shape != (x[axis_of(self, self.axis, len(x))],):
                raise ShapeError(
                    f"Quantize of {x} needs a {name} of one number, or one along axis {self.axis}; "
                    f"it got shape {shape}."
                )
        return x

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(self.to)
