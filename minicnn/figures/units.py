"""Units: the patches that excite a channel most beside their backward pictures; a map over a photo.

The layout is that of Zeiler and Fergus, ECCV 2014, figure 2: for each channel a square block of
backward pictures, each with a contrast of its own, and beside it the block of patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log2, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from minicnn.errors import InputError
from minicnn.figures.axes import SEQUENTIAL, SIGNED, colour_bar, grid, show
from minicnn.figures.display import display_named
from minicnn.figures.mosaic import mosaic, tile_centres
from minicnn.look import UnitMap, UnitPatch

__all__ = ["layer_figure", "unit_map_figure", "units_figure"]

SIDE = 144  # pixels of a tile


def units_figure(
    channels: Mapping[int, Sequence[UnitPatch]], title: str, display: str = "sigmoid"
) -> Figure:
    """For each channel the block of backward pictures beside that of the patches, best first.

    Parameters
    ----------
    channels : mapping of int to sequence of UnitPatch
        Channels and their patches, see `look.unit_patches`.
    title : str
        Above all.
    display : {"sigmoid", "symmetric"}
        How values become colours; see `display`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no patch to show.
    """
    if not any(channels.values()):
        raise InputError("There are no patches to show.")
    across = 1 if len(channels) <= 2 else 2  # channels side by side
    rows = ceil(len(channels) / across)
    figure, axes = grid(rows, 2 * across, title, cell=3.6 if across == 1 else 2.5, caption=0.55)
    pairs = [(row[2 * i], row[2 * i + 1]) for row in axes for i in range(across)]
    for left, right in pairs[len(channels) :]:
        left.axis("off")
        right.axis("off")
    for (left, right), (channel, patches) in zip(pairs, channels.items(), strict=False):
        _block(left, [display_named(display)(patch.backward) for patch in patches])
        _block(right, [patch.picture for patch in patches])
        left.set_title(f"channel {channel}: what it saw", fontsize=10, loc="left")
        right.set_title("in these patches", fontsize=10, loc="left")
        right.set_xlabel(_range(patches), fontsize=9, loc="left")
    return figure


def _range(patches: Sequence[UnitPatch]) -> str:
    """The responses of a block in words."""
    first, last = patches[0].value, patches[-1].value
    if first == last == 0:
        return "silent: no response above 0"
    return f"response {first:.3g}" + (f" down to {last:.3g}" if len(patches) > 1 else "")


def _block(axis: Axes, pictures: Sequence[np.ndarray]) -> None:
    """Pictures (H, W, 3) of any sizes as a square of tiles, row after row."""
    tiles = np.stack([_tile(picture) for picture in pictures])
    block = mosaic(tiles, columns=ceil(sqrt(len(tiles))), gap=SIDE // 24)
    axis.imshow(np.nan_to_num(block, nan=1.0), interpolation="nearest", vmin=0, vmax=1)
    axis.spines[:].set_visible(False)


def _tile(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A picture (H, W, 3) as large as fits into a white square."""
    scale = side / max(picture.shape[:2])
    size = tuple(max(1, round(n * scale)) for n in picture.shape[:2])
    how = Image.Resampling.NEAREST if scale > 4 else Image.Resampling.BILINEAR
    pixels = Image.fromarray((picture * 255).round().astype(np.uint8))
    tile = np.ones((side, side, 3))
    top, left = ((side - n) // 2 for n in size)
    resized = np.asarray(pixels.resize(size[::-1], how)) / 255
    tile[top : top + size[0], left : left + size[1]] = resized
    return tile


def layer_figure(pictures: Sequence[np.ndarray], channels: Sequence[int], title: str) -> Figure:
    """The best patch of each of many channels, row after row.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray, shape (H, W, 3)
        RGB in 0..1; see `look.best_patches`.
    channels : sequence of int
        Their channels.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        Beside each row stands its first channel.
    """
    columns = 2 ** ceil(log2(sqrt(1.5 * len(pictures))))  # channels mostly come in powers of two
    tiles = np.stack([_tile(picture, 64) for picture in pictures])
    block = mosaic(tiles, columns, gap=4)
    height = 0.5 + 10 * block.shape[0] / block.shape[1]
    figure = Figure(figsize=(10, height), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axis = figure.subplots()
    axis.imshow(np.nan_to_num(block, nan=1.0), interpolation="nearest", vmin=0, vmax=1)
    axis.spines[:].set_visible(False)
    first = list(channels)[::columns]
    axis.set_yticks(tile_centres(len(first), 64, 4), [str(channel) for channel in first])
    axis.set_xticks([])
    axis.tick_params(length=0, labelsize=8)
    return figure


def unit_map_figure(photo: np.ndarray, found: UnitMap, title: str) -> Figure:
    """The photo, the map of one unit as it is, and the map laid over the photo.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1, as the network sees it.
    found : UnitMap
        See `look.unit_map`.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (axes,) = grid(1, 3, title, cell=3.2)
    signed = float(found.values.min()) < 0
    top = float(np.abs(found.values).max()) or 1.0
    low, colours = (-top, SIGNED) if signed else (0.0, SEQUENTIAL)
    show(axes[0], photo)
    axes[0].set_title("image", fontsize=11)
    shown = axes[1].imshow(found.values, cmap=colours, vmin=low, vmax=top, interpolation="nearest")
    axes[1].set_title(f"map, {' x '.join(map(str, found.values.shape))}", fontsize=11)
    axes[1].set_xlabel(f"min {found.values.min():.3g}  max {found.values.max():.3g}", fontsize=9)
    grey = np.repeat(photo.mean(axis=2, keepdims=True), 3, axis=2)
    weight = 0.85 * np.clip(np.abs(found.resized) / top, 0, 1)[:, :, None]  # clear where it is 0
    show(
        axes[2], (1 - weight) * (0.2 + 0.8 * grey) + weight * shown.to_rgba(found.resized)[..., :3]
    )
    axes[2].set_title("map over the image, bilinear", fontsize=11)
    colour_bar(figure, shown, axes[2], "response")
    return figure
