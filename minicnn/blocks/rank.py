"""A gate by rank: a signal passes where its product with an activation is among the largest.

    RankGate    y = p where a p > tau, else 0;   tau: a percentile of a p within each image

tau is one of the numbers of a p (the nearest rank), so 100 lets nothing pass. The gate itself only
jumps, so its transpose is the mask that it chose.

Source: Kim et al., "Why are Saliency Maps Noisy? Cause of and Solution to Noisy Saliency Maps"
(Rectified Gradient), 2019, and the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.relu import Mask
from minicnn.errors import InputError, ShapeError
from minicnn.kernels import Packed, as_array

__all__ = ["RankGate"]


@dataclass(frozen=True)
class RankGate(Block):
    """y = p 1[a p > tau], tau the given percentile of a p in each image; 1 bit a unit."""

    percentile: float = 98.0
    operand_names = ("signal", "activation")
    nonlinear = True
    blind = (1,)
    statistic = "mask"

    def __post_init__(self) -> None:
        if not 0 <= self.percentile <= 100:
            raise InputError(f"RankGate: a percentile is 0 to 100; got {self.percentile}.")

    def forward(self, p: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, Packed]:
        product = as_array(p * a)
        each = product.reshape(len(product), -1)
        rank = self.rank(each.shape[1])
        tau = np.partition(each, rank, axis=1)[:, rank]
        passes = product > tau.reshape(-1, *[1] * (product.ndim - 1))
        return np.where(passes, p, p.dtype.type(0)), Packed.pack(passes)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt != 0:
            return super().transposed(kept, wrt)
        return Mask(kept.bits_of(self))

    def rank(self, units: int) -> int:
        """Which of so many sorted numbers is tau, from 0."""
        return round((units - 1) * self.percentile / 100)

    def shape(self, *shapes: Shape) -> Shape:
        p, a = shapes
        if not p or prod(p[1:]) == 0 or a[1:] != p[1:] or a[0] not in (1, p[0]):
            raise ShapeError(f"RankGate: a signal {p} needs activations of its shape; got {a}.")
        return p
