"""Kernels under the machine's roofs: a roofline plot and a bar chart.

    attainable FLOP/s  =  min(peak, bandwidth x FLOPs a byte)

Both axes of the roofline plot are logarithmic, so that the memory roof rises at 45 degrees (or so)
and the arithmetic roof is level. A problem stands on a vertical line; a kernel's point on it says
how much of the roof above was reached. Winograd's points may stand above the roof: they are counted
by the operations of the definition, which they do not all do.

Source: Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from minicnn.errors import InputError
from minicnn.kernels.measure import Measurement, roof

__all__ = ["bars_figure", "roofline_figure"]

ROOF, GUIDE, UNDER = "#333333", "#c8c8c8", "#f3f5f8"
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}  # behind words
KNOWN = ("direct", "winograd4", "winograd2", "im2col", "fft", "naive", "depthwise", "products")
COLOURS = (  # after Okabe and Ito: told apart also by people who see few colours
    "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#8a8a8a", "#7b3294", "#a6761d",
    "#56b4e9", "#b5a800", "#00a6a6",
)  # fmt: skip
MARKERS = "osD^vXhpP*<"
A_ROW = 6  # shapes in a row of bars
LETTER = 0.066  # inches that a letter of 8 points is wide, about


def _styles(measurements: Sequence[Measurement]) -> dict[str, tuple[str, str]]:
    """Colour and marker by kernel; those that everybody has look the same in every figure."""
    if not measurements:
        raise InputError("There is nothing to draw: no kernel was measured.")
    names = dict.fromkeys(found.kernel for found in measurements)
    order = [*KNOWN, *(name for name in names if name not in KNOWN)]
    styles = {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(order)
    }
    return {name: styles[name] for name in order if name in names}


def _problems(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Measurements put together by problem, in their order."""
    found: dict[tuple[str, int], list[Measurement]] = {}
    for one in measurements:
        found.setdefault((one.problem, one.batch), []).append(one)
    return list(found.values())


def _caption(measurement: Measurement, between: str = ", ") -> str:
    """A problem in few words: channels and size, window."""
    text = re.sub(r" (pads [-\d,]+|transposed)", "", measurement.problem)
    text = re.sub(r"(@|stride |dilation )(\d+)x\2\b", r"\1\2", text)
    text = text.replace("->", "→").replace(", ", between)
    text = re.sub(r"(?<=\d)x(?=\d)", "×", text)
    return text if measurement.batch == 1 else f"{measurement.batch} images {text}"


def _title(measurements: Sequence[Measurement]) -> str:
    first = measurements[0]
    return f"{first.block}, {first.threads} thread{'s' if first.threads > 1 else ''}"


def _apart(wishes: Sequence[float], least: float) -> np.ndarray:
    """Places as near as can be to the wishes, in least squares, and `least` apart or more.

    In ascending order of wishes, places minus i times `least` must ascend: pools of adjacent
    violators share their mean (Ayer et al. 1955).
    """
    order = np.argsort(wishes, kind="stable")
    pools: list[tuple[float, int]] = []  # mean, members
    for i, index in enumerate(order):
        mean, members = wishes[index] - i * least, 1
        while pools and pools[-1][0] >= mean:
            before, more = pools.pop()
            mean = (mean * members + before * more) / (members + more)
            members += more
        pools.append((mean, members))
    level = np.repeat([mean for mean, _ in pools], [members for _, members in pools])
    places = np.empty(len(order))
    places[order] = level + least * np.arange(len(order))
    return places


# Roofline


def roofline_figure(measurements: Sequence[Measurement], peak: float, bandwidth: float) -> Figure:
    """Speed over operations a byte, one colour a kernel, under the roofs.

    Parameters
    ----------
    measurements : sequence of Measurement
        Of one block.
    peak : float
        FLOP/s.
    bandwidth : float
        Bytes/s.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there are no measurements.
    """
    styles, problems = _styles(measurements), _problems(measurements)
    captions = [_caption(found[0]) for found in problems]
    above = 0.75 + max(map(len, captions)) * LETTER * math.sin(math.radians(60))  # inches
    width, height, plot_width, plot_height = 10.0, 5.0 + above, 7.9, 4.4
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0.8 / width, 0.6 / height, plot_width / width, plot_height / height))
    figure.suptitle(
        f"{_title(measurements)}: kernels under the machine's roofs",
        x=0.8 / width, y=1 - 0.15 / height, ha="left", va="top",
    )  # fmt: skip
    ridge = peak / bandwidth
    x = [found[0].intensity for found in problems]
    y = [found.flops_per_second / 1e9 for found in measurements]
    high = max(*x, ridge) * 1.5
    low = min(min(x) / 1.5, ridge * (ridge / high) ** 0.3)  # room for the memory roof
    bottom, top = min(*y, bandwidth * low / 1e9) / 1.8, max(*y, peak / 1e9) * 2
    axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top))
    axis.set_xlabel("FLOPs a byte of images, filters and results")
    axis.set_ylabel("GFLOP/s (operations of the definition)")
    axis.spines[["top", "right"]].set_visible(False)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_major_formatter(StrMethodFormatter("{x:g}"))
        side.set_minor_formatter(NullFormatter())
    _draw_roofs(axis, peak, bandwidth, plot_height / plot_width)
    _name_problems(axis, x, captions, 0.17 / plot_width)
    for name, (colour, marker) in styles.items():
        own = [found for found in measurements if found.kernel == name]
        axis.scatter(
            [found.intensity for found in own], [found.flops_per_second / 1e9 for found in own],
            s=46, c=colour, marker=marker, edgecolors="white", linewidths=0.6, zorder=4, label=name,
        )  # fmt: skip
    _name_kernels(axis, measurements, styles, 0.2 / plot_height)
    if any(roof(found, peak, bandwidth).share > 1 for found in measurements):
        axis.text(
            0.01, 0.985, "above a roof: fewer operations than the definition has,\n"
            "or data that stay in the caches", transform=axis.transAxes, va="top", fontsize=8,
            style="italic", color=ROOF, bbox=PAPER, zorder=2,
        )  # fmt: skip
    return figure


def _draw_roofs(axis: Axes, peak: float, bandwidth: float, aspect: float) -> None:
    (low, high), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    ridge = peak / bandwidth
    xs = np.array([low, ridge, high])
    ys = np.minimum(peak, bandwidth * xs) / 1e9
    axis.plot(xs, ys, color=ROOF, linewidth=2, zorder=3, label="roof")
    axis.fill_between(xs, ys, bottom, color=UNDER, zorder=0)
    steepness = math.log(high / low) / math.log(top / bottom) * aspect
    axis.annotate(
        f"memory: {bandwidth / 1e9:.0f} GB/s", (math.sqrt(low * ridge), math.sqrt(ys[0] * ys[1])),
        xytext=(0, -4), textcoords="offset points", rotation=math.degrees(math.atan(steepness)),
        rotation_mode="anchor", ha="center", va="top", color=ROOF, fontsize=9,
    )  # fmt: skip
    axis.annotate(
        f"arithmetic: {peak / 1e9:.0f} GFLOP/s", (ridge, peak / 1e9), xytext=(6, 4),
        textcoords="offset points", color=ROOF, fontsize=9, va="bottom", bbox=PAPER, zorder=2,
    )  # fmt: skip


def _name_problems(axis: Axes, x: list[float], captions: list[str], least: float) -> None:
    """A line for each problem, its name above the plot."""
    wishes = [_share(axis.get_xlim(), value) for value in x]
    places = _apart(wishes, least)
    for value, place, caption in zip(x, places, captions, strict=True):
        axis.axvline(value, color=GUIDE, linewidth=0.7, zorder=1)
        axis.annotate(
            caption, (_share(axis.get_xlim(), value), 1), xytext=(place, 1.05),
            xycoords="axes fraction", textcoords="axes fraction", rotation=60,
            rotation_mode="anchor", ha="left", va="center", fontsize=8,
            arrowprops={"arrowstyle": "-", "color": GUIDE, "linewidth": 0.7, "shrinkA": 0,
                        "shrinkB": 0, "relpos": (0, 0)},
        )  # fmt: skip


def _name_kernels(
    axis: Axes,
    measurements: Sequence[Measurement],
    styles: dict[str, tuple[str, str]],
    least: float,
) -> None:
    """Each kernel's name at the right, tied to its last point."""
    last = [
        max((found for found in measurements if found.kernel == name), key=lambda m: m.intensity)
        for name in styles
    ]
    wishes = [_share(axis.get_ylim(), found.flops_per_second / 1e9) for found in last]
    for found, place in zip(last, _apart(wishes, least), strict=True):
        colour, _ = styles[found.kernel]
        axis.annotate(
            found.kernel, (found.intensity, found.flops_per_second / 1e9), xytext=(1.02, place),
            textcoords="axes fraction", color=colour, fontsize=10, va="center", weight="bold",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "alpha": 0.6,
                        "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)},
        )  # fmt: skip


def _share(limits: tuple[float, float], value: float) -> float:
    """Where a value stands on a logarithmic axis, from 0 to 1."""
    low, high = limits
    return math.log(value / low) / math.log(high / low)


# Bars


def bars_figure(measurements: Sequence[Measurement], peak: float, bandwidth: float) -> Figure:
    """Speed of each kernel, problem by problem, with the peak as a line.

    A short line over a problem is its memory roof, where that is lower than the peak. Parameters
    and errors as in `roofline_figure`.
    """
    styles, problems = _styles(measurements), _problems(measurements)
    rows = [problems[i : i + A_ROW] for i in range(0, len(problems), A_ROW)]
    across = min(len(problems), A_ROW)
    bar = 1 / (len(styles) + 1)
    width = max(6.5, 1.0 + across * max(1.3, 0.24 * (len(styles) + 1)))
    figure = Figure(figsize=(width, 0.7 + 2.9 * len(rows)), layout="constrained")
    figure.suptitle(
        f"{_title(measurements)}: speed by the operations of the definition", fontsize=11
    )
    axes = figure.subplots(len(rows), 1, squeeze=False, sharey=True)[:, 0]
    top = 1.22 * max(peak, *(found.flops_per_second for found in measurements)) / 1e9
    for axis, row in zip(axes, rows, strict=True):
        axis.set(xlim=(-0.55, across - 0.45), ylim=(0, top), ylabel="GFLOP/s")
        axis.spines[["top", "right"]].set_visible(False)
        axis.axhline(peak / 1e9, color=ROOF, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        axis.set_xticks(range(len(row)), [_caption(found[0], "\n") for found in row], fontsize=8)
        axis.tick_params(axis="x", length=0)
        for i, found in enumerate(row):
            _draw_group(axis, i, found, styles, bar)
            over = roof(found[0], peak, bandwidth)
            if over.binds == "memory":
                level = over.attainable / 1e9
                axis.hlines(level, i - 0.45, i + 0.45, color=ROOF, linewidth=1.6, zorder=1)
                axis.annotate(
                    "memory roof", (i + 0.45, level), xytext=(0, 2), textcoords="offset points",
                    ha="right", fontsize=7, color=ROOF,
                )  # fmt: skip
    axes[0].annotate(
        f"peak\n{peak / 1e9:.0f}", (1, peak / 1e9), xycoords=("axes fraction", "data"),
        xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=ROOF,
    )  # fmt: skip
    handles = {
        name: next(patch for axis in axes for patch in axis.containers if patch.get_label() == name)
        for name in styles
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center",
        ncols=min(len(styles), int(width / 1.15)), frameon=False, fontsize=9, handlelength=1,
    )  # fmt: skip
    return figure


def _draw_group(
    axis: Axes,
    at: int,
    found: Sequence[Measurement],
    styles: dict[str, tuple[str, str]],
    bar: float,
) -> None:
    """The bars of one problem, side by side about a place, each with its number."""
    names = [name for name in styles if any(one.kernel == name for one in found)]
    for i, name in enumerate(names):
        one = next(one for one in found if one.kernel == name)
        speed = one.flops_per_second / 1e9
        place = at + (i - (len(names) - 1) / 2) * bar
        axis.bar([place], [speed], 0.88 * bar, color=styles[name][0], label=name, zorder=2)
        axis.annotate(
            f"{speed:.0f}" if speed >= 9.95 else f"{speed:.1f}", (place, speed), xytext=(0, 2),
            textcoords="offset points", rotation=90, ha="center", va="bottom", fontsize=7,
            bbox=PAPER, zorder=3,
        )  # fmt: skip
