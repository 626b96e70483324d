"""Convolutions and matrix products."""

from __future__ import annotations

from typing import Any

from minicnn import blocks as B
from minicnn.kernels import Window
from minicnn.onnx.operators.windows import checked, window
from minicnn.onnx.registry import operator


@operator("Conv")
def conv(node: Any) -> Any:
    kernel = node.attribute("kernel_shape") or node.shape(1)[2:]
    block = B.Conv(window(node, kernel), node.attribute("group", 1))
    return node.add(block, 0, 1, 2) if node.has(2) else node.add(block, 0, 1)


@operator("ConvTranspose")
def conv_transpose(node: Any) -> Any:
    kernel = node.attribute("kernel_shape") or node.shape(1)[2:]
    extra = node.attribute("output_padding", (0,) * len(kernel))
    wanted = node.attribute("output_shape")
    if node.attribute("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER") or wanted:
        window_, extra = _filling(node, tuple(kernel), extra, wanted)
    else:
        window_ = window(node, kernel)
    block = B.ConvTranspose(window_, node.attribute("group", 1), tuple(extra))
    return node.add(block, 0, 1, 2) if node.has(2) else node.add(block, 0, 1)


def _filling(node: Any, kernel: Any, extra: Any, wanted: Any) -> tuple[Window, tuple[int, ...]]:
    """The window that gives an output of the size wanted, or one stride an input pixel."""
    rank, size = len(kernel), node.shape()[2:]
    stride = node.attribute("strides", (1,) * rank)
    dilation = node.attribute("dilations", (1,) * rank)
    wanted = wanted[-rank:] if wanted else tuple(n * s for n, s in zip(size, stride, strict=True))
    node.depends_on_size()
    begins, ends, room = [], [], []
    for n, s, k, d, e, out in zip(size, stride, kernel, dilation, extra, wanted, strict=True):
        total = s * (n - 1) + e + d * (k - 1) + 1 - out
        small, large = max(0, total) // 2, max(0, total) - max(0, total) // 2
        upper = node.attribute("auto_pad", "NOTSET") == "SAME_UPPER"
        begins.append(small if upper else large)
        ends.append(large if upper else small)
        room.append(e + max(0, -total))
    return checked(kernel, stride, (*begins, *ends), dilation), tuple(room)


@operator("MatMul")
def matmul(node: Any) -> Any:
    return node.add(B.MatMul(), 0, 1)


@operator("Gemm", since=6)
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
