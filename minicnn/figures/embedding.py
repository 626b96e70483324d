"""Embeddings to look at: a point an image, by label, in two or three dimensions.

Several layers stand side by side. Colours are Okabe and Ito's (2008), told apart also by people who
see few colours; with more than eight labels, markers of other shapes take the colours again.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minicnn.errors import InputError
from minicnn.figures.axes import folded
from minicnn.look.embedding import Embedding

__all__ = ["PALETTE", "REST", "check", "embedding_figure", "legend", "panels", "styles_of"]

PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#7b3294",
)  # fmt: skip
MARKERS = "o^sDvP"
REST = "#c4c4c4"  # where there is no label, or one of too many to name
MOST_NAMED = 20  # labels in a legend

Style = tuple[str, str]  # colour, marker


def embedding_figure(
    embeddings: Mapping[str, Embedding],
    labels: Sequence[str],
    title: str,
    captions: Mapping[str, str] | None = None,
) -> Figure:
    """A point an image, in two or three dimensions, coloured by label.

    Parameters
    ----------
    embeddings : mapping of Embedding
        By layer; all of the same images.
    labels : sequence of str, length N
        One an image; "" where there is none.
    title : str
        Above all.
    captions : mapping of str, optional
        What to say below a layer's name.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is nothing to draw, or labels and points differ in number.
    """
    check(embeddings, labels)
    styles = styles_of(labels)
    dim = next(iter(embeddings.values())).points.shape[1]
    figure, axes = panels(list(embeddings), title, captions or {}, 4, 3.6, dim)
    area = min(60.0, max(8.0, 9000 / len(labels)))  # points^2 of a marker
    look: dict[str, Any] = {"s": area, "linewidths": 0.3, "edgecolors": "white"}
    groups: dict[Style, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(styles.get(label, (REST, "o")), []).append(i)
    rest_first = sorted(groups, key=lambda style: style[0] != REST)
    for axis, found in zip(axes, embeddings.values(), strict=True):
        for colour, marker in rest_first:
            look["c"], look["marker"] = colour, marker
            axis.scatter(*found.points[groups[colour, marker]].T, **look)
        _name_axes(axis, found)
    legend(figure, styles, labels)
    return figure


# What embeddings share, with images or without


def panels(
    names: Sequence[str],
    title: str,
    captions: Mapping[str, str],
    most: int,
    inches: float,
    dim: int = 2,
    aspect: float = 1.0,
) -> tuple[Figure, list[Axes]]:
    """A panel a layer, at most `most` in a row, each `aspect` times as high as wide."""
    rows = math.ceil(len(names) / most)
    columns = math.ceil(len(names) / rows)
    size = (inches * columns + 1, (inches * aspect + 0.5) * rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(folded(title, int(11 * size[0])), fontsize=12)
    kind = {"projection": "3d"} if dim == 3 else {}
    axes: list[Any] = list(figure.subplots(rows, columns, squeeze=False, subplot_kw=kind).flat)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        if dim == 3:
            axis.set_zticks([])
        for spine in axis.spines.values():
            spine.set_color("#999999")
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes, names, strict=False):
        text = folded(captions.get(name, ""), int(12 * inches))
        axis.set_title("\n".join(filter(None, [name, text])), fontsize=10)
    return figure, axes[: len(names)]


def _name_axes(axis: Any, found: Embedding) -> None:
    """PCA's axes say how much they explain; t-SNE's mean nothing."""
    sides = [axis.set_xlabel, axis.set_ylabel]
    if found.points.shape[1] == 2:
        axis.set_aspect("equal", adjustable="datalim")
        axis.margins(0.05)
    else:
        axis.set_box_aspect(None, zoom=0.88)  # room for the names of its axes
        sides.append(axis.set_zlabel)
    if found.explained is not None:
        for i, (say, share) in enumerate(zip(sides, found.explained, strict=True)):
            pad = 3 if len(sides) == 2 else -4  # there are no ticks in between
            say(f"component {i + 1} ({share:.1%})", fontsize=9, labelpad=pad)


def styles_of(labels: Sequence[str]) -> dict[str, Style]:
    """Colour and marker of each label that is named: the most frequent ones, if they are many."""
    counts = Counter(label for label in labels if label)
    if len(counts) > MOST_NAMED and max(counts.values()) == 1:
        return {}  # names of images, not of classes
    names = sorted((name for name, _ in counts.most_common(MOST_NAMED)), key=_in_order)
    return {
        name: (PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE)])
        for i, name in enumerate(names)
    }


def _in_order(label: str) -> list[tuple[int, str]]:
    """2 comes before 10."""
    parts = re.findall(r"\d+|\D+", label)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def legend(figure: Figure, styles: Mapping[str, Style], labels: Sequence[str]) -> None:
    """Which colour is which label, at the right of all panels."""
    if not styles:
        return
    shown = [(folded(name[:60], 24), *style) for name, style in styles.items()]
    rest = len({label for label in labels if label} - set(styles))
    if rest:
        shown.append((f"{rest:,} more", REST, "o"))
    if "" in labels:
        shown.append(("no label", REST, "o"))
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=7, label=name)
        for name, colour, marker in shown
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=9, frameon=False)


def check(
    embeddings: Mapping[str, Embedding],
    labels: Sequence[str],
    pictures: Sequence[np.ndarray] | None = None,
) -> None:
    """Refuse labels or pictures that do not fit the points."""
    if not embeddings:
        raise InputError("There is nothing to draw: no layer was embedded.")
    for name, found in embeddings.items():
        if len(found.points) != len(labels):
            raise InputError(f"{len(labels)} labels for {len(found.points)} points of {name}.")
        if pictures is not None and found.points.shape[1] != 2:
            raise InputError("Images lie in the plane: embed them in two dimensions (--dim 2).")
    if pictures is not None and len(pictures) != len(labels):
        raise InputError(f"{len(pictures)} pictures for {len(labels)} points: give one each.")
