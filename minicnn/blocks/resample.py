"""Resampling along one axis, and the taps of ONNX's Resize.

    Resample             y[o] = sum over taps t of weights[o, t] x[indices[o, t]]
    ResampleTransposed   x[indices[o, t]] += weights[o, t] p[o]

are each other's transposes. Interpolation is separable: an image is resampled along one axis after
the other. `resize_taps` says which taps an output has: where it lies among the inputs,

    half_pixel    x = (o + 1/2) / scale - 1/2        (and its relatives)

and how much its neighbours count: the nearest one, the two around it by their distance, or four
by Keys' cubic. What lies outside repeats the border.

Source: ONNX, operator Resize; R. Keys, "Cubic convolution interpolation", 1981.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape, axis_of
from minicnn.blocks.sight import Box, of_table, to_table
from minicnn.errors import InputError, ShapeError

__all__ = ["Resample", "ResampleTransposed", "cubic_weight", "resize_taps"]


class _Resampling(Block):
    axis: int
    indices: np.ndarray
    weights: np.ndarray
    size: int

    @property
    def plain(self) -> bool:
        """Whether each output is just one input."""
        return self.indices.shape[1] == 1 and bool((self.weights == 1).all())

    def weight(self, tap: int, like: np.ndarray) -> np.ndarray:
        """The weights of a tap, so that they broadcast along the axis."""
        after = like.ndim - 1 - self.axis % like.ndim
        weights = kernels.table(self.weights, like, like.dtype)[:, tap]
        return weights.reshape(-1, *[1] * after)

    def along(self, shape: Shape, length: int, new: int) -> Shape:
        """The shape with another length along the axis."""
        axis = axis_of(self, self.axis, len(shape))
        if shape[axis] != length:
            raise ShapeError(f"{self.kind} needs length {length} on axis {self.axis}; got {shape}.")
        return (*shape[:axis], new, *shape[axis + 1 :])

    def settings(self) -> str:
        out, taps = self.indices.shape
        return f"axis {self.axis}, {self.size} to {out}, {taps} tap" + "s" * (taps > 1)

    def flops(self, *shapes: Shape) -> int:
        taps = self.indices.shape[1]
        rest = prod(shapes[0]) // max(1, shapes[0][self.axis])
        return 0 if self.plain else 2 * rest * self.indices.shape[0] * taps


@dataclass(frozen=True, eq=False)
class Resample(_Resampling):
    """y[o] = sum over t of weights[o, t] x[indices[o, t]] along an axis of length `size`."""

    axis: int
    indices: np.ndarray
    weights: np.ndarray
    size: int

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        indices = kernels.table(self.indices, x)
        y = np.take(x, indices[:, 0], axis=self.axis)
        if self.plain:
            return y, None
        y *= self.weight(0, x)
        on_card = kernels.on_gpu(x)
        part = y if on_card else np.empty_like(y)
        for tap in range(1, self.indices.shape[1]):
            if on_card:
                part = np.take(x, indices[:, tap], axis=self.axis)
            else:  # clipping nothing spares a copy
                np.take(x, indices[:, tap], axis=self.axis, out=part, mode="clip")
            part *= self.weight(tap, x)
            y += part
        return y, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return ResampleTransposed(self.axis, self.indices, self.weights, self.size)

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        place = self._place(shapes[0], box)
        if place is None:
            return box
        return (*box[:place], of_table(self.indices, box[place]), *box[place + 1 :])

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        place = self._place(shapes[0], box)
        if place is None:
            return box
        return (*box[:place], to_table(self.indices, box[place]), *box[place + 1 :])

    def _place(self, x: Shape, box: Box) -> int | None:
        """Which span of a box lies along the axis, if one does."""
        place = self.axis % len(x) - (len(x) - len(box))
        return place if place >= 0 else None

    def shape(self, *shapes: Shape) -> Shape:
        return self.along(shapes[0], self.size, len(self.indices))


@dataclass(frozen=True, eq=False)
class ResampleTransposed(_Resampling):
    """x[indices[o, t]] += weights[o, t] p[o] along an axis that becomes `size` long."""

    axis: int
    indices: np.ndarray
    weights: np.ndarray
    size: int

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, None]:
        axis = self.axis % p.ndim
        x = None
        for tap in range(self.indices.shape[1]):
            part = p if self.plain else p * self.weight(tap, p)
            put = kernels.put_add(part, self.indices[:, tap], axis, self.size)
            x = put if x is None else np.add(x, put, out=x)
        return x, None  # type: ignore[return-value]

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Resample(self.axis, self.indices, self.weights, self.size)

    def shape(self, *shapes: Shape) -> Shape:
        return self.along(shapes[0], len(self.indices), self.size)


def cubic_weight(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic: 1 at distance 0, and 0 at 1 and from 2 on."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _coordinates(
    size: int, out: int, scale: float, coordinates: str, roi: tuple[float, float]
) -> np.ndarray:
    """Where each output lies among the inputs."""
    o = np.arange(out, dtype=np.float64)
    center = (o + 0.5) / scale - 0.5
    if coordinates == "half_pixel":
        return center
    if coordinates == "half_pixel_symmetric":
        return size / 2 * (1 - out / (scale * size)) + center
    if coordinates == "pytorch_half_pixel":
        return center if out > 1 else np.zeros(1)
    if coordinates == "align_corners":
        length = scale * size  # not made whole: ONNX's own tests have it so
        return np.zeros(out) if length == 1 else o * ((size - 1) / (length - 1))
    if coordinates == "asymmetric":
        return o / scale
    if coordinates == "tf_half_pixel_for_nn":
        return (o + 0.5) / scale
    if coordinates == "tf_crop_and_resize":
        start, end = roi
        if out == 1:
            return np.full(1, (start + end) * (size - 1) / 2)
        return start * (size - 1) + o * ((end - start) * (size - 1) / (out - 1))
    raise InputError(f"Resize: there are no coordinates {coordinates!r}.")


def _nearest(x: np.ndarray, rounding: str) -> np.ndarray:
    halves = np.rint(2 * x) / 2
    x = np.where(np.isclose(x, halves, rtol=1e-12, atol=1e-9), halves, x)  # 2.9999999999 is 3
    if rounding == "round_prefer_floor":
        return np.ceil(x - 0.5)
    if rounding == "round_prefer_ceil":
        return np.floor(x + 0.5)
    if rounding == "floor":
        return np.floor(x)
    if rounding == "ceil":
        return np.ceil(x)
    raise InputError(f"Resize: there is no way {rounding!r} to find the nearest.")


def resize_taps(
    size: int,
    out: int,
    scale: float,
    mode: str,
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    cubic_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
    roi: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The taps of one axis of ONNX's Resize.

    Parameters
    ----------
    size, out : int
        Lengths of input and output.
    scale : float
        Their ratio as it was asked for; `out` may have been rounded.
    mode : str
        "nearest", "linear" or "cubic".
    coordinates, nearest : str
        As ONNX calls them; `nearest` is read by that mode only.
    cubic_a : float
        The cubic's parameter.
    exclude_outside : bool
        Weights outside of the input are 0 and the others sum to 1 ("linear" and "cubic").
    antialias : bool
        Widen the window when making smaller.
    roi : pair of float
        Start and end for "tf_crop_and_resize".

    Returns
    -------
    indices : numpy.ndarray of int64, shape (out, taps)
        Inputs, the border repeated.
    weights : numpy.ndarray of float64, shape (out, taps)
        Their weights.
    outside : numpy.ndarray of bool, shape (out,)
        Outputs that lie outside of the input ("tf_crop_and_resize" only): Resize gives them its
        extrapolation value.

    Raises
    ------
    InputError
        If a mode has another name, or the lengths are not 1 or more.
    """
    if size < 1 or out < 1 or not scale > 0:
        raise InputError(f"Resize needs lengths of 1 or more; got {size} to {out}.")
    x = _coordinates(size, out, scale, coordinates, roi)
    outside = np.zeros(out, bool)
    if coordinates == "tf_crop_and_resize":
        outside = (x < 0) | (x > size - 1)
    if mode == "nearest":
        at = _nearest(x, nearest)[:, None]
        weights = np.ones_like(at)
    elif mode in ("linear", "cubic"):
        reach, shrink = (1 if mode == "linear" else 2), (min(scale, 1.0) if antialias else 1.0)
        half = ceil(reach / shrink)
        at = np.floor(x)[:, None] + np.arange(1 - half, half + 1)
        distance = (at - x[:, None]) * shrink
        if mode == "linear":
            weights = np.maximum(1 - np.abs(distance), 0)
        else:
            weights = cubic_weight(distance, cubic_a)
        if exclude_outside:
            weights = np.where((at >= 0) & (at < size), weights, 0)
        if exclude_outside or antialias:
            total = weights.sum(1, keepdims=True)
            weights = weights / np.where(total == 0, 1, total)
    else:
        raise InputError(f"Resize: mode {mode!r} is none of nearest, linear, cubic.")
    return np.clip(at, 0, size - 1).astype(np.int64), weights, outside
