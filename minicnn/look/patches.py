"""The patch that pleases a filter most.

A unit's response is a dot product <w, x> + b of its filter with the patch x that it sees, so the
filter is a template. Which patch pleases it most depends on what patches may be:

    ||x||_2 <= 1     x = w / ||w||_2     <w, x> = ||w||_2
    ||x||_inf <= 1   x = sign w          <w, x> = ||w||_1
    0 <= x <= 1      x = 1[w > 0]        <w, x> = sum of the positive weights      (real pixels)

Source: A. Vedaldi's lectures on understanding networks; the first two are the equality cases of
Hölder's inequality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.errors import InputError, nearest
from minicnn.preprocess import Preprocess

__all__ = ["NORMS", "Patch", "best_patch"]

NORMS = ("l2", "linf", "pixels")

Bound = float | np.ndarray


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch x shaped like its filter w, and the value <w, x> that it reaches."""

    x: np.ndarray
    value: float


def best_patch(w: np.ndarray, norm: str = "l2", preprocess: Preprocess | None = None) -> Patch:
    """The patch x that maximises <w, x> where x is bounded.

    Parameters
    ----------
    w : numpy.ndarray, shape (C, kh, kw)
        A filter.
    norm : {"l2", "linf", "pixels"}
        ||x||_2 <= 1, ||x||_inf <= 1, or the range that pixels have.
    preprocess : Preprocess, optional
        For "pixels": each channel lies between what black and white become,
        -mean / std and (scale - mean) / std. Without it, between 0 and 1.

    Returns
    -------
    Patch
        Where w is 0, any x would do: 0 is given, under "pixels" the middle of the range.

    Raises
    ------
    InputError
        If the norm is unknown, or the filter has other channels than the preprocessing.

    Examples
    --------
    >>> w = np.array([[[3.0, -4.0]]])
    >>> best_patch(w, "l2").value, best_patch(w, "linf").value, best_patch(w, "pixels").value
    (5.0, 7.0, 3.0)
    """
    if norm not in NORMS:
        raise InputError(f"There is no norm {norm!r} for patches. {nearest(norm, NORMS)}")
    low, high = _pixel_range(w, preprocess) if norm == "pixels" else (-1.0, 1.0)
    if norm == "l2":
        length = float(np.linalg.norm(w))
        x = w / length if length else np.zeros_like(w)
    else:
        x = np.where(w > 0, high, np.where(w < 0, low, (low + high) / 2)).astype(w.dtype)
    return Patch(x, float((w * x).sum(dtype=np.float64)))


def _pixel_range(w: np.ndarray, preprocess: Preprocess | None) -> tuple[Bound, Bound]:
    """What black and white become, one number a channel (C, 1, 1)."""
    if preprocess is None:
        return 0.0, 1.0
    if len(w) != preprocess.channels:
        raise InputError(
            f"The filter has {len(w)} channels, preprocessed images {preprocess.channels}: only "
            f"filters that read the image act on pixels. Choose l2 or linf."
        )
    mean = np.array(preprocess.mean)[:, None, None]
    std = np.array(preprocess.std)[:, None, None]
    return -mean / std, (preprocess.scale - mean) / std
