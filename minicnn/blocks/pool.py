"""Max-pooling, and its three ways back.

    MaxPool      y = max over each window         keeps which tap won, log2(taps) bits a window
    Unpool       adds p to the tap that won       the transpose of MaxPool
    Gather       reads the tap that won           the transpose of Unpool
    UnpoolCenter adds p to the window's centre    what remains of Unpool without switches

Where windows overlap the transpose *adds*; an "unpooling" that assigns is not the transpose.
Padding is minus infinity. Of equal values the first in row-major order wins: after a ReLU many
windows are all zero, and route whatever arrives to their first tap. Rules that use the ReLU mask
kill such a signal one block later; rules that do not (DeConvNet) let it through, so only those
depend on this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.sight import Box, clipped
from minicnn.errors import ShapeError
from minicnn.kernels import Packed, Window

__all__ = ["AveragePool", "AverageUnpool", "Gather", "MaxPool", "Unpool", "UnpoolCenter"]


def _settings(window: Window) -> str:
    shown = ["x".join(map(str, window.kernel)), "stride " + "x".join(map(str, window.stride))]
    if any(window.pads):
        shown.append("pads " + ",".join(map(str, window.pads)))
    if set(window.dilation) != {1}:
        shown.append("dilation " + "x".join(map(str, window.dilation)))
    if window.ceil_mode:
        shown.append("ceil")
    return ", ".join(shown)


def _pooled(block: Block, window: Window, x: Shape) -> Shape:
    """Output shape of pooling x, or an error for people."""
    if len(x) != window.rank + 2:
        raise ShapeError(
            f"{block.kind} over {window.rank} axes needs an input of {window.rank + 2} axes; "
            f"it got shape {x}."
        )
    out = window.output_size(x[2:])
    if min(out) < 1:
        raise ShapeError(
            f"{block.kind} with a window of {window.extent} does not fit into an input of "
            f"{x[2:]}. Give a larger image."
        )
    return (*x[:2], *out)


@dataclass(frozen=True)
class MaxPool(Block):
    """y = max over each window; window None pools over the whole image.

    Transposed: `Unpool` by the switches kept, ceil(log2(taps)) bits a window.
    """

    window: Window | None
    statistic = "switches"
    kinds = "iuf"
    filling = float(np.finfo(np.float32).min)  # as good as minus infinity, and finite

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Packed]:
        return kernels.max_pool(x, self.over(x.shape))

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Unpool(kept.bits_of(self), self.over(kept.shapes[0]), kept.shapes[0][2:])

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return None if self.window is None else self.window.reads(box)

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        if self.window is None:
            return None
        return clipped(self.window.reached(box), self.shape(*shapes))

    def on_part(self) -> MaxPool | None:
        return None if self.window is None else MaxPool(self.window.inside())

    def levels(self, *shapes: Shape) -> int:
        return self.over(shapes[0]).volume

    def to_center(self, x: Shape) -> UnpoolCenter:
        """The reversal that forgets the switches, for an input of shape x."""
        return UnpoolCenter(self.over(x), x[2:])

    def over(self, x: Shape) -> Window:
        """The window, or one as large as the image."""
        if self.window is not None:
            return self.window
        size = x[2:]
        rank = len(size)
        return Window(size, (1,) * rank, (0,) * 2 * rank, (1,) * rank)

    def shuffled(self, kept: Kept, seed: Sequence[int]) -> Kept:
        """Random switches: each window picks one of its taps inside the image, all alike."""
        switches = kept.bits_of(self)
        window, size = self.over(kept.shapes[0]), kept.shapes[0][2:]
        inside = window.tap_in_image(size)  # (taps, *out)
        generator = np.random.default_rng(seed)
        switch = np.empty(switches.shape, np.min_scalar_type(window.volume))
        for n in range(switches.shape[0]):  # image by image: the batch does not matter
            scores = generator.random((window.volume, *switches.shape[1:]), np.float32)
            scores[np.broadcast_to(~inside[:, None], scores.shape)] = -1
            switch[n] = scores.argmax(0)
        return kept.replaced(Packed.pack(switch, window.volume))

    @property
    def kind(self) -> str:
        return "GlobalMaxPool" if self.window is None else "MaxPool"

    def settings(self) -> str:
        return "" if self.window is None else _settings(self.window)

    def shape(self, *shapes: Shape) -> Shape:
        window = self.over(shapes[0])
        out = _pooled(self, window, shapes[0])
        if not any(window.pads):
            return out
        if not all(pixels.any(1).all() for pixels in window.pixels_by_axis(shapes[0][2:])):
            raise ShapeError(
                f"{self.kind} over {shapes[0][2:]} with pads {window.pads} has windows that lie "
                f"wholly in the padding: there is no maximum. Use smaller pads."
            )
        return out

    def flops(self, *shapes: Shape) -> int:
        return prod(self.shape(*shapes)) * self.over(shapes[0]).volume


class _Unpooling(Block):
    """What carries a pooled signal back into an image of a given size."""

    window: Window
    size: Shape

    def settings(self) -> str:
        return _settings(self.window)

    def shape(self, *shapes: Shape) -> Shape:
        if shapes[0][2:] != self.window.output_size(self.size):
            raise ShapeError(
                f"{self.kind} to {self.size} needs a signal of "
                f"{self.window.output_size(self.size)}; it got {shapes[0]}."
            )
        return (*shapes[0][:2], *self.size)


@dataclass(frozen=True, eq=False)
class Unpool(_Unpooling):
    """x[winner of each window] += p. Adds where windows overlap."""

    switches: Packed
    window: Window
    size: Shape

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.unpool(p, self.switches, self.window, self.size), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Gather(self.switches, self.window, self.size)


@dataclass(frozen=True, eq=False)
class Gather(Block):
    """y = x[winner of each window]: max-pooling with its choice frozen, which is linear."""

    switches: Packed
    window: Window
    size: Shape

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.gather(x, self.switches, self.window), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return Unpool(self.switches, self.window, self.size)

    def settings(self) -> str:
        return _settings(self.window)

    def shape(self, *shapes: Shape) -> Shape:
        return _pooled(self, self.window, shapes[0])


@dataclass(frozen=True)
class UnpoolCenter(_Unpooling):
    """x[centre of each window] += p: the reversal of pooling when the switches are forgotten."""

    window: Window
    size: Shape

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.unpool_center(p, self.window, self.size), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        tap = kernels.center_tap(self.window)
        values = np.full(kept.shapes[0], tap, np.min_scalar_type(self.window.volume))
        return Gather(Packed.pack(values, self.window.volume), self.window, self.size)


@dataclass(frozen=True)
class AveragePool(Block):
    """y = mean over each window; include_pad says whether padding counts as zeros."""

    window: Window
    include_pad: bool = False

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.average_pool(x, self.window, self.include_pad), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return AverageUnpool(self.window, kept.shapes[0][2:], self.include_pad)

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.window.reads(box)

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return clipped(self.window.reached(box), self.shape(*shapes))

    def on_part(self) -> AveragePool | None:
        if any(self.window.pads) or self.window.ceil_mode:  # at the border, means are of fewer
            return None
        return self

    def settings(self) -> str:
        return _settings(self.window)

    def shape(self, *shapes: Shape) -> Shape:
        return _pooled(self, self.window, shapes[0])

    def flops(self, *shapes: Shape) -> int:
        return prod(self.shape(*shapes)) * self.window.volume


@dataclass(frozen=True)
class AverageUnpool(_Unpooling):
    """Spread each p evenly over its window: the transpose of AveragePool."""

    window: Window
    size: Shape
    include_pad: bool = False

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.average_unpool(p, self.window, self.include_pad, self.size), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return AveragePool(self.window, self.include_pad)

    def flops(self, *shapes: Shape) -> int:
        return prod(shapes[0]) * self.window.volume
