"""Transfer: accuracy on new classes against images a class, five ways of learning them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minicnn.figures.studies import in_per_cent, plain
from minicnn.studies.base import Findings

__all__ = ["draw"]

STYLES = {
    "pixels": ("logistic regression on pixels", "0.55", "x"),
    "features": ("logistic regression on frozen features", "#1b7837", "o"),
    "top": ("linear layers trained on", "#762a83", "s"),
    "all": ("everything trained on", "#2166ac", "^"),
    "scratch": ("from scratch", "#b2182b", "D"),
}


def draw(findings: Findings) -> Figure:
    """Means over repeats with one standard deviation; the axis of sizes is logarithmic."""
    arrays = findings.arrays
    figure = Figure(figsize=(7.6, 5), layout="constrained")
    axis = plain(figure.subplots())
    axis.set_title(findings.title, fontsize=12)
    for way, values in zip(arrays["ways"], arrays["accuracy"], strict=True):
        name, colour, marker = STYLES[str(way)]
        spread = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
        axis.errorbar(arrays["sizes"], values.mean(axis=1), spread, color=colour, marker=marker,
                      capsize=3, linewidth=1.8, markersize=6, label=name)  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks(arrays["sizes"], [str(size) for size in arrays["sizes"]])
    axis.minorticks_off()
    axis.set_xlabel("training images of each new class")
    axis.set_ylabel("accuracy on test images of the new classes")
    in_per_cent(axis).legend(frameon=False, loc="lower right")
    return figure
