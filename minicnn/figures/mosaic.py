"""Mosaics: many small pictures of one size in one, set apart by gaps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.image import AxesImage

__all__ = ["GAP_COLOUR", "edge_bar", "mosaic", "tile_centres"]

GAP_COLOUR = (0.80, 0.87, 0.95)
"""Between tiles: neither black, grey nor white, so that tiles have edges."""


def mosaic(tiles: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Tiles side by side, row after row; gaps and missing tiles are NaN.

    Parameters
    ----------
    tiles : numpy.ndarray, shape (N, h, w) or (N, h, w, 3)
        What is laid out.
    columns : int
        Tiles in a row.
    gap : int
        Pixels between two of them.

    Returns
    -------
    numpy.ndarray, shape (H, W) or (H, W, 3), floating

    Examples
    --------
    >>> mosaic(np.ones((3, 1, 1)), columns=2)
    array([[ 1., nan,  1.],
           [nan, nan, nan],
           [ 1., nan, nan]])
    """
    count, h, w = tiles.shape[:3]
    rows = -(-count // columns)
    size = (rows * (h + gap) - gap, columns * (w + gap) - gap)
    image = np.full((*size, *tiles.shape[3:]), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        image[top : top + h, left : left + w] = tile
    return image


def tile_centres(count: int, side: int, gap: int = 1) -> np.ndarray:
    """Where the middles of tiles lie along an axis, for ticks."""
    return np.arange(count) * (side + gap) + (side - 1) / 2


def edge_bar(axis: Axes, shown: AxesImage, label: str = "", width: float = 0.03) -> Colorbar:
    """A colour bar at the right edge, as high as the picture; its width is a part of that one's."""
    place = axis.inset_axes((1 + width, 0, width, 1))
    bar = axis.get_figure(root=True).colorbar(shown, cax=place, label=label)  # type: ignore[union-attr]
    bar.ax.tick_params(labelsize=8)
    return bar
