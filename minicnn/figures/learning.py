"""Learning curves: loss and score, epoch by epoch, on what is learned from and on what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minicnn.errors import InputError
from minicnn.nn.history import History

__all__ = ["learning_figure"]

TRAIN, HELD, RATE = "#4393c3", "#b2182b", "0.45"


def learning_figure(history: History, title: str, held: str = "test") -> Figure:
    """Loss at the left, score at the right, the learning rate below in grey.

    Parameters
    ----------
    history : History
        With one epoch at least.
    title : str
        Above all.
    held : str
        What the samples that are not learned from are called.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If no epoch is done yet.
    """
    if not history.epochs:
        raise InputError("There is nothing to draw: the history has no epoch yet.")
    figure = Figure(figsize=(10, 5), layout="constrained")
    figure.suptitle(title, fontsize=13)
    above, below = figure.subplots(2, 2, height_ratios=(4, 1), sharex=True)
    numbers = history.column("number")
    for axis, name, label in ((above[0], "loss", "loss"), (above[1], "score", history.score)):
        _curves(axis, history, numbers, name, held)
        axis.set_ylabel(label)
        if history.best and history.restored:
            axis.axvline(history.best, color="0.4", linestyle=":", label="best: restored")
        axis.legend(frameon=False)
    if history.score == "accuracy":
        _in_per_cent(above[1], history, held)
    for axis in below:
        marker = "o" if len(numbers) == 1 else None
        axis.plot(numbers, history.column("rate"), color=RATE, linewidth=1.2, marker=marker)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.ticklabel_format(axis="y", style="plain")
    below[0].set_ylabel("rate", color=RATE)
    return figure


def _curves(axis: Axes, history: History, numbers: np.ndarray, name: str, held: str) -> None:
    style: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.6}
    axis.plot(numbers, history.column(name), color=TRAIN, label="training", **style)
    values = history.column(f"valid_{name}")
    if np.isfinite(values).any():
        axis.plot(numbers, values, color=HELD, label=held, **style)
    axis.grid(color="0.92", linewidth=0.6)
    if name == "loss" and (history.column(name) > 0).all():
        axis.set_yscale("log")


def _in_per_cent(axis: Axes, history: History, held: str) -> None:
    """Accuracy in per cent, and above it that of the weights which the model has."""
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    kept = history.epochs[history.best - 1] if history.restored else history.last
    if np.isfinite(kept.valid_score):
        epochs = f"{kept.number} epoch" + ("s" if kept.number > 1 else "")
        axis.set_title(f"{held}: {kept.valid_score:.2%} after {epochs}", fontsize=10)
