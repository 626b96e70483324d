"""ReLU and its piecewise linear relatives: forward picks a branch, and one bit a unit remembers it.

    ReLU         y = max(x, 0)                 p -> p 1[x > 0]
    LeakyReLU    y = x or slope x              p -> p (1 or slope)
    Clip         y = min(max(x, low), high)    p -> p 1[low < x < high]

The gate is strict: at x = 0 nothing passes. What comes back through a ReLU is where SaliNet,
DeConvNet and DeSaliNet differ: `Mask` alone, `ReLU` alone, or `Mask` then `ReLU`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.arithmetic import summed
from minicnn.blocks.base import Block, Kept, Shape
from minicnn.kernels import Packed, as_array

__all__ = [
    "Clip",
    "Dropout",
    "HardSigmoid",
    "HardSwish",
    "LeakyReLU",
    "Mask",
    "PReLU",
    "ReLU",
    "ThresholdedReLU",
]


@dataclass(frozen=True, eq=False)
class Mask(Block):
    """y = inside x where the mask is set, outside x elsewhere. Linear; its own transpose."""

    mask: Packed
    inside: float = 1.0
    outside: float = 0.0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        if self.inside == 1.0 and self.outside == 0.0:
            return kernels.masked(x, self.mask), None
        number = x.dtype.type
        kept = x if self.inside == 1.0 else x * number(self.inside)
        rest = number(0) if self.outside == 0.0 else x * number(self.outside)
        return np.where(self.mask.unpack(), kept, rest), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return self


@dataclass(frozen=True)
class ReLU(Block):
    """y = max(x, 0). Transposed: p 1[x > 0], by the mask kept, 1 bit a unit."""

    nonlinear = True
    statistic = "mask"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        return kernels.relu(x)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Mask(kept.bits_of(self))


@dataclass(frozen=True)
class LeakyReLU(Block):
    """y = x where x > 0, slope x elsewhere."""

    slope: float = 0.01
    nonlinear = True
    statistic = "mask"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        positive = x > 0
        return np.where(positive, x, x * x.dtype.type(self.slope)), Packed.pack(positive)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Mask(kept.bits_of(self), outside=self.slope)


@dataclass(frozen=True)
class ThresholdedReLU(Block):
    """y = x where x > alpha, 0 elsewhere."""

    alpha: float = 1.0
    nonlinear = True
    statistic = "mask"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        above = as_array(x > x.dtype.type(self.alpha))
        return np.where(above, x, x.dtype.type(0)), Packed.pack(above)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Mask(kept.bits_of(self))


@dataclass(frozen=True)
class PReLU(Block):
    """y = x where x > 0, slope x elsewhere, the slope an operand (one, or one a channel)."""

    operand_names = ("input", "slope")
    nonlinear = True
    statistic = "mask"
    pointwise = True

    def forward(self, x: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, Packed]:
        positive = x > 0
        return np.where(positive, x, x * slope), Packed.pack(positive)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        mask = kept.bits_of(self)
        above, below = Mask(mask), Mask(mask, inside=0.0, outside=1.0)
        if wrt == 0:
            return lambda p: above(p) + below(p) * kept[1]
        return summed(lambda p: below(p) * kept[0], kept, wrt)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1 - wrt,)


@dataclass(frozen=True)
class Clip(Block):
    """y = x held between low and high (None: unbounded); ReLU6 is Clip(0, 6)."""

    low: float | None = None
    high: float | None = None
    nonlinear = True
    statistic = "mask"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        number = x.dtype.type
        low = number(-np.inf if self.low is None else self.low)
        high = number(np.inf if self.high is None else self.high)
        return np.minimum(np.maximum(x, low), high), Packed.pack((x > low) & (x < high))

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Mask(kept.bits_of(self))


@dataclass(frozen=True)
class HardSigmoid(Block):
    """y = min(max(alpha x + beta, 0), 1). ONNX's default alpha is 0.2, torch's 1/6."""

    alpha: float = 0.2
    beta: float = 0.5
    nonlinear = True
    statistic = "mask"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        number = x.dtype.type
        line = x * number(self.alpha) + number(self.beta)
        inside = (line > 0) & (line < 1)
        return np.minimum(np.maximum(line, number(0)), number(1)), Packed.pack(inside)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Mask(kept.bits_of(self), inside=self.alpha)


@dataclass(frozen=True)
class HardSwish(Block):
    """y = x h(x), h = HardSigmoid(1/6, 1/2). Transposed: p h(x) + h^T(p x)."""

    nonlinear = True
    statistic = "mask"
    pointwise = True
    gate = HardSigmoid(1 / 6, 0.5)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        h, inside = self.gate.forward(x)
        return x * h, inside

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        back = Mask(kept.bits_of(self), inside=self.gate.alpha)
        return lambda p: p * self.gate(kept[0]) + back(p * kept[0])

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)


@dataclass(frozen=True)
class Dropout(Block):
    """y = x / (1 - rate) where a seeded coin says keep, 0 elsewhere; 1 bit a unit.

    The coin is a function of seed and shape alone, so a recorded run can be repeated bit for bit.
    """

    rate: float
    seed: int
    statistic = "coins"

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        coins = np.random.default_rng(self.seed).random(x.shape, np.float32)
        mask = Packed.pack(coins >= self.rate).to(kernels.place_of(x))
        return Mask(mask, inside=self._gain).forward(x)[0], mask

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Mask(kept.bits_of(self), inside=self._gain)

    @property
    def _gain(self) -> float:
        return 0.0 if self.rate >= 1 else 1 / (1 - self.rate)

    def flops(self, *shapes: Shape) -> int:
        return 0
