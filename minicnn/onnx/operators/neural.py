"""Convolution, pooling, activations, normalisation and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import UnsupportedOperatorError
from minicnn.kernels import Window
from minicnn.onnx.registry import operator


def _window(node: Any, kernel: tuple[int, ...]) -> Window:
    """A window from kernel_shape, strides, pads, dilations, auto_pad and ceil_mode."""
    rank = len(kernel)
    stride = node.attribute("strides", (1,) * rank)
    dilation = node.attribute("dilations", (1,) * rank)
    auto = node.attribute("auto_pad", "NOTSET")
    pads = node.attribute("pads", (0,) * 2 * rank)
    if auto == "VALID":
        pads = (0,) * 2 * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = []
        if max(stride) > 1:
            node.depends_on_size()  # with stride 1 the pads are the same for every size
        for n, k, s, d in zip(node.shape()[2:], kernel, stride, dilation, strict=True):
            totals.append(max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n))
        small = [total // 2 for total in totals]
        large = [total - half for total, half in zip(totals, small, strict=True)]
        pads = (*small, *large) if auto == "SAME_UPPER" else (*large, *small)
    elif auto != "NOTSET":
        raise UnsupportedOperatorError(f"auto_pad={auto} does not exist")
    ceil_mode = bool(node.attribute("ceil_mode", 0))
    return Window(tuple(kernel), tuple(stride), tuple(pads), tuple(dilation), ceil_mode)


@operator("Conv")
def conv(node: Any) -> Any:
    kernel = node.attribute("kernel_shape") or node.shape(1)[2:]
    block = B.Conv(_window(node, kernel), node.attribute("group", 1))
    return node.add(block, 0, 1, 2) if node.has(2) else node.add(block, 0, 1)


@operator("ConvTranspose")
def conv_transpose(node: Any) -> Any:
    kernel = node.attribute("kernel_shape") or node.shape(1)[2:]
    rank = len(kernel)
    extra = node.attribute("output_padding", (0,) * rank)
    auto = node.attribute("auto_pad", "NOTSET")
    wanted = node.attribute("output_shape")
    if auto in ("SAME_UPPER", "SAME_LOWER") or wanted:
        raise UnsupportedOperatorError(
            "output_shape and auto_pad of ConvTranspose are not read; export explicit pads"
        )
    block = B.ConvTranspose(_window(node, kernel), node.attribute("group", 1), tuple(extra))
    return node.add(block, 0, 1, 2) if node.has(2) else node.add(block, 0, 1)


@operator("MaxPool")
def max_pool(node: Any) -> Any:
    if len(node.proto.output) > 1 and node.proto.output[1]:
        raise UnsupportedOperatorError("the Indices output of MaxPool is not read")
    return node.add(B.MaxPool(_window(node, node.attribute("kernel_shape"))))


@operator("AveragePool")
def average_pool(node: Any) -> Any:
    include = bool(node.attribute("count_include_pad", 0))
    return node.add(B.AveragePool(_window(node, node.attribute("kernel_shape")), include))


@operator("GlobalAveragePool")
def global_average_pool(node: Any) -> Any:
    return node.add(B.Mean(tuple(range(2, len(node.shape()))), keepdims=True))


@operator("GlobalMaxPool")
def global_max_pool(node: Any) -> Any:
    return node.add(B.MaxPool(None))


@operator("Relu")
def relu(node: Any) -> Any:
    return node.add(B.ReLU())


@operator("LeakyRelu")
def leaky_relu(node: Any) -> Any:
    return node.add(B.LeakyReLU(node.attribute("alpha", 0.01)))


@operator("PRelu", since=7)
def prelu(node: Any) -> Any:
    return node.add(B.PReLU(), 0, 1)


@operator("Clip", since=6)
def clip_attributes(node: Any) -> Any:
    return node.add(B.Clip(_bound(node.attribute("min")), _bound(node.attribute("max"))))


@operator("Clip", since=11)
def clip(node: Any) -> Any:
    bounds = [node.constant(i, name) for i, name in ((1, "minimum"), (2, "maximum"))]
    return node.add(B.Clip(*(_bound(None if b is None else b.item()) for b in bounds)))


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


@operator("BatchNormalization", since=7)
def batch_norm(node: Any) -> Any:
    if node.attribute("training_mode", 0):
        raise UnsupportedOperatorError("training_mode=1: export the network in evaluation mode")
    if not node.attribute("spatial", 1):
        raise UnsupportedOperatorError("spatial=0 (statistics of every pixel) is not read")
    if len(node.shape()) < 2:
        raise UnsupportedOperatorError(f"an input of shape {node.shape()} has no channels")
    return node.add(B.BatchNorm(node.attribute("epsilon", 1e-5)), 0, 1, 2, 3, 4)


@operator("LRN")
def lrn(node: Any) -> Any:
    return node.add(
        B.LRN(
            node.attribute("size"),
            node.attribute("alpha", 1e-4),
            node.attribute("beta", 0.75),
            node.attribute("bias", 1.0),
        )
    )


@operator("Dropout")
def dropout(node: Any) -> Any:
    if len(node.inputs) > 2 and bool(node.constant(2, "training_mode", False)):
        raise UnsupportedOperatorError("training_mode=1: export the network in evaluation mode")
    if len(node.proto.output) > 1 and node.proto.output[1]:
        return [node.add(B.Identity()), node.make(np.ones(node.shape(), bool))]
    return node.add(B.Identity())


@operator("MatMul")
def matmul(node: Any) -> Any:
    return node.add(B.MatMul(), 0, 1)


@operator("Gemm", since=7)
def gemm(node: Any) -> Any:
    """alpha A' B' + beta C, as Linear where B is a weight and nothing is scaled."""
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    a = node.add(B.Transpose((1, 0)), 0) if node.attribute("transA", 0) else node.inputs[0]
    bias = node.inputs[2] if node.has(2) and beta != 0 else None
    if bias is not None and beta != 1.0:
        bias = node.add(B.Scale(beta), bias)
    out = node.shape(1)[0 if node.attribute("transB", 0) else 1]
    if alpha == 1.0 and (bias is None or bias.shape == (out,)):
        weight = node.inputs[1]
        if not node.attribute("transB", 0):
            weight = node.add(B.Transpose((1, 0)), weight)
        return node.add(B.Linear(), a, weight, *([] if bias is None else [bias]))
    b = node.add(B.Transpose((1, 0)), 1) if node.attribute("transB", 0) else node.inputs[1]
    y = node.add(B.MatMul(), a, b)
    y = y if alpha == 1.0 else node.add(B.Scale(alpha), y)
    return y if bias is None else node.add(B.Add(), y, bias)
