"""Images read at other places: resized, or sampled where a grid says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import InputError
from minicnn.functional.operands import Ints

__all__ = [
    "grid_sample",
    "interpolate",
]


_INTERPOLATIONS = {  # of torch: mode, coordinates, which is nearest
    "nearest": ("nearest", "asymmetric", "floor"),
    "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
    "linear": ("linear", "half_pixel", ""),
    "bilinear": ("linear", "half_pixel", ""),
    "trilinear": ("linear", "half_pixel", ""),
    "bicubic": ("cubic", "half_pixel", ""),
}


def interpolate(
    input: Any,
    size: Ints | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Any:
    """Resize the spatial axes of (N, C, *spatial), to a size or by a factor.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, *spatial)
        Images.
    size : int or sequence of int, optional
        Of the output; one number is meant for each axis.
    scale_factor : float or sequence of float, optional
        Instead of a size; sizes are rounded down.
    mode : str
        nearest, nearest-exact, linear (bilinear, trilinear), bicubic.
    align_corners : bool
        Whether the outermost pixels' centres stay where they are.

    Raises
    ------
    InputError
        If the mode is none of these, or not one of `size` and `scale_factor` is given.
    """
    rank = len(input.shape) - 2
    if mode not in _INTERPOLATIONS:
        raise InputError(f"Unknown mode {mode!r}: it is one of {', '.join(_INTERPOLATIONS)}.")
    if (size is None) == (scale_factor is None):
        raise InputError("interpolate needs a size or a scale_factor, one of them.")
    kind, coordinates, nearest = _INTERPOLATIONS[mode]
    coordinates = "align_corners" if align_corners and kind != "nearest" else coordinates
    given: np.ndarray = np.atleast_1d(np.asarray(scale_factor if size is None else size))
    if given.shape not in {(1,), (rank,)}:
        raise InputError(f"interpolate needs 1 or {rank} numbers; it got {given.tolist()}.")
    for axis, number in enumerate(np.broadcast_to(given, rank).tolist(), start=2):
        how: dict[str, Any] = {"factor": number} if size is None else {"out": number}
        if size is None and coordinates == "align_corners":  # torch goes by the whole length
            how = {"out": int(number * input.shape[axis])}
        block = B.Resize(axis, mode=kind, coordinates=coordinates, nearest=nearest, **how)
        input = block(input)
    return input


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Any:
    """Read images (N, C, H, W) at the places of a grid (N, H', W', 2) of x, y from -1 to 1.

    Modes are bilinear (for volumes too), nearest and bicubic; padding modes zeros, border and
    reflection. Bicubic places outside of the image are first brought to its edge, as in ONNX.
    """
    names = {"bilinear": "linear", "bicubic": "cubic"}
    return B.GridSample(names.get(mode, mode), padding_mode, align_corners)(input, grid)
