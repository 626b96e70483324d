"""Display: from a raw signed map to something to look at. Zero is always mid-grey.

`sigmoid`, the authors' own contrast:

    out = 1 / (1 + exp(log(99) x / a)),    a = the 0.5 % quantile of x, or min x where |a| < 1e-5

so that with a < 0 the value a shows as 0.01, 0 as 0.5 and -a as 0.99. Two cases break this formula
and are mended here: where a > 0 (almost no negative values) it would invert the picture, so a is
minus the 99.5 % quantile; a map of zeros, which would give 0/0, is mid-grey.

Source: Mahendran and Vedaldi, ECCV 2016, footnote 4 (and their vl_imsc_am).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.errors import InputError, nearest

__all__ = ["DISPLAYS", "Display", "display_named", "sigmoid", "symmetric"]

Display = Callable[[np.ndarray], np.ndarray]


def sigmoid(values: np.ndarray) -> np.ndarray:
    """The authors' contrast.

    Parameters
    ----------
    values : numpy.ndarray, shape (C, H, W)
        A raw signed map with one or three channels.

    Returns
    -------
    numpy.ndarray, shape (H, W, 3)
        Values from 0 to 1.

    Examples
    --------
    >>> float(sigmoid(np.zeros((1, 2, 2)))[0, 0, 0])
    0.5
    """
    x = values.astype(np.float64)
    a = np.quantile(x, 0.005)
    if abs(a) < 1e-5:
        a = x.min()
    if a >= 0:
        a = -np.quantile(x, 0.995)
    if a >= 0:
        a = -np.abs(x).max()
    if a == 0:
        return _as_rgb(np.full(x.shape, 0.5))
    return _as_rgb(1 / (1 + np.exp(np.clip(np.log(99) * x / a, -60, 60))))


def symmetric(values: np.ndarray) -> np.ndarray:
    """Plain scaling: 0.5 + x / (2 max |x|); shapes as in `sigmoid`."""
    x = values.astype(np.float64)
    top = np.abs(x).max()
    return _as_rgb(0.5 + x / (2 * top) if top > 0 else np.full(x.shape, 0.5))


DISPLAYS: dict[str, Display] = {"sigmoid": sigmoid, "symmetric": symmetric}


def display_named(name: str) -> Display:
    """A display by name: sigmoid or symmetric."""
    if name not in DISPLAYS:
        raise InputError(f"There is no display {name!r}. {nearest(name, DISPLAYS)}")
    return DISPLAYS[name]


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """(C, H, W) to (H, W, 3); grey is repeated."""
    image = image.transpose(1, 2, 0)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
