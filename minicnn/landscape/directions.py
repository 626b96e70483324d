"""Directions in the space of a network's parameters.

    random          d ~ N(0, 1), then for each filter   d <- d / (||d|| + 1e-10) ||theta||
    interpolation   d = theta' - theta, towards another solution (running statistics too)

A direction is a dictionary of arrays, named and shaped like the network's. What is not in it stays
as it is: by default all biases and parameters of batch norm (`ignore="biasbn"`), whose scales say
nothing, for a batch norm before them or a rescaled layer after them would undo it. Why filters are
normalised: a ReLU network computes the same when one layer is multiplied by a number and the next
divided by it, but a random step of length 1 is long for small filters and short for large ones.

Two traps of the authors' code are avoided: there normalisation is off unless asked for, and without
`biasbn` the direction of a bias is *copied* from the bias; here it is random as all else is, and
normalised as one array (one number as a filter of its own would say +-theta).

Source: Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", section 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicnn.errors import InputError, ShapeError, UnknownNameError, nearest
from minicnn.landscape.weights import filter_norms, layer_norms, learnable, on_host, weights
from minicnn.network import Network
from minicnn.structure import Structure

__all__ = ["IGNORES", "NORMS", "Direction", "normalised", "random_direction", "towards"]

Direction = dict[str, np.ndarray]
"""Arrays by name; the names that it lacks do not move."""

NORMS = ("filter", "layer", "none")
IGNORES = ("biasbn", "none")
TINY = 1e-10  # the authors' guard against filters of zeros


def random_direction(
    network: Network, seed: int = 0, norm: str = "filter", ignore: str = "biasbn"
) -> Direction:
    """A random direction, normalised as the network's own parameters are.

    Parameters
    ----------
    network : Network
        The point that the landscape is drawn around.
    seed : int
        The same seed gives the same direction; an array's numbers depend on its place among the
        arrays that can learn, not on `norm` or `ignore`.
    norm : {"filter", "layer", "none"}
        Each filter as long as the network's, each array as long, or the normal numbers themselves.
    ignore : {"biasbn", "none"}
        Whether biases and the parameters of batch norm stay where they are.

    Returns
    -------
    dict of numpy.ndarray
        In the arrays' own types.

    Raises
    ------
    InputError
        If an option does not exist or the network has nothing that can learn.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> d = random_direction(net)
    >>> norms = [np.linalg.norm(w[0]) for w in (d["conv1.weight"], net.arrays["conv1.weight"])]
    >>> bool(np.isclose(*norms))
    True
    """
    if seed < 0:
        raise InputError(f"A seed is 0 or more; got {seed}.")
    _check_ignore(ignore)
    network = on_host(network)
    moving = weights(network)
    drawn = {}
    for place, name in enumerate(learnable(network)):
        if ignore == "none" or name in moving:
            array = network.arrays[name]
            generator = np.random.default_rng([seed, place])
            drawn[name] = generator.standard_normal(array.shape)
    return normalised(drawn, network, norm)


def normalised(
    direction: Mapping[str, np.ndarray], network: Network, norm: str = "filter"
) -> Direction:
    """A direction whose filters (or arrays) are as long as the network's.

    Parameters
    ----------
    direction : mapping
        Arrays by name.
    network : Network
        The point that it starts from.
    norm : {"filter", "layer", "none"}
        See `random_direction`; biases and the like count as one filter an array.

    Returns
    -------
    dict of numpy.ndarray
        In the types of the network's arrays.
    """
    if norm not in NORMS:
        raise InputError(f"norm={norm!r}: choose {', '.join(NORMS)}.")
    network = on_host(network)
    lies = weights(network)
    found = {}
    for name, d in direction.items():
        theta = _like(network, name, d)
        if norm == "filter" and name in lies:
            d = d * (filter_norms(theta, lies[name]) / (filter_norms(d, lies[name]) + TINY))
        elif norm != "none":
            d = d * (layer_norms(theta) / (layer_norms(d) + TINY))
        found[name] = np.asarray(d, theta.dtype)
    return found


def towards(network: Network, other: Network) -> Direction:
    """The way from one solution to another: at 0 stands the first, at 1 the second.

    Running means and variances of batch norm go along; without them the losses would be wrong.

    Parameters
    ----------
    network, other : Network
        The same blocks, with other numbers.

    Returns
    -------
    dict of numpy.ndarray
        The differences that are not zero.

    Raises
    ------
    UnknownNameError, ShapeError
        If the networks' arrays do not correspond.
    """
    network, other = on_host(network), on_host(other)
    own, theirs = network.state_dict(), other.state_dict()
    for name in {**own, **theirs}:
        if name not in own or name not in theirs:
            having, lacking = (network, other) if name in own else (other, network)
            raise UnknownNameError(
                f"{lacking.name} has no {name!r}, which {having.name} has: between two solutions "
                f"the same architecture is needed, with the same names. "
                f"{nearest(name, lacking.arrays)}"
            )
    found = {}
    for name, array in theirs.items():
        theta = _like(network, name, array)
        if theta.dtype.kind == "f" and not np.array_equal(theta, array):
            found[name] = array - theta
    return found


def _like(network: Structure, name: str, array: np.ndarray) -> np.ndarray:
    """The network's own array of that name, of the same shape."""
    if name not in network.arrays:
        raise UnknownNameError(f"{network.name} has no {name!r}. {nearest(name, network.arrays)}")
    theta = network.arrays[name]
    if theta.shape != array.shape:
        raise ShapeError(f"{name} has shape {array.shape}; {network.name} has {theta.shape}.")
    return theta


def _check_ignore(ignore: str) -> None:
    if ignore not in IGNORES:
        raise InputError(f"ignore={ignore!r}: choose {' or '.join(IGNORES)}.")
