"""Seeds: the top signal p that is sent into a reversed network.

A seed says at which value of the network it enters and what it is there: one-hot at a unit (value 1
or the unit's own activation), a channel, a class's score, noise at one place. For classes the score
*before* a final softmax is meant, as in Simonyan et al. 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import InputError, UnitError, nearest

if TYPE_CHECKING:
    from minicnn.tape import Tape

__all__ = [
    "Seed",
    "channel",
    "choose",
    "default",
    "dense",
    "logit",
    "max_unit",
    "parse",
    "random_unit",
    "unit",
]


@dataclass(frozen=True, eq=False)
class Seed:
    """A top signal.

    Parameters
    ----------
    at : str
        The value at which it enters.
    p : numpy.ndarray
        The signal, shaped like that value.
    label : str
        What it stands for, for captions.
    index : tuple of int
        The unit, where it is one.
    """

    at: str
    p: np.ndarray
    label: str
    index: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<Seed {self.label}, entering at {self.at}>"


def unit(tape: Tape, at: str, index: int | tuple[int, ...], weight: str = "one") -> Seed:
    """One-hot at a unit of the first image.

    Parameters
    ----------
    tape : Tape
        A recorded run.
    at : str
        A value of the network.
    index : int or tuple of int
        (channel, row, column), or the feature of a vector.
    weight : {"one", "value"}
        Whether the signal is 1 or the unit's activation.

    Raises
    ------
    UnitError
        If the unit lies outside the map.
    """
    at = tape.network.value_name(at)
    shape = tape.shapes[at]
    index = index if isinstance(index, tuple) else (index,)
    if len(index) != len(shape) - 1:
        raise UnitError(
            f"A unit of {at}, of shape {shape[1:]}, has {len(shape) - 1} coordinates; got {index}."
        )
    for place, (i, n) in enumerate(zip(index, shape[1:], strict=True)):
        if not 0 <= i < n:
            raise UnitError(
                f"Unit {','.join(map(str, index))} lies outside {at}, of shape {shape[1:]}: "
                f"coordinate {place + 1} runs from 0 to {n - 1}."
            )
    if weight not in ("one", "value"):
        raise InputError(f"weight={weight!r}: choose 'one' or 'value'.")
    p = tape.zeros(at)
    p[(0, *index)] = 1 if weight == "one" else float(tape[at][(0, *index)])
    return Seed(at, p, f"{at} unit {','.join(map(str, index))}", index)


def channel(tape: Tape, at: str, number: int) -> Seed:
    """Ones over a whole channel of the first image."""
    at = tape.network.value_name(at)
    shape = tape.shapes[at]
    if len(shape) < 2 or not 0 <= number < shape[1]:
        raise UnitError(f"Channel {number} lies outside {at}, which has 0 to {shape[1] - 1}.")
    p = tape.zeros(at)
    p[0, number] = 1
    return Seed(at, p, f"{at} channel {number}", (number,))


def logit(tape: Tape, number: int | str | None = None) -> Seed:
    """A class's score before softmax, by number or name; the winning class by default.

    Where scores are maps, the place at which the class is strongest.
    """
    at = tape.network.logits
    scores = tape[at][0]
    flat = scores.reshape(scores.shape[0], -1).max(axis=1)
    if isinstance(number, str):
        number = _class_number(tape, number)
    if number is None:
        number = int(flat.argmax())
    if not 0 <= number < len(flat):
        raise UnitError(f"Class {number} does not exist: {at} has classes 0 to {len(flat) - 1}.")
    place = np.unravel_index(int(scores[number].argmax()), scores.shape[1:])
    made = unit(tape, at, (number, *(int(i) for i in place)))
    name = tape.network.class_name(number)
    label = f"class {number}" + (f": {name}" if name != str(number) else "")
    return Seed(at, made.p, label, made.index)


def max_unit(tape: Tape, at: str) -> Seed:
    """One-hot at the strongest unit of a value."""
    at = tape.network.value_name(at)
    if len(tape.shapes[at]) < 2:
        raise UnitError(
            f"{at} has shape {tape.shapes[at]}: no units of an image. Send an array back instead: "
            f"tape.backward(p, at={at!r})."
        )
    value = tape[at][0]
    return unit(tape, at, tuple(int(i) for i in np.unravel_index(int(value.argmax()), value.shape)))


def random_unit(tape: Tape, at: str, seed: int) -> Seed:
    """One-hot at a uniformly random unit."""
    at = tape.network.value_name(at)
    generator = np.random.default_rng(seed)
    return unit(tape, at, tuple(int(generator.integers(n)) for n in tape.shapes[at][1:]))


def dense(tape: Tape, at: str, seed: int, place: tuple[int, ...] | None = None) -> Seed:
    """Noise |randn| over all channels: at one place of the map, or everywhere."""
    at = tape.network.value_name(at)
    p = np.abs(np.random.default_rng(seed).standard_normal(tape.shapes[at])).astype(tape.dtype)
    p[1:] = 0
    if place is not None:
        inside = len(place) == p.ndim - 2 and all(
            0 <= i < n for i, n in zip(place, p.shape[2:], strict=True)
        )
        if not inside:
            raise UnitError(f"Place {place} lies outside {at}, whose map is {p.shape[2:]}.")
        column = p[0].reshape(len(p[0]), -1)  # a view: (channels, places)
        here = np.ravel_multi_index(place, p.shape[2:]) if place else 0
        column[:, np.arange(column.shape[1]) != here] = 0
    return Seed(at, p, f"{at} noise" + (f" at {','.join(map(str, place))}" if place else ""))


def parse(tape: Tape, at: str, text: str) -> Seed:
    """A seed from what users type: "max", "c" for a channel's strongest unit, or "c,i,j"."""
    at = tape.network.value_name(at)
    if text.strip().lower() == "max":
        return max_unit(tape, at)
    try:
        index = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UnitError(
            f"A unit is 'max', a channel such as 12, or channel,row,column such as 12,3,4; "
            f"got {text!r}."
        ) from None
    shape = tape.shapes[at]
    if len(index) == 1 and len(shape) > 2:
        channel(tape, at, index[0])  # says so if there is no such channel
        plane = tape[at][0, index[0]]
        index += tuple(int(i) for i in np.unravel_index(int(plane.argmax()), plane.shape))
    return unit(tape, at, index)


def default(tape: Tape) -> Seed:
    """The winning class where the network classifies, else the strongest unit of its output."""
    network = tape.network
    return logit(tape) if network.classifies else max_unit(tape, network.outputs[0])


def choose(tape: Tape, layer: str | None, text: str) -> Seed:
    """A seed from a layer and a unit as users type them; without a layer, a class.

    A class is given by its number or its name.
    """
    if layer is None and text.strip().lower() == "max":
        return default(tape)
    if layer is None and tape.network.classifies:
        return logit(tape, _class_number(tape, text))
    return parse(tape, layer or tape.network.outputs[0], text)


def _class_number(tape: Tape, text: str) -> int:
    """A class by its name or number."""
    names = [name.lower() for name in tape.network.labels]
    if text.strip().lower() in names:
        return names.index(text.strip().lower())
    try:
        return int(text)
    except ValueError:
        hint = nearest(text, tape.network.labels) if names else "Name a layer for other units."
        raise UnitError(
            f"Without a layer a unit is a class, by number or name; {text!r} is neither. {hint}"
        ) from None
