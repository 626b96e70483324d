"""Nearest neighbours: which images of a folder a network takes for the most alike.

    euclidean   |phi(q) - phi(x)|
    cosine      1 - phi(q)·phi(x) / (|phi(q)| |phi(x)|)

Exact, by all distances. In feature space neighbours share a meaning, in pixel space (the layer
that is the network's own input) a background: Krizhevsky et al. 2012, figure 4.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.data.images import Images
from minicnn.errors import InputError, ShapeError
from minicnn.look.features import features_of
from minicnn.look.passing import batch_size, batches_left, noted, passing, restored
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["METRICS", "Neighbours", "nearest_images", "neighbours"]

METRICS = ("euclidean", "cosine")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest of each query, nearest first.

    Parameters
    ----------
    indices : numpy.ndarray of int, shape (Q, k)
        Which rows, or images.
    distances : numpy.ndarray of float64, shape (Q, k)
        How far they are.
    """

    indices: np.ndarray
    distances: np.ndarray


def neighbours(
    features: np.ndarray, queries: np.ndarray, k: int = 6, metric: str = "euclidean"
) -> Neighbours:
    """The k rows nearest to each query.

    Parameters
    ----------
    features : numpy.ndarray, shape (N, D)
        One row an image.
    queries : numpy.ndarray, shape (Q, D)
        One row a query.
    k : int
        How many.
    metric : {"euclidean", "cosine"}
        Which distance.

    Returns
    -------
    Neighbours

    Raises
    ------
    InputError
        If there are fewer than k rows, or some are not finite.
    ShapeError
        If queries and features have different lengths.

    Examples
    --------
    >>> found = neighbours(np.array([[0.0, 0], [3, 4], [1, 0]]), np.array([[0.0, 0]]), k=2)
    >>> found.indices.tolist(), found.distances.tolist()
    ([[0, 2]], [[0.0, 1.0]])
    """
    from sklearn.neighbors import NearestNeighbors

    _check(metric, k, len(features))
    if features.ndim != 2 or queries.ndim != 2 or features.shape[1] != queries.shape[1]:
        raise ShapeError(
            f"Features (N, D) and queries (Q, D) must have the same D; got {features.shape} and "
            f"{queries.shape}."
        )
    if not (np.isfinite(features).all() and np.isfinite(queries).all()):
        raise InputError("Some features are NaN or infinite; distances need finite numbers.")
    if metric == "cosine":  # 1 - cos loses what float32 has not
        features, queries = features.astype(np.float64), queries.astype(np.float64)
    index = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    distances, indices = index.fit(features).kneighbors(queries)
    return Neighbours(indices, distances.astype(np.float64))


def nearest_images(
    network: Network,
    images: Images,
    query: np.ndarray,
    layers: Sequence[str],
    k: int = 6,
    metric: str = "euclidean",
    pool: str = "none",
    leave_out: Collection[int] = (),
    track: Track = silent,
    checkpoint: str | os.PathLike[str] | None = None,
) -> dict[str, Neighbours]:
    """The k images nearest to each query, at one layer or at several, in one pass.

    Only the k best are kept: memory does not grow with the number of images.

    Parameters
    ----------
    network : Network
        With one input.
    images : Images
        Those that cannot be read are left out; see `images.skipped`.
    query : numpy.ndarray, shape (Q, C, H, W)
        Inputs of the network.
    layers : sequence of str
        Names of values; the input's own name gives distances in pixel space.
    k, metric : int, {"euclidean", "cosine"}
        As in `neighbours`. Flattened maps of large norm are far from everything by the Euclidean
        distance; the cosine asks for the same pattern, however strong.
    pool : {"none", "mean"}
        As in `features`.
    leave_out : collection of int
        Images that do not count, such as the query itself.
    track : Track
        Shows the progress.
    checkpoint : path-like, optional
        A file that keeps what was found, from which the same call goes on. Removed when done.

    Returns
    -------
    dict of Neighbours
        By layer; indices into `images`.

    Raises
    ------
    InputError
        If there are fewer than k images.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.data import bundled_digits, photo
    >>> net, digits = minicnn.load("mnist"), Images(bundled_digits())
    >>> x = photo("digit_7", net.preprocess)
    >>> found = nearest_images(net, digits, x, ["pool2"], k=2)["pool2"]
    >>> [digits.path(i).stem for i in found.indices[0]]
    ['digit_7', 'digit_0']
    """
    from threadpoolctl import ThreadpoolController

    names = list(dict.fromkeys(network.value_name(name) for name in layers))
    _check(metric, k, len(images) - len(set(leave_out)))
    wanted = features_of(network, query, names, pool)
    key = {"what": "neighbours", "network": network.fingerprint(), "images": images.fingerprint(),
           "query": Images(query).fingerprint(), "layers": names, "k": k, "metric": metric,
           "pool": pool, "leave_out": sorted(leave_out)}  # fmt: skip
    store = Checkpoint(checkpoint, key)
    kept = store.read()
    images.skipped.update(restored(kept))
    start, size = int(kept.get("next", 0)), batch_size(network)
    best: dict[str, Neighbours | None] = {
        name: Neighbours(kept[f"indices {name}"], kept[f"distances {name}"])
        if f"indices {name}" in kept
        else None
        for name in names
    }

    def state() -> dict[str, np.ndarray]:
        return {"next": np.array(start), **noted(images), **_arrays(best)}

    parts, calm = passing(network, images, names, pool, start), ThreadpoolController()
    for found, rows in track(parts, f"batches of {size} images", batches_left(images, size, start)):
        start = int(found[-1]) + 1
        counts = ~np.isin(found, list(leave_out))
        for name in names if counts.any() else ():
            with calm.limit(limits=1, user_api="openmp"):  # a few rows are not worth threads
                more = neighbours(
                    rows[name][counts], wanted[name], min(k, int(counts.sum())), metric
                )
            more = Neighbours(found[counts][more.indices], more.distances)
            best[name] = _merged(best[name], more, k)
        if start % size == 0:  # batches stay the same when the pass goes on from here
            store.offer(state)
    done = {name: one for name, one in best.items() if one is not None}
    _check(metric, k, done[names[0]].indices.shape[1] if done else 0)
    store.remove()
    return done


def _merged(best: Neighbours | None, more: Neighbours, k: int) -> Neighbours:
    """The best k of those found before and of some more."""
    if best is None:
        return more
    indices = np.concatenate([best.indices, more.indices], axis=1)
    distances = np.concatenate([best.distances, more.distances], axis=1)
    order = distances.argsort(axis=1, kind="stable")[:, :k]
    return Neighbours(*(np.take_along_axis(each, order, axis=1) for each in (indices, distances)))


def _arrays(best: Mapping[str, Neighbours | None]) -> dict[str, np.ndarray]:
    found = {name: one for name, one in best.items() if one is not None}
    return {f"indices {name}": one.indices for name, one in found.items()} | {
        f"distances {name}": one.distances for name, one in found.items()
    }


def _check(metric: str, k: int, number: int) -> None:
    if metric not in METRICS:
        raise InputError(f"There is no distance {metric!r}. Give euclidean or cosine.")
    if not 1 <= k <= number:
        raise InputError(
            f"{k} neighbours are asked for, of {number} images: give 1 to {number}, or more images."
            if number
            else "There are no images to look for neighbours in besides the query."
        )
