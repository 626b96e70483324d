"""Powers whose exponent is a value too.

    y = a^b        p -> p b a^(b - 1)        p -> p y ln a

`Power` (arithmetic) has a constant exponent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.blocks.arithmetic import summed
from minicnn.blocks.base import OUTPUT, Block, Kept
from minicnn.blocks.choose import Compare, Where
from minicnn.blocks.relu import Clip
from minicnn.blocks.smooth import Log

__all__ = ["Pow"]


@dataclass(frozen=True)
class Pow(Block):
    """y = a^b of two operands; where a is 0 the exponent gets no signal."""

    operand_names = ("base", "exponent")
    nonlinear = True
    kinds = "iuf"
    pointwise = True

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return np.power(a, b, dtype=None if a.dtype.kind == "f" else np.float64).astype(
            self.dtype(a.dtype, b.dtype), copy=False
        ), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            flat = Compare("equal")(kept[1], 0.0)  # a^0 is 1 everywhere
            slope = kept[1] * Pow()(kept[0], kept[1] - 1.0)
            return summed(lambda p: p * Where()(flat, 0.0, slope), kept, wrt)
        log = Log()(Clip(low=1e-30)(kept[0]))  # finite at 0, where y is 0
        return summed(lambda p: p * (kept.output * log), kept, wrt)

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        whole = all(dtype.kind in "iu" for dtype in dtypes)
        return dtypes[0] if whole else np.result_type(*dtypes)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0, 1) if wrt == 0 else (0, OUTPUT)
