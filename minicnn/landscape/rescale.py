"""Rescaling: the same function with other weights.

    conv -> ReLU, pooling -> conv     w1 <- c w1, b1 <- c b1,   w2 <- w2 / c
    conv -> batch norm                w <- c w, b <- c b, mean <- c mean,
                                      var <- c^2 (var + eps) - eps

A ReLU is positively homogeneous, relu(c x) = c relu(x), so what one layer gains the next can lose;
a batch norm takes any scale off again, and with its running statistics scaled along it gives the
same to the last rounding. The network computes what it did, but a plain random direction now is a
longer or shorter step for it: the plot of the loss looks sharper or flatter although nothing was
learned or lost. Filter-normalised directions scale along, and the plot stays.

Sources: Dinh et al. 2017, "Sharp Minima Can Generalize for Deep Nets"; Li et al. 2018, sections 3
and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.blocks import (
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    Identity,
    Linear,
    MaxPool,
    Mean,
    ReLU,
    Reshape,
    Squeeze,
)
from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.graph import Node
from minicnn.network import Network

__all__ = ["Rescalable", "rescalable", "rescale"]

Readers = dict[str, list[Node]]
"""The nodes that read each value."""

HOMOGENEOUS = (ReLU, MaxPool, AveragePool, Mean, Flatten, Reshape, Squeeze, Identity)


@dataclass(frozen=True)
class Rescalable:
    """A layer whose scale does not matter.

    Parameters
    ----------
    layer : str
        The layer.
    by : str
        The layer, or the batch norm, that makes up for its scale.
    """

    layer: str
    by: str


def rescalable(network: Network) -> list[Rescalable]:
    """Layers that can be rescaled without changing the function, in running order.

    Examples
    --------
    >>> import minicnn
    >>> [(one.layer, one.by) for one in rescalable(minicnn.load("mnist"))]
    [('conv1', 'conv2'), ('conv2', 'conv3'), ('conv3', 'conv4'), ('conv4', 'scores')]
    """
    readers: Readers = {}
    for node in network.nodes:
        for operand in node.operands:
            readers.setdefault(operand, []).append(node)
    layers = [node for node in network.nodes if _is_layer(network, node, readers)]
    found = [(node.name, _made_up_for(network, node, readers)) for node in layers]
    return [Rescalable(layer, by) for layer, by in found if by]


def _made_up_for(network: Network, layer: Node, readers: Readers) -> str:
    """What can make up for a layer's scale; empty where nothing can."""
    name = layer.name
    while name not in network.outputs and len(readers.get(name, ())) == 1:
        (after,) = readers[name]
        if after.operands[0] != name:
            break
        norms = isinstance(after.block, BatchNorm) and name == layer.name
        if (norms and _own(network, after, readers, 3)) or _is_layer(network, after, readers):
            return after.name
        if not isinstance(after.block, HOMOGENEOUS):
            break
        name = after.name
    return ""


def rescale(network: Network, layer: str, factor: float) -> Network:
    """A network with one layer multiplied by a number, that computes the same.

    Parameters
    ----------
    network : Network
        Not changed.
    layer : str
        One of `rescalable`.
    factor : float
        A positive number; powers of two change nothing at all, not even by rounding.

    Returns
    -------
    Network
        It shares the arrays that stay.

    Raises
    ------
    InputError
        If the factor is not positive.
    UnknownNameError
        If the layer cannot be rescaled.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> other = rescale(net, "conv2", 4.0)
    >>> x = np.ones((1, 1, 28, 28), np.float32)
    >>> bool(np.allclose(net(x), other(x)))
    True
    """
    if not (np.isfinite(factor) and factor > 0):
        raise InputError(f"A layer can be rescaled by a positive number; got {factor}.")
    known = {one.layer: one.by for one in rescalable(network)}
    name = network.value_name(layer)
    if name not in known:
        raise UnknownNameError(
            f"{layer} of {network.name} cannot be rescaled without changing the function: what "
            f"follows it is no ReLU, pooling, layer or batch norm that it alone feeds. "
            f"{nearest(layer, known)}"
        )
    nodes = {node.name: node for node in network.nodes}
    below, above = nodes[name], nodes[known[name]]
    arrays = dict(network.arrays)
    for operand in below.operands[1:]:
        arrays[operand] = _times(arrays[operand], factor)
    if isinstance(above.block, BatchNorm):
        mean, var = above.operands[3:]
        arrays[mean] = _times(arrays[mean], factor)
        wide = arrays[var].astype(np.float64) + above.block.eps
        arrays[var] = np.asarray(wide * factor**2 - above.block.eps, arrays[var].dtype)
    else:
        arrays[above.operands[1]] = _times(arrays[above.operands[1]], 1 / factor)
    fresh = network.derived(arrays=arrays, name=f"{network.name} rescaled").apart()
    return fresh._frozen_like(network)


def _times(array: np.ndarray, factor: float) -> np.ndarray:
    return array * array.dtype.type(factor)


def _is_layer(network: Network, node: Node, readers: Readers) -> bool:
    """Whether a node is a convolution or linear layer with weights of its own."""
    return isinstance(node.block, (Conv, Linear)) and _own(network, node, readers)


def _own(network: Network, node: Node, readers: Readers, first: int = 1) -> bool:
    """Whether a node's operands are arrays, and those from `first` on are read by it alone."""
    given = all(operand in network.arrays for operand in node.operands[1:])
    return given and all(len(readers[operand]) == 1 for operand in node.operands[first:])
