"""Receptive fields: the boxes of units on a photo, and how much of one is really used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minicnn.figures.axes import colour_bar, folded, grid, show, show_map
from minicnn.look import EffectiveField, Field

__all__ = ["effective_field_figure", "fields_figure"]

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which colour-blind eyes tell apart."""


def fields_figure(
    photo: np.ndarray, fields: Sequence[Field], units: Sequence[Sequence[int]], title: str
) -> Figure:
    """What a unit of each of some layers sees: outlined on the photo, and cut out beside it.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1, as the network sees it.
    fields : sequence of Field
        One a layer.
    units : sequence of sequence of int
        (row, column) of the unit of each layer.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        Whole outlines lie on the image, dashed ones reach into the padding.
    """
    columns = min(len(fields), 3) + 1
    rows = -(-len(fields) // (columns - 1))
    figure, axes = grid(rows, columns, title, cell=2.9, caption=0.9)
    for row in axes:
        for axis in row:
            axis.axis("off")
    whole = axes[0][0]
    whole.axis("on")
    show(whole, photo)
    whole.set_title("image", fontsize=11)
    cells = [axis for row in axes for axis in row[1:]]
    boxes = [(field.box(unit, clip=False), field.box(unit)) for field, unit in zip(fields, units)]
    order = sorted(range(len(fields)), key=lambda i: _area(boxes[i][1]), reverse=True)
    for i in order:  # small ones on top
        outer, inner = boxes[i]
        if outer != inner:
            _outline(whole, outer, COLOURS[i % len(COLOURS)], "--")
        _outline(whole, inner, COLOURS[i % len(COLOURS)], "-")
    for i, (field, unit, axis) in enumerate(zip(fields, units, cells, strict=False)):
        top, left, bottom, right = boxes[i][1]
        axis.axis("on")
        axis.imshow(
            photo[top:bottom, left:right], interpolation="nearest", vmin=0, vmax=1,
            extent=(left - 0.5, right - 0.5, bottom - 0.5, top - 0.5),
        )  # fmt: skip
        axis.spines[:].set(color=COLOURS[i % len(COLOURS)], linewidth=2)
        size, stride = field.spoken()
        place = "" if field.sees_all else f" unit {','.join(map(str, unit))}"
        axis.set_title(folded(f"{field.name}{place}", 32), fontsize=11)
        axis.set_xlabel(
            ("sees all" if field.sees_all else f"field {size}, stride {stride}")
            + f"\nrows {top}-{bottom - 1}, columns {left}-{right - 1}",
            fontsize=9,
        )
    return figure


def _area(box: tuple[int, ...]) -> int:
    """Pixels of a box."""
    top, left, bottom, right = box
    return (bottom - top) * (right - left)


def _outline(axis: Axes, box: tuple[int, ...], colour: str, style: str) -> None:
    """A box's outline; the axes grow where it reaches out of the image."""
    top, left, bottom, right = box
    place = (left - 0.5, top - 0.5)
    axis.add_patch(
        Rectangle(place, right - left, bottom - top, fill=False, edgecolor=colour,
                  linestyle=style, linewidth=1.8, clip_on=False)
    )  # fmt: skip
    x, y = axis.get_xlim(), axis.get_ylim()
    axis.set_xlim(min(x[0], left - 0.5), max(x[1], right - 0.5))
    axis.set_ylim(max(y[0], bottom - 0.5), min(y[1], top - 0.5))


def effective_field_figure(found: EffectiveField, title: str) -> Figure:
    """How much the central unit uses of each pixel, and of each row and column.

    Parameters
    ----------
    found : EffectiveField
        See `look.effective_field`.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    top, left, bottom, right = found.box
    figure = Figure(figsize=(9.4, 4.4), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axis, profile = figure.subplots(1, 2)
    peak = float(found.weight.max()) or 1.0
    shown = show_map(axis, found.weight / peak, 0, 1)
    _outline(axis, found.box, COLOURS[0], "-")
    axis.set_title(f"{found.layer}, unit {','.join(map(str, found.unit))}", fontsize=11)
    axis.set_xlabel(
        f"theoretical {bottom - top} x {right - left} px (box)\n"
        f"effective {found.size:.0f} px (above 4.55 % of the maximum)\n"
        f"effective {found.mass_size:.0f} px (95.45 % of the mass)",
        fontsize=9,
    )
    colour_bar(figure, shown, axis, "mean |gradient|, of the maximum")
    rows, columns = found.weight.sum(axis=1), found.weight.sum(axis=0)
    for values, span, name, colour in (
        (rows, (top, bottom), "rows", COLOURS[0]),
        (columns, (left, right), "columns", COLOURS[1]),
    ):
        profile.plot(
            values / (values.max() or 1), color=colour, label=f"{name} {span[0]}-{span[1] - 1}"
        )
        for edge in (span[0] - 0.5, span[1] - 0.5):
            profile.axvline(edge, color=colour, linestyle="--", linewidth=1)
    profile.set(xlim=(0, len(columns) - 1), ylim=(0, 1.05), xlabel="pixel")
    profile.set_ylabel("sum over the other axis, of the maximum", fontsize=9)
    profile.set_title("profiles (dashed: theoretical field)", fontsize=11)
    profile.legend(
        fontsize=9, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13)
    )
    profile.set_box_aspect(1)
    return figure
