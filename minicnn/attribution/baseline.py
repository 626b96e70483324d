"""Baselines: the photo without information that an attribution starts from.

A network's input is normalised, x = (pixel scale - mean) / std, so that black is not 0:

    black  -mean / std
    grey   (scale / 2 - mean) / std
    white  (scale - mean) / std
    mean   the mean of the photo's own pixels
    0      the mean colour of the training photos, where that is what was subtracted
"""

from __future__ import annotations

import numpy as np

from minicnn.errors import InputError, nearest
from minicnn.network import Network

__all__ = ["Baseline", "baseline_of"]

Baseline = float | str | np.ndarray
"""A number, a colour by name, or an array that broadcasts to the input."""

COLOURS = {"black": 0.0, "white": 1.0, "grey": 0.5}


def baseline_of(network: Network, baseline: Baseline, x: np.ndarray) -> np.ndarray:
    """A baseline for a batch of photos.

    Parameters
    ----------
    network : Network
        Whose preprocessing says what a colour is.
    baseline : number, array or str
        A number in the network's own units, an array that broadcasts to x, or "black", "white",
        "grey" or "mean".
    x : numpy.ndarray, shape (N, C, H, W)
        The photos, preprocessed.

    Returns
    -------
    numpy.ndarray, shape and dtype of x
        Read-only.

    Raises
    ------
    InputError
        If a colour has no name, its preprocessing is not known, or an array does not fit.
    """
    if isinstance(baseline, str):
        baseline = _colour(network, baseline.strip().lower(), x)
    values = np.asarray(baseline, x.dtype)
    if not np.isfinite(values).all():
        raise InputError("The baseline holds NaN or infinity; finite numbers are needed.")
    try:
        return np.broadcast_to(values, x.shape)
    except ValueError:
        raise InputError(
            f"A baseline of shape {values.shape} does not fit inputs of shape {x.shape}: give one "
            f"photo, one for each, or a number."
        ) from None


def _colour(network: Network, name: str, x: np.ndarray) -> np.ndarray:
    """A colour as the network's input, so that it broadcasts to it."""
    if name != "mean" and name not in COLOURS:
        raise InputError(f"There is no baseline {name!r}. {nearest(name, [*COLOURS, 'mean'])}")
    if x.ndim != 4:
        raise InputError(f"{name} is a colour of images; {network.name} takes shape {x.shape}.")
    how = network.preprocess
    axis = 1 if how is None else how.channel_axis
    if name == "mean":
        mean: np.ndarray = x.mean(axis=(2, 3) if axis == 1 else (1, 2), keepdims=True)
        return mean
    if how is None:
        raise InputError(
            f"What {name} is depends on the preprocessing, which {network.name} does not say: load "
            f"it with preprocess=..., or give the baseline as a number or an array."
        )
    colour = (COLOURS[name] * how.scale - np.array(how.mean)) / np.array(how.std)
    return colour.reshape([-1 if i == axis else 1 for i in range(4)])
