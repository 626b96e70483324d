"""What all attribution methods share: which score is explained, for which target, how many at once.

    values = Method(net, ...).attribute(x, target)

gives for a batch x (N, C, H, W) a raw, signed array of the same shape: how much each pixel counts
for the target's score. How channels become one number (`reduction.reduce`) and how numbers become
colours (`figures`) are separate steps.

Images are taken a few at a time, so that memory does not grow with their number; no kernel's result
depends on what else is in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import ClassVar

import numpy as np

from minicnn.errors import InputError, ShapeError, UnitError, nearest
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = [
    "BUDGET",
    "Attribution",
    "Index",
    "Target",
    "chunks",
    "images_at_once",
    "one_hot",
    "one_target_each",
    "units",
]

BUDGET = 2**29
"""Bytes that all values of the images computed at once may take together."""

Index = tuple[int, ...]
"""A unit of one image's value: (class,) or (channel, row, column)."""

Target = int | str | Index | None | Sequence["int | str | Index | None"]
"""What is explained: a class by number or name, a unit, or None (also "predicted") for the
strongest; a list has one for each image."""


class Attribution:
    """A method that says which pixels decided.

    Parameters
    ----------
    network : Network
        With one input.
    at : str, optional
        The value whose unit is explained; by default the class scores *before* a final softmax.

    Attributes
    ----------
    given : Network
        The network that it was made for; methods may run a simpler form of it (`network`).
    name : str
        For titles.
    reduction : str
        How its channels are usually made one number a pixel; see `reduction.reduce`.
    track : Track
        How the progress of `attribute` is shown; silent unless set.

    Raises
    ------
    InputError
        If the network has several inputs.
    """

    name: ClassVar[str] = ""
    reduction: ClassVar[str] = "sum"

    def __init__(self, network: Network, at: str | None = None) -> None:
        if len(network.inputs) != 1:
            raise InputError(
                f"{network.name} has {len(network.inputs)} inputs; attribution needs a network "
                f"with one. Cut it: net.cut(inputs=...)."
            )
        self.network = self.given = network
        self.at = network.logits if at is None else network.value_name(at)
        self.track: Track = silent

    def __repr__(self) -> str:
        return f"<{self.title} of {self.at} of {self.network.name}>"

    @property
    def title(self) -> str:
        """What it is called in figures and tables."""
        return self.name or type(self).__name__

    @cached_property
    def part(self) -> Network:
        """The network from its input up to the value that is explained."""
        return self.network.cut(outputs=self.at)

    def attribute(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        """How much each pixel counts for the target's score.

        Parameters
        ----------
        x : numpy.ndarray, shape (N, C, H, W)
            The network's input: photos, preprocessed.
        target : int, str, tuple of int or None, or a list of these, one an image
            A class by number or name, a unit (channel, row, column), None for the strongest unit.

        Returns
        -------
        numpy.ndarray, shape of x
            Raw and signed.

        Raises
        ------
        UnitError
            If there is no such class or unit.
        """
        raise NotImplementedError

    def check(self, x: np.ndarray) -> None:
        """Refuse what is no batch of images for the network.

        Raises
        ------
        InputError, ShapeError
            That say what is needed.
        """
        for name, shape in self.network.inputs.items():
            self.network.check_input(name, shape, x)
        if not len(x):
            raise InputError(f"There is no image to explain: the input has shape {x.shape}.")

    def prepare(self, x: np.ndarray) -> None:
        """Refuse settings that do not go with these photos, before any long work."""
        self.check(x)

    def targets(self, x: np.ndarray, target: Target) -> list[Index]:
        """The unit that is meant in each image, by a forward run."""
        scores = np.concatenate([self.part(x[rows]) for rows in chunks(self.part, x.shape)])
        return units(self.network, self.at, scores, target)

    def signal(self, scores: np.ndarray, target: Target, weight: str = "one") -> np.ndarray:
        """The top signal of a target: one-hot for each image, of value 1 or the unit's own."""
        return one_hot(scores, units(self.network, self.at, scores, target), weight)


def units(network: Network, at: str, scores: np.ndarray, target: Target) -> list[Index]:
    """The unit that is meant in each image.

    Parameters
    ----------
    network : Network
        For the names of its classes.
    at : str
        What `scores` is the value of.
    scores : numpy.ndarray, shape (N, K, ...)
        That value.
    target : int, str, tuple of int or None, or a list of these
        See `Attribution.attribute`.

    Returns
    -------
    list of tuple of int
        One an image. Where a class's scores are a map, the place where it is strongest.
    """
    if scores.ndim < 2:
        raise ShapeError(f"{at} has shape {scores.shape}: no units of an image to explain.")
    listed = one_target_each(target, len(scores))
    return [_unit(network, at, own, one) for own, one in zip(scores, listed, strict=True)]


def one_target_each(target: Target, images: int) -> list[int | str | Index | None]:
    """The target as a list, one an image.

    Raises
    ------
    InputError
        If a list has another length.
    """
    if isinstance(target, np.ndarray) and target.ndim == 0:
        target = target.item()
    if not isinstance(target, (list, np.ndarray)):
        return [target] * images  # type: ignore[list-item]
    if len(target) != images:
        raise InputError(f"{len(target)} targets for {images} images: give one each, or one.")
    return list(target)


def images_at_once(network: Network, shape: Sequence[int]) -> int:
    """How many images of a shape (N, ...) are computed at once: all their values fit `BUDGET`.

    A network made for batches of one size gets these.
    """
    fixed = next(iter(network.inputs.values()))[0]
    if fixed is not None:
        return fixed
    values = network.infer_shapes((1, *shape[1:])).values()
    each = sum(prod(value) for value in values) * network.dtype.itemsize
    return max(1, min(64, BUDGET // max(1, each)))


def chunks(network: Network, shape: Sequence[int]) -> list[slice]:
    """Parts of a batch of a shape (N, ...), each of as many images as are computed at once."""
    most = images_at_once(network, shape)
    return [slice(first, first + most) for first in range(0, shape[0], most)]


def one_hot(scores: np.ndarray, indices: Sequence[Index], weight: str = "one") -> np.ndarray:
    """A signal shaped like the scores: 1 (or the score itself, weight="value") at each unit."""
    p = np.zeros_like(scores)
    for image, index in enumerate(indices):
        p[(image, *index)] = scores[(image, *index)] if weight == "value" else 1
    return p


def _unit(network: Network, at: str, scores: np.ndarray, target: object) -> Index:
    """One image's unit; scores are (K, ...)."""
    if target is None or (isinstance(target, str) and target.strip().lower() == "predicted"):
        return tuple(int(i) for i in np.unravel_index(scores.argmax(), scores.shape))
    if isinstance(target, str):
        target = _class_number(network, at, target)
    index = tuple(target) if isinstance(target, tuple) else (target,)
    if not all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in index):
        raise UnitError(f"A target is a class or a unit's coordinates; got {target!r}.")
    found = tuple(int(i) for i in index)
    if len(found) not in (1, scores.ndim) or not all(
        0 <= i < n for i, n in zip(found, scores.shape, strict=False)
    ):
        what = "classes" if scores.ndim == 1 else "units"
        raise UnitError(
            f"Target {','.join(map(str, found))} does not exist: {at} has {what} of shape "
            f"{scores.shape}" + (f", 0 to {len(scores) - 1}." if scores.ndim == 1 else ".")
        )
    if len(found) == scores.ndim:
        return found
    place = np.unravel_index(scores[found[0]].argmax(), scores.shape[1:])
    return (found[0], *(int(i) for i in place))


def _class_number(network: Network, at: str, text: str) -> int:
    """A class by its name or number; units of other values have numbers alone."""
    names = [name.lower() for name in network.labels] if at == network.logits else []
    key = text.strip().lower()
    if key in names:
        return names.index(key)
    if key.isdecimal():
        return int(key)
    hint = nearest(text, network.labels) if names else "Its classes have numbers, not names."
    raise UnitError(f"{network.name} has no class {text!r}. {hint}")
