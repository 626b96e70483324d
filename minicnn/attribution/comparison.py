"""Comparing rules: one photo, one unit, one picture a rule, from one forward run.

Source: Mahendran and Vedaldi, "Salient Deconvolutional Networks", ECCV 2016, figures 1 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn import rules as rulebook
from minicnn.blocks import LRN
from minicnn.network import Network
from minicnn.rules import Rule
from minicnn.seeds import Seed
from minicnn.tape import Tape

__all__ = ["Comparison", "Picture", "compare", "reported_rules", "top_classes"]


@dataclass(frozen=True, eq=False)
class Picture:
    """What one rule sent down to the image.

    Parameters
    ----------
    rule : Rule
    values : numpy.ndarray, shape (C, H, W)
        Raw and signed.
    bits : int
        Bits of masks and switches that the rule used.

    """

    rule: Rule
    values: np.ndarray
    bits: int

    @property
    def low(self) -> float:
        """Smallest value."""
        return float(self.values.min())

    @property
    def high(self) -> float:
        """Largest value."""
        return float(self.values.max())

    @property
    def positive(self) -> float:
        """Fraction of values above zero."""
        return float((self.values > 0).mean())


@dataclass(frozen=True, eq=False)
class Comparison:
    """All pictures for one seed."""

    seed: Seed
    pictures: list[Picture]

    def arrays(self) -> dict[str, np.ndarray]:
        """Pictures by rule code, or name where a rule has none."""
        return {picture.rule.code or picture.rule.name: picture.values for picture in self.pictures}


def compare(tape: Tape, seed: Seed, rules: Sequence[Rule | str]) -> Comparison:
    """The pictures of several rules for one seed.

    Parameters
    ----------
    tape : Tape
        A recorded run on one image.
    seed : Seed
        What is sent back.
    rules : sequence of Rule or str
        Rules, names or letter codes.

    Returns
    -------
    Comparison

    """
    found = [rulebook.find(rule) for rule in rules]
    maps = tape.compare(seed, found)
    return Comparison(
        seed, [Picture(rule, maps[rule.name][0], tape.bits(rule, seed.at)) for rule in found]
    )


def reported_rules(text: str, network: Network) -> list[Rule]:
    """Rules from a list such as "salinet,TFF", or the whole family for "all".

    The family has eight members, sixteen where the network has LRN.
    """
    if text.strip().lower() != "all":
        found = [rulebook.find(part) for part in text.split(",") if part.strip()]
        return list({rule.name: rule for rule in found}.values())
    lrn = any(isinstance(node.block, LRN) for node in network.nodes)
    codes = rulebook.family_codes(lrn)
    # without LRN the fourth letter has no effect, and TTF is SaliNet itself
    return [rulebook.find("salinet" if c == ("TTFF" if lrn else "TTF") else c) for c in codes]


def top_classes(tape: Tape, most: int = 5) -> list[tuple[int, str, float]]:
    """The strongest classes of the first image: number, name and softmax probability."""
    scores = tape[tape.network.logits][0].reshape(-1).astype(np.float64)
    odds = np.exp(scores - scores.max())
    probability = odds / odds.sum()
    order = np.argsort(-probability, kind="stable")[:most]
    return [(int(i), tape.network.class_name(int(i)), float(probability[i])) for i in order]
