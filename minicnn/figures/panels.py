"""Panels: a photo and what each backward rule makes of it, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.attribution import Comparison, Picture, Selectivity
from minicnn.errors import InputError
from minicnn.figures.axes import Box, draw_box, folded, grid, show
from minicnn.figures.display import display_named

__all__ = ["comparison_figure", "family_figure", "selectivity_figure", "support_box"]

DUST = 1e-4  # of the largest value: Winograd's rounding stays below


def support_box(pictures: Sequence[np.ndarray]) -> Box | None:
    """The rectangle outside of which all maps drawn are zero, up to rounding.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray, shape (C, H, W)
        Raw maps of the same size.

    Returns
    -------
    tuple of int or None
        (top, left, bottom, right); None where it is nearly the whole image, or nothing.
    """
    live = np.any([_above_dust(values) for values in pictures], axis=0)  # (H, W)
    rows, columns = np.flatnonzero(live.any(axis=1)), np.flatnonzero(live.any(axis=0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    if _share((top, left, bottom, right), live.shape) > 0.9:
        return None
    return int(top), int(left), int(bottom), int(right)


def _above_dust(values: np.ndarray) -> np.ndarray:
    """Where a map (C, H, W) holds more than kernels leave by rounding: (H, W)."""
    sizes = np.abs(values).max(axis=0)
    live: np.ndarray = sizes > DUST * sizes.max()
    return live


def _share(box: Box, size: tuple[int, ...]) -> float:
    """Part of the image that a box covers."""
    top, left, bottom, right = box
    return (bottom - top) * (right - left) / (size[0] * size[1])


def _zoom(box: Box | None, photo: np.ndarray) -> Box | None:
    """The box, if it is too small to be seen in its place."""
    return box if box is not None and _share(box, photo.shape) < 0.25 else None


def comparison_figure(
    photo: np.ndarray,
    comparisons: Comparison | Sequence[Comparison],
    title: str,
    display: str = "sigmoid",
) -> Figure:
    """The photo and one picture a rule; one row a seed.

    Where all maps of a seed are zero but in a small box, they are zoomed to it, and that part of
    the photo stands beside the photo.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1, as the network sees it.
    comparisons : Comparison or sequence of Comparison
        All with the same rules.
    title : str
        Above all.
    display : {"sigmoid", "symmetric"}
        How values become colours; see `display`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    listed = [comparisons] if isinstance(comparisons, Comparison) else list(comparisons)
    boxes = [support_box([picture.values for picture in one.pictures]) for one in listed]
    zooms = [_zoom(box, photo) for box in boxes]
    first = 2 if any(zooms) else 1
    figure, axes = grid(len(listed), first + len(listed[0].pictures), title)
    for row, one, box, zoom in zip(axes, listed, boxes, zooms, strict=True):
        _show_photo(row[0], photo, one.seed.label, box)
        if first == 2:
            _show_part(row[1], photo, zoom)
        for axis, picture in zip(row[first:], one.pictures, strict=True):
            _show_picture(axis, picture, display, box, zoom)
    return figure


def family_figure(
    photo: np.ndarray, comparison: Comparison, title: str, display: str = "sigmoid"
) -> Figure:
    """The whole lettered family in one grid, as in the paper's figure 3.

    Columns say what is known of the forward run, rows whether the backward signal is rectified
    (and, with LRN, whether LRN is back-propagated); the photo stands before the first row.
    """
    rows = len(comparison.pictures) // 4
    if len(comparison.pictures) not in (8, 16):
        raise InputError(f"The family has 8 or 16 rules; got {len(comparison.pictures)}.")
    figure, axes = grid(rows, 5, title)
    box = support_box([picture.values for picture in comparison.pictures])
    zoom = _zoom(box, photo)
    _show_photo(axes[0][0], photo, comparison.seed.label, box)
    _show_part(axes[1][0], photo, zoom)
    known = ["mask and switches", "mask, no switches", "no mask, no switches", "switches, no mask"]
    for r in range(rows):
        way = "backward ReLU" if r % 2 == 0 else "no backward ReLU"
        lrn = "" if rows == 2 else ("\nLRN as identity" if r < 2 else "\nLRN transposed")
        if r > 1:
            axes[r][0].axis("off")
        for c in range(4):
            picture = comparison.pictures[4 * r + c]
            _show_picture(axes[r][c + 1], picture, display, box, zoom)
            head = f"{known[c]}\n" if r == 0 else ""
            name, code = picture.rule.name, picture.rule.code
            full = name if name == code else f"{name} ({code})"
            axes[r][c + 1].set_title(head + full, fontsize=11)
        axes[r][1].set_ylabel(way + lrn, fontsize=10)
    return figure


def selectivity_figure(
    photo: np.ndarray, found: Sequence[Selectivity], title: str, display: str = "sigmoid"
) -> Figure:
    """For each rule the pictures of the strongest neuron, a random one and noise."""
    figure, axes = grid(len(found), 4, title)
    box = support_box([values for one in found for values in one.pictures])
    zoom = _zoom(box, photo)
    for row in axes[1:]:
        row[0].axis("off")
    _show_photo(axes[0][0], photo, "", box)
    if zoom is not None and len(axes) > 1:
        axes[1][0].axis("on")
        _show_part(axes[1][0], photo, zoom)
    for row, one in zip(axes, found, strict=True):
        row[1].set_ylabel(one.rule, fontsize=11)
        captions = [
            one.seeds[0].label,
            f"{one.seeds[1].label}\ncorrelation with max: {one.max_random:.2f}",
            f"{one.seeds[2].label}\ncorrelation with max: {one.max_noise:.2f}",
        ]
        names = ["max neuron", "random neuron", "random noise"]
        for axis, name, values, caption in zip(row[1:], names, one.pictures, captions, strict=True):
            _show_values(axis, values, display, box, zoom)
            axis.set_title(name, fontsize=11)
            axis.set_xlabel(caption, fontsize=9)
    return figure


def _show_photo(axis: Axes, photo: np.ndarray, caption: str, box: Box | None) -> None:
    """The photo, with a box around the part where the maps are not zero."""
    show(axis, photo)
    axis.set_title("image", fontsize=11)
    axis.set_xlabel(folded(caption), fontsize=9)
    if box is not None:
        draw_box(axis, box)


def _show_part(axis: Axes, photo: np.ndarray, zoom: Box | None) -> None:
    """The photo's part to which maps are zoomed, or nothing."""
    if zoom is None:
        axis.axis("off")
        return
    top, left, bottom, right = zoom
    show(axis, photo[top:bottom, left:right])
    axis.set_title("the box", fontsize=11)
    axis.set_xlabel(f"rows {top}-{bottom - 1}, columns {left}-{right - 1}", fontsize=9)


def _show_picture(
    axis: Axes, picture: Picture, display: str, box: Box | None, zoom: Box | None
) -> None:
    """One rule's picture and its numbers; the fraction is that of the box."""
    inside = _show_values(axis, picture.values, display, box, zoom)
    axis.set_title(picture.rule.name, fontsize=11)
    positive = f"positive {(inside > 0).mean():.0%}" + ("" if box is None else " of the box")
    axis.set_xlabel(
        f"{picture.rule.formula}\nmin {picture.low:.3g}  max {picture.high:.3g}\n{positive}",
        fontsize=9,
    )


def _show_values(
    axis: Axes, values: np.ndarray, display: str, box: Box | None, zoom: Box | None
) -> np.ndarray:
    """Show a raw map with the contrast of its box, outside of which it is zero; return the box."""
    top, left, bottom, right = box or (0, 0, *values.shape[1:])
    inside = values[:, top:bottom, left:right]
    image = display_named(display)(inside)
    if zoom is None and box is not None:
        whole = np.full((*values.shape[1:], 3), 0.5)
        whole[top:bottom, left:right] = image
        image = whole
    show(axis, image)
    return inside
