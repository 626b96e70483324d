"""Surfaces: loss and accuracy at the points of a grid, on a line or in a plane.

    f(a, b) = L(theta + a d1 + b d2)

    net = minicnn.load("resnet.onnx")
    plane = [random_direction(net, seed) for seed in (0, 1)]
    found = surface(net, x, labels, plane, axis("-1:1:51"), axis("-1:1:51"), "surface.npz")

The result file belongs to this network, these samples and directions; the same call fills what is
missing of it, and any other call is refused.

Source: Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", equations 1 and 2; lines
between two solutions after Goodfellow, Vinyals and Saxe 2015.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.errors import InputError
from minicnn.kernels.devices import CPU
from minicnn.landscape.evaluation import Evaluator, check_samples, samples_fingerprint
from minicnn.landscape.filling import Grid, Task, fill, plain
from minicnn.landscape.weights import on_host
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["Surface", "about", "axis", "surface"]

IMAGES = 8192  # a chunk's points times its samples, about: some seconds of work


@dataclass(frozen=True, eq=False)
class Surface:
    """Loss and accuracy on a grid.

    Parameters
    ----------
    xs : numpy.ndarray, shape (X,)
        Coordinates along the first direction.
    ys : numpy.ndarray, shape (Y,), or None
        Along the second; None for a line.
    loss : numpy.ndarray of float64, shape (Y, X) or (X,)
        Mean cross-entropy; infinite where the network overflows.
    accuracy : numpy.ndarray of float64, of the same shape
        Share of right answers, 0..1.
    """

    xs: np.ndarray
    ys: np.ndarray | None
    loss: np.ndarray
    accuracy: np.ndarray

    @property
    def lowest(self) -> tuple[tuple[float, ...], float]:
        """Where the loss is least (a, b), and how much it is there."""
        place = np.unravel_index(int(np.argmin(self.loss)), self.loss.shape)
        axes = (self.xs,) if self.ys is None else (self.ys, self.xs)
        at = tuple(float(axis[i]) for axis, i in zip(axes, place, strict=True))
        return at[::-1], float(self.loss[place])

    def __repr__(self) -> str:
        size = "x".join(map(str, self.loss.shape[::-1]))
        return f"<Surface of {size} points, loss {self.loss.min():.4g} to {self.loss.max():.4g}>"


def surface(
    network: Network,
    x: np.ndarray,
    labels: np.ndarray,
    directions: Sequence[Mapping[str, np.ndarray]],
    xs: np.ndarray,
    ys: np.ndarray | None = None,
    file: str | os.PathLike[str] | None = None,
    workers: int | None = 1,
    track: Track = silent,
) -> Surface:
    """Loss and accuracy of a network around where it is.

    Parameters
    ----------
    network : Network
        The origin; not changed. Where it is on a card, points are evaluated there.
    x : numpy.ndarray, shape (N, C, H, W)
        Samples, normalised as the network needs them.
    labels : numpy.ndarray of int, shape (N,)
        Their classes.
    directions : sequence of dict
        One for a line, two for a plane; see `random_direction`, `towards`, `trajectory`.
    xs, ys : numpy.ndarray
        Coordinates along the first and the second direction, rising; see `axis`.
    file : path-like, optional
        Where what is found is kept; the same call fills what is missing there.
    workers : int or None
        Processes. None: as joblib's configuration (`joblib.parallel_config`) says.
    track : Track
        Shows progress.

    Returns
    -------
    Surface

    Raises
    ------
    InputError, ShapeError
        If samples, directions and grid do not fit, or the file belongs to another surface.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.landscape import random_direction
    >>> net = minicnn.load("mnist")
    >>> x = np.zeros((2, 1, 28, 28), np.float32)
    >>> surface(net, x, net(x).argmax(1), [random_direction(net)], axis("-1:1:3")).accuracy[1]
    np.float64(1.0)
    """
    grid = Grid(xs, ys)
    if len(directions) != 1 + (ys is not None):
        raise InputError(
            f"{len(directions)} directions are given; a line (x axis only) needs one, a plane two."
        )
    check_samples(on_host(network), x, labels)
    key = about("surface", network, x, labels, directions, grid)
    task = Task(plain(network), x, labels, directions, {}, str(network.device))
    chunk = max(1, min(32, IMAGES // len(x)))
    names = ("loss", "accuracy")
    found = fill(grid, names, _evaluate, task, Checkpoint(file, key), workers, chunk, track)
    return Surface(xs, ys, found["loss"], found["accuracy"])


def axis(text: str) -> np.ndarray:
    """An axis as users type it: first:last:points, such as "-1:1:51".

    Raises
    ------
    InputError
        If that is no axis.

    Examples
    --------
    >>> axis("-1:1:5")
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    """
    try:
        first, last, points = text.split(":")
        low, high, count = float(first), float(last), int(points)
    except ValueError:
        raise InputError(f"An axis is first:last:points, e.g. -1:1:51; got {text!r}.") from None
    if not (np.isfinite([low, high]).all() and low < high and 2 <= count <= 100_000):
        raise InputError(f"An axis rises from first to last in 2 points or more; got {text!r}.")
    return np.linspace(low, high, count).round(12)


def about(
    what: str,
    network: Network,
    x: np.ndarray,
    labels: np.ndarray,
    directions: Sequence[Mapping[str, np.ndarray]],
    grid: Grid,
) -> dict[str, Any]:
    """What a result file is about, as the key of a checkpoint."""
    card = {} if network.device == CPU else {"device": network.device.kind}  # other last bits
    return {
        "what": what,
        "network": on_host(network).fingerprint(),
        **card,
        "samples": samples_fingerprint(x, labels),
        "directions": [_fingerprint(direction) for direction in directions],
        **{name: values.tolist() for name, values in grid.axes.items()},
    }


def _fingerprint(direction: Mapping[str, np.ndarray]) -> str:
    digest = blake2b(digest_size=12)
    for name in sorted(direction):
        array = direction[name]
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def _evaluate(task: Task, points: np.ndarray) -> np.ndarray:
    """Loss and accuracy (n, 2) at some points."""
    evaluator = Evaluator(task.opened(), task.x, task.labels, task.directions)
    return np.array([evaluator.at(*point) for point in points])
