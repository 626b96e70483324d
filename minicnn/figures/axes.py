"""What figures share: grids of pictures, photos, signed maps with their colour bars, boxes.

Signed maps are red where positive, blue where negative, white at zero (ColorBrewer's RdBu with a
white middle, whose ends also differ for colour-blind eyes); maps without sign are "viridis".
"""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

__all__ = [
    "CELL",
    "SEQUENTIAL",
    "SIGNED",
    "Box",
    "colour_bar",
    "draw_box",
    "folded",
    "grid",
    "limit_of",
    "show",
    "show_map",
    "show_signed",
]

Box = tuple[int, int, int, int]  # top, left, bottom, right

CELL = 2.7  # inches
SIGNED = LinearSegmentedColormap.from_list(
    "signed",
    ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#ffffff",
     "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"],
)  # fmt: skip
SEQUENTIAL = "viridis"


def grid(
    rows: int, columns: int, title: str, cell: float = CELL, caption: float = 0.7
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of rows x columns pictures, without ticks.

    Parameters
    ----------
    rows, columns : int
        How many.
    title : str
        Above all.
    cell, caption : float
        Inches of a picture's side, and of the room for its title and caption.
    """
    size = (cell * columns, (cell + caption) * rows + 0.35)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, [list(row) for row in axes]


def show(axis: Axes, image: np.ndarray) -> None:
    """A picture (H, W, 3) in 0..1."""
    axis.imshow(image, interpolation="nearest", vmin=0, vmax=1)


def limit_of(values: np.ndarray, quantile: float = 1.0) -> float:
    """The largest |value|, or a quantile of |value|; 1 where all are zero."""
    magnitudes = np.abs(values)
    top = float(magnitudes.max() if quantile >= 1 else np.quantile(magnitudes, quantile))
    return top or float(magnitudes.max()) or 1.0


def show_signed(axis: Axes, values: np.ndarray, limit: float | None = None) -> AxesImage:
    """A signed map (H, W): red positive, blue negative, white zero, up to +-limit."""
    top = limit_of(values) if limit is None else limit
    return axis.imshow(values, cmap=SIGNED, vmin=-top, vmax=top, interpolation="nearest")


def show_map(
    axis: Axes, values: np.ndarray, low: float | None = None, high: float | None = None
) -> AxesImage:
    """A map (H, W) whose values have no sign."""
    return axis.imshow(values, cmap=SEQUENTIAL, vmin=low, vmax=high, interpolation="nearest")


def colour_bar(figure: Figure, shown: AxesImage, axes: Axes | list[Axes], label: str) -> Colorbar:
    """The scale of a map, at its right."""
    bar = figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03, label=label)
    bar.ax.tick_params(labelsize=8)
    return bar


def draw_box(axis: Axes, box: Box, colour: str = "#ff3030") -> None:
    """The outline of a part (top, left, bottom, right) of a picture."""
    top, left, bottom, right = box
    xs = [left - 0.5, right - 0.5, right - 0.5, left - 0.5, left - 0.5]
    ys = [top - 0.5, top - 0.5, bottom - 0.5, bottom - 0.5, top - 0.5]
    axis.plot(xs, ys, color=colour, linewidth=1.5)


def folded(text: str, width: int = 26) -> str:
    """A caption in lines of about `width` characters."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False))
