"""Networks made simpler without changing what they compute.

    fold_batch_norm   conv then batch norm   ->  one conv:  w' = w g,  b' = (b - mean) g + shift
    drop_softmax      scores then softmax    ->  the scores

with g = gain / sqrt(var + eps), one number an output channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from minicnn.blocks import BatchNorm, Conv, ConvTranspose, Linear
from minicnn.graph import Node, taken_name
from minicnn.structure import Structure

__all__ = ["drop_softmax", "fold_batch_norm"]

AnyStructure = TypeVar("AnyStructure", bound=Structure)


def drop_softmax(network: AnyStructure) -> AnyStructure:
    """The network up to its class scores; the same where no softmax ends it."""
    if network.logits == network.outputs[0]:
        return network
    outputs = [network.logits, *network.outputs[1:]]
    nodes = network.needed(outputs)
    used = {operand for node in nodes for operand in node.operands}
    arrays = {name: array for name, array in network.arrays.items() if name in used}
    return network.derived(nodes=nodes, outputs=outputs, arrays=arrays)


def fold_batch_norm(network: AnyStructure) -> AnyStructure:
    """The network with each batch norm folded into the layer before it.

    That is done where the layer's weights are arrays and nothing else reads its value, which is
    then gone: the folded layer gives what the batch norm gave, under its name.
    """
    readers: dict[str, int] = {}
    for name in [*network.outputs, *(o for node in network.nodes for o in node.operands)]:
        readers[name] = readers.get(name, 0) + 1
    makers = {node.name: node for node in network.nodes}
    arrays, folded, gone = dict(network.arrays), {}, set()
    taken = {*network.inputs, *network.layers, *network.arrays}
    for node in network.nodes:
        below = makers.get(node.operands[0]) if isinstance(node.block, BatchNorm) else None
        if below is None or readers[below.name] > 1 or not _takes_gain(below, network.arrays):
            continue
        weights = _folded(below, node, network.arrays)
        names = [taken_name(f"{node.name}.{part}", taken) for part in ("weight", "bias")]
        arrays.update(zip(names, weights, strict=True))
        operands, module = (below.operands[0], *names), node.module or below.module
        folded[node.name] = Node(node.name, below.block, operands, below.label, module)
        gone.add(below.name)
    nodes = [folded.get(node.name, node) for node in network.nodes if node.name not in gone]
    used = {operand for node in nodes for operand in node.operands}
    kept = {name: array for name, array in arrays.items() if name in used}
    return network.derived(nodes=nodes, arrays=kept)


def _takes_gain(node: Node, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a layer is one whose output channels can be scaled by its weights."""
    is_layer = isinstance(node.block, (Conv, ConvTranspose, Linear))
    return is_layer and all(operand in arrays for operand in node.operands[1:])


def _folded(
    layer: Node, norm: Node, given: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of the layer that does both."""
    assert isinstance(norm.block, BatchNorm)
    g, b, mean, var = (given[name].astype(np.float64) for name in norm.operands[1:])
    gain, shift = norm.block.frozen(g, b, mean, var)
    w = given[layer.operands[1]]
    if isinstance(layer.block, ConvTranspose):  # (O, C/groups, ...): outputs are the channels C
        groups = layer.block.groups
        each = gain.reshape(groups, 1, -1).repeat(w.shape[0] // groups, axis=1)
        scaled = w * each.reshape(w.shape[0], -1, *[1] * (w.ndim - 2))
    else:
        scaled = w * gain.reshape(-1, *[1] * (w.ndim - 1))
    bias = given[layer.operands[2]] * gain if len(layer.operands) > 2 else 0.0
    return scaled.astype(w.dtype, order="C"), (bias + shift).astype(w.dtype, order="C")
