"""Recipes: settings with which each architecture learns well; where a training starts from."""

from __future__ import annotations

from minicnn.data import Augment
from minicnn.errors import UnknownNameError, nearest
from minicnn.nn.architectures import ARCHITECTURES
from minicnn.nn.schedules import Cycles
from minicnn.nn.training import Recipe

__all__ = ["recipe"]

SMALL = Recipe(epochs=12, batch=64, rate=0.05, decay=5e-4, augment=Augment(shift=2))
PHOTOS = Recipe(
    epochs=18, batch=128, rate=0.1, decay=5e-4, smoothing=0.1,
    schedule=Cycles(((10 / 18, 1.0), (8 / 18, 0.5))), augment=Augment(shift=4, flip=True),
)  # fmt: skip
RESIDUAL = Recipe(epochs=30, batch=128, rate=0.1, augment=Augment(shift=4, flip=True))
PLAIN = Recipe(epochs=30, batch=128, rate=0.05, augment=Augment(shift=4, flip=True))


def recipe(architecture: str) -> Recipe:
    """The settings for an architecture, with a schedule of one cycle or two.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES`.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if architecture not in ARCHITECTURES:
        raise UnknownNameError(
            f"No architecture {architecture!r}. {nearest(architecture, ARCHITECTURES)}"
        )
    if architecture == "lenet":
        return SMALL
    if architecture == "vgg":
        return PHOTOS
    return RESIDUAL if architecture.startswith("resnet") else PLAIN
