"""Objectives: what a training makes small, and the score that people read beside it.

    Classification   mean cross-entropy, labels smoothed by s:  (1 - s) onehot + s / K;  accuracy
    Regression       mean squared error;  the score is its square root

Source of label smoothing: Szegedy et al. 2016, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicnn import functional as F
from minicnn.errors import InputError, ShapeError
from minicnn.tensor import Tensor

__all__ = ["Classification", "Objective", "Regression", "answered"]


class Objective(Protocol):
    """A loss of outputs and targets, and a score a sample."""

    @property
    def score(self) -> str:
        """What the score is called."""

    def loss(self, outputs: Tensor, targets: np.ndarray) -> Tensor:
        """Mean over the batch: what is made small."""

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The loss of each sample, float64, without what is done for training's sake alone."""

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """One number a sample, whose mean is the score."""


@dataclass(frozen=True)
class Classification:
    """Cross-entropy with smoothed labels; the score is accuracy."""

    smoothing: float = 0.0
    score: str = "accuracy"

    def loss(self, outputs: Tensor, targets: np.ndarray) -> Tensor:
        shape = outputs.shape
        if len(shape) > 2 and all(n == 1 for n in shape[2:]):
            outputs = outputs.reshape(shape[:2])
        return F.cross_entropy(outputs, targets, label_smoothing=self.smoothing)

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        outputs = _rows(outputs)
        _check_labels(outputs.shape, targets)
        shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
        right = np.take_along_axis(shifted, targets[:, None], axis=1)[:, 0]
        return np.log(np.exp(shifted).sum(axis=1)) - right

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        outputs = _rows(outputs)
        _check_labels(outputs.shape, targets)
        return (answered(outputs) & (outputs.argmax(axis=1) == targets)).astype(np.float64)


@dataclass(frozen=True)
class Regression:
    """Mean squared error; the score is each sample's root mean squared error.

    Targets that do not have the outputs' shape are a `ShapeError`.
    """

    score: str = "root mean squared error"

    def loss(self, outputs: Tensor, targets: np.ndarray) -> Tensor:
        _check_alike(outputs.shape, targets.shape)
        difference = outputs - Tensor(targets, device=outputs.device)
        return (difference * difference).mean()

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        _check_alike(outputs.shape, targets.shape)
        squares = (outputs.astype(np.float64) - targets) ** 2
        return squares.reshape(len(squares), -1).mean(axis=1)

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.sqrt(self.losses(outputs, targets))


def answered(scores: np.ndarray) -> np.ndarray:
    """Which rows of scores have a highest one: NaN is none, though argmax gives it, nor infinity.

    A score of -inf is one: that of a class that is ruled out.
    """
    return ~(np.isnan(scores) | np.isposinf(scores)).any(axis=1)


def _rows(scores: np.ndarray) -> np.ndarray:
    """Scores (N, K), also where they come as (N, K, 1, 1)."""
    shape = scores.shape
    if len(shape) < 2 or any(n != 1 for n in shape[2:]):
        raise ShapeError(f"Scores are (N, classes); got {shape}, which is not one a class.")
    return scores.reshape(shape[:2])


def _check_labels(outputs: tuple[int, ...], labels: np.ndarray) -> None:
    """NumPy would count a label of -1 from the end, and broadcast labels of shape (N, 1)."""
    count, classes = outputs
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ShapeError(
            f"{count} rows of scores need as many integer labels; got {labels.dtype} of shape "
            f"{labels.shape}."
        )
    if count and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(f"Labels are 0 to {classes - 1}; got {labels.min()} to {labels.max()}.")


def _check_alike(outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    """Arrays that only broadcast against each other would give a number too, and a wrong one."""
    if outputs != targets:
        raise ShapeError(f"Targets have the outputs' shape {outputs}; got {targets}.")
