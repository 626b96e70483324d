"""Embeddings: many numbers an image become two or three, so that one can look at all images.

PCA is the linear map onto the directions of largest variance. t-SNE puts near in the plane what is
near in feature space, and cares little about what is far: it minimises

    KL(P || Q) = sum_ij p_ij log(p_ij / q_ij),   q_ij ~ 1 / (1 + |y_i - y_j|^2)

where p_ij are Gaussian neighbourhoods, each as wide as to hold `perplexity` neighbours or so.
Distances between clusters and their sizes mean nothing in a t-SNE picture. Both are scikit-learn's.

Sources: Pearson 1901; van der Maaten and Hinton 2008, "Visualizing data using t-SNE" (PCA to 50
numbers first, section 4.1); van der Maaten 2014, "Accelerating t-SNE using tree-based algorithms"
(Barnes-Hut, and the limit 3 · perplexity <= N - 1); Kobak and Berens 2019 (PCA as the start).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.errors import InputError

__all__ = ["METHODS", "Embedding", "check_perplexity", "embed", "neighbour_accuracy"]

METHODS = ("tsne", "pca")
FIRST = 50  # numbers that PCA leaves to t-SNE


@dataclass(frozen=True, eq=False)
class Embedding:
    """Points that stand for images.

    Parameters
    ----------
    points : numpy.ndarray of float32, shape (N, dim)
        In units of the features for PCA; without a unit for t-SNE.
    method : {"tsne", "pca"}
        How they came about.
    explained : numpy.ndarray, shape (dim,), optional
        PCA: the share of all variance along each axis.
    divergence : float, optional
        t-SNE: KL(P || Q) that is left, in nats.
    """

    points: np.ndarray
    method: str
    explained: np.ndarray | None = None
    divergence: float | None = None


def embed(
    features: np.ndarray,
    method: str = "tsne",
    dim: int = 2,
    perplexity: float = 30.0,
    seed: int = 0,
) -> Embedding:
    """Put each image at a point of the plane, or in space.

    Parameters
    ----------
    features : numpy.ndarray, shape (N, D)
        One row an image.
    method : {"tsne", "pca"}
        How.
    dim : {2, 3}
        Coordinates of a point.
    perplexity : float
        t-SNE: how many neighbours count, about.
    seed : int
        The same seed gives the same points, bit for bit; t-SNE runs in one thread for that.

    Returns
    -------
    Embedding

    Raises
    ------
    InputError
        If features are constant or not finite, or there are too few images for the perplexity.

    Examples
    --------
    >>> line = np.outer(np.arange(5), [3, 4])  # five points on a line, 5 apart
    >>> found = embed(line, "pca")
    >>> found.points[:, 0].round(3).tolist()
    [-10.0, -5.0, 0.0, 5.0, 10.0]
    >>> found.explained.round(3).tolist()
    [1.0, 0.0]
    """
    features = _checked(features, method, dim)
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(dim, random_state=seed)
        points = pca.fit_transform(features)
        return Embedding(points.astype(np.float32), "pca", pca.explained_variance_ratio_)
    check_perplexity(perplexity, len(features))
    return _tsne(features, dim, perplexity, seed)


def neighbour_accuracy(
    features: np.ndarray, labels: Sequence[str], neighbours: int = 5
) -> float | None:
    """How far classes have come apart: the share of images whose nearest ones vote for their label.

    A leave-one-out k-nearest-neighbour classifier (Euclidean): 1 where classes lie apart, whatever
    their shapes, and chance where they are mixed.

    Parameters
    ----------
    features : numpy.ndarray, shape (N, D)
        Features, or points of an embedding.
    labels : sequence of str, length N
        Images without label ("") do not count.
    neighbours : int
        How many vote (fewer where there are fewer); of equal votes the nearest counts.

    Returns
    -------
    float or None
        None where there is nothing to tell apart: fewer than two labels, or none that two images
        share.

    Examples
    --------
    >>> apart = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    >>> neighbour_accuracy(apart, list("aaabbb"), neighbours=2)
    1.0
    >>> neighbour_accuracy(apart, list("ababab"), neighbours=2)
    0.0
    """
    named = np.array([label != "" for label in labels], bool)
    names, numbers = np.unique([label for label in labels if label], return_inverse=True)
    if len(names) < 2 or np.bincount(numbers).max() < 2:
        return None
    from sklearn.neighbors import NearestNeighbors

    among = min(neighbours, len(numbers) - 1)
    index = NearestNeighbors(n_neighbors=among, algorithm="brute").fit(features[named])
    near = numbers[index.kneighbors(return_distance=False)]  # (N, among), itself not among them
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)  # votes for each neighbour's label
    elected = near[np.arange(len(near)), votes.argmax(axis=1)]
    return float(np.mean(elected == numbers))


def _tsne(features: np.ndarray, dim: int, perplexity: float, seed: int) -> Embedding:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if min(features.shape) > FIRST:
        features = PCA(FIRST, random_state=seed).fit_transform(features)
    with threadpool_limits(1, "openmp"):  # sums over threads are in no fixed order
        tsne = TSNE(dim, perplexity=perplexity, init="pca", random_state=seed)
        points = tsne.fit_transform(features)
    return Embedding(points.astype(np.float32), "tsne", divergence=float(tsne.kl_divergence_))


def _checked(features: np.ndarray, method: str, dim: int) -> np.ndarray:
    """The features as float32, fit to be embedded."""
    if method not in METHODS:
        raise InputError(f"There is no embedding {method!r}. Give tsne or pca.")
    if dim not in (2, 3):
        raise InputError(f"An embedding has 2 or 3 dimensions to look at; got {dim}.")
    if features.ndim != 2:
        raise InputError(
            f"Features are one row an image, (N, D); got shape {features.shape}. Flatten each "
            f"image's: features.reshape(len(features), -1)."
        )
    number, length = features.shape
    if number <= dim or length < dim:
        raise InputError(
            f"{number} images with {length} numbers each have no embedding in {dim} dimensions: "
            f"more than {dim} images with at least {dim} numbers each are needed."
        )
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features).all(axis=1)).sum())
        raise InputError(
            f"The features of {bad} of {number} images hold NaN or infinity; an embedding needs "
            f"finite numbers. Leave these images out, or look where the network overflows."
        )
    if (features == features[0]).all():
        raise InputError(
            f"The features of all {number} images are the same: there is nothing to embed. Take "
            f"another layer (is this one dead?), or other images."
        )
    return features.astype(np.float32, copy=False)


def check_perplexity(perplexity: float, number: int) -> None:
    """Refuse a perplexity that so many images do not allow, before any work.

    Raises
    ------
    InputError
        Saying how many images it needs, and which perplexity would do.
    """
    if not perplexity >= 1:
        raise InputError(f"A perplexity counts neighbours: 1 or more; got {perplexity:g}.")
    if 3 * perplexity > number - 1:
        most = (number - 1) // 3
        instead = f"a perplexity of {most} or less" if most else 'the method "pca"'
        need = int(np.ceil(3 * perplexity)) + 1
        raise InputError(
            f"t-SNE with perplexity {perplexity:g} needs at least {need} images; there are "
            f"{number}. Give more images, or {instead}."
        )
