"""Choosing between values, and the truth values that choose.

    Where     y = a where the condition holds, b elsewhere    p -> p where it holds, 0 elsewhere
    Maximum   y = max(a, b)                                   p -> p where a wins (1 bit a value)
    Compare   y = a < b, ...                                  truth values: no signal
    Logic     y = a and b, ...                                truth values: no signal

all with broadcasting, so that signals are summed back to their operand's shape. Of equal values
the first operand wins and gets the whole signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.blocks.arithmetic import summed
from minicnn.blocks.base import Block, Kept
from minicnn.blocks.relu import Mask
from minicnn.errors import InputError
from minicnn.kernels import Packed, as_array

__all__ = ["Compare", "Logic", "Maximum", "Minimum", "Not", "Where"]


@dataclass(frozen=True)
class Where(Block):
    """y = a where the condition holds, b elsewhere."""

    operand_names = ("condition", "a", "b")
    blind = (0,)
    kinds = "biuf"
    pointwise = True

    def forward(
        self, condition: np.ndarray, a: np.ndarray, b: np.ndarray
    ) -> tuple[np.ndarray, None]:
        return np.where(condition, a, b), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 1:
            return summed(lambda p: Where()(kept[0], p, 0.0), kept, wrt)
        if wrt == 2:
            return summed(lambda p: Where()(kept[0], 0.0, p), kept, wrt)
        return super().transposed(kept, wrt)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,) if wrt else ()

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.result_type(*dtypes[1:])


class _Truth(Block):
    pointwise = True

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return np.dtype(bool)


RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": np.equal,
    "greater": np.greater,
    "greater_or_equal": np.greater_equal,
    "less": np.less,
    "less_or_equal": np.less_equal,
}
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
}


@dataclass(frozen=True)
class Compare(_Truth):
    """y = whether a stands in a relation to b: equal, greater, less, greater_or_equal, ..."""

    relation: str
    operand_names = ("a", "b")
    blind = (0, 1)

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise InputError(f"Compare: {self.relation!r} is none of {', '.join(RELATIONS)}.")

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return as_array(RELATIONS[self.relation](a, b)), None


@dataclass(frozen=True)
class Logic(_Truth):
    """y = a and b, a or b, a xor b."""

    operation: str
    operand_names = ("a", "b")
    blind = (0, 1)

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise InputError(f"Logic: {self.operation!r} is none of {', '.join(OPERATIONS)}.")

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return as_array(OPERATIONS[self.operation](a, b)), None


@dataclass(frozen=True)
class Not(_Truth):
    """y = not x."""

    blind = (0,)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return as_array(np.logical_not(x)), None


class _Extreme(Block):
    """The operand that wins, and one bit a value: is it the first?"""

    operand_names = ("a", "b")
    nonlinear = True
    statistic = "mask"
    kinds = "iuf"
    pointwise = True

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        won = kept.bits_of(self)
        mask = Mask(won) if wrt == 0 else Mask(won, inside=0.0, outside=1.0)
        return summed(mask, kept, wrt)


@dataclass(frozen=True)
class Maximum(_Extreme):
    """y = max(a, b). NaN wins."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Packed]:
        first = as_array((a >= b) | (a != a))
        return as_array(np.maximum(a, b)), Packed.pack(first)


@dataclass(frozen=True)
class Minimum(_Extreme):
    """y = min(a, b). NaN wins."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Packed]:
        first = as_array((a <= b) | (a != a))
        return as_array(np.minimum(a, b)), Packed.pack(first)
