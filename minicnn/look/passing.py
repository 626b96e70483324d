"""A pass over images: batch by batch, what a network makes of them, and where one stopped.

What scans for features and for neighbours share. Only one batch is in memory at a time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from minicnn.data.images import Images
from minicnn.errors import InputError, ShapeError
from minicnn.network import Network

__all__ = ["batch_size", "batches_left", "noted", "passing", "restored"]

POOLS = ("none", "mean")
BATCH = 16  # images

Pass = Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]


def passing(
    network: Network, images: Images, layers: Sequence[str], pool: str = "none", start: int = 0
) -> Pass:
    """What a network makes of images, a batch at a time.

    Parameters
    ----------
    network : Network
        With one input.
    images : Images
        Those that cannot be read are left out.
    layers : sequence of str
        Names of values, as `network.value_name` gives them.
    pool : {"none", "mean"}
        See `features`.
    start : int
        The first image.

    Yields
    ------
    indices : numpy.ndarray of int, shape (n,)
    features : dict of numpy.ndarray of float32, shape (n, D)
        By layer.

    Raises
    ------
    InputError
        If the network has several inputs, or there is no such pooling.
    ShapeError
        If a layer has not one value an image.
    """
    if pool not in POOLS:
        raise InputError(f"There is no pooling {pool!r}. Give none or mean.")
    if len(network.inputs) != 1:
        raise InputError(
            f"{network.name} has {len(network.inputs)} inputs; features of images need a network "
            f"with one. Cut it: net.cut(inputs=...)."
        )
    ((source, shape),) = network.inputs.items()
    for batch in images.batches(network.preprocess, batch_size(network), start):
        x = batch.x.astype(network.dtype, copy=False)
        network.check_input(source, shape, x)
        values = network.values({source: x}, layers)
        pools = {name: "none" if name == source else pool for name in layers}
        rows = {name: _rows(name, values[name], len(x), pools[name]) for name in layers}
        yield batch.indices, rows


def batch_size(network: Network) -> int:
    """Images at a time: what the network asks for, where it asks."""
    first = next(iter(network.inputs.values()))
    return (first[0] if first else None) or BATCH


def batches_left(images: Images, size: int, start: int) -> int:
    """Batches from `start` on."""
    return math.ceil(max(0, len(images) - start) / size)


def noted(images: Images) -> dict[str, np.ndarray]:
    """The images left out so far, for a checkpoint."""
    return {"skipped": np.array(json.dumps(images.skipped))}


def restored(kept: Mapping[str, np.ndarray]) -> dict[int, str]:
    """The images that a checkpoint says were left out."""
    return {int(i): reason for i, reason in json.loads(str(kept.get("skipped", "{}"))).items()}


def _rows(name: str, value: np.ndarray, images: int, pool: str) -> np.ndarray:
    """A value as one row an image, (N, D) in float32."""
    if value.ndim < 1 or len(value) != images:
        raise ShapeError(
            f"{name} has shape {value.shape} for {images} images: not one value an image. Name "
            f"another layer."
        )
    if pool == "mean" and value.ndim > 2:
        value = value.mean(axis=tuple(range(2, value.ndim)))
    return value.reshape(images, -1).astype(np.float32, copy=False)
