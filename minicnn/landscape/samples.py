"""Samples: the images that a landscape is drawn of, normalised once, as the network asks.

A network's file may state how its photos are normalised; where it does not, the data set's own mean
and standard deviation are taken. Images are as they are, without augmentation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn.data.datasets import Dataset
from minicnn.errors import InputError
from minicnn.network import Network

__all__ = ["normalised_for", "samples_of"]


def samples_of(
    network: Network, data: Dataset, number: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Some images of a data set, as the network reads them, and their labels.

    Parameters
    ----------
    network : Network
        Its file says how to normalise, or the data set does.
    data : Dataset
        Labelled images.
    number : int, optional
        How many, drawn at random without replacement; all by default.
    seed : int
        The same seed draws the same images.

    Returns
    -------
    x : numpy.ndarray, shape (N, C, H, W)
        In the network's type.
    labels : numpy.ndarray of int, shape (N,)

    Raises
    ------
    InputError
        If there are no images, or their channels are not those of the network.
    """
    if number is not None and number < 1:
        raise InputError(f"Of {data.name} {number} images are wanted; give 1 or more.")
    rows = np.arange(len(data))
    if number is not None and number < len(data):
        rows = np.sort(np.random.default_rng(seed).choice(len(data), number, replace=False))
    x = normalised_for(network, data).array(rows)
    how = network.preprocess
    if how is not None and how.order == "BGR" and _is_stated(network):
        x = x[:, ::-1]
    return np.ascontiguousarray(x, network.dtype), data.labels[rows]


def normalised_for(network: Network, data: Dataset) -> Dataset:
    """The data set with the mean and deviation that the network's file states, if it does."""
    how = network.preprocess
    if how is None or not _is_stated(network):
        return data
    mean, std = (tuple(n / how.scale for n in each) for each in (how.mean, how.std))
    if how.order == "BGR":
        mean, std = mean[::-1], std[::-1]
    if len(mean) != data.images.shape[1]:
        raise InputError(
            f"{network.name} takes images of {len(mean)} channel(s); those of {data.name} have "
            f"{data.images.shape[1]}."
        )
    return replace(data, mean=mean, std=std)


def _is_stated(network: Network) -> bool:
    """Whether the preprocessing comes from the file, and was not assumed."""
    source = network.metadata.get("minicnn.preprocess.source", "")
    return network.preprocess is not None and not source.startswith("assumed")
