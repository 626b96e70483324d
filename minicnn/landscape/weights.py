"""Weights: which arrays of a network are filters, and along which axis.

A *filter* is what makes one map: of a convolution (O, C/groups, *kernel) one of the O slices, of a
fully connected layer the weights of one neuron. All other numbers that can learn (biases, gains and
shifts of batch norm) are no weights here; Li et al. call them `biasbn`.

Source: Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", section 4.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from minicnn.blocks import BatchNorm, Conv, ConvTranspose, Linear, MatMul
from minicnn.errors import InputError
from minicnn.kernels.devices import CPU
from minicnn.parameters import Parametrised
from minicnn.structure import Structure

AnyStructure = TypeVar("AnyStructure", bound=Parametrised)

__all__ = ["Filters", "filter_norms", "layer_norms", "learnable", "on_host", "variances", "weights"]


class Filters(NamedTuple):
    """How the filters of an array lie.

    Parameters
    ----------
    axis : int
        The axis that counts filters.
    groups : int
        Parts of the first axis that have filters of their own.
    """

    axis: int = 0
    groups: int = 1


def on_host(network: AnyStructure) -> AnyStructure:
    """The same network with NumPy's arrays: directions and points are made there."""
    return network if network.device == CPU else network.to(CPU)


def weights(network: Structure) -> dict[str, Filters]:
    """The weights by name, and how their filters lie.

    Examples
    --------
    >>> import minicnn
    >>> list(weights(minicnn.load("mnist")))
    ['conv1.weight', 'conv2.weight', 'conv3.weight', 'conv4.weight', 'fc.weight']
    """
    found = {}
    can_learn = set(network.parameter_names())
    for node in network.nodes:
        for place, name in enumerate(node.operands):
            if name not in can_learn or network.arrays[name].ndim < 2:
                continue
            if isinstance(node.block, MatMul):
                found[name] = Filters(network.arrays[name].ndim - 1 if place else 0)
            elif isinstance(node.block, ConvTranspose) and place == 1:
                found[name] = Filters(1, node.block.groups)
            elif isinstance(node.block, (Conv, Linear)) and place == 1:
                found[name] = Filters()
    return found


def variances(network: Structure) -> set[str]:
    """Names of the running variances of batch norms, which are never less than zero."""
    norms = (node for node in network.nodes if isinstance(node.block, BatchNorm))
    return {node.operands[4] for node in norms}


def learnable(network: Structure) -> list[str]:
    """Names of all arrays that can learn.

    Raises
    ------
    InputError
        If there are none.
    """
    names = network.parameter_names()
    if not names:
        raise InputError(f"{network.name} has no parameters, so there is no landscape around it.")
    return names


def filter_norms(w: np.ndarray, lie: Filters) -> np.ndarray:
    """The norm of each number's filter.

    Parameters
    ----------
    w : numpy.ndarray
        Weights.
    lie : Filters
        As `weights` says.

    Returns
    -------
    numpy.ndarray of float64, shaped like w

    Examples
    --------
    >>> filter_norms(np.array([[3.0, 4.0], [0.0, 2.0]]), Filters())
    array([[5., 5.],
           [2., 2.]])
    """
    square = np.square(w, dtype=np.float64).reshape(lie.groups, -1, *w.shape[1:])
    summed = tuple(axis for axis in range(1, square.ndim) if axis != lie.axis + 1)
    norms = np.sqrt(square.sum(axis=summed, keepdims=True))
    return np.broadcast_to(norms, square.shape).reshape(w.shape)


def layer_norms(w: np.ndarray) -> np.ndarray:
    """The norm of a whole array, at each of its numbers."""
    return np.full(w.shape, np.sqrt(np.square(w, dtype=np.float64).sum()))
