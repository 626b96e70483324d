"""A network that gives one channel of a value, by the one filter that makes it.

Who asks for one class needs one row of the last layer:

    y_k = f(w_k x + b_k)        f acting channel by channel: ReLU, pooling, flattening

In networks whose last layer is a convolution with a filter a class (SqueezeNet), the other 999
classes are half of all arithmetic. Exact: values and signals are those of the whole network.
"""

from __future__ import annotations

from dataclasses import replace

from minicnn import blocks as B
from minicnn.graph import Node
from minicnn.kernels import on_gpu
from minicnn.network import Network

__all__ = ["narrowed"]

CHANNELWISE = (
    B.AveragePool, B.Clip, B.Flatten, B.HardSigmoid, B.HardSwish, B.Identity, B.LeakyReLU,
    B.MaxPool, B.Mean, B.ReLU, B.Reshape, B.Scale, B.Squeeze,
)  # fmt: skip
"""Blocks of one operand that leave channels apart; those that reshape are looked at closer."""

RESHAPING = (B.Flatten, B.Reshape, B.Squeeze)


def narrowed(network: Network, at: str, channel: int) -> Network | None:
    """The network up to `at`, of which only one channel is left: (N, 1, ...).

    Parameters
    ----------
    network : Network
        With one input.
    at : str
        The value whose channel is asked for.
    channel : int
        Which.

    Returns
    -------
    Network or None
        None where the layer that makes the channel cannot be told, or others read it too.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> narrowed(net, "scores", 7).infer_shapes()["scores"]
    (1, 1)
    """
    part = network.cut(outputs=at)
    makers = {node.name: node for node in part.nodes}
    readers = [operand for node in part.nodes for operand in node.operands]
    shapes = part.infer_shapes()
    changed: dict[str, Node] = {}
    name = at
    while name in makers and isinstance(makers[name].block, CHANNELWISE):
        node = makers[name]
        block = _channelwise(node, shapes)
        if block is None or readers.count(node.operands[0]) > 1:
            return None
        changed[name] = replace(node, block=block)
        name = node.operands[0]
    layer = makers.get(name)
    if layer is None or not _is_layer(layer, part):
        return None
    arrays = dict(part.arrays)
    operands = list(layer.operands)
    for place, operand in enumerate(layer.operands[1:], 1):
        row = part.arrays[operand][channel : channel + 1].copy()
        if not on_gpu(row):
            row.flags.writeable = part.arrays[operand].flags.writeable
        operands[place] = f"{operand}/{channel}"
        arrays[operands[place]] = row
    changed[name] = replace(layer, operands=tuple(operands))
    nodes = [changed.get(node.name, node) for node in part.nodes]
    used = {operand for node in nodes for operand in node.operands}
    return part.derived(
        name=network.name,
        nodes=nodes,
        arrays={name: array for name, array in arrays.items() if name in used},
        labels=(),
    )


def _is_layer(node: Node, network: Network) -> bool:
    """Whether a node makes each channel by a filter or a row of weights of its own."""
    block = node.block
    plain = isinstance(block, B.Linear) or (isinstance(block, B.Conv) and block.groups == 1)
    weights = node.operands[1:]
    rows = [network.arrays[o].shape[:1] for o in weights if o in network.arrays]
    return plain and len(rows) == len(weights) and len({*rows}) == 1


def _channelwise(node: Node, shapes: dict[str, tuple[int, ...]]) -> B.Block | None:
    """The block for fewer channels, or None where it mixes them."""
    before, after = shapes[node.operands[0]], shapes[node.name]
    if isinstance(node.block, RESHAPING):
        vectors = len(before) >= 2 and after == before[:2] and set(before[2:]) <= {1}
        return B.Flatten() if vectors else None
    if isinstance(node.block, B.Mean) and (
        not {0, 1}.isdisjoint(node.block.over(before)) or len(after) < 2
    ):
        return None
    return node.block
