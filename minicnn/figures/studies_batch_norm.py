"""Batch norm: loss curves at every rate without and with it, and the accuracy against the rate."""

from __future__ import annotations

from math import log

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.figures.studies import OFF, ON, by_epoch, in_per_cent, plain
from minicnn.studies.base import Findings

__all__ = ["draw"]

WORDS = (("without batch norm", OFF), ("with batch norm", ON))


def draw(findings: Findings) -> Figure:
    """A colour for each rate; a cross ends a curve whose loss ceased to be finite."""
    arrays = findings.arrays
    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    axes = figure.subplots(1, 3)
    axes[1].sharey(axes[0])
    for on, axis in enumerate(axes[:2]):
        _losses(axis, arrays, on)
        axis.set_title(WORDS[on][0], fontsize=11)
    axes[0].set_ylabel("training loss")
    axes[0].legend(frameon=False, fontsize=9, title="learning rate", loc="lower left", ncols=2)
    _accuracies(plain(axes[2]), arrays)
    return figure


def _losses(axis: Axes, arrays: dict[str, np.ndarray], on: int) -> None:
    rates, losses = arrays["rates"], arrays["train_loss"][on]
    guess = log(int(arrays["classes"]))
    finite = arrays["train_loss"][np.isfinite(arrays["train_loss"])]
    top = 4 * guess  # what is larger leaves the frame
    for i, rate in enumerate(rates):
        colour = colormaps["turbo"](0.05 + 0.9 * i / max(len(rates) - 1, 1))
        values = losses[i]
        axis.plot(values, color=colour, linewidth=1.9, marker="o", markersize=3, label=f"{rate:g}")
        last = int(np.flatnonzero(np.isfinite(values))[-1])
        if last < len(values) - 1:
            axis.plot(
                last, min(values[last], top), "x", color=colour, markersize=9, markeredgewidth=2.2
            )
    axis.axhline(guess, color="0.6", linewidth=1, linestyle=":")
    axis.annotate("guessing", (1, guess), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                  textcoords="offset points", ha="right", fontsize=8, color="0.4")  # fmt: skip
    by_epoch(axis)
    axis.set(yscale="log", ylim=(max(finite.min() / 2, 1e-4), top))


def _accuracies(axis: Axes, arrays: dict[str, np.ndarray]) -> None:
    """Test accuracy at the end over the rate; the largest rate that trains is marked."""
    rates = arrays["rates"]
    for on, (name, colour) in enumerate(WORDS):
        values = arrays["test_accuracy"][on, :, -1]
        axis.plot(rates, np.nan_to_num(values), color=colour, linewidth=2, label=name)
        fine = np.isfinite(values)
        axis.plot(rates[fine], values[fine], "o", color=colour, markersize=6)
        axis.plot(rates[~fine], np.zeros((~fine).sum()), "x", color=colour, markersize=9,
                  markeredgewidth=2.2)  # fmt: skip
        if arrays["trains"][on].any():
            largest = rates[arrays["trains"][on]].max()
            axis.axvline(largest, color=colour, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
            axis.annotate(f"trains up to {largest:g}", (largest, 0.05 + 0.42 * on),
                          xycoords=("data", "axes fraction"), xytext=(-4, 0),
                          textcoords="offset points", rotation=90, ha="right", va="bottom",
                          fontsize=9, color=colour, zorder=3,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    if np.isnan(arrays["test_accuracy"][:, :, -1]).any():
        axis.plot([], [], "x", color="0.3", markersize=8, markeredgewidth=2, label="diverged")
    axis.set(xscale="log", xlabel="learning rate", ylabel="test accuracy at the end",
             ylim=(-0.03, 1.02))  # fmt: skip
    in_per_cent(axis)
    axis.legend(frameon=False, fontsize=9, loc="center left")
