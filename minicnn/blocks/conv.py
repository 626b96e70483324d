"""Convolution, and its two transposes: one trilinear form seen from its three sides.

    <p, conv(x, w)>  =  <conv_transpose(p, w), x>  =  <conv_filter(p, x), w>

    block            is linear in      transposed with respect to each
    Conv             x, w              ConvTranspose(p, w)    ConvFilter(p, x)
    ConvTranspose    p, w              Conv(q, w)             ConvFilter(p, q)
    ConvFilter       p, x              Conv(x, v)             ConvTranspose(p, v)

Shapes: x (N, C, *size), w (O, C/groups, *kernel), p (N, O, *out). A frozen convolution keeps
nothing for its transpose but the filters, which are there anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.reduce import Sum
from minicnn.blocks.sight import Box, clipped
from minicnn.errors import InputError, ShapeError
from minicnn.kernels import Window

__all__ = ["Conv", "ConvFilter", "ConvTranspose"]


class _Convolution(Block):
    """What the three share: a window, groups, and their drawing."""

    window: Window
    groups: int

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise InputError(f"{self.kind} needs 1 group or more; got {self.groups}.")

    def settings(self) -> str:
        w = self.window
        shown = ["x".join(map(str, w.kernel))]
        if set(w.stride) != {1}:
            shown.append("stride " + "x".join(map(str, w.stride)))
        if any(w.pads):
            one = len(set(w.pads)) == 1
            shown.append("pad " + (str(w.pads[0]) if one else ",".join(map(str, w.pads))))
        if set(w.dilation) != {1}:
            shown.append("dilation " + "x".join(map(str, w.dilation)))
        if self.groups != 1:
            shown.append(f"groups {self.groups}")
        return ", ".join(shown)

    def _check_rank(self, name: str, shape: Shape) -> None:
        rank = self.window.rank
        if len(shape) != rank + 2:
            raise ShapeError(
                f"{self.kind} with a {rank}-D kernel: its {name} needs {rank + 2} axes "
                f"(batch, channels, {rank} spatial); it got shape {shape}."
            )


def _bias_sum(p: Any) -> Any:
    """Transpose with respect to the bias: sum over batch and space."""
    return Sum((0, *range(2, len(p.shape))))(p)


def _check_bias(kind: str, shapes: tuple[Shape, ...], channels: int) -> None:
    if len(shapes) > 2 and shapes[2] != (channels,):
        raise ShapeError(
            f"{kind} with {channels} output channels needs a bias of shape ({channels},); "
            f"it got {shapes[2]}."
        )


@dataclass(frozen=True)
class Conv(_Convolution):
    """y = w * x + b, a cross-correlation of any rank; operands input, filters, optional bias."""

    window: Window
    groups: int = 1
    operand_names = ("input", "weight", "bias")

    def forward(
        self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None
    ) -> tuple[np.ndarray, None]:
        return kernels.conv(x, w, b, self.window, self.groups), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 0:
            size = kept.shapes[0][2:]
            out = self.window.output_size(size)
            least = self.window.transposed_size(out, (0,) * self.window.rank)
            extra = tuple(n - m for n, m in zip(size, least, strict=True))
            back = ConvTranspose(self.window, self.groups, extra)
            return lambda p: back(p, kept[1])
        if wrt == 1:
            return lambda p: ConvFilter(self.window, self.groups)(p, kept[0])
        return _bias_sum

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return ((1,), (0,), ())[wrt]

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.window.reads(box) if wrt == 0 else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return clipped(self.window.reached(box), self.shape(*shapes)) if wrt == 0 else None

    def on_part(self) -> Conv:
        return Conv(self.window.inside(), self.groups)

    def shape(self, *shapes: Shape) -> Shape:
        x, w = shapes[:2]
        self._check_rank("input", x)
        self._check_rank("weight", w)
        if w[2:] != self.window.kernel:
            raise ShapeError(f"{self.kind} has kernel {self.window.kernel}, its filters {w[2:]}.")
        if x[1] != w[1] * self.groups or w[0] % self.groups:
            raise ShapeError(
                f"{self.kind} with filters of shape {w} in {self.groups} group(s) needs "
                f"{w[1] * self.groups} input channels; it got {x[1]}."
            )
        _check_bias(self.kind, shapes, w[0])
        out = self.window.output_size(x[2:])
        if min(out) < 1:
            raise ShapeError(
                f"{self.kind} with a window of {self.window.extent} and pads {self.window.pads} "
                f"does not fit into an input of {x[2:]}. Give a larger image."
            )
        return (x[0], w[0], *out)

    def flops(self, *shapes: Shape) -> int:
        return 2 * prod(self.shape(*shapes)) * prod(shapes[1][1:])


@dataclass(frozen=True)
class ConvTranspose(_Convolution):
    """The transpose of Conv with respect to its input, as a block of its own.

    Output size s (o - 1) + k' - pads + output_padding. Operands: input (N, O, *out), the filters of
    the convolution it transposes (O, C/groups, *kernel), optional bias (C).
    """

    window: Window
    groups: int = 1
    output_padding: tuple[int, ...] = (0, 0)
    operand_names = ("input", "weight", "bias")

    def forward(
        self, p: np.ndarray, w: np.ndarray, b: np.ndarray | None = None
    ) -> tuple[np.ndarray, None]:
        size = self.window.transposed_size(p.shape[2:], self.output_padding)
        return kernels.conv_transpose(p, w, b, self.window, self.groups, size), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        if wrt == 2:
            return _bias_sum
        window = self._forward_window(kept.shapes[0][2:])
        if wrt == 0:
            return lambda q: Conv(window, self.groups)(q, kept[1])
        return lambda q: ConvFilter(window, self.groups)(kept[0], q)

    def _forward_window(self, out: Shape) -> Window:
        """The window of the convolution transposed here.

        Where output_padding leaves room for one more stride, its end pads are cut by as much, so
        that it takes the output back to exactly `out`.
        """
        size = self.window.transposed_size(out, self.output_padding)
        if self.window.output_size(size) == out:
            return self.window
        ends = tuple(e - o for e, o in zip(self.window.ends, self.output_padding, strict=True))
        return dataclasses.replace(self.window, pads=self.window.begins + ends)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return ((1,), (0,), ())[wrt]

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return clipped(self.window.reached(box), shapes[0]) if wrt == 0 else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return clipped(self.window.reads(box), self.shape(*shapes)) if wrt == 0 else None

    def shape(self, *shapes: Shape) -> Shape:
        p, w = shapes[:2]
        self._check_rank("input", p)
        self._check_rank("weight", w)
        if p[1] != w[0] or w[0] % self.groups:
            raise ShapeError(
                f"{self.kind} with filters of shape {w} in {self.groups} group(s) needs "
                f"{w[0]} input channels; it got {p[1]}."
            )
        channels = w[1] * self.groups
        _check_bias(self.kind, shapes, channels)
        size = self.window.transposed_size(p[2:], self.output_padding)
        if min(size) < 1:
            raise ShapeError(f"{self.kind} would give an empty output {size} from {p}.")
        return (p[0], channels, *size)

    def flops(self, *shapes: Shape) -> int:
        return 2 * prod(shapes[0]) * prod(shapes[1][1:])


@dataclass(frozen=True)
class ConvFilter(_Convolution):
    """The transpose of Conv with respect to its filters: how p and x correlate, tap by tap.

    Operands: p (N, O, *out) and x (N, C, *size); output (O, C/groups, *kernel).
    """

    window: Window
    groups: int = 1
    operand_names = ("signal", "input")

    def forward(self, p: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.conv_filter(p, x, self.window, self.groups), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        forward = Conv(self.window, self.groups)
        if wrt == 0:
            return lambda v: forward(kept[1], v)
        size = kept.shapes[1][2:]
        least = self.window.transposed_size(kept.shapes[0][2:], (0,) * self.window.rank)
        extra = tuple(n - m for n, m in zip(size, least, strict=True))
        return lambda v: ConvTranspose(self.window, self.groups, extra)(kept[0], v)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1 - wrt,)

    def shape(self, *shapes: Shape) -> Shape:
        p, x = shapes
        self._check_rank("signal", p)
        self._check_rank("input", x)
        if p[0] != x[0] or p[2:] != self.window.output_size(x[2:]):
            raise ShapeError(f"{self.kind}: signal {p} is not shaped like a convolution of {x}.")
        if p[1] % self.groups or x[1] % self.groups:
            raise ShapeError(f"{self.kind}: {self.groups} groups do not divide {p[1]} and {x[1]}.")
        return (p[1], x[1] // self.groups, *self.window.kernel)

    def flops(self, *shapes: Shape) -> int:
        p, x = shapes
        return 2 * prod(p) * (x[1] // self.groups) * self.window.volume
