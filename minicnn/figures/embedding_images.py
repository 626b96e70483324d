"""Embeddings with the images themselves: at their points, or on a filled grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from minicnn.figures.embedding import PALETTE, REST, check, legend, panels, styles_of
from minicnn.look.embedding import Embedding
from minicnn.look.layout import grid_cells

__all__ = ["embedding_grid_figure", "embedding_images_figure", "thumbnail"]

CANVAS = 1600  # pixels of a panel that shows images
SIDES = (192, 160, 128, 112, 96, 80, 64, 56, 48, 40, 32, 24)  # pixels of an image on it
DOT = 7  # pixels
PARTS = 4  # places to a side, each way, that a corner of an image may have
REACH = 3  # sides that an image may move
ENOUGH = 0.98  # the share of images that should find a place without overlap


def embedding_images_figure(
    embeddings: Mapping[str, Embedding],
    pictures: Sequence[np.ndarray],
    labels: Sequence[str],
    title: str,
    captions: Mapping[str, str] | None = None,
) -> Figure:
    """The images themselves at their points, as large as they can be without overlap.

    Where an image's place is taken it moves aside, by three sides at the most; where all places
    there are taken, a dot stands for it. Both axes fill the panel. With up to eight labels the
    frames and dots have their colours.

    Parameters
    ----------
    embeddings, labels, title, captions
        As in `embedding_figure`; of two dimensions.
    pictures : sequence of numpy.ndarray, shape (side, side, 3)
        RGB in 0..1; see `thumbnail`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        As in `embedding_figure`, and for three dimensions.
    """
    check(embeddings, labels, pictures)
    frames = _frames(labels)
    figure, axes = panels(list(embeddings), title, captions or {}, 2, 6.5)
    for axis, found in zip(axes, embeddings.values(), strict=True):
        corners, side, shown = _placed(found.points)
        canvas = np.ones((CANVAS, CANVAS, 3), np.float32)
        for i in np.flatnonzero(~shown):
            top, left = corners[i] + side // 2 - DOT // 2
            canvas[top : top + DOT, left : left + DOT] = to_rgb(frames[i] or REST)
        for i in np.flatnonzero(shown):
            _paste(canvas, pictures[int(i)], corners[i], side, frames[i])
        axis.imshow(canvas)
        if not shown.all():
            axis.set_xlabel(f"{shown.sum()} of {len(shown)} images shown, dots for the others")
    legend(figure, styles_of(labels) if any(frames) else {}, labels)
    return figure


def embedding_grid_figure(
    embeddings: Mapping[str, Embedding],
    pictures: Sequence[np.ndarray],
    labels: Sequence[str],
    title: str,
    captions: Mapping[str, str] | None = None,
) -> Figure:
    """The images on a filled grid: each in a cell of its own, as near to its point as can be.

    Parameters and errors as in `embedding_images_figure`; the assignment is `grid_cells`.
    """
    check(embeddings, labels, pictures)
    frames = _frames(labels)
    laid = [grid_cells(found.points) for found in embeddings.values()]
    rows, columns = laid[0][1]
    side = min(SIDES[0], max(SIDES[-1], CANVAS // columns))
    figure, axes = panels(list(embeddings), title, captions or {}, 2, 6.5, aspect=rows / columns)
    for axis, (cells, _) in zip(axes, laid, strict=True):
        canvas = np.ones((rows * side, columns * side, 3), np.float32)
        for cell, picture, frame in zip(cells, pictures, frames, strict=True):
            _paste(canvas, picture, cell * side, side, frame)
        axis.imshow(canvas)
    legend(figure, styles_of(labels) if any(frames) else {}, labels)
    return figure


def thumbnail(picture: np.ndarray, side: int = 96) -> np.ndarray:
    """The middle square of a picture (H, W, 3), side x side; small ones keep their hard pixels."""
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = picture[top : top + short, left : left + short]
    how = Image.Resampling.LANCZOS if short > side else Image.Resampling.NEAREST
    eight = Image.fromarray((square * 255).round().clip(0, 255).astype(np.uint8))
    return np.asarray(eight.resize((side, side), how), np.float32) / np.float32(255)


def _frames(labels: Sequence[str]) -> list[str | None]:
    """The colour of each image's frame, where labels have colours of their own."""
    styles = styles_of(labels)
    if not 1 < len(styles) <= len(PALETTE):
        return [None] * len(labels)
    return [styles[label][0] if label in styles else REST for label in labels]


def _placed(points: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Upper left corners of the images on the canvas (N, 2), their side, and which find a place.

    Both axes fill the canvas. Earlier images come first; one whose place is taken moves aside. The
    side is the largest at which nearly all find a place.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    shares = (points - low) / np.where(high > low, high - low, 1)
    shares = np.stack([1 - shares[:, 1], shares[:, 0]], axis=1)  # down, right
    far = REACH * PARTS
    moves = np.mgrid[-far : far + 1, -far : far + 1].reshape(2, -1).T
    moves = moves[np.hypot(*moves.T).argsort(kind="stable")]  # the nearest first
    for side in SIDES:
        step = side // PARTS
        places = (CANVAS - side) // step + 1  # of corners, each way
        corners = np.rint(shares * (places - 1)).astype(int)
        taken = np.zeros((places, places), bool)
        shown = np.zeros(len(points), bool)
        for i, corner in enumerate(corners):
            near = corner + moves
            near = near[((near >= 0) & (near < places)).all(axis=1)]
            free = near[~taken[near[:, 0], near[:, 1]]]
            if len(free):
                corners[i], shown[i] = free[0], True
                top, left = np.maximum(free[0] - PARTS + 1, 0)
                taken[top : free[0, 0] + PARTS, left : free[0, 1] + PARTS] = True
        if shown.mean() >= ENOUGH:
            break
    return corners * step, side, shown


def _paste(
    canvas: np.ndarray, picture: np.ndarray, corner: np.ndarray, side: int, frame: str | None
) -> None:
    """Put a picture on the canvas, in a frame of its label's colour, else of white."""
    top, left = corner
    width = max(2, side // 24) if frame else 1
    canvas[top : top + side, left : left + side] = to_rgb(frame or "white")
    inner = side - 2 * width
    part = thumbnail(picture, inner)
    canvas[top + width : top + width + inner, left + width : left + width + inner] = part
