"""Comparing rules: one photo, one unit, one picture a rule, from one forward run.

Source: Mahendran and Vedaldi, "Salient Deconvolutional Networks", ECCV 2016, figures 1 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minicnn import rules as rulebook
from minicnn.blocks import LRN
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.rules import SALINET, Rule
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

    def __repr__(self) -> str:
        return f"<Picture by {self.rule.name}: {self.low:.3g} .. {self.high:.3g}>"

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

    def __repr__(self) -> str:
        return f"<Comparison of {self.seed.label}: {', '.join(self.arrays())}>"

    def arrays(self) -> dict[str, np.ndarray]:
        """The raw maps by rule name."""
        return {picture.rule.name: picture.values for picture in self.pictures}


def compare(tape: Tape, seed: Seed, rules: Rule | str | Sequence[Rule | str]) -> Comparison:
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
    named = [rules] if isinstance(rules, (Rule, str)) else rules
    found = [rulebook.find(rule) for rule in named]
    maps = tape.compare(seed, found)
    drawn = {name: tape.network.channels_first(values)[0] for name, values in maps.items()}
    return Comparison(
        seed, [Picture(rule, drawn[rule.name], tape.bits(rule, seed.at)) for rule in found]
    )


def reported_rules(text: str, network: Network) -> list[Rule]:
    """Rules from a list such as "salinet,TFF", or the whole family for "all".

    The family has eight members, sixteen where the network has LRN.
    """
    lrn = any(isinstance(node.block, LRN) for node in network.nodes)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if "all" in [part.lower() for part in parts]:
        if len(parts) > 1:
            raise InputError(f"'all' is the whole family and stands alone; got {text!r}.")
        parts = rulebook.family_codes(lrn)
    found = [rulebook.find(part) for part in parts]
    if not lrn:  # the fourth letter has no effect, and TTF is SaliNet itself
        found = [SALINET if rule.code[:3] == "TTF" else rule for rule in found]
        found = [replace(rule, code=rule.code[:3]) for rule in found]
    return list({rule.code: rule for rule in found}.values())


def top_classes(tape: Tape, most: int = 5) -> list[tuple[int, str, float]]:
    """The strongest classes of the first image: number, name and softmax probability."""
    scores = tape[tape.network.logits][0].reshape(-1).astype(np.float64)
    odds = np.exp(scores - scores.max())
    probability = odds / odds.sum()
    order = np.argsort(-probability, kind="stable")[:most]
    return [(int(i), tape.network.class_name(int(i)), float(probability[i])) for i in order]
