"""Curves of a training: loss and accuracy on what is learned from and on what is not.

Every set is measured in evaluation, by the same frozen network, before the first epoch and after
each. The running mean that a training shows is no match for the loss held out: it is taken with
dropout and augmentation on, while the weights still move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np

from minicnn import nn
from minicnn.data import Dataset
from minicnn.errors import TrainingError
from minicnn.studies.base import Setup

__all__ = ["learn", "measured", "per_cent"]

MOST_MEASURED = 2000
Watch = Callable[[nn.Module, int], None]


def measured(setup: Setup) -> Dataset:
    """The test images, or 2000 of them at random where there are more."""
    return setup.test.sample(MOST_MEASURED, setup.seed)


def learn(
    model: nn.Module,
    train: Dataset,
    sets: Mapping[str, Dataset],
    recipe: nn.Recipe,
    watch: Watch | None = None,
) -> dict[str, np.ndarray]:
    """Train a model in place and follow it.

    Parameters
    ----------
    model : Module
        What learns.
    train : Dataset
        What it learns from.
    sets : mapping of str to Dataset
        What is measured.
    recipe : Recipe
        How it learns.
    watch : callable, optional
        Called with the model and the number of epochs done, 0 before training.

    Returns
    -------
    dict of str to float64 array (epochs + 1)
        "NAME_loss" and "NAME_accuracy" of every set, the first entry before training. A training
        whose loss ceases to be finite ends there; what would follow is NaN.
    """
    curves = {
        f"{name}_{what}": np.full(recipe.epochs + 1, np.nan)
        for name in sets
        for what in ("loss", "accuracy")
    }

    def measure(model: nn.Module, done: int) -> None:
        network = model.network(train.images.shape[1:])
        with np.errstate(over="ignore", invalid="ignore"):  # a training may be about to fail
            for name, samples in sets.items():
                result = nn.evaluate(network, samples)
                curves[f"{name}_loss"][done] = result.loss
                curves[f"{name}_accuracy"][done] = result.score
            if watch is not None:
                watch(model, done)

    measure(model, 0)
    with suppress(TrainingError):  # the NaNs say so
        nn.fit(model, train, None, recipe, on_epoch=lambda model, e: measure(model, e.number))
    return curves


def per_cent(shares: np.ndarray) -> str:
    """Mean over repeats in per cent, with the standard deviation where there are several.

    Examples
    --------
    >>> per_cent(np.array([0.9, 0.92])), per_cent(np.array([0.5]))
    ('91.0% ± 1.4', '50.0%')
    """
    shares = np.asarray(shares, np.float64)
    spread = f" ± {100 * shares.std(ddof=1):.1f}" if shares.size > 1 else ""
    return f"{shares.mean():.1%}{spread}" if np.isfinite(shares).all() else "diverged"
