"""Filters as pictures: of the first layer in colour, of deeper layers channel by channel in grey.

Zero is mid-grey. The scale is symmetric, and one for all filters ("shared", so that weak ones look
weak) or one for each ("each", so that the shape of every filter shows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from minicnn.errors import InputError, UnitError, nearest
from minicnn.figures.axes import limit_of, show
from minicnn.figures.mosaic import GAP_COLOUR, edge_bar, mosaic, tile_centres
from minicnn.look.filters import Filters

__all__ = ["SCALES", "filters_figure"]

SCALES = ("shared", "each")
MOST = 16  # rows and columns of a deeper layer, unless asked for more
MOST_COLOURED = 256
WIDEST = 13.0  # inches: wider figures are folded
GAP = 2  # pixels between tiles

PATCHES = {
    "l2": "best patch, ||x||₂ ≤ 1",
    "linf": "best patch, ||x||∞ ≤ 1",
    "pixels": "best patch of real pixels",
}


@dataclass(frozen=True, eq=False)
class _Layout:
    """Which filters are drawn and how: each one tile, or a row of tiles, one a channel."""

    rows: list[int]
    channels: list[int] | None
    columns: int

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return -(-len(self.rows) // self.columns) if self.channels is None else len(self.rows)


def filters_figure(
    filters: Filters,
    title: str = "",
    scale: str = "shared",
    patches: Sequence[str] = (),
    rows: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
) -> Figure:
    """Draw the filters of a layer.

    Parameters
    ----------
    filters : Filters
        Of `look.filters`.
    title : str
        Above all; the layer's name by default.
    scale : {"shared", "each"}
        One scale for all filters, or one for each.
    patches : sequence of {"l2", "linf", "pixels"}
        Beside them: the patch that pleases each most; see `look.best_patch`.
    rows, channels : sequence of int, optional
        Which filters, and of deeper layers which of their input channels. By default the first 256
        coloured filters, the first 16 filters and channels of others; the title says of how many.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the scale is unknown.
    UnitError
        If there is no such filter or channel.
    """
    if scale not in SCALES:
        raise InputError(f"There is no scale {scale!r}. {nearest(scale, SCALES)}")
    count, depth, h, w = filters.shown.shape
    single = filters.colour or depth == 1
    which = _chosen(rows, count, MOST_COLOURED if single else MOST, f"filter of {filters.layer}")
    across = None if single else _chosen(channels, depth, MOST, f"channel of {filters.layer}")
    layout = _Layout(which, across, len(across) if across else ceil(sqrt(len(which))))
    tile = min(0.62, 4.8 / layout.columns, 8.5 / layout.down * w / h)  # inches
    size = max(tile * layout.columns, 1.6), max(tile * layout.down * h / w, 0.8)
    panels = 1 + len(patches)
    side = panels if panels * (size[0] + 1.3) <= WIDEST else min(panels, 2)
    down = -(-panels // side)
    whole = (size[0] + 1.3) * side, (size[1] + 0.8) * down + 0.4
    figure = Figure(figsize=whole, layout="constrained")
    figure.suptitle(_title(title or filters.layer, filters, layout), fontsize=12)
    axes = list(figure.subplots(down, side, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.remove()
    own = "filters" if filters.pixels is None else "filters, as they act on pixels"
    axes[0].set_title(own, fontsize=10)
    _draw(axes[0], _part(filters.shown, layout), filters.colour, layout, scale)
    for axis, norm in zip(axes[1:panels], patches, strict=True):
        axis.set_title(PATCHES.get(norm, norm), fontsize=10)
        found = np.stack([patch.x for patch in filters.patches(norm)])
        how = "pixels" if norm == "pixels" else scale
        _draw(axis, _part(found, layout), filters.colour, layout, how)
    return figure


def _chosen(wanted: Sequence[int] | None, count: int, most: int, what: str) -> list[int]:
    """Which of `count`: those wanted, else the first ones."""
    chosen = list(range(min(count, most))) if wanted is None else list(wanted)
    for i in chosen:
        if not 0 <= i < count:
            raise UnitError(f"There is no {what} with number {i}: they run from 0 to {count - 1}.")
    return chosen


def _title(title: str, filters: Filters, layout: _Layout) -> str:
    """What is shown, and of how many."""
    count, depth, h, w = filters.shown.shape
    parts = [title, _of(len(layout.rows), count, "filter")]
    if layout.channels is not None:
        parts.append(_of(len(layout.channels), depth, "channel"))
    return ", ".join([*parts, f"{h}×{w}"])


def _of(shown: int, count: int, what: str) -> str:
    many = f"{count} {what}{'s' * (count != 1)}"
    return many if shown == count else f"{shown} of {many}"


def _part(tiles: np.ndarray, layout: _Layout) -> np.ndarray:
    """The filters and channels chosen, (O, I, h, w)."""
    part = tiles[layout.rows]
    return part if layout.channels is None else part[:, layout.channels]


def _draw(axis: Axes, tiles: np.ndarray, colour: bool, layout: _Layout, scale: str) -> None:
    """One mosaic; its scale stands below it where it is in colour, else at its right."""
    low, top, note = _range(tiles, scale)
    if scale == "each":
        tops = np.abs(tiles).max(axis=(1, 2, 3), keepdims=True)
        tiles = tiles / np.where(tops > 0, tops, 1)
    fine = -(-24 // max(tiles.shape[2:]))  # gaps are thin beside tiles of few pixels
    tiles = tiles.repeat(fine, axis=2).repeat(fine, axis=3)
    h, w = tiles.shape[2:]
    if colour:
        image = mosaic(((tiles - low) / (top - low)).transpose(0, 2, 3, 1), layout.columns, GAP)
        show(axis, np.where(np.isnan(image), GAP_COLOUR, image))
        axis.set_xlabel(note, fontsize=9)
    else:
        image = mosaic(tiles.reshape(-1, h, w), layout.columns, GAP)
        axis.set_facecolor(GAP_COLOUR)
        shown = axis.imshow(image, cmap="gray", vmin=low, vmax=top, interpolation="nearest")
        edge_bar(axis, shown, "1: each one's largest" if scale == "each" else "")
    _number(axis, layout, h, w)


def _range(tiles: np.ndarray, scale: str) -> tuple[float, float, str]:
    """Values shown black and white, and in words."""
    if scale == "pixels":
        return 0.0, 1.0, "pixels from 0 to 1"
    if scale == "each":
        return -1.0, 1.0, "grey is 0; range: each one's largest"
    top = limit_of(tiles)
    return -top, top, f"grey is 0; range ±{top:.3g}"


def _number(axis: Axes, layout: _Layout, h: int, w: int) -> None:
    """The first filter's number before each row of tiles; channels below."""
    step = layout.columns if layout.channels is None else 1
    _ticks(axis.yaxis, layout.rows[::step], h)
    if layout.channels is None:
        axis.set_xticks([])
    else:
        _ticks(axis.xaxis, layout.channels, w)
        axis.set_xlabel("input channel", fontsize=9)
        axis.set_ylabel("filter", fontsize=9)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _ticks(axis: Axis, numbers: Sequence[int], side: int) -> None:
    """Numbers at the middles of tiles, not more of them than can be read."""
    step = -(-len(numbers) // 16)
    axis.set_ticks(
        tile_centres(len(numbers), side, GAP)[::step], [str(n) for n in numbers[::step]], fontsize=8
    )
