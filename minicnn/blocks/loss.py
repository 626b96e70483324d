"""Softmax, its logarithm, and the cross-entropy that trains classifiers.

    Softmax        y = e^x / sum e^x                  p -> y (p - <p, y>)
    LogSoftmax     y = x - log sum e^x                p -> p - e^y sum p
    CrossEntropy   y = mean over n of -<t_n, log softmax(x_n)>
                                                      p -> p (softmax(x) - t) / N

with targets t = (1 - s) onehot(label) + s / classes, smoothed by s (Szegedy et al. 2016);

each along one axis, with the largest x subtracted first so that nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import OUTPUT, Block, Kept, Operand, Shape, axis_of
from minicnn.blocks.sight import Box
from minicnn.blocks.smooth import Exp
from minicnn.errors import ShapeError

__all__ = ["CrossEntropy", "LogSoftmax", "Softmax"]


class _AlongAxis(Block):
    axis: int
    nonlinear = True

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (OUTPUT,)

    def shape(self, *shapes: Shape) -> Shape:
        axis_of(self, self.axis, len(shapes[0]))
        return shapes[0]

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        rank = len(shapes[0])
        return box if self.axis % rank < rank - len(box) else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        return self.reads(wrt, shapes, box)

    def on_part(self) -> Block | None:
        return self if self.axis == 1 else None

    def flops(self, *shapes: Shape) -> int:
        return 4 * prod(shapes[0])


@dataclass(frozen=True)
class Softmax(_AlongAxis):
    """y = e^x / sum e^x along an axis."""

    axis: int = -1

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.softmax(x, self.axis), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        y = kept.output
        return lambda p: (p - (p * y).sum(axis=self.axis, keepdims=True)) * y


@dataclass(frozen=True)
class LogSoftmax(_AlongAxis):
    """y = x - log sum e^x along an axis."""

    axis: int = -1

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.log_softmax(x, self.axis), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        y = kept.output
        return lambda p: p - p.sum(axis=self.axis, keepdims=True) * Exp()(y)


@dataclass(frozen=True, eq=False)
class CrossEntropy(Block):
    """Mean over the batch of -log softmax(x)[label]; x (N, classes), labels (N) integers.

    With smoothing s the label's share is 1 - s, and s is spread evenly over all classes.
    """

    labels: np.ndarray
    smoothing: float = 0.0
    nonlinear = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        log_p, _ = LogSoftmax(1).forward(x)
        rows = kernels.counting(len(x), x)
        y = -log_p[rows, kernels.table(self.labels, x)].mean()
        if self.smoothing:
            y = (1 - self.smoothing) * y - self.smoothing * log_p.mean()
        return kernels.as_array(y, x.dtype), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        count, classes = kept.shapes[0]

        def pull(p: Any) -> Any:
            x = kept[0]
            like = p.values() if isinstance(p, Operand) else p
            labels = kernels.table(self.labels, like)
            onehot = (kernels.counting(classes, like) == labels[:, None]).astype(x.dtype)
            targets = onehot * x.dtype.type(1 - self.smoothing)
            targets += x.dtype.type(self.smoothing / classes)
            return p * ((Softmax(1)(x) - targets) * (1 / count))

        return pull

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if len(x) != 2 or self.labels.shape != (x[0],):
            raise ShapeError(
                f"CrossEntropy needs scores (N, classes) and N labels; it got {x} and "
                f"labels of shape {self.labels.shape}."
            )
        if self.labels.min(initial=0) < 0 or self.labels.max(initial=0) >= x[1]:
            raise ShapeError(
                f"Labels run from {self.labels.min()} to {self.labels.max()}; "
                f"there are {x[1]} classes, 0 to {x[1] - 1}."
            )
        return ()

    def flops(self, *shapes: Shape) -> int:
        return 4 * prod(shapes[0])
