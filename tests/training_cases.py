"""What the tests of training share: small data, a small network, and how to stop a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from minicnn import kernels, nn
from minicnn.data import Augment, Dataset
from minicnn.kernels.cpu import team

RECIPE = nn.Recipe(4, 16, optimiser="adam", rate=0.01, schedule="cosine", decay=1e-3)
EVERYTHING = replace(
    RECIPE, augment=Augment(shift=1, rotate=10, flip=True), patience=3, clip=1.0, smoothing=0.1,
    seed=5,
)  # fmt: skip


class Stop(Exception):
    """What a user's Ctrl-C, or a power cut, is here."""


class Stopping:
    """Raises at a step, counted from the start of the run."""

    def __init__(self, at):
        self.left = at

    def __call__(self, progress):
        self.left -= 1
        if self.left == 0:
            raise Stop


def sample(count=96, seed=0, classes=3, side=6):
    """Small images whose class is which third is bright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.uniform(0, 0.5, (count, 1, side, side)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[:, label * side // 3 : (label + 1) * side // 3] += 0.4
    names = tuple("abcdef"[:classes])
    return Dataset(images, labels, names, "bars", (0.35,), (0.25,))


def network(seed=0, width=4, dropout=0.3):
    return nn.initialise(
        nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Dropout(dropout), nn.Flatten(), nn.Linear(36 * width, 3),
        ),
        seed=seed,
    )  # fmt: skip


TRAIN, VALID = sample(), sample(30, seed=1)


def columns(history):
    """All but the clock."""
    names = [name for name in nn.History().arrays() if not name.endswith("seconds")]
    return {name: history.arrays()[name] for name in names}


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def bytes_of(path):
    return path.read_bytes()


@pytest.fixture(autouse=True)
def one_thread():
    """Steps are short here, and the machine's cores may be busy; no bit depends on it."""
    before = team.threads()
    kernels.set_threads(1)
    yield
    kernels.set_threads(before)
