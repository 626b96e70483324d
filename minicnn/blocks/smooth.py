"""Smooth elementwise functions: the transpose multiplies by the slope at the point kept.

Sigmoid   y = 1 / (1 + e^-x)     slope y (1 - y)
Tanh      y = tanh x             slope 1 - y^2
Exp       y = e^x                slope y
Log       y = ln x               slope 1 / x
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.blocks.base import OUTPUT, Block, Kept

__all__ = ["Exp", "Log", "Sigmoid", "Tanh"]


class _FromOutput(Block):
    """A function whose slope is a function of its own output."""

    nonlinear = True

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (OUTPUT,)


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
class Log(Block):
    """y = ln x."""

    nonlinear = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return np.log(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p / kept[0]

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)
