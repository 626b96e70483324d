"""Explanations: one photo, one target, one picture a method.

explained = explain(net, x, {"ig": method("ig", net)}, target="tabby")
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minicnn.attribution.integrated import IntegratedGradients
from minicnn.attribution.method import Attribution, Index, Target, units
from minicnn.attribution.reduction import reduce
from minicnn.errors import InputError
from minicnn.network import Network

__all__ = ["Explained", "Explanation", "explain", "target_label"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one method says.

    Parameters
    ----------
    title : str
        The method.
    values : numpy.ndarray, shape (1, C, H, W)
        Raw and signed, shaped like the network's input.
    map : numpy.ndarray, shape (H, W)
        One number a pixel.
    reduction : str
        How channels became that number.
    seconds : float
        Time taken.
    gap : float or None
        Completeness gap as a share, where the method promises completeness.
    """

    title: str
    values: np.ndarray
    map: np.ndarray
    reduction: str
    seconds: float
    gap: float | None = None

    def __repr__(self) -> str:
        return f"<Explanation by {self.title}: sum {self.sum:.3g}>"

    @property
    def sum(self) -> float:
        """Sum over pixels; of methods whose channels are alike, of one channel."""
        values = self.map if self.reduction == "mean" else self.values
        return float(values.sum(dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Explained:
    """A photo's target and what the methods say.

    Parameters
    ----------
    label : str
        The target, for captions.
    index : tuple of int
        The unit.
    score : float
        Its activation: for a class the score before softmax.
    explanations : dict
        By the methods' names.
    """

    label: str
    index: Index
    score: float
    explanations: dict[str, Explanation]

    def __repr__(self) -> str:
        return f"<Explained {self.label}: {', '.join(self.explanations)}>"


def explain(
    network: Network,
    x: np.ndarray,
    methods: Mapping[str, Attribution],
    target: Target = None,
    reduction: str | None = None,
) -> Explained:
    """Explain one photo's target by several methods.

    Parameters
    ----------
    network : Network
        That they were made for.
    x : numpy.ndarray, shape (1, C, H, W)
        A photo, preprocessed.
    methods : mapping
        Methods by name, all for the same value.
    target : int, str, tuple of int or None
        See `Attribution.attribute`.
    reduction : str, optional
        The same for all; by default each method's own.

    Returns
    -------
    Explained

    Raises
    ------
    InputError
        If there is no method, several photos, or the methods explain different values.
    """
    values = {method.at for method in methods.values()}
    if len(values) != 1:
        raise InputError(f"Methods for one value are needed; these explain {sorted(values)}.")
    if len(x) != 1:
        raise InputError(f"explain takes one photo at a time; got {len(x)}.")
    (at,) = values
    next(iter(methods.values())).check(x)
    scores = network.values({next(iter(network.inputs)): x}, [at])[at]
    (index,) = units(network, at, scores, target)
    return Explained(
        target_label(network, at, index),
        index,
        float(scores[0][index]),
        {name: _by(method, x, index, reduction) for name, method in methods.items()},
    )


def _by(method: Attribution, x: np.ndarray, index: Index, reduction: str | None) -> Explanation:
    how, gap, start = reduction or method.reduction, None, time.perf_counter()
    if isinstance(method, IntegratedGradients):
        found = method.measure(x, index)
        values, gap = found.values, float(found.relative[0])
    else:
        values = method.attribute(x, index)
    seconds = time.perf_counter() - start
    drawn = reduce(values, how, method.network)[0]
    return Explanation(method.title, values, drawn, how, seconds, gap)


def target_label(network: Network, at: str, index: Index) -> str:
    """A unit as people call it: "class 281: tabby", or "pool5 unit 12,3,4"."""
    place = ",".join(map(str, index))
    if at != network.logits or not network.classifies:
        return f"{at} unit {place}"
    name = network.class_name(index[0])
    return f"class {index[0]}" + (f": {name}" if name != str(index[0]) else "")
