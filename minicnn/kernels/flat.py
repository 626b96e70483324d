"""Flat areas: where neighbouring windows of an image hold the same numbers.

In exact arithmetic a convolution gives such windows the same value, and of values that tie
max-pooling takes the first. A kernel that computes a window's value in its own way by where it lies
(Winograd by its place in a tile, a Fourier transform by its place in the image) rounds them apart,
and the pooling then switches to another tap, so that signals go back elsewhere. Where an image has
flat areas and switches are kept, the kernels chosen are those that treat equal windows equally.
"""

from __future__ import annotations

import numpy as np

__all__ = ["has_flat_areas"]


def has_flat_areas(x: np.ndarray) -> bool:
    """Whether images (N, C, H, W) have a place of 3 x 4 or 4 x 3 pixels of one colour.

    Two windows of 3 x 3 pixels lie there, the least that ties.
    """
    if x.ndim != 4 or min(x.shape) < 1:
        return False
    return any(map(_has_flat_area, x))


def _has_flat_area(image: np.ndarray) -> bool:
    """The same for one image (C, H, W)."""
    if not (image[0, :, 1:] == image[0, :, :-1]).any():
        return False
    right = (image[:, :, 1:] == image[:, :, :-1]).all(0)  # (H, W - 1)
    down = (image[:, 1:] == image[:, :-1]).all(0)  # (H - 1, W)
    same = right[:-1] & down[:, :-1]  # a pixel, the one beside it and the one below
    rows, columns = same[:-1] & same[1:], same[:, :-1] & same[:, 1:]
    wide = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    tall = columns[:-2] & columns[1:-1] & columns[2:]
    return bool(wide.any() or tall.any())
