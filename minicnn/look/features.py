"""Features: what a network makes of every image of a folder, at one layer or at several.

    F[i] = phi_layer(x_i), one row an image

Maps are flattened, (C, H, W) to C·H·W numbers, or averaged over space, to C numbers
(`pool="mean"`: global average pooling, Lin, Chen and Yan 2014, "Network in network", 3.2). Only
these numbers stay in memory; the images stream.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.data.images import Images
from minicnn.errors import ImageError, InputError, ShapeError
from minicnn.look.passing import batch_size, batches_left, noted, passing, restored
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["Features", "features", "features_of", "some"]

MOST_BYTES = 4 * 2**30  # of all features together


@dataclass(frozen=True, eq=False)
class Features:
    """The features of some images.

    Parameters
    ----------
    values : dict of numpy.ndarray of float32, shape (N, D)
        By layer; one row an image.
    indices : numpy.ndarray of int, shape (N,)
        Which images these are: all but those that could not be read.
    names, labels : list of str
        Of these images.
    """

    values: dict[str, np.ndarray]
    indices: np.ndarray
    names: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.indices)


def features(
    network: Network,
    images: Images,
    layers: str | Sequence[str],
    pool: str = "none",
    track: Track = silent,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Features:
    """What a network makes of images, in one pass.

    Parameters
    ----------
    network : Network
        With one input.
    images : Images
        Those that cannot be read are left out; see `images.skipped`.
    layers : str or sequence of str
        Names of values; the input's own name gives the pixels as the network gets them.
    pool : {"none", "mean"}
        "none" takes every number of a layer, "mean" the mean of each channel's map. The input is
        never pooled.
    track : Track
        Shows the progress.
    checkpoint : path-like, optional
        A file that keeps what was done, from which the same call goes on. It stays until removed.

    Returns
    -------
    Features

    Raises
    ------
    InputError
        If the features need more than 4 GiB, or the network has several inputs.
    ShapeError
        If images of different sizes give features of different lengths.
    ImageError
        If no image can be read.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.data import Images, bundled_digits
    >>> net = minicnn.load("mnist")
    >>> found = features(net, Images(bundled_digits()), ["pool1", "scores"])
    >>> {layer: values.shape for layer, values in found.values.items()}
    {'pool1': (5, 6272), 'scores': (5, 10)}
    """
    names = _layers(network, layers)
    size = batch_size(network)
    key = {"what": "features", "network": network.fingerprint(), "images": images.fingerprint(),
           "layers": names, "pool": pool}  # fmt: skip
    store = Checkpoint(checkpoint, key)
    kept = store.read()
    values: dict[str, np.ndarray] = {}
    indices = [int(i) for i in kept.get("indices", ())]
    start = int(kept.get("next", 0))
    if indices:
        values = _room({name: kept[f"layer {name}"] for name in names}, len(images), pool)
        for name in names:
            values[name][: len(indices)] = kept[f"layer {name}"]
    images.skipped.update(restored(kept))
    parts = passing(network, images, names, pool, start)

    def state() -> dict[str, np.ndarray]:
        done = {f"layer {name}": values[name][: len(indices)] for name in values}
        return {"indices": np.array(indices), "next": np.array(start), **noted(images), **done}

    for found, rows in track(parts, f"batches of {size} images", batches_left(images, size, start)):
        if not values:
            values = _room(rows, len(images), pool)
            store.seconds = max(store.seconds, total_bytes(values) / 2e6)  # writing takes long
        for name in names:
            _same_length(name, rows[name], values[name])
            values[name][len(indices) : len(indices) + len(found)] = rows[name]
        indices.extend(int(i) for i in found)
        start = indices[-1] + 1
        if start % size == 0:  # batches stay the same when the pass goes on from here
            store.offer(state)
    if not indices:
        reason = next(iter(images.skipped.values()), "")
        raise ImageError(f"None of the {len(images)} images can be read. {reason}")
    return Features(
        {name: array[: len(indices)] for name, array in values.items()},
        np.array(indices),
        [images.names[i] for i in indices],
        [images.labels[i] for i in indices],
    )


def some(images: Images, most: int, seed: int = 0) -> Images:
    """At most that many of the images, chosen at random, in their order.

    Parameters
    ----------
    images : Images
        Of which to choose.
    most : int
        How many.
    seed : int
        The same seed chooses the same.

    Examples
    --------
    >>> from minicnn.data import bundled_digits
    >>> len(some(Images(bundled_digits()), 3))
    3
    """
    if most < 1:
        raise InputError(f"Of the images at most {most} are wanted; give 1 or more.")
    if most >= len(images):
        return images
    chosen = np.sort(np.random.default_rng(seed).choice(len(images), most, replace=False))
    labels = [images.labels[i] for i in chosen]
    if images.array is not None:
        found = Images(images.array[chosen], labels)
        found.names, found.how = [images.names[i] for i in chosen], images.how
        return found
    return Images([images.path(int(i)) for i in chosen], labels)


def features_of(
    network: Network, x: np.ndarray, layers: Sequence[str], pool: str = "none"
) -> dict[str, np.ndarray]:
    """The features of inputs (N, C, H, W) in memory, by layer."""
    parts = [rows for _, rows in passing(network, Images(x), layers, pool)]
    return {name: np.concatenate([rows[name] for rows in parts]) for name in layers}


def total_bytes(values: Mapping[str, np.ndarray]) -> int:
    """Memory of all arrays together."""
    return sum(array.nbytes for array in values.values())


def _layers(network: Network, layers: str | Sequence[str]) -> list[str]:
    listed = [layers] if isinstance(layers, str) else list(layers)
    names = list(dict.fromkeys(network.value_name(name) for name in listed))
    if not names:
        raise InputError("No layer is named; give one or several.")
    return names


def _room(rows: Mapping[str, np.ndarray], images: int, pool: str) -> dict[str, np.ndarray]:
    """Empty arrays for the features of all images, as wide as those of some."""
    need = sum(array.shape[1] for array in rows.values()) * 4 * images
    if need > MOST_BYTES:
        largest = max(rows, key=lambda name: rows[name].shape[1])
        instead = "or fewer layers"
        if pool == "none":
            instead = "a deeper layer, or the means of its channels (--pool mean)"
        raise InputError(
            f"The features of {images:,} images need {need / 2**30:.1f} GiB, more than "
            f"{MOST_BYTES / 2**30:g}; {largest} alone has {rows[largest].shape[1]:,} numbers an "
            f"image. Take fewer images (--most), {instead}."
        )
    return {name: np.empty((images, array.shape[1]), np.float32) for name, array in rows.items()}


def _same_length(name: str, rows: np.ndarray, room: np.ndarray) -> None:
    if rows.shape[1] != room.shape[1]:
        raise ShapeError(
            f"{name} has {room.shape[1]:,} numbers for the first image and {rows.shape[1]:,} for a "
            f"later one, whose size differs. Crop the images to one size, or take the means of the "
            f"channels (--pool mean)."
        )
