"""Sanity checks drawn: similarity to the trained network's maps as it forgets, and the maps.

After the figures of J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from minicnn.attribution.reduction import reduce
from minicnn.attribution.sanity import Randomisation
from minicnn.attribution.similarity import METRICS
from minicnn.errors import InputError
from minicnn.figures.axes import colour_bar, grid, limit_of, show, show_map, show_signed

__all__ = ["randomisation_curves", "randomisation_pictures", "short_names"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vPX"
"""Colours that colour-blind eyes tell apart (M. Okabe and K. Ito 2008), and a marker for each."""

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SHOWN = 0.99  # quantile of |value| that ends a scale


def randomisation_curves(found: Sequence[Randomisation], title: str) -> Figure:
    """How similar maps stay: one panel a similarity, one line a method; means over the images.

    Parameters
    ----------
    found : sequence of Randomisation
        One a method, all with the same layers.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        Gaps are steps at which a method's map is constant, so that nothing correlates with it.
    """
    layers = _common_layers(found)
    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    figure.suptitle(title, fontsize=13)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axis, (key, name) in zip(panels.flat, METRICS.items(), strict=True):
        for i, one in enumerate(found):
            values = [1.0, *_means(one.similarities[key])]
            axis.plot(
                values,
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=6 if len(layers) <= 30 else 4,
                linestyle="-" if i < len(COLOURS) else "--",
                label=one.method,
            )
        axis.set_title(name, fontsize=11)
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.grid(color="0.9", linewidth=0.6)
    low = min((np.nanmin(v) for o in found for v in o.similarities.values() if _any(v)), default=0)
    panels[0][0].set_ylim(min(-0.1, float(low) - 0.05), 1.05)
    figure.supylabel("similarity to the trained network's map", fontsize=11)
    cascading = found[0].mode == "cascading"
    for axis in panels[-1]:
        every = -(-len(layers) // 30)  # labels that find room
        axis.set_xticks(
            range(0, len(layers) + 1, every), ["trained", *short_names(layers)][::every]
        )
        axis.tick_params("x", rotation=90 if len(layers) > 8 else 0, labelsize=9)
        axis.set_xlabel(
            "weights drawn anew from the top down to this layer"
            if cascading
            else "the one layer whose weights are drawn anew"
        )
    handles, labels = panels[0][0].get_legend_handles_labels()
    gaps = any(
        np.isnan(values).all(axis=1).any() for o in found for values in o.similarities.values()
    )
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(4, len(labels)),
        title="gaps: a map is constant and has no correlation" if gaps else None,
    )
    return figure


def randomisation_pictures(
    photo: np.ndarray, found: Sequence[Randomisation], title: str, most: int = 6, image: int = 0
) -> Figure:
    """The maps: one row a method; the trained network's, then as it forgets.

    Maps of magnitudes are dark at 0; signed ones are red where positive, blue where negative. Each
    has a scale of its own, up to the 99th percentile of |value|: only their patterns compare.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1, as the network sees it.
    found : sequence of Randomisation
        One a method, all with the same layers.
    title : str
        Above all.
    most : int
        Steps shown; where there are more, evenly spread.
    image : int
        Which of the batch.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = short_names(_common_layers(found))
    count = min(most, len(layers))
    steps = [round(step) for step in np.linspace(0, len(layers) - 1, count)]
    figure, axes = grid(len(found), 2 + count, title, cell=1.45, caption=0.42)
    for row in axes[1:]:
        row[0].axis("off")
    show(axes[0][0], photo)
    axes[0][0].set_title("photo", fontsize=9)
    axes[0][1].set_title("trained", fontsize=9)
    for axis, step in zip(axes[0][2:], steps, strict=True):
        word = "down to" if found[0].mode == "cascading" else "only"
        axis.set_title(f"{word}\n{layers[step]}".replace("/", "/\n"), fontsize=9)
    axes[0][0].set_xlabel("1 on a scale is the 99th\npercentile of each |map|", fontsize=8)
    for row, one in zip(axes, found, strict=True):
        maps = reduce(np.stack([one.original[image], *one.maps[steps, image]]), one.reduction)
        draw = _signed if maps.min() < 0 else _unsigned
        row[1].set_ylabel(one.method, fontsize=10)
        for axis, values in zip(row[1:], maps, strict=True):
            shown = draw(axis, values / limit_of(values, SHOWN))
        for axis, step in zip(row[2:], steps, strict=True):
            axis.set_xlabel(_caption(one, step, image), fontsize=8.5)
        colour_bar(figure, shown, row, "").ax.set_yticks([0, 1] if maps.min() >= 0 else [-1, 0, 1])
    return figure


def short_names(layers: Sequence[str]) -> list[str]:
    """Names of layers without what all share and what exporters add; the full ones if need be.

    Examples
    --------
    >>> short_names(["/layer3/layer3.8/conv2/Conv_output_0", "/linear/Gemm_output_0"])
    ['layer3.8/conv2', 'linear']
    >>> short_names(["net0_conv2_fwd", "net0_conv1_fwd"])
    ['conv2', 'conv1']
    """
    parts = [re.split(r"(?<=[_/.])", _own_part(name)) for name in layers]
    for end in (0, -1) if len(layers) > 1 else ():
        while len({words[end] for words in parts}) == 1 and all(len(words) > 1 for words in parts):
            for words in parts:
                del words[end]
    short = ["".join(words).rstrip("_/.") for words in parts]
    usable = len(set(short)) == len(layers) and not any(name[:1].isdigit() for name in short)
    return short if usable else list(layers)


def _own_part(name: str) -> str:
    """A path of modules without the operator, and each module once (layer3/layer3.8 is one)."""
    parts = [part for part in name.removesuffix("_output_0").split("/") if part]
    if len(parts) > 1 and parts[-1].rstrip("_0123456789") in OPERATORS:
        parts.pop()
    nested = [after.startswith(f"{part}.") for part, after in pairwise([*parts, ""])]
    return "/".join(part for part, inside in zip(parts, nested, strict=True) if not inside)


def _signed(axis: Axes, values: np.ndarray) -> AxesImage:
    return show_signed(axis, values, 1)


def _unsigned(axis: Axes, values: np.ndarray) -> AxesImage:
    return show_map(axis, values, 0, 1)


def _caption(one: Randomisation, step: int, image: int) -> str:
    """The two rank correlations with the trained network's map."""
    rank, absolute = (one.similarities[key][step, image] for key in ("rank", "rank_abs"))
    if not one.maps[step, image].any():
        return "all zero"
    return f"rank {_said(rank)}\nabsolute {_said(absolute)}"


def _said(value: float) -> str:
    """A correlation; there is none with a constant map."""
    return "none" if np.isnan(value) else f"{value:.2f}"


def _common_layers(found: Sequence[Randomisation]) -> list[str]:
    if not found or any(
        (one.layers, one.mode) != (found[0].layers, found[0].mode) for one in found
    ):
        raise InputError(
            "Give results of one or more methods, all with the same mode and the same layers."
        )
    return found[0].layers


def _any(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any())


def _means(values: np.ndarray) -> list[float]:
    """Mean over the images that have a value; nan where none has."""
    return [float(np.nanmean(step)) if _any(step) else np.nan for step in values]
