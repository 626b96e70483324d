"""Figures of loss surfaces, after Li et al. 2018: contours, filled contours, 3-D surfaces.

Losses rise steeply from a minimum, so levels and colours are spaced evenly in the logarithm where
`log` is set; side by side, surfaces share them. What overflowed or lies above the highest level is
drawn alike, and the bar of colours says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator

from minicnn.errors import InputError
from minicnn.landscape.surface import Surface
from minicnn.landscape.trajectory import Trajectory

__all__ = ["LANDSCAPE_STYLES", "landscapes_figure", "trajectory_figure"]

LANDSCAPE_STYLES = ("contour", "filled", "surface")
COLOURS, OVER = "viridis", "#fbf6d9"  # and what lies above the highest level
LEVELS = 14
SMALLEST = 1e-6  # a loss below counts as this on a logarithmic scale


def landscapes_figure(
    found: Mapping[str, Surface],
    title: str,
    style: str = "filled",
    log: bool = False,
    highest: float | None = None,
) -> Figure:
    """Draw surfaces side by side, with the same levels and colours.

    Parameters
    ----------
    found : mapping of str to Surface
        Planes by caption.
    title : str
        Above all.
    style : {"contour", "filled", "surface"}
        Labelled lines, filled bands with lines, or a 3-D surface over its contours.
    log : bool
        Whether levels, colours and heights are logarithmic.
    highest : float, optional
        The highest level; by default the largest loss of all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such style, or a surface is a line.
    """
    if style not in LANDSCAPE_STYLES:
        raise InputError(f"style={style!r}: choose {', '.join(LANDSCAPE_STYLES)}.")
    if any(one.ys is None for one in found.values()):
        raise InputError("A line has no contours; draw it with `curves_figure`.")
    levels, norm = _levels([one.loss for one in found.values()], log, highest)
    wide = 5.4 if len(found) == 1 else 4.8
    figure = Figure(figsize=(wide * len(found) + 0.9, 5.2), layout="constrained")
    figure.suptitle(title, fontsize=12)
    options: dict[str, Any] = {"subplot_kw": {"projection": "3d"}} if style == "surface" else {}
    axes = figure.subplots(1, len(found), squeeze=False, **options)[0]
    shown: Any = None
    above = any(_is_above(one, levels) for one in found.values())
    for axis, (caption, one) in zip(axes, found.items(), strict=True):
        if style == "surface":
            shown = _draw_relief(axis, one, levels, norm, log)
            if len(found) == 1:  # beside another there is no room for it
                axis.set_zlabel("loss", fontsize=8)
        else:
            shown = draw_contours(axis, one, levels, norm, style == "filled", above=above)
            axis.set_xlabel("first direction")
            axis.set_box_aspect(1)
            axis.legend(fontsize=8, framealpha=0.9, handletextpad=0.2)
        axis.set_title(caption, fontsize=10)
    if style != "surface":
        axes[0].set_ylabel("second direction")
    if style != "contour":
        _loss_bar(figure, shown, list(axes), levels, log, above)
    return figure


def trajectory_figure(
    found: Surface, path: Trajectory, title: str, log: bool = True, marked: Sequence[int] = ()
) -> Figure:
    """Draw a training's path over the contours of its plane.

    Parameters
    ----------
    found : Surface
        In the path's own directions.
    path : Trajectory
        Its coordinates and the share of variance that each direction explains.
    title : str
        Above all.
    log : bool
        Whether levels are logarithmic.
    marked : sequence of int
        States to mark, such as those where the learning rate dropped.

    Returns
    -------
    matplotlib.figure.Figure
    """
    levels, norm = _levels([found.loss], log, None)
    figure = Figure(figsize=(6.6, 5.4), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axis = figure.subplots()
    above = _is_above(found, levels)
    shown = draw_contours(axis, found, levels, norm, True, origin=False, above=above)
    x, y = path.coordinates.T
    axis.plot(x, y, "-o", color="#ffffff", linewidth=2.6, markersize=4.5, zorder=3)
    axis.plot(x, y, "-o", color="#b2182b", linewidth=1.4, markersize=3, zorder=4)
    axis.plot(x[:1], y[:1], "s", color="#b2182b", markersize=7, zorder=5, label="start")
    axis.plot(x[-1:], y[-1:], "*", color="#b2182b", markersize=13, zorder=5, label="end")
    if marked:
        at = list(marked)
        axis.plot(x[at], y[at], "D", color="#fdae61", markersize=6, zorder=5,
                  label="learning rate drops")  # fmt: skip
    axis.legend(fontsize=8, framealpha=0.9)
    shares = 100 * path.explained
    axis.set_xlabel(f"first principal direction ({shares[0]:.1f} % of the variance)")
    axis.set_ylabel(f"second principal direction ({shares[1]:.1f} %)")
    _loss_bar(figure, shown, [axis], levels, log, above)
    return figure


def draw_contours(
    axis: Axes,
    found: Surface,
    levels: np.ndarray,
    norm: Normalize,
    filled: bool,
    origin: bool = True,
    above: bool = False,
) -> QuadContourSet:
    """Contours of one surface, with the network and its lowest point marked.

    `above` says whether the bar of colours is to end in an arrow.
    """
    assert found.ys is not None
    loss = _clipped(found.loss, levels, beyond=3.0)
    shown = None
    if filled:
        colours = colormaps[COLOURS].with_extremes(over=OVER)
        shown = axis.contourf(found.xs, found.ys, loss, levels, cmap=colours, norm=norm,
                              extend=_ends(above))  # fmt: skip
    inks: dict[str, Any] = {"colors": "white"} if filled else {"cmap": COLOURS, "norm": norm}
    lines = axis.contour(found.xs, found.ys, loss, levels, linewidths=0.6 if filled else 1.0,
                         **inks)  # fmt: skip
    if not filled:
        axis.clabel(lines, levels[::2], fmt=_spoken, fontsize=7)
    (a, b), _ = found.lowest
    colour = "#d62728" if filled else "black"
    at: dict[str, Any] = {"color": colour, "linestyle": ""}
    if origin and found.xs[0] <= 0 <= found.xs[-1] and found.ys[0] <= 0 <= found.ys[-1]:
        axis.plot([0], [0], "o", markersize=9, fillstyle="none", label="the network", **at)
    axis.plot([a], [b], "x", markersize=6, label="lowest point", **at)
    return lines if shown is None else shown


def _draw_relief(axis: Any, found: Surface, levels: np.ndarray, norm: Normalize, log: bool) -> Any:
    """A 3-D surface over its contours; heights are logarithms where `log` is set."""
    assert found.ys is not None
    loss = _clipped(found.loss, levels)
    x, y = np.meshgrid(found.xs, found.ys)
    heights = np.log10(loss) if log else loss
    low, high = (np.log10(levels[[0, -1]]) if log else levels[[0, -1]]).tolist()
    scale = Normalize(low, high)
    floor = low - 0.35 * (high - low)
    shown = axis.plot_surface(
        x, y, heights, cmap=COLOURS, norm=scale, rstride=1, cstride=1, linewidth=0.15,
        edgecolor=(1, 1, 1, 0.25),
    )  # fmt: skip
    lines = np.log10(levels) if log else levels
    axis.contour(x, y, heights, lines, zdir="z", offset=floor, cmap=COLOURS, norm=scale,
                 linewidths=0.8)  # fmt: skip
    axis.set_zlim(floor, high)
    axis.view_init(elev=32, azim=-58)
    axis.tick_params(labelsize=7)
    axis.set_xlabel("first direction", fontsize=8)
    axis.set_ylabel("second direction", fontsize=8)
    if log:
        whole = np.arange(np.ceil(low), np.floor(high) + 1)
        axis.set_zticks(whole, [f"$10^{{{int(n)}}}$" for n in whole])
    else:
        axis.set_zticks([t for t in axis.get_zticks() if low <= t <= high])
    shown.set_norm(scale)
    return shown


def _levels(
    losses: Sequence[np.ndarray], log: bool, highest: float | None
) -> tuple[np.ndarray, Normalize]:
    """Levels that all surfaces share, and their scale of colours."""
    finite = np.concatenate([loss[np.isfinite(loss)] for loss in losses])
    if not finite.size:
        raise InputError("Nothing of the surface is finite, so there is nothing to draw.")
    low, high = float(finite.min()), float(highest or finite.max())
    if log:
        low = max(low, SMALLEST, high * 1e-6)
        high = max(high, low * 1.01)
        return np.geomspace(low, high, LEVELS), LogNorm(low, high)
    if low >= high and highest:  # all lies above
        low = 0.0
    high = high if high > low else low + 1e-6
    levels = np.array(MaxNLocator(LEVELS).tick_values(low, high))
    if highest:  # the last line lies where it was asked for
        levels = np.append(levels[levels < high - 0.2 * (levels[1] - levels[0])], high)
    return levels, Normalize(float(levels[0]), float(levels[-1]))


def _clipped(loss: np.ndarray, levels: np.ndarray, beyond: float = 1.0) -> np.ndarray:
    """Losses from the lowest level to `beyond` times the highest; not finite counts as most."""
    most = beyond * levels[-1]
    return np.clip(np.where(np.isfinite(loss), loss, most), levels[0], most)


def _is_above(found: Surface, levels: np.ndarray) -> bool:
    """Whether some losses are drawn like the highest level, though they lie above it."""
    return not bool((found.loss <= levels[-1] * (1 + 1e-9)).all())


def _ends(above: bool) -> Literal["max", "neither"]:
    return "max" if above else "neither"


def _loss_bar(
    figure: Figure, shown: Any, axes: list[Axes], levels: np.ndarray, log: bool, above: bool
) -> None:
    is_relief = not isinstance(shown, QuadContourSet)
    label = f"loss (above {levels[-1]:g} alike)" if above else "loss"
    bar = figure.colorbar(shown, ax=axes, label=label, shrink=0.8 if is_relief else 1.0,
                          pad=0.1 if is_relief else 0.04,
                          extend=_ends(above))  # fmt: skip
    if log and is_relief:  # its colours stand for logarithms
        bar.ax.yaxis.set_major_formatter(lambda value, _: _spoken(10.0**value))
    elif log:
        bar.set_ticks(levels[::2].tolist(), labels=[_spoken(level) for level in levels[::2]])
        bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8)


def _spoken(level: float) -> str:
    return f"{level:.2g}" if level < 99.5 else f"{level:.0f}" if level < 1000 else (
        LogFormatterSciNotation()(level)
    )  # fmt: skip
