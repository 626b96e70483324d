"""Panels: a photo and what each backward rule makes of it, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.attribution import Comparison, Picture, Selectivity
from minicnn.figures.display import DISPLAYS

__all__ = ["Box", "comparison_figure", "family_figure", "selectivity_figure", "support_box"]

Box = tuple[int, int, int, int]  # top, left, bottom, right

CELL = 2.7  # inches


def support_box(pictures: Sequence[np.ndarray], margin: int = 2) -> Box | None:
    """The rectangle outside of which all maps are zero: what the unit sees of the photo.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray, shape (C, H, W)
        Raw maps of the same size.
    margin : int
        Pixels added on each side.

    Returns
    -------
    tuple of int or None
        (top, left, bottom, right); None where it is nearly the whole image, or nothing.

    """
    live = np.any([np.any(values != 0, axis=0) for values in pictures], axis=0)  # (H, W)
    rows, columns = np.flatnonzero(live.any(axis=1)), np.flatnonzero(live.any(axis=0))
    if not len(rows):
        return None
    height, width = live.shape
    top, bottom = max(0, rows[0] - margin), min(height, rows[-1] + 1 + margin)
    left, right = max(0, columns[0] - margin), min(width, columns[-1] + 1 + margin)
    if _share((top, left, bottom, right), live.shape) > 0.9:
        return None
    return int(top), int(left), int(bottom), int(right)


def _share(box: Box, size: tuple[int, ...]) -> float:
    """Part of the image that a box covers."""
    top, left, bottom, right = box
    return (bottom - top) * (right - left) / (size[0] * size[1])


def _is_small(box: Box, size: tuple[int, ...]) -> bool:
    """Too small to be seen in its place."""
    return _share(box, size) < 0.25


def comparison_figure(
    photo: np.ndarray, comparisons: Sequence[Comparison], title: str, display: str = "sigmoid"
) -> Figure:
    """The photo and one picture a rule; one row a seed.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1, as the network sees it.
    comparisons : sequence of Comparison
        All with the same rules.
    title : str
        Above all.
    display : {"sigmoid", "symmetric"}
        How values become colours; see `display`.

    Returns
    -------
    matplotlib.figure.Figure

    """
    columns = 1 + len(comparisons[0].pictures)
    figure, axes = _grid(len(comparisons), columns, title)
    for row, comparison in zip(axes, comparisons, strict=True):
        box = _show_photo(row[0], photo, comparison)
        for axis, picture in zip(row[1:], comparison.pictures, strict=True):
            _show_picture(axis, picture, display, box)
    return figure


def family_figure(
    photo: np.ndarray, comparison: Comparison, title: str, display: str = "sigmoid"
) -> Figure:
    """The whole lettered family in one grid, as in the paper's figure 3.

    Columns say what is known of the forward run, rows whether the backward signal is rectified
    (and, with LRN, whether LRN is back-propagated); the photo stands before the first row.
    """
    rows = len(comparison.pictures) // 4
    figure, axes = _grid(rows, 5, title)
    box = _show_photo(axes[0][0], photo, comparison)
    known = ["mask + switches", "mask", "neither", "switches"]
    for r in range(rows):
        way = "backward ReLU" if r % 2 == 0 else "no backward ReLU"
        lrn = "" if rows == 2 else ("\nLRN as identity" if r < 2 else "\nLRN transposed")
        if r > 0:
            axes[r][0].axis("off")
        for c in range(4):
            picture = comparison.pictures[4 * r + c]
            _show_picture(axes[r][c + 1], picture, display, box)
            head = f"{known[c]}\n" if r == 0 else ""
            name = picture.rule.name
            code = picture.rule.code if rows > 2 else picture.rule.code[:3]
            full = name if name == code else f"{name} ({code})"
            axes[r][c + 1].set_title(head + full, fontsize=11)
        axes[r][1].set_ylabel(way + lrn, fontsize=10)
    return figure


def selectivity_figure(
    photo: np.ndarray, found: Sequence[Selectivity], title: str, display: str = "sigmoid"
) -> Figure:
    """For each rule the pictures of the strongest neuron, a random one and noise."""
    figure, axes = _grid(len(found), 4, title)
    for row, one in zip(axes, found, strict=True):
        _show(row[0], photo)
        row[0].set_title("image", fontsize=11)
        row[0].set_ylabel(one.rule, fontsize=11)
        captions = [
            "",
            f"correlation with max: {one.max_random:.2f}",
            f"correlation with max: {one.max_noise:.2f}",
        ]
        names = ["max neuron", "random neuron", "random noise"]
        for axis, name, values, caption in zip(row[1:], names, one.pictures, captions, strict=True):
            _show(axis, DISPLAYS[display](values))
            axis.set_title(name, fontsize=11)
            axis.set_xlabel(caption, fontsize=9)
    return figure


def _grid(rows: int, columns: int, title: str) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure(figsize=(CELL * columns, (CELL + 0.7) * rows + 0.35), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, [list(row) for row in axes]


def _show(axis: Axes, image: np.ndarray) -> None:
    axis.imshow(image, interpolation="nearest", vmin=0, vmax=1)


def _show_photo(axis: Axes, photo: np.ndarray, comparison: Comparison) -> Box | None:
    """The photo, with a box around what the unit sees."""
    _show(axis, photo)
    box = support_box([picture.values for picture in comparison.pictures])
    label = comparison.seed.label
    if box is not None and _is_small(box, photo.shape):
        label += " (pictures zoomed to the box)"
    axis.set_title("image", fontsize=11)
    axis.set_xlabel(_folded(label), fontsize=9)
    if box is not None:
        top, left, bottom, right = box
        xs = [left - 0.5, right - 0.5, right - 0.5, left - 0.5, left - 0.5]
        ys = [top - 0.5, top - 0.5, bottom - 0.5, bottom - 0.5, top - 0.5]
        axis.plot(xs, ys, color="#ff3030", linewidth=1.5)
    return box


def _show_picture(axis: Axes, picture: Picture, display: str, box: Box | None) -> None:
    image = DISPLAYS[display](picture.values)
    if box is not None and _is_small(box, image.shape):
        top, left, bottom, right = box
        image = image[top:bottom, left:right]
    _show(axis, image)
    axis.set_title(picture.rule.name, fontsize=11)
    axis.set_xlabel(
        f"{picture.rule.formula}\nmin {picture.low:.3g}  max {picture.high:.3g}\n"
        f"positive {picture.positive:.0%}",
        fontsize=9,
    )


def _folded(text: str, width: int = 26) -> str:
    """A caption in lines of about `width` characters."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
