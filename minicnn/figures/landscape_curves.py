"""Figures of loss along a line: with accuracy, of several networks, of rescaled ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.landscape.surface import Surface

__all__ = ["curves_figure", "scale_figure"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
"""Paul Tol's bright colours, which differ for colour-blind eyes."""


def curves_figure(
    found: Mapping[str, Surface],
    title: str,
    log: bool = False,
    label: str = "step along the direction",
    marked: Mapping[str, float] | None = None,
) -> Figure:
    """Draw losses along a line, and accuracies on an axis of their own.

    Parameters
    ----------
    found : mapping of str to Surface
        Lines by name.
    title : str
        Above all.
    log : bool
        Whether losses are on a logarithmic scale.
    label : str
        Of the horizontal axis.
    marked : mapping of str to float, optional
        Steps to mark with a name, such as two solutions at 0 and 1.

    Returns
    -------
    matplotlib.figure.Figure
        Losses are solid, accuracies dashed; of a single line in a colour of their own.
    """
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axis = figure.subplots()
    other = axis.twinx()
    for colour, (name, one) in zip(_colours(len(found)), found.items(), strict=True):
        axis.plot(one.xs, _finite(one.loss), color=colour, linewidth=1.8, label=name)
        beside = colour if len(found) > 1 else COLOURS[1]
        other.plot(one.xs, 100 * one.accuracy, "--", color=beside, linewidth=1.3)
    axis.set_xlabel(label)
    axis.set_ylabel("loss (solid)")
    other.set_ylabel("accuracy, % (dashed)")
    other.set_ylim(0, 103)
    if log:
        axis.set_yscale("log")
    for name, step in (marked or {}).items():
        axis.axvline(step, color="#999999", linewidth=0.8, linestyle=":")
        axis.annotate(name, (step, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
                      textcoords="offset points", fontsize=8, color="#333333",
                      horizontalalignment="center")  # fmt: skip
    axis.margins(x=0 if not marked else 0.04)
    axis.grid(alpha=0.25)
    if len(found) > 1:
        axis.legend(loc="upper center", fontsize=8, framealpha=0.9)
    return figure


def scale_figure(found: Mapping[str, Mapping[str, Surface]], title: str) -> Figure:
    """Draw the same networks' losses under several normalisations of one direction.

    Parameters
    ----------
    found : mapping of str to mapping of str to Surface
        By caption, such as "plain" and "filter-normalised"; then lines by name, such as "as
        trained" and "rescaled".
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a caption. Lines that hide each other are dashed in turn.
    """
    figure = Figure(figsize=(4.6 * len(found), 4.3), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(1, len(found), squeeze=False, sharex=True)[0]
    for axis, (caption, lines) in zip(axes, found.items(), strict=True):
        _draw_lines(axis, lines)
        axis.set_title(f"{caption}\n{_apart(lines)}", fontsize=10)
        axis.set_xlabel("step along the random direction")
    axes[0].set_ylabel("loss")
    axes[-1].legend(fontsize=8, loc="upper center", framealpha=0.9)
    return figure


def _draw_lines(axis: Axes, lines: Mapping[str, Surface]) -> None:
    styles = ((2.6, "-"), (1.6, (0, (4, 3))), (1.6, (0, (1, 2))))
    for number, (colour, (name, one)) in enumerate(
        zip(_colours(len(lines)), lines.items(), strict=True)
    ):
        width, style = styles[min(number, 2)]
        axis.plot(one.xs, _finite(one.loss), color=colour, linewidth=width, linestyle=style,
                  label=name)  # fmt: skip
    axis.margins(x=0)
    axis.grid(alpha=0.25)


def _apart(lines: Mapping[str, Surface]) -> str:
    """How far apart the lines are, in words."""
    first, *others = lines.values()
    largest = max(
        float(np.nanmax(np.abs(_finite(one.loss) - _finite(first.loss)))) for one in others
    )
    return f"largest difference {largest:.2g}" if largest else "equal in every bit"


def _finite(values: np.ndarray) -> np.ndarray:
    """With gaps where values are not finite."""
    return np.where(np.isfinite(values), values, np.nan)


def _colours(number: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(number)]
