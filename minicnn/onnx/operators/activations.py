"""Activations: elementwise functions of one input, softmax and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import ShapeError, UnsupportedOperatorError
from minicnn.onnx.registry import operator


@operator("Relu")
def relu(node: Any) -> Any:
    if node.dtype().kind != "f":  # whole numbers, since opset 14
        return node.add(B.Maximum(), 0, node.integers(0, node.dtype()))
    return node.add(B.ReLU())


@operator("LeakyRelu")
def leaky_relu(node: Any) -> Any:
    return node.add(B.LeakyReLU(node.attribute("alpha", 0.01)))


@operator("ThresholdedRelu")
def thresholded_relu(node: Any) -> Any:
    return node.add(B.ThresholdedReLU(node.attribute("alpha", 1.0)))


@operator("PRelu")
def prelu_by_channel(node: Any) -> Any:
    """Before opset 7 the slopes are one a channel, without axes of length 1 behind them."""
    slope = node.inputs[1]
    if slope.shape == (node.shape()[1],):
        slope = node.add(B.Reshape((-1, *[1] * (len(node.shape()) - 2))), slope)
    return node.add(B.PReLU(), 0, slope)


@operator("PRelu", since=7)
def prelu(node: Any) -> Any:
    if np.broadcast_shapes(node.shape(0), node.shape(1)) != node.shape(0):
        raise ShapeError(f"slopes of shape {node.shape(1)} are more than an input {node.shape()}")
    return node.add(B.PReLU(), 0, 1)


@operator("Clip", since=6)
def clip_attributes(node: Any) -> Any:
    return _clip(node, node.attribute("min"), node.attribute("max"))


@operator("Clip", since=11)
def clip(node: Any) -> Any:
    bounds = [node.constant(i, name) for i, name in ((1, "minimum"), (2, "maximum"))]
    return _clip(node, *(None if bound is None else bound.item() for bound in bounds))


def _clip(node: Any, low: Any, high: Any) -> Any:
    if node.dtype().kind != "f":  # whole numbers: no mask, no signal
        value = node.inputs[0]
        for bound, block in ((low, B.Maximum()), (high, B.Minimum())):
            if bound is not None:
                value = node.add(block, value, node.make(np.array(bound, node.dtype())))
        return value if (low, high) != (None, None) else node.add(B.Identity())
    low, high = _bound(low), _bound(high)
    if low is not None and high is not None and low > high:
        high_value = node.make(np.full((), high))  # ONNX: then everything is the maximum
        return node.add(B.Add(), node.add(B.Scale(0.0)), high_value)
    return node.add(B.Clip(low, high))


def _bound(value: float | None) -> float | None:
    """ONNX writes "no bound" as the largest float."""
    return None if value is None or abs(value) >= 3.4e38 else float(value)


@operator("Sigmoid")
def sigmoid(node: Any) -> Any:
    return node.add(B.Sigmoid())


@operator("Tanh")
def tanh(node: Any) -> Any:
    return node.add(B.Tanh())


@operator("HardSigmoid")
def hard_sigmoid(node: Any) -> Any:
    return node.add(B.HardSigmoid(node.attribute("alpha", 0.2), node.attribute("beta", 0.5)))


@operator("HardSwish", since=14)
def hard_swish(node: Any) -> Any:
    return node.add(B.HardSwish())


@operator("Elu")
def elu(node: Any) -> Any:
    return node.add(B.Elu(node.attribute("alpha", 1.0)))


@operator("Celu", since=12)
def celu(node: Any) -> Any:
    return node.add(B.Celu(node.attribute("alpha", 1.0)))


@operator("Selu")
def selu(node: Any) -> Any:
    alpha = node.attribute("alpha", 1.67326319217681884765625)
    return node.add(B.Selu(alpha, node.attribute("gamma", 1.05070102214813232421875)))


@operator("Softplus")
def softplus(node: Any) -> Any:
    return node.add(B.Softplus())


@operator("Softsign")
def softsign(node: Any) -> Any:
    return node.add(B.Softsign())


@operator("Mish", since=18)
def mish(node: Any) -> Any:
    return node.add(B.Mish())


@operator("Swish", since=24)
def swish(node: Any) -> Any:
    return node.add(B.Swish(node.attribute("alpha", 1.0)))


@operator("Gelu", since=20)
def gelu(node: Any) -> Any:
    return node.add(B.Gelu(node.attribute("approximate", "none")))


@operator("Erf", since=9)
def erf(node: Any) -> Any:
    return node.add(B.Erf())


@operator("Softmax")
def softmax_flat(node: Any) -> Any:
    return _flat(node, B.Softmax)


@operator("LogSoftmax")
def log_softmax_flat(node: Any) -> Any:
    return _flat(node, B.LogSoftmax)


def _flat(node: Any, kind: type[B.Softmax] | type[B.LogSoftmax]) -> Any:
    """Before opset 13: over all axes from `axis` on, taken as one."""
    shape = node.shape()
    axis = node.attribute("axis", 1) % len(shape)
    rest = shape[axis:]
    if all(n == 1 for n in rest[1:]) and rest:
        return node.add(kind(axis))
    flat = node.add(B.Reshape((-1, int(np.prod(rest))) if axis else (1, -1)))
    return node.add(B.Reshape((-1, *shape[1:])), node.add(kind(1), flat))


@operator("Softmax", since=13)
def softmax(node: Any) -> Any:
    return node.add(B.Softmax(node.attribute("axis", -1)))


@operator("LogSoftmax", since=13)
def log_softmax(node: Any) -> Any:
    return node.add(B.LogSoftmax(node.attribute("axis", -1)))


@operator("Dropout")
def dropout_numbers(node: Any) -> Any:
    """Nothing, outside training. Before opset 10 the mask is of the input's type."""
    return _kept_all(node, node.dtype())


@operator("Dropout", since=10)
def dropout(node: Any) -> Any:
    return _kept_all(node)


@operator("Dropout", since=12)
def dropout_inputs(node: Any) -> Any:
    """With training_mode and a seed: the coins of NumPy's old generator, as ONNX defines them."""
    training = node.constant(2, "training_mode")
    rate = node.constant(1, "ratio")
    rate = 0.5 if rate is None else float(rate.item())
    if training is None or not bool(training.item()) or rate == 0:
        return _kept_all(node)
    seed = node.attribute("seed")
    if seed is None:
        raise UnsupportedOperatorError(
            "it drops values at random without a seed; export the network in evaluation mode"
        )
    node.depends_on_size()
    coins = np.random.RandomState(seed).uniform(0, 1, node.shape()) >= rate
    y = node.add(B.Multiply(), 0, node.make(coins * (1 / (1 - rate))))
    return [y, node.make(coins)]


def _kept_all(node: Any, mask: Any = bool) -> Any:
    y = node.add(B.Identity())
    if len(node.proto.output) > 1 and node.proto.output[1]:
        node.depends_on_size()
        return [y, node.make(np.ones(node.shape(), mask))]
    return y
