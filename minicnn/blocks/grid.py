"""Sampling images at the places that a grid names (spatial transformers).

    GridSample   y[n, c, o] = sum over taps t of w_t(grid[n, o]) x[n, c, i_t(grid[n, o])]
    GridPut      x[n, c, i_t] += w_t p[n, c, o]                    the transpose in x
    GridSlope    g[n, o] = sum over c, t of p x[i_t] dw_t/dgrid    the transpose in the grid
    GridSlide    y[n, c, o] = <dy/dgrid, v[n, o]>                  the transpose of GridSlope in p

A grid holds coordinates from -1 to 1, the last axis of the image first: -1 and 1 are the outermost
pixels' centres (align_corners) or the image's edges. What lies outside is zero, the border, or the
image in a mirror. Source: Jaderberg et al., "Spatial Transformer Networks", 2015; ONNX GridSample.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.resample import cubic_weight
from minicnn.errors import InputError, NotDifferentiableError, ShapeError

__all__ = ["GridPut", "GridSample", "GridSlide", "GridSlope"]

Taps = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Grid(Block):
    """What a grid's coordinates mean."""

    mode: str = "linear"
    padding: str = "zeros"
    align_corners: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("linear", "nearest", "cubic"):
            raise InputError(f"{self.kind}: mode {self.mode!r} is none of linear, nearest, cubic.")
        if self.padding not in ("zeros", "border", "reflection"):
            raise InputError(
                f"{self.kind}: padding {self.padding!r} is none of zeros, border, reflection."
            )

    def _like(self, kind: type[_Grid], *more: Any) -> Any:
        return kind(self.mode, self.padding, self.align_corners, *more)

    def _held(self, u: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates brought into the image as the padding says, and the slope of doing so."""
        if self.padding == "zeros":
            return u, np.ones_like(u)
        low, high = (0.0, n - 1.0) if self.align_corners else (-0.5, n - 0.5)
        slope = np.ones_like(u)
        if self.padding == "reflection":
            rest = np.mod(u - low, 2 * (high - low)) if n > 1 or low else np.zeros_like(u)
            there = rest <= high - low
            u = np.where(there, rest, 2 * (high - low) - rest) + u.dtype.type(low)
            slope = np.where(there, slope, -slope)
        if self.mode == "cubic":
            return u, slope
        return np.clip(u, 0, n - 1), slope * ((u > 0) & (u < n - 1))

    def _axis(self, u: np.ndarray, n: int) -> Taps:
        """For each tap along one axis: pixel, weight, slope of the weight; 0 outside."""
        u = np.where(np.abs(u) < 2**30, u, np.copysign(u.dtype.type(2**30), u))  # NaN, too
        taps: Taps = []
        if self.mode == "nearest":
            at, _ = self._held(np.rint(u), n)
            taps = [(at, np.ones_like(u), np.zeros_like(u))]
        elif self.mode == "linear":
            held, slope = self._held(u, n)
            at = np.floor(held)
            far = held - at
            taps = [(at, 1 - far, -slope), (at + 1, far, slope)]
        else:
            held, _ = self._held(u, n)
            for step in (-1, 0, 1, 2):
                at = np.floor(held) + step
                weight = cubic_weight(at - held, -0.75).astype(u.dtype)
                at = np.clip(self._held(at, n)[0], 0, n - 1) if self.padding != "zeros" else at
                taps.append((at, weight, np.zeros_like(u)))
        result = []
        for at, weight, slope in taps:
            index = at.astype(np.int64)
            inside = (index >= 0) & (index < n)
            result.append((np.clip(index, 0, n - 1), weight * inside, slope * inside))
        return result

    def taps(self, grid: np.ndarray, size: Shape, along: int | None = None) -> Iterator[Any]:
        """Flat pixels (N, places) and weights; or the weights' slopes along a column of grid."""
        flat = grid.reshape(len(grid), -1, len(size))
        axes = []
        for axis, n in enumerate(size):
            column = len(size) - 1 - axis
            g = flat[..., column]
            u = (g + 1) / 2 * (n - 1) if self.align_corners else ((g + 1) * n - 1) / 2
            rise = (n - 1) / 2 if self.align_corners else n / 2
            taps = self._axis(u, n)
            if column == along:
                axes.append([(index, slope * slope.dtype.type(rise)) for index, _, slope in taps])
            else:
                axes.append([(index, weight) for index, weight, _ in taps])
        for chosen in product(*axes):
            index, weight = chosen[0]
            for n, (more, factor) in zip(size[1:], chosen[1:], strict=True):
                index, weight = index * n + more, weight * factor
            yield index, weight

    def _sampled(self, x: np.ndarray, grid: np.ndarray, along: int | None = None) -> np.ndarray:
        pixels = x.reshape(*x.shape[:2], -1)
        y = np.zeros_like(x, shape=(*x.shape[:2], prod(grid.shape[1:-1])))
        for index, weight in self.taps(grid, x.shape[2:], along):
            weight = weight.astype(x.dtype)
            for n in range(len(x)):
                y[n] += np.take(pixels[n], index[n], axis=1) * weight[n]
        return y.reshape(*x.shape[:2], *grid.shape[1:-1])

    def _fits(self, x: Shape, grid: Shape) -> None:
        """Check an image's and a grid's shapes."""
        rank = len(x) - 2
        if rank not in (2, 3) or len(grid) != len(x) or grid[0] != x[0] or grid[-1] != rank:
            raise ShapeError(
                f"{self.kind} needs images (N, C, H, W) with a grid (N, H', W', 2), or (N, C, D, "
                f"H, W) with (N, D', H', W', 3); it got {x} and {grid}."
            )
        if rank == 3 and self.mode == "cubic":
            raise ShapeError(f"{self.kind} is cubic for images only, not for volumes {x}.")

    def _no_slope(self) -> NotDifferentiableError:
        return NotDifferentiableError(
            f"{self.kind} has a gradient in this operand for mode linear only; its mode is "
            f"{self.mode}."
        )

    def flops(self, *shapes: Shape) -> int:
        taps = {"nearest": 1, "linear": 2, "cubic": 4}[self.mode] ** (len(shapes[0]) - 2)
        return 20 * taps * prod(self.shape(*shapes))  # places and weights, and the sum


@dataclass(frozen=True)
class GridSample(_Grid):
    """y = x read at the grid's places. Operands (N, C, H, W) and (N, H', W', 2), or a volume's."""

    operand_names = ("input", "grid")

    def forward(self, x: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, None]:
        return self._sampled(x, grid), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            put = self._like(GridPut, kept.shapes[0][2:])
            return lambda p: put(p, kept[1])
        if self.mode != "linear":
            raise self._no_slope()
        return lambda p: self._like(GridSlope)(p, kept[0], kept[1])

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        if wrt == 0:
            return (1,)
        return (0, 1) if self.mode == "linear" else ()

    def shape(self, *shapes: Shape) -> Shape:
        self._fits(*shapes)
        return (*shapes[0][:2], *shapes[1][1:-1])

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return dtypes[0]


@dataclass(frozen=True)
class GridPut(_Grid):
    """x = zeros of a spatial `size`, with each p added where the grid says."""

    size: Shape = ()
    operand_names = ("signal", "grid")

    def forward(self, p: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, None]:
        x = np.zeros_like(p, shape=(*p.shape[:2], prod(self.size)))
        flat = p.reshape(*p.shape[:2], -1)
        for index, weight in self.taps(grid, self.size):
            weight = weight.astype(p.dtype)
            for n in range(len(p)):
                x[n] += kernels.put_add(flat[n] * weight[n], index[n], 1, x.shape[2])
        return x.reshape(*p.shape[:2], *self.size), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            return lambda q: self._like(GridSample)(q, kept[1])
        if self.mode != "linear":
            raise self._no_slope()
        return lambda q: self._like(GridSlope)(kept[0], q, kept[1])

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        if wrt == 0:
            return (1,)
        return (0, 1) if self.mode == "linear" else ()

    def shape(self, *shapes: Shape) -> Shape:
        p, grid = shapes
        x = (*p[:2], *self.size)
        self._fits(x, grid)
        if p[2:] != grid[1:-1]:
            raise ShapeError(f"GridPut of a signal {p} needs a grid of its size; it got {grid}.")
        return x

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return dtypes[0]


class _Slope(_Grid):
    """Slopes are those of linear interpolation, and have none of their own."""

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            return lambda q: self._like(self._other)(q, kept[1], kept[2])
        raise NotDifferentiableError(f"{self.kind} is differentiable in its signal only.")

    @property
    @abstractmethod
    def _other(self) -> type[_Grid]:
        """The slope's transpose in its signal."""

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1, 2) if wrt == 0 else ()

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        return dtypes[0]


@dataclass(frozen=True)
class GridSlope(_Slope):
    """g = for each place of the grid, <p, dy/dgrid> over the channels."""

    operand_names = ("signal", "input", "grid")

    def forward(self, p: np.ndarray, x: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, None]:
        columns = [(p * self._sampled(x, grid, i)).sum(axis=1) for i in range(grid.shape[-1])]
        return np.stack(columns, axis=-1), None

    @property
    def _other(self) -> type[_Grid]:
        return GridSlide

    def shape(self, *shapes: Shape) -> Shape:
        p, x, grid = shapes
        self._fits(x, grid)
        if p != (*x[:2], *grid[1:-1]):
            raise ShapeError(f"GridSlope of {x} and {grid}: the signal {p} has another shape.")
        return grid


@dataclass(frozen=True)
class GridSlide(_Slope):
    """y = how the samples change when the grid's places move by v."""

    operand_names = ("motion", "input", "grid")

    def forward(self, v: np.ndarray, x: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, None]:
        y = np.zeros_like(x, shape=(*x.shape[:2], *grid.shape[1:-1]))
        for i in range(grid.shape[-1]):
            y += self._sampled(x, grid, i) * v[:, None, ..., i]
        return y, None

    @property
    def _other(self) -> type[_Grid]:
        return GridSlope

    def shape(self, *shapes: Shape) -> Shape:
        v, x, grid = shapes
        self._fits(x, grid)
        if v != grid:
            raise ShapeError(f"GridSlide needs a motion shaped like the grid {grid}; got {v}.")
        return (*x[:2], *grid[1:-1])
