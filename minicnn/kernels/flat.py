"""Flat areas: where neighbouring windows of an image hold the same numbers.

In exact arithmetic a convolution gives such windows the same value, and of values that tie
max-pooling takes the first. A kernel that computes a window's value in its own way by where it lies
(Winograd by its place in a tile, a Fourier transform by its place in the image) rounds them apart,
and the pooling then switches to another tap, so that signals go back elsewhere. Where an image has
flat areas and switches are kept, the kernels chosen are those that treat equal windows equally.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.devices import on_gpu

__all__ = ["has_flat_areas"]


def has_flat_areas(x: np.ndarray) -> bool:
    """Whether images (N, C, H, W) have a place of 3 x 4 or 4 x 3 pixels of one colour.

    Two windows of 3 x 3 pixels lie there, the least that ties.
    """
    if x.ndim != 4 or min(x.shape) < 1:
        return False
    if on_gpu(x):  # all images at once, and one answer to wait for
        return _have_flat_area(x)
    return any(_row_repeats(image) and _have_flat_area(image[None]) for image in x)


def _row_repeats(image: np.ndarray) -> bool:
    """Whether two neighbours in a row of the first channel are alike: quickly told, mostly."""
    return bool((image[0, :, 1:] == image[0, :, :-1]).any())


def _have_flat_area(x: np.ndarray) -> bool:
    """The same for images (N, C, H, W), in full."""
    right = (x[..., 1:] == x[..., :-1]).all(1)  # (N, H, W - 1)
    down = (x[:, :, 1:] == x[:, :, :-1]).all(1)  # (N, H - 1, W)
    same = right[:, :-1] & down[..., :-1]  # a pixel, the one beside it and the one below
    rows, columns = same[:, :-1] & same[:, 1:], same[..., :-1] & same[..., 1:]
    wide = rows[..., :-2] & rows[..., 1:-1] & rows[..., 2:]
    tall = columns[:, :-2] & columns[:, 1:-1] & columns[:, 2:]
    return bool(wide.any() | tall.any())
