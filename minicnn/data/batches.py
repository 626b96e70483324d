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
        The images.
    size : int
        Images a batch; all of them where there are fewer.
    augment : Augment, optional
        How each image is changed; by default it is not.
    seed : int
        Of the order and of the augmentation.
    drop_last : bool
        Whether a last batch that would be smaller is left out.

    Raises
    ------
    InputError
        If there are no images, or a number is out of its range.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int = 128,
        augment: Augment | None = None,
        seed: int = 0,
        drop_last: bool = True,
    ) -> None:
        if size < 1 or len(dataset) == 0:
            raise InputError(f"Batches of {size} of {len(dataset)} images: there must be some.")
        if seed < 0:
            raise InputError(f"seed={seed}: a seed is 0 or more.")
        self.dataset, self.size, self.seed = dataset, min(size, len(dataset)), seed
        self.augment, self.drop_last = augment or Augment(), drop_last

    def __len__(self) -> int:
        rest = 0 if self.drop_last else self.size - 1
        return (len(self.dataset) + rest) // self.size

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Epoch 0, 1, ...: float32 images (n, C, H, W), channels last in memory, and labels (n)."""
        own = self.dataset
        order = np.random.default_rng([self.seed, number]).permutation(len(own))
        for start in range(0, len(self) * self.size, self.size):
            rows = order[start : start + self.size]
            x = self.augment(own.images[rows], rows, (self.seed, number), own.mean, own.std)
            yield x, own.labels[rows]
