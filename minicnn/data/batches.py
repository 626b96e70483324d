"""Batches: a data set in a new order every epoch, augmented and normalised on the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.data.augment import Augment
from minicnn.data.datasets import Dataset
from minicnn.errors import InputError

__all__ = ["Batches"]


class Batches:
    """Gives the batches of each epoch; the same ones whenever an epoch is asked for.

    Parameters
    ----------
    dataset : Dataset
    size : int
        Images a batch. The last, smaller batch of an epoch is left out, unless it is the only one.
    augment : Augment, optional
    seed : int
        Of the order and of the augmentation.
    """

    def __init__(
        self, dataset: Dataset, size: int = 128, augment: Augment | None = None, seed: int = 0
    ) -> None:
        if size < 1 or len(dataset) == 0:
            raise InputError(f"Batches of {size} of {len(dataset)} images: there must be some.")
        self.dataset, self.size, self.seed = dataset, min(size, len(dataset)), seed
        self.augment = augment or Augment()

    def __len__(self) -> int:
        return len(self.dataset) // self.size

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Epoch 0, 1, ...: float32 images (n, C, H, W), channels last in memory, and labels (n)."""
        own = self.dataset
        order = np.random.default_rng([self.seed, number]).permutation(len(own))
        for start in range(0, len(self) * self.size, self.size):
            rows = order[start : start + self.size]
            x = self.augment(own.images[rows], rows, (self.seed, number), own.mean, own.std)
            yield x, own.labels[rows]
