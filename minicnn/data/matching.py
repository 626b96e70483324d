"""Matching: a data set as one network reads it.

    pixels    normalised as the network says that it reads photos, else by the data's own numbers
    labels    the network's numbers of the classes that have the data set's names

Two lists of ten classes need not be the same ten, nor in the same order: numbers alone would give
an accuracy that means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.data.datasets import Dataset
from minicnn.errors import InputError, ShapeError
from minicnn.structure import Structure, spoken

__all__ = ["matched", "normalised_for"]


def matched(data: Dataset, network: Structure) -> Dataset:
    """The data set normalised as a network reads it, its classes numbered as in the network.

    Parameters
    ----------
    data : Dataset
        Labelled images.
    network : Structure
        A classifier.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If the network does not have the classes or the channels of the data set, or gives no score
        a class.
    ShapeError
        If it does not take images of that size.
    """
    if len(network.inputs) != 1:
        raise InputError(f"{network.name} has {len(network.inputs)} inputs; images go into one.")
    own = normalised_for(data, network)
    shape, (wanted,) = (1, *data.images.shape[1:]), network.inputs.values()
    if len(wanted) != 4 or any(
        w not in (None, n) for w, n in zip(wanted[1:], shape[1:], strict=True)
    ):
        raise ShapeError(
            f"{data.name} has images of {'x'.join(map(str, shape[1:]))}; {network.name} needs "
            f"{spoken(wanted)} (batch, channels, height, width)."
        )
    scores = network.infer_shapes(shape)[network.logits]
    count = scores[1] if len(scores) > 1 and all(n == 1 for n in scores[2:]) else 0
    if count < 2:
        raise InputError(
            f"{network.name} gives {network.logits} of shape {scores}: not one score a class, so "
            f"there is no loss or accuracy on {data.name}."
        )
    return replace(own, **_numbered(data, network, count))


def normalised_for(data: Dataset, network: Structure) -> Dataset:
    """The data set normalised as a network says that it reads photos, if it does say so.

    Raises
    ------
    InputError
        If it reads another number of channels.
    """
    how = network.preprocess
    return data if how is None or network.assumes_preprocess else data.prepared(how)


def _numbered(data: Dataset, network: Structure, count: int) -> dict[str, Any]:
    """Labels and classes by the network's numbers."""
    if not network.labels:
        if count != len(data.classes):
            raise InputError(
                f"{data.name} has {len(data.classes)} classes and {network.name} gives {count} "
                f"scores: it was not made for them."
            )
        return {}
    place = {_key(name): n for n, name in reversed([*enumerate(network.labels[:count])])}
    lacking = [name for name in data.classes if _key(name) not in place]
    if lacking:
        raise InputError(
            f"{network.name} does not know {_listed(lacking)} of {data.name}; it knows "
            f"{_listed(network.labels)}. Give the data it was made for, or name the classes alike."
        )
    numbers = np.array([place[_key(name)] for name in data.classes], np.int64)
    return {"labels": numbers[data.labels], "classes": tuple(network.labels)}


def _key(name: str) -> str:
    """What of a name counts."""
    return " ".join(name.replace("_", " ").casefold().split())


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
