"""Normalisations: across channels (LRN), by running statistics, by the data's own.

    LRN         y_c = x_c s_c^-beta,  s_c = k + alpha/n sum x_j^2 over the n channels around c
                p -> p s^-beta - 2 alpha/n beta x W^T(p x s^(-beta-1)),  W the window sum
    BatchNorm   y = (x - mean) g / sqrt(var + eps) + b     frozen statistics: a scale and a shift
    Normalise   y = (x - mean x) / sqrt(var x + eps)       over given axes: batch norm in training
                p -> (p - mean p - y mean(p y)) / sqrt(var x + eps)

Sources: Krizhevsky et al. 2012 (section 3.3) for LRN, with ONNX's alpha/n and its window
floor((n-1)/2) before, ceil((n-1)/2) after; Ioffe and Szegedy 2015 for batch norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.base import Block, Kept, Shape
from minicnn.errors import InputError, ShapeError

__all__ = [
    "LRN",
    "BatchNorm",
    "BatchNormTraining",
    "ChannelSum",
    "GroupNormalise",
    "LRNTransposed",
    "Normalise",
]


@dataclass(frozen=True)
class ChannelSum(Block):
    """y_c = sum of x over channels c - before .. c + after. Transposed: the mirrored window."""

    before: int
    after: int
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.channel_sum(x, self.before, self.after), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return ChannelSum(self.after, self.before)

    def flops(self, *shapes: Shape) -> int:
        return int(np.prod(shapes[0])) * (self.before + self.after)


@dataclass(frozen=True)
class LRN(Block):
    """y_c = x_c / (bias + alpha/size sum x_j^2)^beta over `size` neighbouring channels."""

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0
    nonlinear = True
    pointwise = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"LRN needs a size of 1 or more channels; got {self.size}.")

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.lrn(x, self.size, self.alpha, self.beta, self.bias), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        back = LRNTransposed(self.size, self.alpha, self.beta, self.bias)
        return lambda p: back(p, kept[0])

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)

    def flops(self, *shapes: Shape) -> int:
        return int(np.prod(shapes[0])) * (self.size + 4)


@dataclass(frozen=True)
class LRNTransposed(Block):
    """LRN's transpose as a block: operands p, and the x that LRN was called on.

    y = p s^-beta - k x W^T(p x s^(-beta-1)) with k = 2 alpha beta/size, W the window sum and s as
    in LRN. Linear in p; its own transposes, for a top signal q and with t = s^(-beta-1):

        p:  q s^-beta - k x t W(q x)
        x:  -k (x W^T(p q t) + q W^T(p x t) + p t W(q x)) + k' x W^T(p x t/s W(q x)),
            k' = 2 alpha/size (beta + 1) k
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0
    operand_names = ("signal", "input")

    def forward(self, p: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.lrn_transposed(p, x, self.size, self.alpha, self.beta, self.bias), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        before, after = (self.size - 1) // 2, self.size // 2
        along, across = ChannelSum(before, after), ChannelSum(after, before)  # W and W^T
        share = 2 * self.alpha / self.size
        k = share * self.beta

        def pull(q: Any) -> Any:
            x = kept[1]
            s = along(x * x) * (self.alpha / self.size) + self.bias
            t = s ** (-self.beta - 1)
            if wrt == 0:
                return q * s**-self.beta - x * t * along(q * x) * k
            p = kept[0]
            both = x * across(p * q * t) + q * across(p * x * t) + p * t * along(q * x)
            far = x * across(p * x * (t / s) * along(q * x))
            return far * (share * (self.beta + 1) * k) - both * k

        return pull

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1,) if wrt == 0 else (0, 1)

    def flops(self, *shapes: Shape) -> int:
        return 2 * int(np.prod(shapes[0])) * (self.size + 4)


def _per_channel(values: Any, like: Shape) -> Any:
    """Reshape (C,) so that it broadcasts over (N, C, *spatial)."""
    return values.reshape((1, -1, *[1] * (len(like) - 2)))


@dataclass(frozen=True)
class BatchNorm(Block):
    """Batch norm with frozen running statistics; operands input, scale, bias, mean, variance."""

    eps: float = 1e-5
    operand_names = ("input", "weight", "bias", "running_mean", "running_var")
    buffers = (3, 4)
    pointwise = True

    def forward(
        self, x: np.ndarray, g: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray
    ) -> tuple[np.ndarray, None]:
        gain, shift = self.frozen(g, b, mean, var)
        return x * _per_channel(gain, x.shape) + _per_channel(shift, x.shape), None

    def frozen(
        self, g: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gain and shift of each channel: y = gain x + shift."""
        gain = g * (var + self.eps) ** -0.5
        return gain, b - mean * gain

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        like = kept.shapes[0]
        rest = (0, *range(2, len(like)))

        def inverse() -> Any:
            return (kept[4] + self.eps) ** -0.5

        def centred() -> Any:
            return kept[0] - _per_channel(kept[3], like)

        if wrt == 0:
            return lambda p: p * _per_channel(kept[1] * inverse(), like)
        if wrt == 1:
            return lambda p: (p * (centred() * _per_channel(inverse(), like))).sum(axis=rest)
        if wrt == 2:
            return lambda p: p.sum(axis=rest)
        if wrt == 3:
            return lambda p: p.sum(axis=rest) * (kept[1] * inverse() * -1.0)
        return lambda p: (
            (p * centred()).sum(axis=rest) * (kept[1] * ((kept[4] + self.eps) ** -1.5 * -0.5))
        )

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return ((1, 4), (0, 3, 4), (), (1, 4), (0, 1, 3, 4))[wrt]

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        for name, shape in zip(self.operand_names[1:], shapes[1:], strict=False):
            if len(x) < 2 or shape != (x[1],):
                raise ShapeError(f"BatchNorm of {x} needs {name} of one value a channel: {shape}.")
        return x

    def flops(self, *shapes: Shape) -> int:
        return 2 * int(np.prod(shapes[0]))


@dataclass(frozen=True)
class Normalise(Block):
    """y = (x - mean) / sqrt(var + eps) with mean and biased variance of x over axes."""

    axes: tuple[int, ...]
    eps: float = 1e-5
    nonlinear = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        centred, inverse = self._parts(x)
        return centred * inverse, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        def pull(p: Any) -> Any:
            centred, inverse = self._parts(kept[0])
            y = centred * inverse
            along = (p * y).mean(axis=self.axes, keepdims=True)
            return (p - p.mean(axis=self.axes, keepdims=True) - along * y) * inverse

        return pull

    def _parts(self, x: Any) -> tuple[Any, Any]:
        centred = x - x.mean(axis=self.axes, keepdims=True)
        variance = (centred * centred).mean(axis=self.axes, keepdims=True)
        return centred, (variance + self.eps) ** -0.5

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)

    def flops(self, *shapes: Shape) -> int:
        return 6 * int(np.prod(shapes[0]))


@dataclass(frozen=True)
class GroupNormalise(Block):
    """Normalise over each image's groups of channels, pixels included.

    Source: Wu and He, "Group Normalization", ECCV 2018.
    """

    groups: int
    eps: float = 1e-5
    nonlinear = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        y, _ = self._inner.forward(x.reshape(self._grouped(x.shape)))
        return y.reshape(x.shape), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        shape = kept.shapes[0]
        grouped = self._grouped(shape)
        inner = Kept(None, [grouped], lambda _: kept[0].reshape(grouped))
        back = self._inner.transposed(inner)
        return lambda p: back(p.reshape(grouped)).reshape(shape)

    @property
    def _inner(self) -> Normalise:
        return Normalise((2,), self.eps)

    def _grouped(self, x: Shape) -> Shape:
        return (x[0], self.groups, int(np.prod(x[1:])) // self.groups)

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0,)

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if len(x) < 2 or self.groups < 1 or x[1] % self.groups:
            raise ShapeError(f"{self.groups} groups do not divide the channels of {x}.")
        return x

    def flops(self, *shapes: Shape) -> int:
        return 6 * int(np.prod(shapes[0]))


@dataclass(frozen=True)
class BatchNormTraining(Block):
    """Batch norm by the batch's own statistics; operands input, scale, bias.

    y = h g + b with h = Normalise(x). Transposed: Normalise's transpose of p g; sum of p h; sum of
    p. On arrays one kernel gives all three, and they are remembered until they are asked for.
    """

    eps: float = 1e-5
    operand_names = ("input", "weight", "bias")
    nonlinear = True

    def forward(self, x: np.ndarray, g: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.batch_norm(x, g, b, self.eps), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        like = kept.shapes[0]
        rest = (0, *range(2, len(like)))
        normal = Normalise(rest, self.eps)

        def pull(p: Any) -> Any:
            if wrt == 2 and (kept.memo is None or kept.memo[0] is not p):
                return p.sum(axis=rest)
            if isinstance(p, np.ndarray) or kernels.on_gpu(p):
                return self._all(kept, p)[wrt]
            if wrt == 0:
                return normal.transposed(kept)(p * _per_channel(kept[1], like))
            return (p * normal(kept[0])).sum(axis=rest)

        return pull

    def _all(self, kept: Kept, p: np.ndarray) -> tuple[np.ndarray, ...]:
        if kept.memo is None or kept.memo[0] is not p:
            kept.memo = (p, kernels.batch_norm_transposed(p, kept[0], kept[1], self.eps))
        found: tuple[np.ndarray, ...] = kept.memo[1]
        return found

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (0, 1) if wrt < 2 else ()

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        for name, shape in zip(self.operand_names[1:], shapes[1:], strict=False):
            if len(x) < 2 or shape != (x[1],):
                raise ShapeError(f"Batch norm of {x} needs {name} of one value a channel: {shape}.")
        return x

    def flops(self, *shapes: Shape) -> int:
        return 8 * int(np.prod(shapes[0]))
