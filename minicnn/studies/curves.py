"""Curves of a training: loss and accuracy on what is learned from and on what is not.

Both sets are measured in evaluation, by the same frozen network, before the first epoch and after
each. The running mean that a training shows is no match for the loss held out: it is taken with
dropout and augmentation on, while the weights still move.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from minicnn import nn
from minicnn.data import Dataset
from minicnn.errors import TrainingError
from minicnn.studies.base import Setup

__all__ = ["CURVES", "best_of", "learn", "measured", "per_cent"]

CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
MOST_TESTED = 2000


def measured(setup: Setup, most: int = MOST_TESTED) -> Dataset:
    """The test images, or so many of them at random where there are more."""
    if len(setup.test) <= most:
        return setup.test
    chosen = np.random.default_rng(setup.seed).choice(len(setup.test), most, replace=False)
    return setup.test.subset(np.sort(chosen))


def learn(
    model: nn.Module, train: Dataset, test: Dataset, recipe: nn.Recipe
) -> dict[str, np.ndarray]:
    """Train a model in place and follow it.

    Returns
    -------
    dict of str to float64 array (epochs + 1)
        `CURVES`, the first entry before training. A training whose loss ceases to be finite ends
        there; what would follow is NaN.
    """
    curves = {name: np.full(recipe.epochs + 1, np.nan) for name in CURVES}

    def measure(model: nn.Module, epoch: nn.Epoch | None = None) -> None:
        at = epoch.number if epoch is not None else 0
        network = model.network(train.images.shape[1:])
        with np.errstate(over="ignore", invalid="ignore"):  # a training may be about to fail
            for name, samples in (("train", train), ("test", test)):
                result = nn.evaluate(network, samples)
                curves[f"{name}_loss"][at] = result.loss
                curves[f"{name}_accuracy"][at] = result.score

    measure(model)
    with suppress(TrainingError):  # the NaNs say so
        nn.fit(model, train, None, recipe, on_epoch=measure)
    return curves


def best_of(losses: np.ndarray) -> np.ndarray:
    """Epoch with the smallest loss, along the last axis; NaNs are passed over."""
    return np.where(np.isnan(losses), np.inf, losses).argmin(axis=-1)


def per_cent(values: np.ndarray) -> str:
    """Mean of a share over repeats, with its standard deviation where there are several."""
    values = np.asarray(values, np.float64)
    if values.size == 1 or np.isnan(values).any():
        return f"{values.mean():.1%}"
    return f"{values.mean():.1%} ± {100 * values.std(ddof=1):.1f}"
