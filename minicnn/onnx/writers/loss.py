"""Writers of softmax, its logarithm and the cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer


@writer(B.Softmax)
def softmax(call: Any) -> Any:
    return call.node("Softmax", call[0], axis=call.block.axis)


@writer(B.LogSoftmax)
def log_softmax(call: Any) -> Any:
    return call.node("LogSoftmax", call[0], axis=call.block.axis)


@writer(B.CrossEntropy)
def cross_entropy(call: Any) -> Any:
    """-1/N of each target, times log softmax, summed."""
    labels, smoothing = call.block.labels, call.block.smoothing
    count, classes = call.fixed()
    onehot = np.arange(classes) == labels[:, None]
    weights = -((1 - smoothing) * onehot + smoothing / classes) / count
    scores = call.node("LogSoftmax", call[0], axis=1)
    return call.node("ReduceSum", call.node("Mul", scores, weights), keepdims=0)
