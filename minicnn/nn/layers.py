"""Layers: blocks with parameters of their own, named and parametrised as in torch.nn.

A layer fresh from its constructor has He-normal weights drawn from seed 0 and zero biases, so that
layers of one shape start alike; `nn.initialise(model, scheme, seed)` draws a whole model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import functional as F
from minicnn.errors import InputError
from minicnn.functional.operands import Ints
from minicnn.nn.init import draw
from minicnn.nn.module import Module
from minicnn.tensor import Tensor

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
]


def _weight(*shape: int) -> Tensor:
    return Tensor(draw("he_normal", shape, np.random.default_rng(0)), requires_grad=True)


def _full(count: int, value: float) -> Tensor:
    return Tensor(np.full(count, value, np.float32), requires_grad=True)


class Sequential(Module):
    """Modules one after the other.

    Examples
    --------
    >>> net = Sequential(Linear(3, 2), ReLU())
    >>> net
    <Sequential: 8 parameters>
    >>> len(net), net[0]
    (2, <Linear: 8 parameters>)
    """

    def __init__(self, *layers: Module) -> None:
        for place, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise InputError(
                    f"Sequential takes modules, one after the other: Sequential(first, second); "
                    f"number {place} is a {type(layer).__name__}."
                )
        self.layers = list(layers)

    def children(self) -> dict[str, Module]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]


class Conv2d(Module):
    """Cross-correlation with filters; weight (out, in/groups, k, k), bias (out) or None."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise InputError(
                f"Conv2d: {groups} groups do not divide {in_channels} input and {out_channels} "
                f"output channels."
            )
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.weight = _weight(out_channels, in_channels // groups, *size)
        self.bias = _full(out_channels, 0.0) if bias else None
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Any) -> Any:
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Linear(Module):
    """y = x w^T + b; weight (out, in), bias (out) or None."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = _weight(out_features, in_features)
        self.bias = _full(out_features, 0.0) if bias else None

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.weight, self.bias)


class BatchNorm2d(Module):
    """(x - mean) / sqrt(var + eps) weight + bias, a channel.

    In training the mean and variance are the batch's, and move the running ones by `momentum`; in
    evaluation the running ones serve. Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.weight, self.bias = _full(num_features, 1.0), _full(num_features, 0.0)
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self.eps, self.momentum = eps, momentum

    def reset(self) -> None:
        """Forget the statistics; gain 1, shift 0."""
        self.weight.data[...], self.bias.data[...] = 1, 0
        self.running_mean[...], self.running_var[...] = 0, 1

    def forward(self, x: Any) -> Any:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training,
            self.momentum, self.eps,
        )  # fmt: skip


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return F.relu(x)


class LeakyReLU(Module):
    """x where positive, negative_slope x elsewhere."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        return F.leaky_relu(x, self.negative_slope)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x: Any) -> Any:
        return F.sigmoid(x)


class MaxPool2d(Module):
    """The largest value of each window."""

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Any) -> Any:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(Module):
    """The mean of each window."""

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Any) -> Any:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool2d(Module):
    """The mean of each plane: (N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, x: Any) -> Any:
        return F.global_avg_pool2d(x)


class Flatten(Module):
    """(N, C, H, W) -> (N, C H W)."""

    def forward(self, x: Any) -> Any:
        return F.flatten(x, 1)


class Dropout(Module):
    """In training each value is dropped with probability p, the others scaled by 1 / (1 - p).

    Its draws are a stream that `reseed` starts anew: `fit` does so every epoch, so that a resumed
    run drops the same values. `always` drops in evaluation too, as Monte Carlo dropout does.
    Source: Srivastava et al. 2014, in the inverted form.
    """

    always: bool = False

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise InputError(f"Dropout needs a probability from 0 to below 1; it got p={p}.")
        self.p = p
        self.drawn_anew((0,))

    def drawn_anew(self, seed: tuple[int, ...]) -> None:
        self._draws = np.random.default_rng(seed)

    def forward(self, x: Any) -> Any:
        if self.p == 0 or not (self.training or self.always):
            return x
        return F.dropout(x, self.p, True, seed=int(self._draws.integers(2**31)))
