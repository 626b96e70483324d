"""How similar two attributions of the same photo are: rank correlations, SSIM, HOG.

    rank      Spearman's correlation of the signed maps (channels summed)
    rank_abs  the same of magnitudes (largest |value| over channels)
    ssim      structural similarity of magnitudes divided by their maximum
    hog       Pearson's correlation of the gradient-orientation histograms of the same

Signed and absolute ranks may tell different stories: edges stay where they are when weights become
noise, which magnitudes see, while signs become arbitrary. So look at both.

Source: J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 4 and its code.
"""

from __future__ import annotations

import numpy as np

from minicnn.attribution.reduction import reduce
from minicnn.errors import ShapeError

__all__ = [
    "METRICS",
    "hog_correlation",
    "pearson",
    "similarities",
    "spearman",
    "ssim",
]

METRICS = {
    "rank": "rank correlation, signed",
    "rank_abs": "rank correlation, absolute",
    "ssim": "SSIM",
    "hog": "correlation of HOG features",
}
"""Names of the similarities, and what to call them in figures."""

SMALLEST = 11  # pixels: the side of SSIM's window


def similarities(
    a: np.ndarray,
    b: np.ndarray,
    signed: str = "sum",
    magnitude: str = "max_abs",
) -> dict[str, float]:
    """All similarities of two attributions.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (C, H, W)
        Raw and signed.
    signed, magnitude : str
        How channels become one number a pixel; see `reduction.reduce`.

    Returns
    -------
    dict of float
        One for each of `METRICS`: 1 for equal maps; nan where a map is all zero, which is like
        none.

    Raises
    ------
    ShapeError
        If shapes differ, or a side is below 11 pixels.

    Examples
    --------
    >>> ramp = np.arange(768.0).reshape(3, 16, 16)
    >>> {name: round(value, 3) for name, value in similarities(ramp, 2 * ramp).items()}
    {'rank': 1.0, 'rank_abs': 1.0, 'ssim': 1.0, 'hog': 1.0}
    """
    if a.shape != b.shape:
        raise ShapeError(f"Maps to compare need one shape; got {a.shape} and {b.shape}.")
    if a.ndim != 3 or min(a.shape[1:]) < SMALLEST:
        raise ShapeError(
            f"SSIM compares maps (C, H, W) in windows of {SMALLEST}x{SMALLEST} pixels; got "
            f"{a.shape}. Take larger photos."
        )
    if not a.any() or not b.any():
        return dict.fromkeys(METRICS, np.nan)
    both = np.stack([a, b])
    sizes = reduce(both, magnitude)
    return {
        "rank": spearman(*reduce(both, signed)),
        "rank_abs": spearman(*sizes),
        "ssim": ssim(*sizes),
        "hog": hog_correlation(*sizes),
    }


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of all values; nan where a map is constant."""
    flat = [np.asarray(values, np.float64).reshape(-1) for values in (a, b)]
    if any(np.ptp(values) == 0 for values in flat):
        return np.nan
    x, y = (values - values.mean() for values in flat)
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of ranks; equal values share the mean of their ranks.

    Examples
    --------
    >>> round(spearman(np.array([1, 2, 3]), np.array([1, 10, 100])), 6)
    1.0
    """
    from scipy.stats import rankdata

    return pearson(rankdata(a), rankdata(b))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two maps (H, W), each divided by its largest magnitude.

    Gaussian windows (standard deviation 1.5, 11x11 pixels) as in Z. Wang et al., "Image Quality
    Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            _normalised(a),
            _normalised(b),
            data_range=1.0,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
    )


def hog_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of histograms of oriented gradients of two maps (H, W).

    Cells are a fourteenth of the shorter side (16 pixels at 224), at least 2 pixels.
    """
    from skimage.feature import hog

    cell = max(2, min(a.shape) // 14)
    return pearson(*(hog(_normalised(v), pixels_per_cell=(cell, cell)) for v in (a, b)))


def _normalised(values: np.ndarray) -> np.ndarray:
    """A map whose largest magnitude is 1; zero stays zero."""
    values = np.asarray(values, np.float64)
    return values / (np.abs(values).max() or 1.0)
