"""Augmentation: curves for the smallest set at the left, accuracy against its size at the right."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from minicnn.figures.studies import OFF, ON, by_epoch, curve, in_per_cent, plain
from minicnn.studies.base import Findings

__all__ = ["draw"]

WORDS = (("as they are", OFF), ("augmented", ON))


def draw(findings: Findings) -> Figure:
    """Test loss and accuracy over epochs, and the accuracies at the end with their deviations."""
    arrays = findings.arrays
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    axes = figure.subplots(1, 3)
    for axis, what in zip(axes, ("loss", "accuracy"), strict=False):
        for i, (name, colour) in enumerate(WORDS):
            curve(axis, arrays[f"train_{what}"][0, i], color=colour, linestyle=(0, (3, 2)),
                  label=f"{name}: training")  # fmt: skip
            curve(axis, arrays[f"test_{what}"][0, i], color=colour, label=f"{name}: test")
        by_epoch(axis).set(ylabel=what, xlim=(0, arrays[f"test_{what}"].shape[-1] - 1))
        axis.set_title(f"{arrays['sizes'][0]} images a class", fontsize=11)
    axes[0].set_ylim(0, 1.1 * arrays["test_loss"][0, ..., 1:].max())
    in_per_cent(axes[1]).set_ylim(top=1.01)
    axes[1].legend(frameon=False, fontsize=9, loc="lower right")
    _by_size(plain(axes[2]), arrays["sizes"], arrays["test_accuracy"][..., -1])
    return figure


def _by_size(axis: Axes, sizes: np.ndarray, accuracy: np.ndarray) -> None:
    """Mean and standard deviation (S, 2, repeats) over the size, the repeats as dots."""
    for i, (name, colour) in enumerate(WORDS):
        values = accuracy[:, i]
        spread = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(sizes))
        axis.errorbar(sizes, values.mean(axis=1), spread, color=colour, linewidth=2, capsize=4,
                      marker="o", label=name)  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel="training images a class", ylabel="test accuracy at the end")
    in_per_cent(axis)
    axis.legend(frameon=False, loc="lower right")
