"""Nearest neighbours to look at: the query, and a row of its nearest for each layer.

The last row is usually that of the network's own input: nearest in pixel space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.errors import InputError
from minicnn.figures.axes import folded, show

__all__ = ["Near", "neighbours_figure"]

SIDE = 1.75  # inches of a picture
HEAD = 0.75  # inches for what stands above and below a row


@dataclass(frozen=True, eq=False)
class Near:
    """An image that is near.

    Parameters
    ----------
    picture : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1.
    label : str
        Its label, or its name.
    distance : float
        From the query.
    """

    picture: np.ndarray
    label: str
    distance: float


def neighbours_figure(
    query: np.ndarray, label: str, rows: Mapping[str, Sequence[Near]], title: str
) -> Figure:
    """The query at the left, a row of its nearest for each layer.

    Parameters
    ----------
    query : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1.
    label : str
        Below the query.
    rows : mapping of sequence of Near
        By what stands above the row, such as "nearest at pool5 (euclidean)"; nearest first.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there are no rows, or an empty one.
    """
    if not rows or not all(rows.values()):
        raise InputError("There is nothing to draw: no neighbours were found.")
    columns = max(map(len, rows.values()))
    width = 1.4 * SIDE + SIDE * columns + 0.2
    figure = Figure(figsize=(width, (SIDE + HEAD) * len(rows) + 0.4), layout="constrained")
    figure.suptitle(folded(title, int(11 * width)), fontsize=12)
    sides: Any = figure.subfigures(1, 2, width_ratios=(1.4, columns))
    left, right = sides
    axis = left.subplots()
    _plain(axis)
    show(axis, query)
    axis.set_anchor("NW")
    axis.set_title("query", fontsize=10, loc="left")
    axis.set_xlabel(folded(label, 22), fontsize=8)
    bands = right.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for band, (head, found) in zip(bands, rows.items(), strict=True):
        band.suptitle(head, fontsize=10, x=0.01, ha="left")
        for place, axis in enumerate(band.subplots(1, columns, squeeze=False)[0]):
            _plain(axis)
            if place >= len(found):
                axis.axis("off")
                continue
            show(axis, found[place].picture)
            axis.set_title(f"{found[place].distance:.4g}", fontsize=9)
            axis.set_xlabel(folded(found[place].label, 17), fontsize=8)
    return figure


def _plain(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
