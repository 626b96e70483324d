"""Batches: a data set, or arrays, in a new order every epoch; images augmented and normalised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minicnn.data.augment import Augment
from minicnn.data.datasets import Dataset
from minicnn.errors import InputError, ShapeError

__all__ = ["Batches", "Pairs"]


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


@dataclass(frozen=True, eq=False)
class Pairs:
    """Batches of arrays as they are: what the network reads, and what it is to answer.

    Parameters
    ----------
    x : float32 array (N, ...)
    y : array (N, ...)
        Labels, or whatever else the objective takes.
    batch : int
        Samples a batch; a last one that would be smaller is left out.
    seed : int
        Of the order.

    Raises
    ------
    ShapeError, InputError
        If there are not as many of both, or a batch holds none.
    """

    x: np.ndarray
    y: np.ndarray
    batch: int
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ShapeError(f"{len(self.x)} samples need as many targets; got {len(self.y)}.")
        if self.batch < 1 or self.seed < 0:
            raise InputError(
                f"Batches of {self.batch} by seed {self.seed}: 1 or more, by 0 or more."
            )

    def __len__(self) -> int:
        return len(self.x) // self.batch

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of epoch 0, 1, ..."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.x))
        for i in range(len(self)):
            rows = order[i * self.batch : (i + 1) * self.batch]
            yield self.x[rows], self.y[rows]

    def __repr__(self) -> str:
        return f"Pairs(x {self.x.shape}, y {self.y.shape}, batch={self.batch}, seed={self.seed})"
