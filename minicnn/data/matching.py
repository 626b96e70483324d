"""Matching: a data set as one network reads it.

    pixels    normalised as the network says that it reads photos, else by the data's own numbers
    labels    the network's numbers of the classes that have the data set's names

Two lists of ten classes need not be the same ten, nor in the same order: numbers alone would give
an accuracy that means nothing. Names are compared letter by letter; where there is none, without
regard to case, blanks and underscores. A name that could be two classes is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.cifar import find_cifar
from minicnn.data.datasets import Dataset
from minicnn.data.idx import find_idx
from minicnn.data.images import Images
from minicnn.data.reading import NAMES, read
from minicnn.errors import ImageError, InputError, ShapeError, nearest
from minicnn.structure import Structure, spoken

__all__ = ["images_for", "matched", "normalised_for"]


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
    shape = (1, *data.images.shape[1:])
    _check_size(data, network)
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


def images_for(
    where: str | os.PathLike[str], network: Structure, pattern: str | None = None
) -> Images:
    """The images of a folder, or the test images of a data set, to look into a network with.

    Parameters
    ----------
    where : path-like or str
        A folder of pictures; or a data set as `read` takes it: a folder with MNIST's or CIFAR-10's
        files, the archive of these, or a name such as "digits". What exists under a name goes
        before the name.
    network : Structure
        Data sets are normalised as it says that it reads photos, else by their own numbers.
    pattern : str, optional
        A regular expression that finds labels in the names of pictures; see `Images`.

    Returns
    -------
    Images
        Of a data set, labelled by the names of its classes.

    Raises
    ------
    ImageError
        If there is no such folder, or no image in it.
    InputError, ShapeError
        If a data set is damaged, has images of another size or number of channels than the network
        takes, or a pattern is given for it.

    Examples
    --------
    >>> import minicnn
    >>> images_for("digits", minicnn.load("lenet"))
    Traceback (most recent call last):
    minicnn.errors.ShapeError: digits has images of 1x8x8; lenet needs...
    """
    path = Path(where)
    known = path.exists() and (find_cifar(path) or (path.is_dir() and find_idx(path, "test")))
    if not known and not path.exists() and str(where).casefold() not in NAMES:
        raise ImageError(
            f"There is no folder {where}. Give one with images in it, or a data set: a folder with "
            f"its files, or a name. {nearest(str(where), NAMES)}"
        )
    if not known and path.exists():
        return Images(where, pattern=pattern)
    if pattern is not None:
        raise InputError(
            f"The images of {where} are labelled by their classes; a label pattern finds labels in "
            f"names of files. Leave it out."
        )
    data = normalised_for(read(where, "test"), network)
    _check_size(data, network)
    found = Images(data.array(), [data.classes[label] for label in data.labels])
    if network.preprocess is None or network.assumes_preprocess:
        found.how = data.preprocess
    return found


def _check_size(data: Dataset, network: Structure) -> None:
    """Refuse images of another size than the network takes."""
    shape, wanted = (1, *data.images.shape[1:]), next(iter(network.inputs.values()))
    if len(wanted) != 4 or any(
        w not in (None, n) for w, n in zip(wanted[1:], shape[1:], strict=True)
    ):
        raise ShapeError(
            f"{data.name} has images of {'x'.join(map(str, shape[1:]))}; {network.name} needs "
            f"{spoken(wanted)} (batch, channels, height, width)."
        )


def _numbered(data: Dataset, network: Structure, count: int) -> dict[str, Any]:
    """Labels and classes by the network's numbers."""
    if not network.labels:
        if count != len(data.classes):
            raise InputError(
                f"{data.name} has {len(data.classes)} classes and {network.name} gives {count} "
                f"scores: it was not made for them."
            )
        return {}
    known = list(network.labels[:count])
    if list(data.classes) == known:
        return {}
    exact, alike = _places(known), _places(map(_plain, known))
    by_letters = all(len(exact.get(name, ())) == 1 for name in data.classes)
    if not by_letters and list(map(_plain, data.classes)) == list(map(_plain, known)):
        return {}  # place by place the same
    found = [exact.get(name) or alike.get(_plain(name), []) for name in data.classes]
    lacking = [name for name, numbers in zip(data.classes, found, strict=True) if not numbers]
    if lacking:
        raise InputError(
            f"{network.name} does not know {_listed(lacking)} of {data.name}; it knows "
            f"{_listed(known)}. Give the data it was made for, or name the classes alike."
        )
    taken = [numbers[0] for numbers in found]
    doubtful = [
        name
        for name, numbers in zip(data.classes, found, strict=True)
        if len(numbers) > 1 or taken.count(numbers[0]) > 1
    ]
    if doubtful:
        raise InputError(
            f"{_listed(doubtful)} of {data.name} could each be more than one class of "
            f"{network.name}, or another's too. Give classes names of their own."
        )
    return {"labels": np.array(taken, np.int64)[data.labels], "classes": tuple(network.labels)}


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    """Where each name stands."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(name, []).append(number)
    return found


def _plain(name: str) -> str:
    """A name without what people write differently."""
    return " ".join(name.replace("_", " ").casefold().split())


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
