"""Activations as rows of signed maps: red positive, blue negative, white zero.

On top the photo and what the network is given of it; then a row a layer, with its own scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from minicnn.figures.axes import SIGNED, folded, limit_of
from minicnn.figures.mosaic import GAP_COLOUR, edge_bar, mosaic, tile_centres
from minicnn.look.activations import LayerMaps

__all__ = ["activations_figure"]

ACROSS = 16  # maps in a line
TILE = 0.58  # inches
CLIPPED = 0.995  # quantile of |a| at the ends of the scale: a few outliers would pale the rest
LABEL = 0.3  # inches, for the numbers above a line
COLOURS = {1: ["grey"], 3: ["red", "green", "blue"]}


def activations_figure(
    photo: np.ndarray | None,
    x: np.ndarray,
    rows: Sequence[LayerMaps],
    title: str,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw the maps of several layers.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3), or None
        RGB in 0..1, as the network sees it.
    x : numpy.ndarray, shape (1, C, H, W)
        The network's input, channels first.
    rows : sequence of LayerMaps
        Of `look.activations`.
    title : str
        Above all.
    names : sequence of str, optional
        Of the input's channels; by default grey, or red, green and blue.

    Returns
    -------
    matplotlib.figure.Figure
        Vectors are drawn as bars, one a unit. More than 16 maps take several lines.
    """
    widest = max([len(row.channels) for row in rows if row.maps.ndim == 3] or [ACROSS])
    across = max(4, min(ACROSS, widest))
    lines = [(row, i) for row in rows for i in range(0, _maps_in(row), ACROSS)]
    top = 2 * TILE if across >= 8 else TILE  # the photo is worth more room than one map
    heights = [top * x.shape[2] / x.shape[3], *(TILE * _slope(row) for row, _ in lines)]
    size = (2.4 + TILE * across + 0.8, sum(heights) + LABEL * len(heights) + 0.6)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.02, hspace=0.01))
    note = "red positive, blue negative, white zero; one scale a row, its 0.5 % largest values cut"
    figure.suptitle(f"{title}\n{folded(note, 10 * across)}", fontsize=11)
    ratios = [height + LABEL for height in heights]
    axes = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    _draw_input(axes[0], photo, x[0], max(4, across // 2 if top > TILE else across), names)
    for axis, (row, start) in zip(axes[1:], lines, strict=True):
        if row.maps.ndim == 1:
            _draw_vector(axis, row)
        else:
            part = slice(start, start + ACROSS)
            limit = limit_of(row.maps, CLIPPED)
            shown = _draw_maps(axis, row.maps[part], list(row.channels[part]), across, limit)
            if start == 0:
                _scale(axis, shown, limit, across)
        if start == 0:
            _label(axis, _described(row))
    return figure


def _maps_in(row: LayerMaps) -> int:
    return len(row.maps) if row.maps.ndim == 3 else 1


def _slope(row: LayerMaps) -> float:
    """Height of a map over its width, within reason."""
    return min(row.shape[1] / row.shape[2], 3.0) if row.maps.ndim == 3 else 1.0


def _draw_input(
    axis: Axes, photo: np.ndarray | None, x: np.ndarray, across: int, names: Sequence[str] | None
) -> None:
    """The photo, then the channels of the network's input."""
    names = list(names or COLOURS.get(len(x)) or [f"channel {i}" for i in range(len(x))])
    maps, limit = x[: across - 1], limit_of(x)
    if photo is not None:
        maps = np.concatenate([np.full_like(x[:1], np.nan), maps])
        names = ["photo", *names]
    shown = _draw_maps(axis, maps, names[: len(maps)], across, limit)
    if photo is not None:
        _, h, w = _finer(maps).shape
        extent = (-0.5, w - 0.5, h - 0.5, -0.5)
        axis.imshow(photo, extent=extent, interpolation="nearest", vmin=0, vmax=1)
        axis.set_xlim(shown.get_extent()[:2])
        axis.set_ylim(shown.get_extent()[2:])
    _scale(axis, shown, limit, across)
    size = "×".join(map(str, x.shape))
    _label(axis, f"input\n{size}\n{x.min():.3g} … {x.max():.3g}")


def _finer(maps: np.ndarray) -> np.ndarray:
    """Maps of few pixels with each pixel repeated, so that gaps are thin beside them."""
    times = -(-24 // max(maps.shape[1:]))
    return maps.repeat(times, axis=1).repeat(times, axis=2)


def _draw_maps(
    axis: Axes, maps: np.ndarray, names: Sequence[object], across: int, limit: float
) -> AxesImage:
    """One line of maps with their names above; missing ones stay white."""
    fine = _finer(maps)
    w = fine.shape[2]
    gap = max(2, w // 16)
    image = mosaic(fine, len(maps), gap)
    colours = axis.imshow(
        image, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation_stage="rgba", zorder=1
    )
    axis.set_anchor("W")
    axis.set_xlim(-0.5, across * (w + gap) - gap - 0.5)
    edges = np.arange(1, len(maps)) * (w + gap) - gap / 2 - 0.5
    axis.vlines(edges, -0.5, len(image) - 0.5, color=GAP_COLOUR, linewidth=1.5, zorder=2)
    axis.set_yticks([])
    axis.set_xticks(tile_centres(len(maps), w, gap), [str(name) for name in names], fontsize=7)
    axis.tick_params(length=0, pad=1, top=False, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    return colours


def _draw_vector(axis: Axes, row: LayerMaps) -> None:
    """Bars, one a unit, the three strongest numbered."""
    places = np.arange(len(row.maps))
    colours = np.where(row.maps > 0, "#b2182b", "#2166ac")
    axis.bar(places, row.maps, width=1.0 if len(places) > 100 else 0.8, color=colours)
    axis.axhline(0, color="0.6", linewidth=0.5)
    axis.set_xlim(-0.5, len(places) - 0.5)
    best = np.argsort(-np.abs(row.maps), kind="stable")[: 3 if len(places) > 20 else None]
    axis.set_xticks(best, [str(i) for i in best], fontsize=7)
    axis.tick_params(length=0, pad=1, labeltop=True, labelbottom=False)
    axis.yaxis.tick_right()
    axis.tick_params(axis="y", labelsize=7)
    axis.spines[["top", "left", "bottom"]].set_visible(False)


def _scale(axis: Axes, shown: AxesImage, limit: float, across: int) -> None:
    """The row's own scale at its right."""
    bar = edge_bar(axis, shown, width=0.13 / across)
    bar.set_ticks([-limit, 0, limit], labels=[f"{-limit:.3g}", "0", f"{limit:.3g}"], fontsize=7)


def _label(axis: Axes, text: str) -> None:
    axis.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=7.5, labelpad=6)


def _described(row: LayerMaps) -> str:
    """Name, shape, range and sparsity, in three lines."""
    name = row.layer.removesuffix("_output_0").strip("/")
    name = name if len(name) <= 30 else f"…{name[-29:]}"
    kind = "" if row.kind.lower() in name.lower() else f" ({row.kind})"
    size = "×".join(map(str, row.shape))
    return f"{name}{kind}\n{size}, {row.zero:.0%} zero\n{row.low:.3g} … {row.high:.3g}"
