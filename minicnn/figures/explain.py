"""Which pixels decided: a photo and one picture a method, side by side.

Maps that have both signs are red where positive and blue where negative, others run from 0 up. A
scale ends at the 99th percentile of |value|, so that a few pixels do not darken the rest (Smilkov
et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from minicnn.attribution import Explained, Explanation
from minicnn.errors import InputError
from minicnn.figures.axes import (
    CELL,
    SEQUENTIAL,
    SIGNED,
    colour_bar,
    folded,
    grid,
    limit_of,
    show,
)

__all__ = ["explain_figure"]

CAP = 0.99
WIDEST = 5  # panels in a line
BAR, TEXT = 0.7, 0.55  # inches beside and around a panel

IN_WORDS = {
    "sum": "sum over channels",
    "mean": "mean over channels",
    "max_abs": "max |.| over channels",
    "abs_sum": "sum of |.| over channels",
    "norm": "norm over channels",
    "positive": "positive parts, summed",
    "negative": "negative parts, summed",
}


def explain_figure(
    photo: np.ndarray | Sequence[np.ndarray],
    explained: Explained | Sequence[Explained],
    title: str,
    overlay: bool = False,
) -> Figure:
    """A photo and what the methods say; one row, or more for many methods, for each target.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3), or a sequence of these
        RGB in 0..1, as the network sees it; one, or one for each `explained`.
    explained : Explained or sequence of Explained
        Targets, or photos.
    title : str
        Above all.
    overlay : bool
        Draw maps over the photo in grey.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = [explained] if isinstance(explained, Explained) else list(explained)
    photos = [photo] * len(rows) if isinstance(photo, np.ndarray) else list(photo)
    if len(photos) != len(rows) or not rows:
        raise InputError(f"{len(photos)} photos for {len(rows)} explanations: give one each.")
    most = 1 + max(len(row.explanations) for row in rows)
    lines = ceil(most / WIDEST)
    columns = ceil(most / lines)
    note = f"scales end at the {CAP:.0%} quantile of |values|"
    figure, axes = grid(lines * len(rows), columns, f"{title}   ({note})")
    figure.set_size_inches(columns * (CELL + BAR), lines * len(rows) * (CELL + TEXT) + 0.35)
    for r, (row, seen) in enumerate(zip(rows, photos, strict=True)):
        panels = [axis for line in axes[r * lines : (r + 1) * lines] for axis in line]
        show(panels[0], seen)
        panels[0].set_title("photo", fontsize=11)
        panels[0].set_xlabel(f"{folded(row.label, 32)}\nscore {row.score:.3g}", fontsize=9)
        for axis, one in zip(panels[1:], row.explanations.values(), strict=False):
            _show_explanation(figure, axis, one, seen if overlay else None)
        for axis in panels[1 + len(row.explanations) :]:
            axis.axis("off")
    return figure


def _show_explanation(
    figure: Figure, axis: Axes, one: Explanation, under: np.ndarray | None
) -> None:
    """A method's map, its scale, and how the number at a pixel came about."""
    shown = _draw(axis, one, under)
    colour_bar(figure, shown, axis, "")
    axis.set_title(one.title, fontsize=11)
    words = [IN_WORDS.get(one.reduction, one.reduction)] if _has_channels(one) else []
    if one.reduction == "sum":
        words.append(f"total {one.sum:.3g}")
    if not one.map.any():
        words = ["zero everywhere"]
    if one.gap is not None:
        words.append(f"completeness gap {one.gap:.2%}")
    axis.set_xlabel(",\n".join([", ".join(words[:2]), *words[2:]]), fontsize=9)


def _has_channels(one: Explanation) -> bool:
    """Whether the values of a pixel's channels differ."""
    if one.values.size == one.map.size:
        return False
    axis = 1 if one.values.shape[2:] == one.map.shape else 3
    return bool(np.ptp(one.values, axis=axis).any())


def _draw(axis: Axes, one: Explanation, under: np.ndarray | None) -> AxesImage:
    values = one.map
    top = limit_of(values, CAP)
    signed = one.reduction == "sum" or bool((values < 0).any())  # one method, one kind of colours
    alpha: np.ndarray | None = None
    if under is not None:
        axis.imshow(under.mean(axis=2), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        alpha = 0.85 * np.clip(np.abs(values) / top, 0, 1) ** 0.7
    return axis.imshow(
        values,
        cmap=SIGNED if signed else SEQUENTIAL,
        vmin=-top if signed else 0,
        vmax=top,
        alpha=alpha,
        interpolation="nearest",
    )
