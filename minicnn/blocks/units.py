"""Smooth relatives of the ReLU, each made of the functions in `smooth`.

    Gelu     y = x F(x), F the normal distribution     slope F + x f, f its density
             approximately x (1 + tanh u) / 2,  u = sqrt(2 / pi) (x + 0.044715 x^3)
    Swish    y = x s, s = sigmoid(beta x)              slope s + beta x s (1 - s); SiLU: beta = 1
    Mish     y = x t, t = tanh(softplus x)             slope t + x (1 - t^2) sigmoid x
    Elu      y = x, or alpha (e^x - 1) where x <= 0    slope 1 or alpha e^x
    Selu     y = gamma Elu(x)
    Celu     y = x, or alpha (e^(x / alpha) - 1)       slope 1 or e^(x / alpha)

Sources: Hendrycks and Gimpel 2016; Ramachandran et al. 2017; Misra 2019; Clevert et al. 2015;
Klambauer et al. 2017; Barron 2017. Defaults are ONNX's.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.relu import Clip, Mask
from minicnn.blocks.smooth import Erf, Exp, Sigmoid, Softplus, Tanh, bell
from minicnn.errors import InputError
from minicnn.kernels import Packed, as_array
from minicnn.kernels.devices import special_of

__all__ = ["Celu", "Elu", "Gelu", "Mish", "Selu", "Swish"]

RATE, CUBE = math.sqrt(2 / math.pi), 0.044715  # of Gelu's approximation


class _Unit(Block):
    nonlinear = True
    pointwise = True

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)

    def flops(self, *shapes: Shape) -> int:
        return 4 * math.prod(shapes[0])


@dataclass(frozen=True)
class Gelu(_Unit):
    """y = x times the probability that a standard normal number is below x.

    `approximate` "tanh" takes the older formula with a hyperbolic tangent.
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise InputError(f"Gelu's approximate is none or tanh; got {self.approximate!r}.")

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        if self.approximate == "tanh":
            held = np.clip(x, -10, 10)  # where the tangent is +-1 in every precision
            u = (held + held * held * held * CUBE) * RATE
            return x * (np.tanh(u) + 1) * 0.5, None
        return x * special_of(x).ndtr(x), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return lambda p: p * (self._curve if self.approximate == "tanh" else self._exact)(kept[0])

    @staticmethod
    def _exact(x: Any) -> Any:
        part = (Erf()(x * math.sqrt(0.5)) + 1.0) * 0.5
        return part + x * (bell(x * math.sqrt(0.5)) * (1 / math.sqrt(2 * math.pi)))

    @staticmethod
    def _curve(x: Any) -> Any:
        held = Clip(-10.0, 10.0)(x)
        square = held * held
        t = Tanh()(held * (square * CUBE + 1.0) * RATE)
        rise = (square * (3 * CUBE) + 1.0) * RATE
        return (t + 1.0) * 0.5 + held * (1.0 - t * t) * rise * 0.5


@dataclass(frozen=True)
class Swish(_Unit):
    """y = x sigmoid(beta x); with beta 1 also called SiLU."""

    beta: float = 1.0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x * Sigmoid().forward(x * x.dtype.type(self.beta))[0], None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        def pull(p: Any) -> Any:
            s = Sigmoid()(kept[0] * self.beta)
            return p * (s + kept[0] * s * (1.0 - s) * self.beta)

        return pull


@dataclass(frozen=True)
class Mish(_Unit):
    """y = x tanh(softplus x)."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x * np.tanh(Softplus().forward(x)[0]), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        def pull(p: Any) -> Any:
            t = Tanh()(Softplus()(kept[0]))
            return p * (t + kept[0] * (1.0 - t * t) * Sigmoid()(kept[0]))

        return pull


class _Exponential(_Unit):
    """y = above x where x > 0, height (e^(rate x) - 1) elsewhere."""

    statistic = "mask"

    @property
    @abstractmethod
    def _curve(self) -> tuple[float, float, float]:
        """above, height, rate."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        above, height, rate = map(x.dtype.type, self._curve)
        positive = as_array(x > 0)
        below = height * np.expm1(np.minimum(x, x.dtype.type(0)) * rate)
        return np.where(positive, x * above, below), Packed.pack(positive)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        above, height, rate = self._curve
        mask = kept.bits_of(self)
        line, bend = Mask(mask, inside=above), Mask(mask, inside=0.0, outside=height * rate)

        def pull(p: Any) -> Any:
            return line(p) + bend(p) * Exp()(Clip(None, 0.0)(kept[0]) * rate)

        return pull


@dataclass(frozen=True)
class Elu(_Exponential):
    """y = x where x > 0, alpha (e^x - 1) elsewhere."""

    alpha: float = 1.0

    @property
    def _curve(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1.0


@dataclass(frozen=True)
class Selu(_Exponential):
    """y = gamma x where x > 0, gamma alpha (e^x - 1) elsewhere."""

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    @property
    def _curve(self) -> tuple[float, float, float]:
        return self.gamma, self.gamma * self.alpha, 1.0


@dataclass(frozen=True)
class Celu(_Exponential):
    """y = x where x > 0, alpha (e^(x / alpha) - 1) elsewhere."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise InputError(f"Celu needs an alpha above 0; got {self.alpha}.")

    @property
    def _curve(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1 / self.alpha
