"""Channels to pixels and back: how sub-pixel networks enlarge their images.

    DepthToSpace   (N, C b b, H, W) -> (N, C, H b, W b)
    SpaceToDepth   (N, C, H b, W b) -> (N, b b C, H, W)

Each only moves values, so each one's transpose is the other. The b b channels of a pixel come
block by block, all C for one place in the block first (ONNX: DCR), or channel by channel (CRD, as
torch's pixel_shuffle has it). Source: Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.sight import Box
from minicnn.errors import ShapeError

__all__ = ["DepthToSpace", "SpaceToDepth"]


class _Moving(Block):
    """Moving values costs no arithmetic."""

    kinds = "biuf"

    def flops(self, *shapes: Shape) -> int:
        return 0


@dataclass(frozen=True)
class DepthToSpace(_Moving):
    """y = x with b b channels laid out as b x b pixels."""

    block: int
    depth_first: bool = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        n, c, h, w = x.shape
        b = self.block
        if self.depth_first:
            x = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            x = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(self.shape((n, c, h, w))), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return SpaceToDepth(self.block, self.depth_first)

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return _coarser(box, self.block) if len(box) == 2 else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return _finer(box, self.block) if len(box) == 2 else None

    def shape(self, *shapes: Shape) -> Shape:
        x, b = shapes[0], self.block
        if len(x) != 4 or b < 1 or x[1] % (b * b):
            raise ShapeError(
                f"{self.kind} by {b} needs images with a multiple of {b * b} channels; got {x}."
            )
        return (x[0], x[1] // (b * b), x[2] * b, x[3] * b)


@dataclass(frozen=True)
class SpaceToDepth(_Moving):
    """y = x with each b x b pixels laid out as channels of one pixel."""

    block: int
    depth_first: bool = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        n, c, h, w = x.shape
        b = self.block
        x = x.reshape(n, c, h // b, b, w // b, b)
        order = (0, 3, 5, 1, 2, 4) if self.depth_first else (0, 1, 3, 5, 2, 4)
        return x.transpose(order).reshape(self.shape((n, c, h, w))), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return DepthToSpace(self.block, self.depth_first)

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return _finer(box, self.block) if len(box) == 2 else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return _coarser(box, self.block) if len(box) == 2 else None

    def shape(self, *shapes: Shape) -> Shape:
        x, b = shapes[0], self.block
        if len(x) != 4 or b < 1 or x[2] % b or x[3] % b:
            raise ShapeError(f"{self.kind} by {b} needs images of sides that {b} divides; got {x}.")
        return (x[0], x[1] * b * b, x[2] // b, x[3] // b)


def _coarser(box: Box, block: int) -> Box:
    """The pixels of block x block that a box lies in."""
    return tuple((first // block, -(-end // block)) for first, end in box)


def _finer(box: Box, block: int) -> Box:
    """The pixels within those of block x block."""
    return tuple((first * block, end * block) for first, end in box)
