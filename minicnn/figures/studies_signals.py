"""Signals through depth: activations above, gradients below, a column for each nonlinearity."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from minicnn.figures.studies import plain
from minicnn.studies.base import Findings

__all__ = ["draw"]

LIMITS = (1e-10, 1e10)
STYLES = {  # colours that differ for colour-blind eyes; dashes where lines coincide
    "LeCun": {"color": "#56b4e9", "linewidth": 3.4},
    "Glorot": {"color": "#003c6c", "linewidth": 1.4, "linestyle": (0, (4, 3))},
    "He": {"color": "#d55e00", "linewidth": 2.0},
    "orthogonal": {"color": "#009e73", "linewidth": 1.8, "linestyle": (0, (1, 1.2))},
    "deviation 0.01": {"color": "0.65", "linewidth": 1.8},
    "deviation 0.2": {"color": "0.2", "linewidth": 1.8},
}
NAMES = {
    "deviation 0.01": "deviation 0.01 (too small)",
    "deviation 0.2": "deviation 0.2 (too large)",
}


def draw(findings: Findings) -> Figure:
    """Root mean squares over layers, and at the right diag(w): the closed form and measured."""
    arrays = findings.arrays
    names = [str(name) for name in arrays["nonlinearities"]]
    initialisations = [str(name) for name in arrays["initialisations"]]
    figure = Figure(figsize=(3.1 * (len(names) + 1), 6.8), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    axes = figure.subplots(2, len(names) + 1, sharex=True, sharey=True)
    depth = arrays["activations"].shape[-1]
    layers = np.arange(1, depth + 1)
    for row, what in enumerate(("activations", "gradients")):
        for column, name in enumerate(names):
            axis = axes[row, column]
            for i, one in enumerate(initialisations):
                style = STYLES.get(one, {"linewidth": 1.6})
                values = np.where(arrays[what][column, i] > 0, arrays[what][column, i], np.nan)
                axis.plot(layers, values, label=NAMES.get(one, one), **style)
            _frame(axis, depth)
            if row == 0:
                axis.set_title(name, fontsize=12)
        axes[row, 0].set_ylabel(f"{what}, root mean square")
    _diagonal(axes[0, -1], arrays, "forward", depth)
    _diagonal(axes[1, -1], arrays, "backward", depth)
    axes[0, -1].set_title("diag(w): $h_l = w^l$", fontsize=12)
    axes[1, -1].set_title(r"$\partial h_L / \partial h_l = w^{L-l}$", fontsize=12)
    for axis in axes[1]:
        axis.set_xlabel("layer $l$")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=10
    )
    return figure


def _frame(axis: Axes, depth: int) -> None:
    axis.set(yscale="log", ylim=LIMITS, xlim=(0, depth))
    axis.set_yticks([1e-10, 1e-5, 1, 1e5, 1e10])
    axis.yaxis.set_minor_locator(NullLocator())
    axis.axhline(1, color="0.75", linewidth=0.8, zorder=0)
    plain(axis)


def _diagonal(axis: Axes, arrays: dict[str, np.ndarray], way: str, depth: int) -> None:
    """Lines of the closed form, points as measured, each line's w beside it."""
    layers, colours = np.arange(depth + 1), ("0.65", "#56b4e9", "#009e73", "#d55e00", "0.2")
    every = max(1, depth // 10)
    for i, w in enumerate(arrays["weights"]):
        colour = colours[i % len(colours)]
        values = arrays[f"power_{way}"][i]
        axis.plot(layers, values, color=colour, linewidth=1.4)
        axis.plot(layers[::every], arrays[f"diagonal_{way}"][i][::every], "o", color=colour,
                  markersize=4)  # fmt: skip
        at = depth if way == "forward" else 0
        inside = np.clip(values[at], *LIMITS)
        axis.annotate(
            f"{w:g}", (at, inside), xytext=(5 if way == "forward" else -5, 0),
            textcoords="offset points", color=colour, fontsize=9, va="center", weight="bold",
            ha="left" if way == "forward" else "right", annotation_clip=False,
        )  # fmt: skip
    _frame(axis, depth)
    axis.plot([], [], color="0.4", linewidth=1.4, label="closed form")
    axis.plot([], [], "o", color="0.4", markersize=4, label="measured")
    axis.legend(frameon=False, fontsize=8, loc="lower left" if way == "forward" else "upper right")
