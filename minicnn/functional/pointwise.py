"""Activations, products, choices, scores and losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import InputError
from minicnn.functional.operands import Ints

__all__ = [
    "amax",
    "clamp",
    "cross_entropy",
    "dropout",
    "elu",
    "exp",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "maximum",
    "minimum",
    "mish",
    "prelu",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "where",
]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x w^T + b for input (..., in), weight (out, in), bias (out)."""
    return B.Linear()(input, weight) if bias is None else B.Linear()(input, weight, bias)


def matmul(input: Any, other: Any) -> Any:
    """Matrix product with NumPy's broadcasting."""
    return B.MatMul()(input, other)


def relu(input: Any) -> Any:
    """max(x, 0)."""
    return B.ReLU()(input)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, negative_slope x elsewhere."""
    return B.LeakyReLU(negative_slope)(input)


def prelu(input: Any, weight: Any) -> Any:
    """x where positive, weight x elsewhere; weight has one value or one a channel."""
    shape = np.shape(weight) if not isinstance(weight, B.Operand) else weight.shape
    if len(shape) == 1 and shape[0] > 1:
        weight = weight.reshape((1, -1, *[1] * (len(input.shape) - 2)))
    return B.PReLU()(input, weight)


def clamp(input: Any, min: float | None = None, max: float | None = None) -> Any:
    """x held between min and max; at the bounds themselves nothing passes back."""
    return B.Clip(min, max)(input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + e^-x)."""
    return B.Sigmoid()(input)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return B.Tanh()(input)


def exp(input: Any) -> Any:
    """e^x."""
    return B.Exp()(input)


def log(input: Any) -> Any:
    """Natural logarithm."""
    return B.Log()(input)


def hardsigmoid(input: Any) -> Any:
    """min(max(x/6 + 1/2, 0), 1)."""
    return B.HardSigmoid(1 / 6, 0.5)(input)


def hardswish(input: Any) -> Any:
    """x hardsigmoid(x)."""
    return B.HardSwish()(input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the normal distribution at x; `approximate` may be "tanh"."""
    return B.Gelu(approximate)(input)


def silu(input: Any) -> Any:
    """x sigmoid(x)."""
    return B.Swish()(input)


def mish(input: Any) -> Any:
    """x tanh(softplus(x))."""
    return B.Mish()(input)


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where positive, alpha (e^x - 1) elsewhere."""
    return B.Elu(alpha)(input)


def softplus(input: Any, beta: float = 1.0) -> Any:
    """ln(1 + e^(beta x)) / beta."""
    return B.Softplus()(input) if beta == 1 else B.Softplus()(input * beta) * (1 / beta)


def where(condition: Any, input: Any, other: Any) -> Any:
    """`input` where the condition holds, `other` elsewhere."""
    return B.Where()(condition, input, other)


def maximum(input: Any, other: Any) -> Any:
    """The larger of two; where they are equal the first gets the signal (torch halves it)."""
    return B.Maximum()(input, other)


def minimum(input: Any, other: Any) -> Any:
    """The smaller of two; where they are equal the first gets the signal (torch halves it)."""
    return B.Minimum()(input, other)


def amax(input: Any, dim: Ints | None = None, keepdim: bool = False) -> Any:
    """The largest value over axes; the signal is spread evenly over those that have it."""
    axes = (dim,) if isinstance(dim, int) else dim if dim is None else tuple(dim)
    return B.Max(axes, keepdim)(input)


def dropout(input: Any, p: float = 0.5, training: bool = True, *, seed: int) -> Any:
    """Drop each value with probability p and scale the others by 1 / (1 - p); seeded."""
    if not 0 <= p <= 1:
        raise InputError(f"dropout needs a probability from 0 to 1; it got p={p}.")
    return B.Dropout(p, seed)(input) if training and p > 0 else B.Identity()(input)


def softmax(input: Any, dim: int = -1) -> Any:
    """e^x / sum e^x along an axis."""
    return B.Softmax(dim)(input)


def log_softmax(input: Any, dim: int = -1) -> Any:
    """x - log sum e^x along an axis."""
    return B.LogSoftmax(dim)(input)


def cross_entropy(input: Any, target: Any, *, label_smoothing: float = 0.0) -> Any:
    """Mean of -log softmax(x)[label]; input (N, classes), target (N) integers.

    `label_smoothing` spreads that share of each label evenly over all classes.
    """
    if not 0 <= label_smoothing <= 1:
        raise InputError(f"label_smoothing is a share from 0 to 1; it got {label_smoothing}.")
    labels = np.asarray(target)
    if labels.dtype.kind not in "iu":
        raise InputError(f"Labels are integers, one an image; got dtype {labels.dtype}.")
    return B.CrossEntropy(labels.astype(np.int64), label_smoothing)(input)
