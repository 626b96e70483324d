"""Resize: resampling along one axis of any length, by a factor or to a length.

`Resample` holds the taps of one input length; Resize makes them when it sees its input, so that a
network that enlarges images takes images of any size. Transposed: `ResampleTransposed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import Any

import numpy as np

from minicnn.blocks.base import Block, Kept, Shape, axis_of
from minicnn.blocks.resample import Resample, resize_taps
from minicnn.blocks.sight import Box
from minicnn.errors import InputError, ShapeError

__all__ = ["Resize"]


@lru_cache(256)
def _kept_taps(*settings: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`resize_taps`, worked out once; tables of equal settings are the same arrays."""
    found = resize_taps(*settings)
    for table in found:
        table.flags.writeable = False
    return found


@dataclass(frozen=True)
class Resize(Block):
    """y = x resampled along an axis; the settings are those of `resize_taps`.

    Parameters
    ----------
    axis : int
        Which.
    factor : float, optional
        The output is floor(factor n) long.
    out : int, optional
        The output's length, where no factor is given.
    ratio : float, optional
        With `out`: output to input length for the coordinates, where it is not out / n.
    """

    axis: int
    factor: float | None = None
    out: int | None = None
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    roi: tuple[float, float] = (0.0, 1.0)
    ratio: float | None = None
    kinds = "iuf"

    def __post_init__(self) -> None:
        if (self.factor is None) == (self.out is None):
            raise InputError("Resize needs a factor or an output length, one of them.")
        if self.factor is not None and not 0 < self.factor < 2**31:
            raise InputError(f"Resize by {self.factor}: a positive factor is needed.")

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return self.taken_at(x.shape[self.axis]).forward(x)

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return self.taken_at(kept.shapes[0][self.axis]).transposed(kept)

    def taken_at(self, size: int) -> Resample:
        """The same for one input length."""
        indices, weights, _ = self._taps(size)
        return Resample(self.axis, indices, weights, size)

    def outside(self, size: int) -> np.ndarray:
        """Which outputs lie outside of the input, shape (out,): tf_crop_and_resize only."""
        return self._taps(size)[2]

    def length(self, size: int) -> int:
        """The output's length."""
        return floor(self.factor * size) if self.factor is not None else self.out  # type: ignore[return-value]

    def _taps(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        out = self.length(size)
        return _kept_taps(
            size, out, self.factor or self.ratio or out / size, self.mode, self.coordinates,
            self.nearest, self.cubic_a, self.exclude_outside, self.antialias, self.roi,
        )  # fmt: skip

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.taken_at(shapes[0][self.axis]).reads(wrt, shapes, box)

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.taken_at(shapes[0][self.axis]).reached(wrt, shapes, box)

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        axis = axis_of(self, self.axis, len(x))
        if x[axis] < 1 or self.length(x[axis]) < 1:
            raise ShapeError(f"Resize of axis {self.axis} of {x} leaves nothing.")
        return (*x[:axis], self.length(x[axis]), *x[axis + 1 :])

    def settings(self) -> str:
        how = f"x{self.factor:g}" if self.factor is not None else f"to {self.out}"
        return f"axis {self.axis}, {how}, {self.mode}"
