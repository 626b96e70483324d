"""Evaluation: loss and score of a model on samples that it does not learn from.

The model runs as a network, frozen and planned, its batch norms folded: what a saved file computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.data import Dataset
from minicnn.data.matching import matched, normalised_for
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.nn.module import Module
from minicnn.nn.objectives import Classification, Objective

__all__ = ["Result", "evaluate", "predict"]


@dataclass(frozen=True)
class Result:
    """Mean loss and score over samples, and how many there were."""

    loss: float
    score: float
    count: int

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, score {self.score:.4f} on {self.count:,} samples"


def predict(
    model: Module | Network,
    samples: Dataset | np.ndarray,
    batch: int = 256,
) -> np.ndarray:
    """Outputs of a model in evaluation: class scores (N, classes), before any softmax.

    Parameters
    ----------
    model : Module or Network
        A network is run as it is, without its softmax.
    samples : Dataset or array (N, C, H, W)
        An array is what the network reads, normalised. A data set is normalised as a network says
        that it reads images, else by the numbers of its own.
    batch : int
        Samples a run.

    Raises
    ------
    InputError
        If there are no samples, or a batch holds none.
    """
    count = len(samples)
    if count == 0:
        raise InputError("There are no samples to run the network on.")
    if batch < 1:
        raise InputError(f"batch is 1 or more; got {batch}.")
    read = _reader(samples, model)
    network = _network(model, read(slice(0, 1)).shape[1:])
    found = [network(read(slice(i, i + batch))) for i in range(0, count, batch)]
    return np.concatenate(found)


def evaluate(
    model: Module | Network,
    samples: Dataset | tuple[np.ndarray, np.ndarray],
    objective: Objective | None = None,
    batch: int = 256,
) -> Result:
    """Mean loss and score of a model in evaluation.

    Parameters
    ----------
    model : Module or Network
        A network is run as it is, without its softmax.
    samples : Dataset or (x, targets)
        What it is measured on; see `predict`. Classes of a data set are those of the same names
        in the network.
    objective : Objective, optional
        Cross-entropy and accuracy by default.
    batch : int
        Samples a run.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If there are no samples, or the network does not have their classes.
    ShapeError
        If there are not as many targets, or they do not fit the outputs.
    """
    objective = objective or Classification()
    if isinstance(samples, Dataset) and isinstance(model, Network):
        samples = matched(samples, model)
    x, targets = (samples, samples.labels) if isinstance(samples, Dataset) else samples
    outputs = predict(model, x, batch)
    losses, scores = objective.losses(outputs, targets), objective.scores(outputs, targets)
    return Result(float(losses.mean()), float(scores.mean()), len(outputs))


def _reader(samples: Dataset | np.ndarray, model: Any) -> Callable[[slice], np.ndarray]:
    """Gives rows as the model reads them: a network's file may say how images are normalised."""
    if not isinstance(samples, Dataset):
        return lambda rows: samples[rows]
    own = normalised_for(samples, model) if isinstance(model, Network) else samples
    return lambda rows: own.array(rows)


def _network(model: Any, shape: tuple[int, ...]) -> Network:
    """The model as a frozen network up to its scores."""
    network = model if isinstance(model, Network) else model.network(shape)
    return network.drop_softmax().fold_bn()
