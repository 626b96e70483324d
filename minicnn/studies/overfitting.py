"""Where over-fitting shows: few images, two fifths with a label drawn at random, a wide net.

Such a net has far more weights than there are images and can learn the wrong labels by heart. First
it finds what most images of a class share, which holds for new images; then it learns the
exceptions, which do not.

Source: Zhang et al. 2017, "Understanding deep learning requires rethinking generalization"; Arpit
et al. 2017, "A closer look at memorization in deep networks".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.data import Dataset

__all__ = ["A_CLASS", "RECIPE", "WRONG", "mislabelled", "wide_net"]

A_CLASS = 60  # training images of each class
WRONG = 0.4  # share of them whose label is drawn at random
RECIPE = nn.Recipe(epochs=40, batch=32, optimiser="adam", rate=1e-3, decay=0.0, schedule="constant")


def mislabelled(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data set with labels drawn at random for a share of its images.

    One in K of these is right by chance, where there are K classes.
    """
    generator = np.random.default_rng(seed)
    count = round(share * len(dataset))
    rows = generator.permutation(len(dataset))[:count]
    labels = dataset.labels.copy()
    labels[rows] = generator.integers(len(dataset.classes), size=count)
    return replace(dataset, labels=labels)


def wide_net(
    shape: tuple[int, int, int], classes: int, seed: int, dropout: float = 0.0, units: int = 512
) -> nn.Module:
    """Two hidden layers of ReLUs, each followed by dropout; He-normal."""
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(shape)), units), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(units, units), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(units, classes),
    )  # fmt: skip
    return nn.initialise(net, "he_normal", seed)
