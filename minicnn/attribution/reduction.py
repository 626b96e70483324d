"""Reduction: from raw attributions to one number a pixel.

Over the values v of a pixel's channels:

    sum       sum v                  pixels still sum to what all values sum to
    mean      mean v
    max_abs   max |v|                Simonyan et al. 2013, for the gradient
    abs_sum   sum |v|
    norm      square root of sum v^2
    positive  sum max(v, 0)
    negative  sum max(-v, 0)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.errors import InputError, ShapeError, nearest
from minicnn.network import Network

__all__ = ["REDUCTIONS", "check_reduction", "reduce"]

REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda v: v.sum(axis=1),
    "mean": lambda v: v.mean(axis=1),
    "max_abs": lambda v: np.abs(v).max(axis=1),
    "abs_sum": lambda v: np.abs(v).sum(axis=1),
    "norm": lambda v: np.sqrt(np.square(v).sum(axis=1)),
    "positive": lambda v: np.maximum(v, 0).sum(axis=1),
    "negative": lambda v: np.maximum(-v, 0).sum(axis=1),
}


def check_reduction(how: str) -> None:
    """Refuse a reduction that there is not.

    Raises
    ------
    InputError
        With the nearest names.
    """
    if how not in REDUCTIONS:
        raise InputError(f"There is no reduction {how!r}. {nearest(how, REDUCTIONS)}")


def reduce(values: np.ndarray, how: str, network: Network | None = None) -> np.ndarray:
    """One number a pixel.

    Parameters
    ----------
    values : numpy.ndarray, shape (N, C, H, W)
        Raw attributions, shaped like the network's input.
    how : str
        sum, mean, max_abs, abs_sum, norm, positive or negative.
    network : Network, optional
        Which says whether inputs are laid out (N, H, W, C).

    Returns
    -------
    numpy.ndarray, shape (N, H, W)

    Raises
    ------
    InputError, ShapeError
        If there is no such reduction, or the values are no images.

    Examples
    --------
    >>> reduce(np.array([[[[1.0]], [[-3.0]]]]), "max_abs")
    array([[[3.]]])
    """
    check_reduction(how)
    if values.ndim != 4:
        raise ShapeError(f"Pixels need images (N, C, H, W); got values of shape {values.shape}.")
    return REDUCTIONS[how](values if network is None else network.channels_first(values))
