"""What a training shows while it runs: a bar with loss, score, speed and time left; lines after."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from minicnn import nn

__all__ = ["Shown"]


class Shown:
    """Shows a training's steps on standard error, where that is a terminal, and its epochs.

    Parameters
    ----------
    held : str
        What the samples measured after each epoch are called.
    """

    def __init__(self, held: str) -> None:
        self.held = held
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self.bars = Bars(*columns, console=self.console, disable=not sys.stderr.isatty())
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self.bars.stop()

    def step(self, progress: nn.Progress) -> None:
        """Move the bar: over all epochs, so that the time left is the whole training's."""
        total = progress.epochs * progress.steps
        if self.task is None:
            done = (progress.epoch - 1) * progress.steps
            self.task = self.bars.add_task("", total=total, completed=done)
        self.bars.update(
            self.task,
            advance=1,
            description=f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.4f}  "
            f"{progress.history.score} {progress.score:.4g}  "
            f"{progress.images_per_second:,.0f} images/s",
        )

    def epoch(self, model: nn.Module, epoch: nn.Epoch) -> None:
        """One line an epoch."""
        text = (
            f"epoch {epoch.number}: loss {epoch.loss:.4f}, score {epoch.score:.4f}; {self.held} "
            f"loss {epoch.valid_loss:.4f}, score {epoch.valid_score:.4f}; {epoch.seconds:.0f} s"
        )
        self.console.print(text, highlight=False) if sys.stderr.isatty() else print(
            text, flush=True
        )
