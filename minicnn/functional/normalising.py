"""Normalisations: over neighbouring channels, a batch, a layer, groups of channels, planes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn import kernels
from minicnn.errors import InputError, ShapeError
from minicnn.functional.operands import Ints, array_of

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
]


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """x / (k + alpha/size sum of squares over `size` neighbouring channels)^beta.

    The window of an even size leans to the later channels, as in ONNX and MatConvNet (torch leans
    to the earlier ones); odd sizes agree with torch.
    """
    return B.LRN(size, alpha, beta, k)(input)


def batch_norm(
    input: Any,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch norm by running statistics, or (training) by the batch's own.

    In training the running statistics are updated in place: (1 - momentum) old + momentum new, the
    variance unbiased, as torch does.
    """
    channels, like = input.shape[1], (1, -1, *[1] * (len(input.shape) - 2))
    axes = (0, *range(2, len(input.shape)))
    if not training:
        if running_mean is None or running_var is None:
            raise InputError("batch_norm outside of training needs running_mean and running_var.")
        ones, zeros = np.ones_like(running_mean), np.zeros_like(running_mean)
        return B.BatchNorm(eps)(
            input,
            ones if weight is None else weight,
            zeros if bias is None else bias,
            running_mean,
            running_var,
        )
    x = array_of(input)
    count = x.size // channels
    if count < 2:
        raise ShapeError(
            f"batch_norm in training needs more than one value a channel; got shape {x.shape}."
        )
    for running in (running_mean, running_var):
        if running is not None and running.shape != (channels,):
            raise ShapeError(
                f"batch_norm keeps statistics of {running.size} channels; the input has {channels}."
            )
    if running_mean is not None or running_var is not None:
        mean, variance = kernels.batch_statistics(x)
        for running, new in ((running_mean, mean), (running_var, variance * (count / (count - 1)))):
            if running is not None:
                running *= 1 - momentum
                running += momentum * new
    if weight is not None and bias is not None:
        return B.BatchNormTraining(eps)(input, weight, bias)
    y = B.Normalise(axes, eps)(input)
    y = y if weight is None else y * weight.reshape(like)
    return y if bias is None else y + bias.reshape(like)


def layer_norm(
    input: Any,
    normalized_shape: Ints,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / sqrt(var + eps) weight + bias over the last axes, whose shape is given."""
    last = tuple(np.atleast_1d(normalized_shape).tolist())
    rank = len(input.shape)
    if tuple(input.shape[rank - len(last) :]) != last:
        raise ShapeError(f"layer_norm over {last} does not fit an input of shape {input.shape}.")
    y = B.Normalise(tuple(range(rank - len(last), rank)), eps)(input)
    return _scaled(y, weight, bias)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """The same over groups of channels and their pixels; weight and bias are one a channel."""
    like = (1, -1, *[1] * (len(input.shape) - 2))
    return _scaled(B.GroupNormalise(num_groups, eps)(input), weight, bias, like)


def instance_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """The same over each channel's pixels."""
    like = (1, -1, *[1] * (len(input.shape) - 2))
    y = B.Normalise(tuple(range(2, len(input.shape))), eps)(input)
    return _scaled(y, weight, bias, like)


def _scaled(y: Any, weight: Any, bias: Any, like: tuple[int, ...] | None = None) -> Any:
    """Weight y + bias, each shaped `like` something that broadcasts."""
    if weight is not None:
        y = y * (weight if like is None else weight.reshape(like))
    if bias is not None:
        y = y + (bias if like is None else bias.reshape(like))
    return y
