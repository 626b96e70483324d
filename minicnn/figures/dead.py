"""Dead filters: how many channels of each layer never answer, and how often the others do."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from minicnn.look.dead import DeadFilters, LayerLife

__all__ = ["dead_figure"]

RARE = 0.01
NEXT = np.nextafter(0, 1)  # the first bin is exactly zero
EDGES = np.array([0, NEXT, 0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
COLOURS = {"dead": "#b2182b", "rare": "#f4a582", "alive": "#d9d9d9"}


def dead_figure(report: DeadFilters, title: str) -> Figure:
    """Draw a bar a layer, and beside it how active its channels are.

    Parameters
    ----------
    report : DeadFilters
        Of `look.dead_filters`.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        At the left the share of dead and of rare channels (active in less than 1 % of the images),
        with numbers. At the right a histogram a layer: how many of its channels are how active, by
        the share of their values that are not zero.
    """
    layers = report.layers
    row = 0.3 if len(layers) <= 30 else 9.0 / len(layers)  # inches: at most a page
    height = 2.2 + row * len(layers)
    figure = Figure(figsize=(11, height), layout="constrained")
    figure.suptitle(f"{title} ({report.images:,} images)", fontsize=12)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.2])
    _draw_bars(left, layers, min(8.0, 60 * row))
    figure.legend(loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    counts = np.array([np.histogram(layer.share, EDGES)[0] for layer in layers])
    sizes = np.array([[len(layer.share)] for layer in layers])
    shown = right.imshow(
        100 * counts / sizes, cmap="Greys", aspect="auto", norm=PowerNorm(0.5, 0, 100)
    )
    bar = figure.colorbar(shown, ax=right, label="% of channels", pad=0.02, aspect=4 * height)
    bar.set_ticks([0, 5, 20, 50, 100], labels=["0", "5", "20", "50", "100"])
    right.set_title("how active channels are", fontsize=10)
    right.set_xlabel("% of a channel's values that are not zero")
    bins = [f"{100 * a:g}–{100 * b:g}" for a, b in pairwise(EDGES[2:])]
    right.set_xticks(np.arange(len(EDGES) - 1), ["0", "< 0.1", *bins], fontsize=8, rotation=45)
    right.tick_params(axis="y", length=0)
    return figure


def _draw_bars(axis: Axes, layers: list[LayerLife], size: float) -> None:
    """Shares of dead, rare and other channels, from input at the top to output."""
    places = np.arange(len(layers))
    total = np.array([len(layer.active) for layer in layers])
    dead = np.array([len(layer.dead) for layer in layers])
    rare = np.array([len(layer.rare(RARE)) for layer in layers])
    start = np.zeros(len(layers))
    labels = {"dead": "dead", "rare": "active in < 1 % of images", "alive": "others"}
    for what, counts in {"dead": dead, "rare": rare, "alive": total - dead - rare}.items():
        shares = 100 * counts / total
        axis.barh(places, shares, left=start, color=COLOURS[what], label=labels[what])
        start += shares
    for place, d, n in zip(places, dead, total, strict=True):
        axis.text(101, float(place), f"{d} of {n}", va="center", fontsize=size)
    axis.set_yticks(places, [_short(layer.layer) for layer in layers], fontsize=size)
    axis.set_ylim(len(layers) - 0.5, -0.5)
    axis.set_xlim(0, 100)
    axis.set_xlabel("% of the layer's channels")
    axis.set_title("dead channels", fontsize=10)


def _short(name: str) -> str:
    name = name.removesuffix("_output_0").strip("/")
    return name if len(name) <= 34 else f"…{name[-33:]}"
