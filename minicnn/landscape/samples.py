"""Samples: the images that a landscape is drawn of, normalised once, as the network asks.

A network's file may state how its photos are normalised; where it does not, the data set's own mean
and standard deviation are taken. Images are as they are, without augmentation.
"""

from __future__ import annotations

import numpy as np

from minicnn.data.datasets import Dataset
from minicnn.data.matching import matched
from minicnn.network import Network

__all__ = ["samples_of"]


def samples_of(
    network: Network, data: Dataset, number: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Some images of a data set, as the network reads them, and their labels.

    Parameters
    ----------
    network : Network
        Its file says how to normalise, or the data set does.
    data : Dataset
        Labelled images, of classes that the network tells apart.
    number : int, optional
        How many, drawn at random without replacement; all by default.
    seed : int
        The same seed draws the same images.

    Returns
    -------
    x : numpy.ndarray, shape (N, C, H, W)
        In the network's type.
    labels : numpy.ndarray of int, shape (N,)
        The network's numbers of their classes.

    Raises
    ------
    InputError
        If there are no images, or their channels or classes are not those of the network.
    ShapeError
        If the network does not take images of that size.
    """
    some = matched(data if number is None else data.sample(number, seed), network)
    return np.ascontiguousarray(some.array(), network.dtype), some.labels
