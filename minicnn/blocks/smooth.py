"""Smooth elementwise functions: the transpose multiplies by the slope at the point kept.

Sigmoid   y = 1 / (1 + e^-x)     slope y (1 - y)
Tanh      y = tanh x             slope 1 - y^2
Exp       y = e^x                slope y
Log       y = ln x               slope 1 / x
Sqrt      y = sqrt x             slope 1 / (2 y)
Erf       y = erf x              slope 2 / sqrt(pi) e^(-x^2)
Sin, Cos  y = sin x, cos x       slope cos x, -sin x
Abs       y = |x|                slope sign x, 0 at 0
Softplus  y = ln(1 + e^x)        slope sigmoid x
Softsign  y = x / (1 + |x|)      slope 1 / (1 + |x|)^2

The units made of these (Gelu, Elu, Mish, ...) stand in `units`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.blocks.arithmetic import Scale
from minicnn.blocks.base import OUTPUT, Block, Kept
from minicnn.blocks.discrete import Sign
from minicnn.blocks.relu import Clip
from minicnn.kernels.devices import special_of

__all__ = [
    "Abs",
    "Cos",
    "Erf",
    "Exp",
    "Log",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tanh",
    "bell",
]


class _FromOutput(Block):
    """A function whose slope is a function of its own output."""

    nonlinear = True
    pointwise = True

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (OUTPUT,)


class _FromInput(Block):
    """A function whose slope is a function of its input."""

    nonlinear = True
    pointwise = True

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)


@dataclass(frozen=True)
class Sigmoid(_FromOutput):
    """y = 1 / (1 + e^-x), written so that neither tail overflows."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, x.dtype.type(1), small) / (1 + small), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * (kept.output * (1.0 - kept.output))


@dataclass(frozen=True)
class Tanh(_FromOutput):
    """y = tanh x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.tanh(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * (1.0 - kept.output * kept.output)


@dataclass(frozen=True)
class Exp(_FromOutput):
    """y = e^x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.exp(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * kept.output


@dataclass(frozen=True)
class Log(_FromInput):
    """y = ln x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.log(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p / kept[0]


@dataclass(frozen=True)
class Sqrt(_FromOutput):
    """y = sqrt x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.sqrt(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p / (kept.output * 2.0)


def bell(x: Any) -> Any:
    """e^(-x^2); x is held within +-40, where the bell is 0 in every precision anyway."""
    held = Clip(-40.0, 40.0)(x)
    return Exp()(Scale(-1.0)(held * held))


@dataclass(frozen=True)
class Erf(_FromInput):
    """y = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return special_of(x).erf(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * (bell(kept[0]) * (2 / math.sqrt(math.pi)))


@dataclass(frozen=True)
class Sin(_FromInput):
    """y = sin x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.sin(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * Cos()(kept[0])


@dataclass(frozen=True)
class Cos(_FromInput):
    """y = cos x."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.cos(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * Scale(-1.0)(Sin()(kept[0]))


@dataclass(frozen=True)
class Abs(_FromInput):
    """y = |x|; at 0 nothing passes back."""

    kinds = "iuf"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.abs(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * Sign()(kept[0])


@dataclass(frozen=True)
class Softplus(_FromInput):
    """y = ln(1 + e^x), written as max(x, 0) + ln(1 + e^-|x|)."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.maximum(x, x.dtype.type(0)) + np.log1p(np.exp(-np.abs(x))), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * Sigmoid()(kept[0])


@dataclass(frozen=True)
class Softsign(_FromInput):
    """y = x / (1 + |x|)."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x / (1 + np.abs(x)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        def pull(p: Any) -> Any:
            below = Abs()(kept[0]) + 1.0
            return p / below / below

        return pull
