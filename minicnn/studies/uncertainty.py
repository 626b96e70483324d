"""Uncertainty by Monte Carlo dropout: one network, many masks, and how far its answers differ.

With dropout on in evaluation, pass t of T gives probabilities p_t, by masks of its own:

    mean                 p = 1/T sum p_t
    predictive entropy   H[p] = - sum_k p_k log p_k                  all uncertainty, in nats
    mutual information   H[p] - 1/T sum H[p_t]                       of the weights alone (BALD)
    variation ratio      1 - (share of passes that agree with the most common class)

For regression with precision tau the predictive variance is 1/tau + the variance over passes, and

    log likelihood       logsumexp(-tau/2 (y - y_t)^2) - log T - log(2 pi)/2 + log(tau)/2

Source: Gal and Ghahramani, "Dropout as a Bayesian approximation", ICML 2016; Houlsby et al. 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.errors import InputError
from minicnn.nn import Dropout, Module
from minicnn.nn.module import evaluating
from minicnn.progress import Track, silent
from minicnn.tensor import Tensor, no_grad

__all__ = [
    "Uncertain",
    "dropout_passes",
    "entropy",
    "log_likelihood",
    "mc_predict",
    "predictive_variance",
]


@dataclass(frozen=True, eq=False)
class Uncertain:
    """What many passes say of each sample.

    Parameters
    ----------
    probabilities : float64 array (T, N, classes)
        Of every pass.
    """

    probabilities: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over passes, (N, classes)."""
        return self.probabilities.mean(axis=0)

    @property
    def variance(self) -> np.ndarray:
        """Variance over passes, (N, classes)."""
        return self.probabilities.var(axis=0)

    @property
    def predictive_entropy(self) -> np.ndarray:
        """H[mean p], (N), in nats."""
        return entropy(self.mean)

    @property
    def mutual_information(self) -> np.ndarray:
        """H[mean p] - mean H[p], (N), in nats: what the passes disagree about."""
        return self.predictive_entropy - entropy(self.probabilities).mean(axis=0)

    @property
    def variation_ratio(self) -> np.ndarray:
        """Share of passes that do not give the most common class, (N)."""
        votes = self.probabilities.argmax(axis=2)  # (T, N)
        classes = np.arange(self.probabilities.shape[2])
        most = (votes[..., None] == classes).sum(axis=0).max(axis=1)
        return 1 - most / len(votes)


def entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p over the last axis, in nats; 0 log 0 is 0.

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(4).tolist()
    [0.6931, 0.0]
    """
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logs).sum(axis=-1)) + 0.0


def dropout_passes(
    model: Module,
    x: np.ndarray,
    passes: int,
    seed: int = 0,
    batch: int = 512,
    track: Track = silent,
) -> np.ndarray:
    """Outputs of a model in evaluation but for its dropout, (T, N, ...).

    Parameters
    ----------
    model : Module
        Left as it was, but for its dropout's stream.
    x : array (N, ...)
        Samples as the model reads them.
    passes : int
        T, each with masks drawn from (seed, t).
    seed, batch
        Of the masks; samples a run.
    track : Track
        Shows progress.

    Raises
    ------
    InputError
        If the model has no dropout, so that all passes would be alike.
    """
    layers = [m for m in model.modules() if isinstance(m, Dropout) and m.p > 0]
    if not layers or passes < 1:
        raise InputError(
            f"MC dropout needs a model with dropout and one pass or more; "
            f"{type(model).__name__} has {len(layers)} dropout layers, passes={passes}."
        )
    before = [layer.always for layer in layers]
    try:
        for layer in layers:
            layer.always = True
        found: list[np.ndarray] = []
        with evaluating(model), no_grad():
            for t in track(range(passes), "passes", passes):
                model.reseed(seed, t)
                parts = [x[i : i + batch] for i in range(0, len(x), batch)]
                outputs = [model(Tensor(part, device=model.device)).numpy() for part in parts]
                found.append(np.concatenate(outputs))
    finally:
        for layer, always in zip(layers, before, strict=True):
            layer.always = always
    return np.stack(found)


def mc_predict(
    model: Module, x: np.ndarray, passes: int = 50, seed: int = 0, **settings: Any
) -> Uncertain:
    """Class probabilities of many passes with dropout on; see `dropout_passes`.

    Examples
    --------
    >>> from minicnn import nn
    >>> model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    >>> found = mc_predict(model, np.ones((2, 4), np.float32), passes=20)
    >>> found.mean.shape, bool((found.mutual_information > 0).all())
    ((2, 3), True)
    """
    scores = dropout_passes(model, x, passes, seed, **settings).astype(np.float64)
    odds = np.exp(scores - scores.max(axis=2, keepdims=True))
    return Uncertain(odds / odds.sum(axis=2, keepdims=True))


def log_likelihood(predictions: np.ndarray, targets: np.ndarray, precision: float) -> np.ndarray:
    """Of regression targets (N) under T passes (T, N) with noise of a precision tau, (N)."""
    from scipy.special import logsumexp

    terms = -0.5 * precision * (targets - predictions) ** 2
    constants = -np.log(len(predictions)) - 0.5 * np.log(2 * np.pi) + 0.5 * np.log(precision)
    return np.asarray(logsumexp(terms, axis=0) + constants)


def predictive_variance(predictions: np.ndarray, precision: float) -> np.ndarray:
    """Of regression by T passes (T, N) with noise of a precision tau, (N): 1/tau + their variance.

    Examples
    --------
    >>> predictive_variance(np.array([[1.0, 2.0], [3.0, 2.0]]), precision=4.0).tolist()
    [1.25, 0.25]
    """
    return np.asarray(1 / precision + predictions.var(axis=0))
