"""Dropout: loss at the left, accuracy at the right, without it in red and with it in blue."""

from __future__ import annotations

from matplotlib.figure import Figure

from minicnn.figures.studies import OFF, ON, by_epoch, curve, in_per_cent
from minicnn.studies.base import Findings

__all__ = ["draw"]


def draw(findings: Findings) -> Figure:
    """Training dashed, test solid; thin lines are single trainings."""
    arrays = findings.arrays
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    for axis, what in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for i, (p, colour) in enumerate(zip(arrays["p"], (OFF, ON), strict=False)):
            name = "no dropout" if p == 0 else f"dropout {p:g}"
            curve(axis, arrays[f"train_{what}"][i], color=colour, linestyle=(0, (3, 2)),
                  label=f"{name}: training")  # fmt: skip
            curve(axis, arrays[f"test_{what}"][i], color=colour, label=f"{name}: test")
        by_epoch(axis).set_ylabel(what)
        axis.set_xlim(left=0)
        if what == "accuracy":
            in_per_cent(axis).set_ylim(top=1.01)
        else:
            first = arrays["test_loss"][..., 1:]
            axis.set_ylim(0, 1.25 * first.max())
            axis.legend(frameon=False, fontsize=9)
    return figure
