"""Normalisations: by kept statistics, by the batch's, by an image's, a group's or a layer's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import ModelFileError, ShapeError, UnsupportedOperatorError
from minicnn.onnx.operators.windows import MOST
from minicnn.onnx.registry import operator


@operator("BatchNormalization", since=6)
def batch_norm_test(node: Any) -> Any:
    if not node.attribute("spatial", 1):
        raise UnsupportedOperatorError("spatial=0 (statistics of every pixel) is not read")
    if not node.attribute("is_test", 0):
        raise UnsupportedOperatorError("is_test=0: export the network in evaluation mode")
    return _frozen(node)


@operator("BatchNormalization", since=7)
def batch_norm_spatial(node: Any) -> Any:
    if not node.attribute("spatial", 1):
        raise UnsupportedOperatorError("spatial=0 (statistics of every pixel) is not read")
    return _frozen(node)


@operator("BatchNormalization", since=14)
def batch_norm(node: Any) -> Any:
    return _by_batch(node) if node.attribute("training_mode", 0) else _frozen(node)


def _frozen(node: Any) -> Any:
    if len(node.shape()) < 2:
        raise ShapeError(f"an input of shape {node.shape()} has no channels")
    return node.add(B.BatchNorm(node.attribute("epsilon", 1e-5)), 0, 1, 2, 3, 4)


def _by_batch(node: Any) -> Any:
    """In training: by the batch's statistics, which also move the running ones."""
    axes = (0, *range(2, len(node.shape())))
    y = node.add(B.BatchNormTraining(node.attribute("epsilon", 1e-5)), 0, 1, 2)
    mean = node.add(B.Mean(axes))
    centred = node.add(B.Subtract(), 0, node.add(B.Mean(axes, keepdims=True)))
    variance = node.add(B.Mean(axes), node.add(B.Multiply(), centred, centred))
    momentum = node.attribute("momentum", 0.9)

    def moved(old: int, new: Any) -> Any:
        kept = node.add(B.Scale(momentum), old)
        return node.add(B.Add(), kept, node.add(B.Scale(1 - momentum), new))

    return [y, moved(3, mean), moved(4, variance)]


def _scaled(node: Any, y: Any, shape: tuple[int, ...]) -> Any:
    """y scale + bias, both brought to a shape that broadcasts."""
    y = node.add(B.Multiply(), y, node.add(B.Reshape(shape), 1))
    return node.add(B.Add(), y, node.add(B.Reshape(shape), 2)) if node.has(2) else y


@operator("InstanceNormalization", since=6)
def instance_norm(node: Any) -> Any:
    rank = len(node.shape())
    normal = B.Normalise(tuple(range(2, rank)), node.attribute("epsilon", 1e-5))
    return _scaled(node, node.add(normal), (1, -1, *[1] * (rank - 2)))


@operator("LayerNormalization", since=17)
def layer_norm(node: Any) -> Any:
    shape = node.shape()
    first = node.attribute("axis", -1) % len(shape)
    axes, epsilon = tuple(range(first, len(shape))), node.attribute("epsilon", 1e-5)
    y = node.add(B.Multiply(), node.add(B.Normalise(axes, epsilon)), 1)
    results = [node.add(B.Add(), y, 2) if node.has(2) else y]
    if len(node.proto.output) > 1:
        mean = node.add(B.Mean(axes, keepdims=True))
        centred = node.add(B.Subtract(), 0, mean)
        variance = node.add(B.Mean(axes, keepdims=True), node.add(B.Multiply(), centred, centred))
        safe = node.add(B.Add(), variance, node.make(epsilon))
        results += [mean, node.add(B.Power(-0.5), safe)]
    return results


@operator("RMSNormalization", since=23)
def rms_norm(node: Any) -> Any:
    shape = node.shape()
    axes = tuple(range(node.attribute("axis", -1) % len(shape), len(shape)))
    square = node.add(B.Mean(axes, keepdims=True), node.add(B.Multiply(), 0, 0))
    safe = node.add(B.Add(), square, node.make(node.attribute("epsilon", 1e-5)))
    return node.add(B.Multiply(), node.add(B.Multiply(), 0, node.add(B.Power(-0.5), safe)), 1)


def _groups(node: Any) -> Any:
    return node.add(B.GroupNormalise(node.attribute("num_groups"), node.attribute("epsilon", 1e-5)))


@operator("GroupNormalization", since=18)
def group_norm_by_group(node: Any) -> Any:
    """Opset 18 to 20: one scale and bias a group."""
    groups, rank = node.attribute("num_groups"), len(node.shape())
    each = node.shape()[1] // groups
    indices = [i for i in range(groups) for _ in range(each)]
    y, shape = _groups(node), (1, -1, *[1] * (rank - 2))
    scale, bias = (
        node.add(B.Reshape(shape), node.add(B.Take(np.array(indices)), i)) for i in (1, 2)
    )
    return node.add(B.Add(), node.add(B.Multiply(), y, scale), bias)


@operator("GroupNormalization", since=21)
def group_norm(node: Any) -> Any:
    return _scaled(node, _groups(node), (1, -1, *[1] * (len(node.shape()) - 2)))


@operator("LRN")
def lrn(node: Any) -> Any:
    if not 1 <= node.attribute("size", 0) <= MOST:
        raise ModelFileError(f"a window of {node.attribute('size')} channels makes no sense")
    return node.add(
        B.LRN(
            node.attribute("size"),
            node.attribute("alpha", 1e-4),
            node.attribute("beta", 0.75),
            node.attribute("bias", 1.0),
        )
    )


@operator("LpNormalization")
def lp_norm(node: Any) -> Any:
    axis, order = node.attribute("axis", -1), node.attribute("p", 2)
    norm = node.add(B.Norm(order, (axis,), keepdims=True))
    least = node.make(np.full((), 1e-30))  # zeros stay zeros
    return node.add(B.Divide(), 0, node.add(B.Maximum(), norm, least))
