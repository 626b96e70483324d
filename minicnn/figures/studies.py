"""Figures of the studies: `study_figure` draws any findings; what the figures share stands here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minicnn.errors import UnknownNameError, nearest
from minicnn.studies.base import Findings

__all__ = ["OFF", "ON", "TRAIN", "by_epoch", "curve", "in_per_cent", "plain", "study_figure"]

OFF, ON, TRAIN = "#b2182b", "#2166ac", "0.45"  # without, with; what is learned from is grey

MODULES = {
    "signals": "studies_signals",
    "batch-norm": "studies_batch_norm",
    "dropout": "studies_dropout",
    "early-stopping": "studies_early_stopping",
    "augmentation": "studies_augmentation",
    "dead-units": "studies_dead_units",
    "mc-dropout": "studies_uncertainty",
    "transfer": "studies_transfer",
    "dynamics": "studies_rectangles",
}


def study_figure(findings: Findings) -> Figure:
    """The figure of a study's findings.

    Raises
    ------
    UnknownNameError
        If there is no such study.
    """
    if findings.study not in MODULES:
        raise UnknownNameError(
            f"No figure for a study {findings.study!r}. {nearest(findings.study, MODULES)}"
        )
    module = import_module(f"minicnn.figures.{MODULES[findings.study]}")
    figure: Figure = module.draw(findings)
    return figure


def plain(axis: Axes) -> Axes:
    """A faint grid and no frame at the top and right; gives the axes."""
    axis.grid(color="0.92", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def by_epoch(axis: Axes) -> Axes:
    """Plain axes over whole epochs."""
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return plain(axis)


def in_per_cent(axis: Axes, digits: int | None = 0) -> Axes:
    """Shares on the vertical axis as per cent."""
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=digits))
    return axis


def curve(axis: Axes, values: np.ndarray, **style: Any) -> None:
    """Repeats (R, epochs + 1) as thin lines, their mean as a thick one; the style is its own."""
    epochs = np.arange(values.shape[-1])
    if len(values) > 1:
        thin = {k: v for k, v in style.items() if k in ("color", "linestyle")}
        for one in values:
            axis.plot(epochs, one, linewidth=0.6, alpha=0.45, zorder=2, **thin)
    axis.plot(epochs, values.mean(axis=0), **{"linewidth": 2.0, "zorder": 3, **style})
