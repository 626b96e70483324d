"""Early stopping: the losses of a training that runs on, where another stopped, and what is left.

The first of the repeats is drawn in full; the bars at the right are all of them.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.figures.studies import OFF, ON, TRAIN, by_epoch, in_per_cent, plain
from minicnn.studies.base import Findings

__all__ = ["draw"]

HELD = "#e08214"


def draw(findings: Findings) -> Figure:
    """Loss and accuracy over epochs with the best epoch and the stop, and the test accuracies."""
    arrays = findings.arrays
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    axes = figure.subplots(1, 3, width_ratios=(4, 4, 2.4))
    for axis, what in zip(axes, ("loss", "accuracy"), strict=False):
        _curves(axis, arrays, what)
        by_epoch(axis).set_ylabel(what)
    limit = 1.3 * max(arrays[f"{name}_loss"][0, 1:].max() for name in ("held", "test"))
    axes[0].set_ylim(0, limit)
    in_per_cent(axes[1]).set_ylim(top=1.01)
    axes[0].legend(frameon=False, fontsize=9, loc="center right")
    _gain(plain(axes[2]), arrays)
    return figure


def _curves(axis: Axes, arrays: dict[str, np.ndarray], what: str) -> None:
    best, stop = int(arrays["best"][0]), int(arrays["stop"][0])
    for name, words, colour in (
        ("train", "training", TRAIN), ("held", "held out", HELD), ("test", "test", ON)
    ):  # fmt: skip
        values = arrays[f"{name}_{what}"][0]
        axis.plot(values, color=colour, linewidth=1.9, label=words)
        if name == "held":
            axis.plot(best, values[best], "o", color=colour, markersize=7, zorder=4)
    axis.axvspan(stop, len(values) - 1, color="0.94", zorder=0)
    for at, words, line in ((best, "best", ":"), (stop, "stop", "-")):
        axis.axvline(at, color="0.35", linewidth=1, linestyle=line, zorder=1)
        axis.annotate(
            f"{words}: {at}", (at, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", fontsize=9, color="0.25",
        )  # fmt: skip
    axis.set_xlim(0, len(values) - 1)


def _gain(axis: Axes, arrays: dict[str, np.ndarray]) -> None:
    """Test accuracy of each repeat: the last epoch's joined to the restored weights'."""
    last, restored = arrays["test_accuracy"][:, -1], arrays["restored_accuracy"]
    for a, b in zip(last, restored, strict=True):
        axis.plot([0, 1], [a, b], color="0.7", linewidth=1.2, zorder=1)
    for at, values, colour, side in ((0, last, OFF, "right"), (1, restored, ON, "left")):
        axis.plot(np.full(len(values), at), values, "o", color=colour, markersize=8)
        for value in {values.min(), values.max()}:
            axis.annotate(
                f"{value:.1%}", (at, value), xytext=(-9 if at == 0 else 9, 0), ha=side,
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
    axis.set(xlim=(-0.6, 1.6), title="test accuracy")
    axis.set_xticks([0, 1], ["to the end", "stopped,\nrestored"])
    in_per_cent(axis)
