"""What studies share: the data they train on, how long, and the form of what they find."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.data import Dataset
from minicnn.errors import InputError
from minicnn.nn import Module
from minicnn.progress import Track, silent

__all__ = ["Findings", "Setup", "Study", "repeated"]


@dataclass(frozen=True, eq=False)
class Setup:
    """What a study works with.

    Parameters
    ----------
    train, test : Dataset
    epochs : int, optional
        How long its networks train; each study has its own default.
    seed : int
        Of subsets, weights, order, dropout and augmentation.
    track : Track
        Shows progress over whatever the study loops over.
    checkpoint : path-like, optional
        A file (.npz) that keeps the trainings that are done. The same study goes on after them;
        whoever has the findings may remove it.
    device : str
        Where networks learn: "cpu", "cuda:0".
    """

    train: Dataset
    test: Dataset
    epochs: int | None = None
    seed: int = 0
    track: Track = silent
    checkpoint: str | os.PathLike[str] | None = None
    device: str = "cpu"

    def placed(self, model: Module) -> Module:
        """The model itself, on the device."""
        return model.to(self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: (C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.train.classes)

    def few(self, a_class: int, seed: int | None = None) -> Dataset:
        """Training images: so many of each class, or as many as the smallest class has.

        Raises
        ------
        InputError
            If a class has no image.
        """
        smallest = int(np.bincount(self.train.labels, minlength=self.classes).min())
        if smallest == 0:
            raise InputError(
                f"{self.train.name}: a class has no training image; every class needs one or more."
            )
        return self.train.balanced(min(a_class, smallest), self.seed if seed is None else seed)


@dataclass(frozen=True, eq=False)
class Findings:
    """What a study found, ready to be printed, drawn and saved.

    Parameters
    ----------
    study : str
        Name of the study, by which its figure is found.
    title : str
        One line for people.
    header, rows
        A table: the numbers that answer the question.
    arrays : mapping of str to array
        All numbers, for the figure and the file.
    notes : sequence of str
        What to see in it.
    """

    study: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    arrays: dict[str, np.ndarray]
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Study:
    """A study by name: the question, and the function that answers it.

    `data` is what it runs on where the user names no data; None where it makes its own.
    `trains` says whether it has epochs.
    """

    name: str
    question: str
    run: Callable[[Setup], Findings]
    data: str | None = "digits"
    trains: bool = True


def repeated(
    setup: Setup,
    study: str,
    settings: Sequence[str],
    repeats: int,
    run: Callable[[int, int], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Run every setting several times, each time from another seed.

    Parameters
    ----------
    setup : Setup
        Its checkpoint keeps each run that is done.
    study : str
        Whose runs they are.
    settings : sequence of str
        Names of the settings, which the checkpoint knows them by.
    repeats : int
        Runs of each: from the seeds `setup.seed`, `setup.seed + 1`, ...
    run : callable
        Gives arrays for (number of the setting, seed); their shapes are the same for all.

    Returns
    -------
    dict of str to array (settings, repeats, ...)
        By the names that `run` gives.
    """
    state = Checkpoint(setup.checkpoint, _key(setup, study) if setup.checkpoint else {})
    kept = state.read()
    pairs = [(i, repeat) for i in range(len(settings)) for repeat in range(repeats)]
    found: list[dict[str, np.ndarray]] = []
    for i, repeat in setup.track(pairs, "trainings", len(pairs)):
        start = f"{settings[i]}/{repeat}/"
        arrays = {name[len(start) :]: a for name, a in kept.items() if name.startswith(start)}
        if not arrays:
            arrays = run(i, setup.seed + repeat)
            kept |= {start + name: np.asarray(array) for name, array in arrays.items()}
            state.write(kept)
        found.append(arrays)
    return {
        name: np.stack([one[name] for one in found]).reshape(
            len(settings), repeats, *np.shape(found[0][name])
        )
        for name in found[0]
    }


def _key(setup: Setup, study: str) -> dict[str, Any]:
    """What a checkpoint is about."""
    return {
        "study": study,
        "epochs": setup.epochs,
        "seed": setup.seed,
        **({} if setup.device == "cpu" else {"device": setup.device}),
        "normalised": [[*map(float, n)] for n in (setup.train.mean, setup.train.std)],
        "data": [
            zlib.crc32(np.ascontiguousarray(array).data.cast("B"))
            for one in (setup.train, setup.test)
            for array in (one.images, one.labels)
        ],
    }
