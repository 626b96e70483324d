"""Integrated Gradients: the gradient, averaged on the straight way from a baseline to the photo.

    IG = (x - x') integral over a in 0..1 of dS/dx(x' + a (x - x'))

It is complete: summed over all values it gives S(x) - S(x'). How far the sum misses that, the
completeness gap, says how well the steps resolve the way; they can be doubled until it is small.

Exact, and cheaper than it looks: the steps start behind the network's affine beginning (`affine`),
and of its last layer only the target's row is computed (`narrowing`).

Source: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017, equations
1 and 3.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from minicnn import rules as rulebook
from minicnn.attribution.affine import Split, split
from minicnn.attribution.baseline import Baseline, baseline_of
from minicnn.attribution.method import (
    Attribution,
    Index,
    Target,
    chunks,
    one_hot,
    one_target_each,
)
from minicnn.attribution.narrowing import narrowed
from minicnn.blocks import MatMul
from minicnn.errors import InputError, nearest
from minicnn.network import Network
from minicnn.rules import Rule

__all__ = ["CompletenessWarning", "Integrated", "IntegratedGradients", "quadrature"]

ROUNDING = 1e-5  # of a score: a gap below it is none
LATEST = 8  # channels whose networks are kept
QUADRATURES = ("gauss-legendre", "riemann", "trapezoid")


class CompletenessWarning(UserWarning):
    """Integrated Gradients did not become as complete as was asked for."""


@dataclass(frozen=True, eq=False)
class Integrated:
    """Integrated Gradients and how complete they are.

    Parameters
    ----------
    values : numpy.ndarray, shape (N, C, H, W)
        Raw and signed.
    score, start : numpy.ndarray, shape (N,)
        S(x) and S(x').
    gap : numpy.ndarray, shape (N,)
        |sum of values - (S(x) - S(x'))|.
    steps : numpy.ndarray of int, shape (N,)
        Gradients that were averaged.
    """

    values: np.ndarray
    score: np.ndarray
    start: np.ndarray
    gap: np.ndarray
    steps: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """The gap as a share of |S(x) - S(x')|; infinite where the scores are equal."""
        return _share(self.gap, self.score - self.start)


class IntegratedGradients(Attribution):
    """Integrated Gradients on the straight way.

    Parameters
    ----------
    network : Network
        With one input.
    baseline : number, array or str
        Where the way starts, x': a value of the network's input, an array that broadcasts to it,
        or a colour ("black", "white", "grey", "mean"; see `baseline_of`).
    steps : int
        How many gradients are averaged.
    rule : {"gauss-legendre", "riemann", "trapezoid"}
        Where, and with what weights: Gauss' nodes; the paper's k/m for k = 1..m; or equal
        distances with both ends.
    tolerance : float, optional
        Relative completeness gap: steps are doubled until it is met.
    most_steps : int
        No more than these; where they do not do, a `CompletenessWarning` says so.
    backward_rule : Rule or str
        SaliNet is the gradient; other rules give what they send back, averaged, and are not
        complete.
    at : str, optional
        The value whose unit is explained; by default the class scores.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> found = IntegratedGradients(net, tolerance=0.01).measure(x, target=7)
    >>> bool(found.relative[0] < 0.01)
    True
    """

    name: ClassVar[str] = "integrated gradients"

    def __init__(
        self,
        network: Network,
        baseline: Baseline = 0.0,
        steps: int = 50,
        rule: str = "gauss-legendre",
        tolerance: float | None = None,
        most_steps: int = 1600,
        backward_rule: Rule | str = "salinet",
        at: str | None = None,
    ) -> None:
        super().__init__(network, at)
        quadrature(rule, steps)  # refuses what there is not
        if tolerance is not None and not tolerance > 0:
            raise InputError(f"tolerance={tolerance}: a share above 0 is needed, such as 0.01.")
        self.baseline, self.steps, self.rule = baseline, steps, rule
        self.tolerance, self.most_steps = tolerance, max(steps, most_steps)
        self.backward_rule = rulebook.find(backward_rule)

    @cached_property
    def _ways(self) -> dict[int, tuple[Split, bool]]:
        return {}

    def _way(self, channel: int) -> tuple[Split, bool]:
        """The network on the way to a channel, and whether it gives that channel alone."""
        if channel not in self._ways:
            narrow = None
            if self.backward_rule.structural:
                narrow = narrowed(self.network, self.at, channel)
            while len(self._ways) >= LATEST:
                self._ways.pop(next(iter(self._ways)))
            part = split(narrow or self.part, self.at, self.backward_rule)
            self._ways[channel] = (part, narrow is not None)
        return self._ways[channel]

    def prepare(self, x: np.ndarray) -> None:
        super().prepare(x)
        baseline_of(self.network, self.baseline, x)

    def attribute(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        return self.measure(x, target).values

    def completeness(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        """The completeness gap of each image, as a share of |S(x) - S(x')|; shape (N,)."""
        return self.measure(x, target).relative

    def measure(self, x: np.ndarray, target: Target = None) -> Integrated:
        """The attribution and how complete it is.

        Parameters
        ----------
        x : numpy.ndarray, shape (N, C, H, W)
            Photos, preprocessed.
        target : int, str, tuple of int or None, or a list of these, one an image
            See `Attribution.attribute`.

        Returns
        -------
        Integrated

        Warns
        -----
        CompletenessWarning
            If `most_steps` do not meet the tolerance.
        """
        self.check(x)
        start = baseline_of(self.network, self.baseline, x)
        targets = one_target_each(target, len(x))
        found = [self._one(x[i : i + 1], start[i : i + 1], one) for i, one in enumerate(targets)]
        return Integrated(
            np.concatenate([one.values for one in found]),
            *(
                np.concatenate([getattr(one, name) for one in found])
                for name in ("score", "start", "gap", "steps")
            ),
        )

    def _one(self, x: np.ndarray, start: np.ndarray, target: object) -> Integrated:
        """One image; all arrays have a batch of 1."""
        (index,) = self.targets(x, [target])  # type: ignore[list-item]
        way, narrow = self._way(index[0])
        index = (0, *index[1:]) if narrow else index
        here, there = way.enter(start), way.enter(x)
        bottom, top = (self._score(way, h, index) for h in (here, there))
        rise, steps = float(top) - float(bottom), self.steps
        while True:
            parts = chunks(self.part, (steps, *x.shape[1:]))
            signal = self._integral(way, here, there, index, parts, steps)
            values = (x - start) * way.leave(signal, x, self.backward_rule)
            gap = np.abs(values.sum(dtype=np.float64) - rise)
            share = float(_share(gap, rise))
            least = ROUNDING * max(abs(float(top)), abs(float(bottom)))
            missed = self._wants_more(share) and float(gap) > least
            if not missed or 2 * steps > self.most_steps:
                break
            steps *= 2
        if missed:
            warnings.warn(
                f"Integrated gradients missed the tolerance {self.tolerance:g} with {steps} steps: "
                f"the sum is {share:.2g} away from S(x) - S(x') = {rise:.4g}, as a share of it. "
                f"Allow more (most_steps), or choose a baseline of another score",
                CompletenessWarning,
                stacklevel=4,
            )
        found = [np.array([number]) for number in (top, bottom, gap, steps)]
        return Integrated(values, *found)

    def _wants_more(self, share: float) -> bool:
        """Whether a completeness gap is too large; only the gradient's sum is ever complete."""
        promised = self.backward_rule.name == rulebook.SALINET.name
        return promised and self.tolerance is not None and share > self.tolerance

    def _score(self, way: Split, h: np.ndarray, index: Index) -> np.floating:
        """What is explained, for a value at the split."""
        score: np.floating = way.tail.values({way.at: h}, [self.at])[self.at][(0, *index)]
        return score

    def _integral(
        self, way: Split, start: np.ndarray, end: np.ndarray, index: Index, parts: list[slice],
        steps: int,
    ) -> np.ndarray:  # fmt: skip
        """The weighted sum of the signals at start + a (end - start): (1, ...)."""
        places, weights = (n.astype(start.dtype) for n in quadrature(self.rule, steps))
        ends = np.stack([start.ravel("K"), end.ravel("K")])  # (2, D), in the order of memory
        mix = np.stack([1 - places, places], axis=1)  # (steps, 2)
        total: np.ndarray | None = None
        product = MatMul()  # NumPy's own would leave threads behind that spin beside ours
        for rows in self.track(parts, self.title, len(parts)):
            points = _laid_like(product(mix[rows], ends), start)
            tape = way.tail.record(points, rules=[self.backward_rule], copy=False)
            p = one_hot(tape[self.at], [index] * len(points))
            signals = tape.backward(p, self.backward_rule, at=self.at)
            if total is None:
                total = np.zeros_like(signals[:1])
            flat = total.ravel("K")  # a view
            flat += product(weights[None, rows], signals.ravel("K").reshape(len(signals), -1))[0]
        assert total is not None
        return total


def _laid_like(rows: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) from rows (N, D) in the order in which `image` (1, ...) is in memory."""
    axes = sorted(range(1, image.ndim), key=lambda axis: -image.strides[axis])
    laid = rows.reshape(len(rows), *(image.shape[axis] for axis in axes))
    return laid.transpose(0, *(1 + axes.index(axis) for axis in range(1, image.ndim)))


def quadrature(rule: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in 0..1 and weights that sum to 1.

    Parameters
    ----------
    rule : {"gauss-legendre", "riemann", "trapezoid"}
        See `IntegratedGradients`.
    steps : int
        How many nodes.

    Returns
    -------
    nodes, weights : numpy.ndarray of float64, shape (steps,)

    Examples
    --------
    >>> quadrature("riemann", 2)
    (array([0.5, 1. ]), array([0.5, 0.5]))
    """
    if rule not in QUADRATURES:
        raise InputError(f"There is no way {rule!r} to integrate. {nearest(rule, QUADRATURES)}")
    least = 2 if rule == "trapezoid" else 1
    if not isinstance(steps, (int, np.integer)) or steps < least:
        raise InputError(f"steps={steps}: {rule} needs {least} or more, a whole number.")
    if rule == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    if rule == "riemann":
        return np.arange(1, steps + 1) / steps, np.full(steps, 1 / steps)
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights


def _share(gap: np.ndarray, rise: np.ndarray | float) -> np.ndarray:
    """gap / |rise|, infinite where only the rise is 0."""
    found = np.where(np.asarray(gap) > 0, np.inf, 0.0)
    return np.divide(gap, np.abs(rise), out=found, where=np.abs(rise) > 0)
