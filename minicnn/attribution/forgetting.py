"""Networks that forgot: the parameters of chosen layers drawn again, all else as it is.

    w ~ truncated normal(0, 2 / fan-in),   b = 0,   batch norm without effect

A layer is a node with weights (convolution, transposed convolution, linear, matrix product) and the
batch norms that it feeds.

Sources: K. He et al., "Delving Deep into Rectifiers", ICCV 2015, for the variance;
J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3, for the use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from math import prod, sqrt

import numpy as np

from minicnn.blocks import BatchNorm, Conv, ConvTranspose, Linear, MatMul, Shape
from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.graph import Node
from minicnn.kernels import to_host
from minicnn.network import Network
from minicnn.structure import Structure

__all__ = ["named_layers", "randomised", "weight_layers"]

STREAM = 0xF0  # of random numbers, apart from those that weights may have been drawn from

WAYS = ("initial", "shuffle")
WEIGHTED = (Conv, ConvTranspose, Linear, MatMul)
SPREAD_AT_2 = 0.87962566103423978  # of a standard normal cut off at +-2


def randomised(
    network: Network, layers: str | Sequence[str], seed: int = 0, how: str = "initial"
) -> Network:
    """A copy of the network in which some layers have lost what they learned.

    "initial" is the state before training: weights from a normal distribution of variance
    2 / fan-in cut off at two standard deviations (He et al. 2015), biases 0, and a batch norm after
    the layer without effect: gain 1, shift 0, running mean 0 and variance 1 (Adebayo's code
    leaves running statistics as trained). Fan-in counts the products summed in one output.
    "shuffle" permutes the entries of each trained array, which keeps its distribution.

    Parameters
    ----------
    network : Network
        Not changed.
    layers : str or sequence of str
        Of `weight_layers`.
    seed : int
        What a layer gets depends on the seed and the layer only, not on the others chosen.
    how : {"initial", "shuffle"}
        Drawn as before training, or permuted.

    Returns
    -------
    Network
        It shares the other arrays with the given one. Those drawn are read-only.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> forgot = randomised(net, ["scores", "conv4"])
    >>> [name for name in net.arrays if forgot.arrays[name] is not net.arrays[name]]
    ['conv4.weight', 'conv4.bias', 'fc.weight', 'fc.bias']
    """
    if how not in WAYS:
        raise InputError(f"how={how!r}: choose {' or '.join(WAYS)}.")
    members = _members(network)
    chosen = named_layers(network, list(members), [layers] if isinstance(layers, str) else layers)
    shapes = network.infer_shapes()
    shapes.update((name, array.shape) for name, array in network.arrays.items())
    arrays = dict(network.arrays)
    for place, (layer, nodes) in enumerate(members.items()):
        if layer in chosen:
            generator = np.random.default_rng([seed, place, STREAM])
            for node in nodes:
                arrays.update(_redrawn(network, node, shapes, how, generator))
    given = {field.name: getattr(network, field.name) for field in fields(Structure)}
    return Network(**{**given, "arrays": arrays})  # packs of its own: they go when it goes


def weight_layers(network: Network, at: str | None = None) -> list[str]:
    """Layers that have weights to forget, from the class scores (or from `at`) down.

    Examples
    --------
    >>> import minicnn
    >>> weight_layers(minicnn.load("mnist"))
    ['scores', 'conv4', 'conv3', 'conv2', 'conv1']
    """
    top = network.logits if at is None else network.value_name(at)
    needed = {node.name for node in network.needed([top])}
    return [layer for layer in reversed(list(_members(network))) if layer in needed]


def named_layers(network: Network, known: list[str], layers: Sequence[str]) -> set[str]:
    """Layers by any of their names."""
    found = {network.value_name(name) for name in layers}
    if not found:
        raise InputError(f"No layer of {network.name} is named that is to be randomised.")
    for name in sorted(found - set(known)):
        raise UnknownNameError(
            f"{name} of {network.name} has no weights to randomise, or the target does not depend "
            f"on it. {nearest(name, known)}"
        )
    return found


def _members(network: Network) -> dict[str, list[Node]]:
    """Nodes with weights in running order, each with the batch norms that it feeds."""
    members: dict[str, list[Node]] = {}
    makers: dict[str, str] = {}  # of each value, the latest layer that it comes from
    for node in network.nodes:
        if isinstance(node.block, WEIGHTED) and any(_own(network, node)):
            members[node.name] = [node]
            makers[node.name] = node.name
            continue
        above = [makers[operand] for operand in node.operands if operand in makers]
        if above:
            makers[node.name] = max(above, key=list(members).index)
            if isinstance(node.block, BatchNorm):
                members[makers[node.name]].append(node)
    return members


def _own(network: Network, node: Node) -> Iterator[tuple[int, str]]:
    """The node's own parameters and statistics: place among the operands, and name."""
    for place, name in enumerate(node.operands):
        array = network.arrays.get(name)
        if array is not None and array.dtype.kind == "f" and name not in network.constants:
            yield place, name


def _redrawn(
    network: Network,
    node: Node,
    shapes: Mapping[str, Shape],
    how: str,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """A node's parameters and statistics without what they learned, read-only."""
    products = node.block.flops(*(shapes[operand] for operand in node.operands)) / 2
    fan_in = products / prod(shapes[node.name])
    drawn = {}
    for place, name in _own(network, node):
        trained = to_host(network.arrays[name])
        if how == "shuffle":
            drawn[name] = generator.permutation(trained.reshape(-1)).reshape(trained.shape)
        elif isinstance(node.block, BatchNorm):
            drawn[name] = np.full_like(trained, 1 if place in (1, 4) else 0)  # gain and variance
        elif place == 2:
            drawn[name] = np.zeros_like(trained)  # bias
        else:
            drawn[name] = _weights(trained, fan_in, generator)
        drawn[name].flags.writeable = False
    return drawn


def _weights(trained: np.ndarray, fan_in: float, generator: np.random.Generator) -> np.ndarray:
    """Weights as drawn before training, shaped like the trained ones."""
    drawn = generator.standard_normal(trained.shape)
    while (outside := np.abs(drawn) > 2).any():
        drawn[outside] = generator.standard_normal(np.count_nonzero(outside))
    return (drawn * (sqrt(2 / fan_in) / SPREAD_AT_2)).astype(trained.dtype)
