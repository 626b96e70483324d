"""History: what a training found, epoch by epoch, and its CSV file."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

import numpy as np

from minicnn.errors import InputError
from minicnn.files import atomic_path

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """One epoch: mean loss and score on the training batches as they were met, and held out.

    `valid_loss` and `valid_score` are NaN where nothing was held out; `rate` is the learning rate
    of the last step.
    """

    number: int
    loss: float
    score: float
    valid_loss: float
    valid_score: float
    rate: float
    seconds: float


NAMES = tuple(f.name for f in fields(Epoch))


@dataclass
class History:
    """All epochs, and which one's weights the model has.

    Parameters
    ----------
    epochs : list of Epoch
    score : str
        What the score is: "accuracy".
    best : int
        Number of the epoch with the smallest loss held out; 0 where nothing was.
    restored : bool
        Whether the model was given the best epoch's weights at the end.
    """

    epochs: list[Epoch] = field(default_factory=list)
    score: str = "accuracy"
    best: int = 0
    restored: bool = False

    def column(self, name: str) -> np.ndarray:
        """One of the numbers over the epochs, e.g. "valid_score"."""
        return np.array([getattr(epoch, name) for epoch in self.epochs])

    @property
    def last(self) -> Epoch:
        """The last epoch."""
        return self.epochs[-1]

    def arrays(self) -> dict[str, np.ndarray]:
        """All columns, as a checkpoint holds them."""
        return {f"history/{name}": self.column(name) for name in NAMES}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], score: str) -> Self:
        """Back from `arrays`."""
        columns = [arrays[f"history/{name}"] for name in NAMES]
        rows = zip(*columns, strict=True)
        return cls([Epoch(int(n), *map(float, rest)) for n, *rest in rows], score)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line an epoch, whole or not at all."""
        text = io.StringIO()
        writer = csv.DictWriter(text, NAMES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in self.epochs)
        with atomic_path(path) as temporary:
            Path(temporary).write_text(text.getvalue())

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `to_csv` wrote.

        Raises
        ------
        InputError
            If it is missing, or another kind of file.
        """
        if not Path(path).is_file():
            raise InputError(f"There is no file {path}.")
        with Path(path).open(newline="") as file:
            reader = csv.DictReader(file)
            try:
                if tuple(reader.fieldnames or ()) != NAMES:
                    raise InputError(f"{path} holds no history of a training: its columns differ.")
                rows = [[float(row[name]) for name in NAMES] for row in reader]
            except (ValueError, TypeError, csv.Error) as error:  # no number, or a line cut off
                raise InputError(f"{path} holds no history of a training: {error}.") from None
        return cls([Epoch(int(n), *rest) for n, *rest in rows])
