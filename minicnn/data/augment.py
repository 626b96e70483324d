"""Augmentation: each image as it could have been taken too, drawn anew every epoch.

An image's draws depend on the seed, the epoch and the image's number, and on nothing else: neither
the batch it is in nor the number of threads changes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from minicnn.errors import InputError, nearest
from minicnn.kernels.cpu.augmenting import FILLS, augmented

__all__ = ["Augment"]

DRAWS = 7
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Augment:
    """Ranges from which every image's change is drawn evenly.

    Parameters
    ----------
    shift : int
        Up to so many whole pixels each way: random crops of the padded image.
    rotate : float
        Up to so many degrees each way, about the centre; 180 is any angle.
    scale : float
        Factors from 1 - scale to 1 + scale.
    flip : bool
        Mirror every second image, on average, left to right.
    cutout : int
        Side of a square that is covered by the channels' means (DeVries and Taylor 2017).
    fill : {"zero", "edge", "reflect"}
        What stands beyond the border: 0, the nearest pixel, the mirror image.

    Raises
    ------
    InputError
        If a range makes no sense.

    Examples
    --------
    >>> Augment.parse("shift=4,flip")
    Augment(shift=4, rotate=0.0, scale=0.0, flip=True, cutout=0, fill='zero')
    """

    shift: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    flip: bool = False
    cutout: int = 0
    fill: str = "zero"

    def __post_init__(self) -> None:
        least = min(self.shift, self.cutout)
        if not (least >= 0 and 0 <= self.rotate <= 180 and 0 <= self.scale < 1):
            raise InputError(
                f"shift and cutout are 0 or more, rotate is 0 to 180, scale from 0 to below 1; got "
                f"{self}."
            )
        if self.fill not in FILLS:
            raise InputError(f"fill={self.fill!r}: it is {', '.join(FILLS)}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a text such as "shift=4,flip,rotate=10".

        Raises
        ------
        InputError
            If a name is unknown or its value does not fit.
        """
        known: dict[str, Any] = {field.name: type(field.default) for field in fields(cls)}
        found: dict[str, object] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            name, _, value = part.partition("=")
            if name not in known:
                raise InputError(f"No augmentation {name!r}. {nearest(name, known)}")
            try:
                if known[name] is bool:
                    found[name] = {"": True, "true": True, "false": False}[value.lower()]
                else:
                    found[name] = known[name](value)
            except (ValueError, KeyError):
                raise InputError(f"Augmentation {part!r}: {value!r} does not fit.") from None
        return cls(**found)  # type: ignore[arg-type]  # checked by name

    def table(self, numbers: np.ndarray, seed: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """The draws of images, one row each: see `kernels.cpu.augmenting.COLUMNS`."""
        draws = uniform(numbers, seed, DRAWS)  # (N, 7) in [0, 1)
        table = np.zeros((len(numbers), DRAWS))
        table[:, 0] = np.floor(draws[:, 0] * (2 * self.shift + 1)) - self.shift
        table[:, 1] = np.floor(draws[:, 1] * (2 * self.shift + 1)) - self.shift
        table[:, 2] = np.deg2rad(self.rotate) * (2 * draws[:, 2] - 1)
        table[:, 3] = 1 + self.scale * (2 * draws[:, 3] - 1)
        table[:, 4] = self.flip & (draws[:, 4] < 0.5)
        for column, length in ((5, size[0]), (6, size[1])):  # the square's centre is in the image
            table[:, column] = np.floor(draws[:, column] * length) - self.cutout // 2
        return table

    def __call__(
        self,
        images: np.ndarray,
        numbers: np.ndarray,
        seed: Sequence[int],
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> np.ndarray:
        """Change images and normalise them.

        Parameters
        ----------
        images : array (N, C, H, W)
            uint8, or float32 in 0..1.
        numbers : int array (N)
            Which images of the data set they are: the draws depend on them.
        seed : sequence of int
            The other things that the draws depend on, e.g. seed and epoch.
        mean, std : sequence of float
            One a channel or one for all, of pixels in 0..1.

        Returns
        -------
        float32 array (N, C, H, W)
            (pixel - mean) / std, channels last in memory.
        """
        unit = 255.0 if images.dtype == np.uint8 else 1.0
        each = np.ones(images.shape[1])
        scale = (each / (unit * np.asarray(std))).astype(np.float32)
        offset = (each * -np.asarray(mean) / np.asarray(std)).astype(np.float32)
        table = self.table(np.asarray(numbers), seed, images.shape[2:])
        return augmented(images, table, self.cutout, self.fill, scale, offset)


def uniform(numbers: np.ndarray, seed: Sequence[int], count: int) -> np.ndarray:
    """Numbers in [0, 1) for each image, (N, count), by SplitMix64 on (seed, number, draw).

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    start = np.random.default_rng(list(seed)).integers(2**64, dtype=np.uint64)
    at = np.asarray(numbers, np.uint64)[:, None] * np.uint64(count) + np.arange(
        count, dtype=np.uint64
    )
    with np.errstate(over="ignore"):
        z: Any = start + (at + np.uint64(1)) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
