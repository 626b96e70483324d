"""Data sets: labelled images in memory, and where they are read from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from minicnn.errors import InputError, ShapeError
from minicnn.preprocess import Preprocess

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images.

    Parameters
    ----------
    images : array (N, C, H, W)
        uint8, or float32 in 0..1.
    labels : int64 array (N)
        Numbers of their classes.
    classes : sequence of str
        Their names.
    name : str
        For titles.
    mean, std : sequence of float
        One a channel, of pixels in 0..1: how images are normalised.

    Raises
    ------
    ShapeError, InputError
        If images, labels, classes and channels do not fit each other.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
            raise ShapeError(
                f"{self.name}: images are (N, C, H, W), uint8 or float32; got {images.dtype} of "
                f"shape {images.shape}."
            )
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise ShapeError(
                f"{self.name}: {len(images)} images need as many integer labels; got "
                f"{labels.dtype} of shape {labels.shape}."
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise InputError(
                f"{self.name}: labels run from {labels.min()} to {labels.max()}; there are "
                f"{len(self.classes)} classes, 0 to {len(self.classes) - 1}."
            )
        if not len(self.mean) == len(self.std) == images.shape[1]:
            raise InputError(
                f"{self.name}: mean and std need {images.shape[1]} numbers, one a channel; got "
                f"{self.mean} and {self.std}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"<Dataset {self.name}: {len(self):,} images {shape}, {len(self.classes)} classes>"

    def subset(self, rows: Any) -> Self:
        """The images of these rows: numbers, a slice or a mask (copies, unless it is a slice)."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def sample(self, count: int, seed: int) -> Self:
        """`count` images at random, in the order they had; all where there are no more.

        Raises
        ------
        InputError
            If a number is out of its range.
        """
        if count < 1 or seed < 0:
            raise InputError(
                f"{self.name}: {count} images by seed {seed}: at least 1, by seed 0 or more."
            )
        if count >= len(self):
            return self
        rows = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.subset(np.sort(rows))

    def balanced(self, count: int, seed: int) -> Self:
        """`count` images of each class, drawn from the seed, in the order they had.

        Raises
        ------
        InputError
            If a class has fewer, or a number is out of its range.
        """
        if count < 1 or seed < 0:
            raise InputError(
                f"{count} of each class by seed {seed}: at least 1, by seed 0 or more."
            )
        generator, rows = np.random.default_rng(seed), []
        for label, name in enumerate(self.classes):
            own = np.flatnonzero(self.labels == label)
            if len(own) < count:
                raise InputError(f"{self.name} has {len(own)} images of {name}; {count} needed.")
            rows.append(generator.permutation(own)[:count])
        return self.subset(np.sort(np.concatenate(rows)))

    def split(self, share: float, seed: int) -> tuple[Self, Self]:
        """The rest, and a share held out of each class, drawn from the seed.

        Raises
        ------
        InputError
            If the share leaves nothing on either side.
        """
        if not 0 < share < 1 or seed < 0:
            raise InputError(
                f"A share held out is between 0 and 1, a seed 0 or more; got {share} and {seed}."
            )
        generator, held = np.random.default_rng(seed), np.zeros(len(self), bool)
        for label in range(len(self.classes)):
            own = generator.permutation(np.flatnonzero(self.labels == label))
            held[own[: round(share * len(own))]] = True
        if held.all() or not held.any():
            raise InputError(f"{self.name}: a share of {share} of {len(self)} images is no split.")
        return self.subset(~held), self.subset(held)

    def array(self, rows: Any = None) -> np.ndarray:
        """Images as a network reads them: (pixel - mean) / std, float32, channels last in memory.

        Parameters
        ----------
        rows : optional
            Which; all by default.
        """
        from minicnn.data.augment import Augment  # which changes nothing by default

        images = self.images if rows is None else self.images[rows]
        return Augment()(images, np.zeros(len(images), np.int64), (0,), self.mean, self.std)

    @property
    def preprocess(self) -> Preprocess:
        """The same as facts that a network's file carries."""
        height, width = self.images.shape[2:]
        square = height == width
        return Preprocess(
            size=height if square else None,
            crop=height if square else (height, width),
            mean=self.mean,
            std=self.std,
        )

    def prepared(self, how: Preprocess) -> Self:
        """The same images, normalised as a network reads them.

        Parameters
        ----------
        how : Preprocess
            Its mean, standard deviation, scale and order of channels count; sizes are not changed.

        Raises
        ------
        InputError
            If the network reads another number of channels, or wants them last.
        """
        if how.channels != self.images.shape[1] or how.layout != "NCHW":
            raise InputError(
                f"The network reads {how.channels} channels as {how.layout}; images of {self.name} "
                f"have {self.images.shape[1]}, as NCHW."
            )
        images = self.images[:, ::-1] if how.order == "BGR" else self.images
        mean, std = (tuple(v / how.scale for v in values) for values in (how.mean, how.std))
        return replace(self, images=images, mean=mean, std=std)


def halved(
    images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], name: str, split: str
) -> Dataset:
    """A split of a set that comes in one piece: a fifth of each class, by seed 0, is for testing.

    Mean and standard deviation are the training split's.
    """
    same = (0.0,) * images.shape[1], (1.0,) * images.shape[1]
    train, test = Dataset(images, labels, classes, name, *same).split(0.2, 0)
    mean, std = fitted(train.images)
    return replace(train if split == "train" else test, mean=mean, std=std)


def fitted(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels in 0..1, one a channel."""
    unit = 255.0 if images.dtype == np.uint8 else 1.0
    values = images.astype(np.float64) / unit
    mean, std = values.mean(axis=(0, 2, 3)), values.std(axis=(0, 2, 3))
    return tuple(mean.tolist()), tuple(np.maximum(std, 1e-6).tolist())
