"""How far from convex a surface is: two shares that can be measured.

    segments   f((p + q) / 2) > (f(p) + f(q)) / 2    breaks convexity; p, q points of the grid
    cells      -lambda_min > lambda_max / 10         of the Hessian there

Every pair of grid points counts whose middle is a grid point too, so that nothing is interpolated
and nothing drawn at random. A convex function breaks no segment; of white noise half would break.
The share of cells says the same of curvature in *all* directions of the parameter space, not just
in the plane's two.

Source: the second after Li et al. 2018, section 6, where |lambda_min / lambda_max| is drawn.
"""

from __future__ import annotations

import numpy as np

from minicnn.errors import InputError

__all__ = ["broken_segments", "negative_cells"]


def broken_segments(
    loss: np.ndarray, highest: float | None = None, tolerance: float = 1e-6
) -> float:
    """Share of line segments along which a surface is not convex.

    Parameters
    ----------
    loss : numpy.ndarray, shape (Y, X) or (X,)
        At evenly spaced points.
    highest : float, optional
        Only segments count whose ends are not above this: those within the basin. Far out, where
        losses are huge, all kinds of networks look alike.
    tolerance : float
        How much the middle may stick out, as a share of the mean of the ends: rounding.

    Returns
    -------
    float
        0..1. Segments with an end that is not finite do not count.

    Raises
    ------
    InputError
        If there is no such segment.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9)
    >>> broken_segments(x**2), broken_segments(-(x**2))
    (0.0, 1.0)
    """
    values = np.atleast_2d(np.asarray(loss, np.float64))
    height, width = values.shape
    broken = counted = 0
    for down in range((height + 1) // 2):
        first = 1 if down == 0 else -((width - 1) // 2)  # each segment once
        for across in range(first, (width + 1) // 2):
            p, middle, q = _segments(values, down, across)
            with np.errstate(invalid="ignore"):
                chord = (p + q) / 2
                counts = np.isfinite(chord)
                if highest is not None:
                    counts &= (p <= highest) & (q <= highest)
                broken += int((counts & (middle > chord + tolerance * np.abs(chord))).sum())
            counted += int(counts.sum())
    if not counted:
        raise InputError(
            f"A surface of {' x '.join(map(str, np.shape(loss)))} points has no three in a row "
            f"whose losses are finite and low enough; take a finer grid."
        )
    return broken / counted


def _segments(
    values: np.ndarray, down: int, across: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Beginnings, middles and ends of all segments of that half length."""
    height, width = values.shape
    rows = [slice(k * down, height - (2 - k) * down) for k in range(3)]
    left = [k * across if across >= 0 else (2 - k) * -across for k in range(3)]
    columns = [slice(start, start + width - 2 * abs(across)) for start in left]
    p, middle, q = (values[r, c] for r, c in zip(rows, columns, strict=True))
    return p, middle, q


def negative_cells(lowest: np.ndarray, highest: np.ndarray, share: float = 0.1) -> float:
    """Share of cells where the most negative curvature exceeds a share of the most positive.

    Parameters
    ----------
    lowest, highest : numpy.ndarray
        Extreme eigenvalues of the Hessian at each cell; cells that are not finite do not count.
    share : float
        The share of the highest.

    Raises
    ------
    InputError
        If no cell is finite.

    Examples
    --------
    >>> negative_cells(np.array([-2.0, -0.5, 0.0]), np.array([10.0, 10.0, 10.0]))
    0.3333333333333333
    """
    known = np.isfinite(lowest) & np.isfinite(highest)
    if not known.any():
        raise InputError("No cell has finite eigenvalues.")
    return float((-lowest > share * highest)[known].mean())
