"""Neuron selectivity: how far does a rule's picture depend on the neuron it started from?

At the centre of a layer's map three signals are sent back: one-hot at the strongest channel,
one-hot at a random other channel, and noise |randn| over all channels. The pictures' correlations
say how much they share. The paper's finding is that DeConvNet's pictures barely depend on the
neuron: they show the image's edges whatever one asks.

Source: Mahendran and Vedaldi, ECCV 2016, figure 4. As in the authors' code, a random channel whose
picture is all zero is drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.errors import UnitError
from minicnn.rules import Rule
from minicnn.seeds import Seed, dense, unit
from minicnn.tape import Tape

__all__ = ["Selectivity", "selectivity"]


@dataclass(frozen=True, eq=False)
class Selectivity:
    """Three pictures and their correlations (Pearson, over all values; 1: same picture).

    Parameters
    ----------
    rule : str
    seeds : tuple of Seed
        Strongest channel, random channel, noise.
    pictures : tuple of numpy.ndarray
        In the same order, each (C, H, W).
    max_random, max_noise, random_noise : float
        Correlations of the pictures, pair by pair.
    """

    rule: str
    seeds: tuple[Seed, Seed, Seed]
    pictures: tuple[np.ndarray, np.ndarray, np.ndarray]
    max_random: float
    max_noise: float
    random_noise: float


def selectivity(tape: Tape, at: str, rule: Rule | str, seed: int = 0) -> Selectivity:
    """Compare the pictures of the strongest neuron, a random one and noise.

    Parameters
    ----------
    tape : Tape
        A recorded run on one image.
    at : str
        A layer; where it has a map, its central place is used.
    rule : Rule or str
        Whose pictures.
    seed : int
        Of the random channel and the noise.

    Returns
    -------
    Selectivity

    Raises
    ------
    UnitError
        If no other channel there gives a picture.
    """
    shape = tape.shapes[tape.network.value_name(at)]
    place = tuple(n // 2 for n in shape[2:])
    column = np.moveaxis(tape[at][0], 0, -1)[place]  # (channels,)
    strongest = unit(tape, at, (int(column.argmax()), *place))
    first = tape.backward(strongest, rule)[0]
    generator = np.random.default_rng(seed)
    for channel in generator.permutation(shape[1]):
        if channel == column.argmax():
            continue
        other = unit(tape, at, (int(channel), *place))
        second = tape.backward(other, rule)[0]
        if second.any():
            break
    else:
        raise UnitError(
            f"At the centre of {at} no channel but the strongest gives a picture under {rule}: all "
            f"others are silent. Choose another layer."
        )

    def drawn(picture: np.ndarray) -> np.ndarray:
        return tape.network.channels_first(picture[None])[0]

    noise = dense(tape, at, int(generator.integers(2**31)), place)
    third = tape.backward(noise, rule)[0]
    return Selectivity(
        getattr(rule, "name", str(rule)),
        (strongest, other, noise),
        (drawn(first), drawn(second), drawn(third)),
        _correlation(first, second),
        _correlation(first, third),
        _correlation(second, third),
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation; 0 where a picture is constant."""
    a, b = (v.astype(np.float64).reshape(-1) - v.mean(dtype=np.float64) for v in (a, b))
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else 0.0
