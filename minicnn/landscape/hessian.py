"""Curvature: products with the Hessian, its extreme eigenvalues, and their ratio on a grid.

    H v = d/dtheta <dL/dtheta, v>              L averaged over the samples
    lambda_1 = the eigenvalue of largest magnitude of H, by Lanczos' method
    the other end = 0.51 lambda_1 + the same of H - 0.51 lambda_1 I, at its other end

Gradients are networks of transposed blocks, so they can be differentiated again and the products
are exact; nothing but products is ever made of H. The graph of the gradient is kept from product to
product where one batch holds all samples; else each batch's is forgotten before the next is made.

Only weights count by default, as in the authors' code: `ignore="none"` takes biases and the
parameters of batch norm along. The authors' products *sum* over batches; here they average, so
eigenvalues do not grow with the number of samples.

Lanczos' method finds an eigenvalue to a share (`tolerance`) of its magnitude, so an end near zero
would take it long. Shifted by 0.51 lambda_1, the other end is as far from zero as lambda_1, and is
found to about `tolerance` times 0.51 lambda_1. (The authors take the largest magnitude there too,
which finds lambda_1 again where all eigenvalues are well above zero.)

Source: Li et al. 2018, section 6; Pearlmutter 1994 for the products.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.blocks.loss import CrossEntropy
from minicnn.checkpoint import Checkpoint
from minicnn.errors import InputError
from minicnn.kernels.devices import to_device
from minicnn.landscape.directions import IGNORES
from minicnn.landscape.evaluation import check_samples, moved
from minicnn.landscape.filling import Grid, Task, fill, plain
from minicnn.landscape.surface import about
from minicnn.landscape.weights import learnable, on_host, weights
from minicnn.network import Network
from minicnn.progress import Track, silent
from minicnn.tensor import Tensor, grad

__all__ = ["Curvature", "HessianProducts", "curvature", "extreme_eigenvalues"]

SHIFT = 0.51  # of the authors' code


@dataclass(frozen=True, eq=False)
class Curvature:
    """Extreme eigenvalues of the Hessian on a grid.

    Parameters
    ----------
    xs : numpy.ndarray, shape (X,)
        Coordinates along the first direction.
    ys : numpy.ndarray, shape (Y,), or None
        Along the second; None for a line.
    lowest, highest : numpy.ndarray of float64, shape (Y, X) or (X,)
        The most negative (or least positive) and the most positive eigenvalue.
    """

    xs: np.ndarray
    ys: np.ndarray | None
    lowest: np.ndarray
    highest: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """|lambda_min / lambda_max|, 0 where nothing is negative."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.maximum(-self.lowest, 0) / np.abs(self.highest)


class HessianProducts:
    """The Hessian of a network's mean loss, as something to multiply vectors by.

    Parameters
    ----------
    network : Network
        In float32 or, for checks, float64.
    x : numpy.ndarray, shape (N, C, H, W)
        Samples, of the network's type.
    labels : numpy.ndarray of int, shape (N,)
        Their classes.
    ignore : {"biasbn", "none"}
        Whether only weights count.
    batch : int
        Samples at a time; a batch's graph of gradients takes some ten times its activations.

    Attributes
    ----------
    names : list of str
        The arrays that a vector consists of, in order.
    size : int
        How many numbers that is.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x, labels = np.ones((2, 1, 28, 28), np.float32), np.array([3, 5])
    >>> hessian = HessianProducts(net, x, labels)
    >>> hessian(np.zeros(hessian.size)).any()
    np.False_
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        labels: np.ndarray,
        ignore: str = "biasbn",
        batch: int = 64,
    ) -> None:
        if ignore not in IGNORES:
            raise InputError(f"ignore={ignore!r}: choose {' or '.join(IGNORES)}.")
        self._device, network = network.device, on_host(network)
        check_samples(network, x, labels)
        simple = network.drop_softmax()
        own = simple.derived(arrays={n: np.array(a) for n, a in simple.arrays.items()})
        self._network = own.to(self._device)
        self._x, self._labels, self._batch = x, labels, batch
        self.names = list(weights(simple)) if ignore == "biasbn" else learnable(simple)
        tensors = self._network.named_parameters()
        self._parameters = [tensors[name] for name in self.names]
        self.size = sum(tensor.size for tensor in self._parameters)
        self._held: list[tuple[float, list[Tensor]]] | None = None  # of a single batch

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """H v, float64 of shape (size,)."""
        parts = self._parts(vector)
        total = np.zeros(self.size)
        if self._held is None and len(self._x) <= self._batch:
            self._held = list(self._gradients(True))
        for share, gradients in self._held or self._gradients(True):
            along = [(g * v).sum() for g, v in zip(gradients, parts, strict=True)]
            products = grad(sum(along[1:], along[0]), self._parameters)
            total += share * _flat(products)
        return total

    def gradient(self) -> np.ndarray:
        """dL/dtheta, float64 of shape (size,)."""
        total = np.zeros(self.size)
        for share, gradients in self._gradients(False):
            total += share * _flat(gradients)
        return total

    def _gradients(self, again: bool) -> Iterator[tuple[float, list[Tensor]]]:
        """Each batch's share of the samples, and its gradients."""
        for first in range(0, len(self._x), self._batch):
            part = slice(first, first + self._batch)
            labels = self._labels[part]
            scores = self._network(Tensor(self._x[part], device=self._device))
            loss = CrossEntropy(labels)(scores.reshape((len(labels), -1)))
            yield len(labels) / len(self._x), grad(loss, self._parameters, create_graph=again)

    def _parts(self, vector: np.ndarray) -> list[np.ndarray]:
        """A vector cut into arrays shaped like the parameters."""
        found, first = [], 0
        for tensor in self._parameters:
            part = vector[first : first + tensor.size]
            here = np.asarray(part, tensor.dtype).reshape(tensor.shape)
            found.append(to_device(here, self._device))
            first += tensor.size
        return found


def extreme_eigenvalues(
    product: Callable[[np.ndarray], np.ndarray],
    size: int,
    tolerance: float = 1e-2,
    seed: int = 0,
    most: int = 300,
) -> tuple[float, float]:
    """Lowest and highest eigenvalue of a symmetric matrix that is known by its products.

    Parameters
    ----------
    product : callable
        H v, for v of shape (size,).
    size : int
        Length of a vector, 3 or more.
    tolerance : float
        Of Lanczos' method, relative.
    seed : int
        Of the vector that it starts from.
    most : int
        Restarts before it gives up.

    Returns
    -------
    (float, float)
        NaN where products are not finite or Lanczos' method gives up.

    Examples
    --------
    >>> diagonal = np.array([-1.0, 0.0, 3.0, 7.0])
    >>> low, high = extreme_eigenvalues(lambda v: diagonal * v, 4)
    >>> round(low, 3), round(high, 3)
    (-1.0, 7.0)
    """
    start = np.random.default_rng(seed).standard_normal(size)
    first = _end("LM", product, start, tolerance, most)
    if not np.isfinite(first) or first == 0:
        return first, first
    shift, side = SHIFT * first, "SA" if first > 0 else "LA"
    second = _end(side, lambda v: product(v) - shift * v, start, tolerance, most) + shift
    return (second, first) if first > 0 else (first, second)


def curvature(
    network: Network,
    x: np.ndarray,
    labels: np.ndarray,
    directions: Sequence[Mapping[str, np.ndarray]],
    xs: np.ndarray,
    ys: np.ndarray | None = None,
    file: str | os.PathLike[str] | None = None,
    workers: int | None = 1,
    track: Track = silent,
    ignore: str = "biasbn",
    tolerance: float = 1e-2,
    batch: int = 64,
) -> Curvature:
    """Extreme eigenvalues of the Hessian at the points of a grid; arguments as for `surface`.

    Parameters
    ----------
    network, x, labels, directions, xs, ys, file, workers, track
        See `surface`.
    ignore : {"biasbn", "none"}
        Whether only weights count in the Hessian.
    tolerance : float
        Of Lanczos' method.
    batch : int
        Samples at a time.

    Returns
    -------
    Curvature
    """
    grid = Grid(xs, ys)
    if len(directions) != 1 + (ys is not None):
        raise InputError(
            f"{len(directions)} directions are given; a line (x axis only) needs one, a plane two."
        )
    check_samples(on_host(network), x, labels)
    options = {"ignore": ignore, "tolerance": tolerance, "batch": batch}
    key = {**about("curvature", network, x, labels, directions, grid), **options}
    task = Task(plain(network), x, labels, directions, options, str(network.device))
    store = Checkpoint(file, key)
    found = fill(grid, ("lowest", "highest"), _eigenvalues, task, store, workers, 1, track)
    return Curvature(xs, ys, found["lowest"], found["highest"])


def _eigenvalues(task: Task, points: np.ndarray) -> np.ndarray:
    """Lowest and highest eigenvalue (n, 2) at some points."""
    network, rows = on_host(task.opened()), []
    ignore, tolerance, batch = (task.options[name] for name in ("ignore", "tolerance", "batch"))
    for point in points:
        arrays = moved(network, task.directions, point)
        here = network.derived(arrays=arrays).to(task.device)
        with np.errstate(over="ignore", invalid="ignore"):
            hessian = HessianProducts(here, task.x, task.labels, ignore, batch)
            rows.append(extreme_eigenvalues(hessian, hessian.size, tolerance))
    return np.array(rows)


def _end(
    which: str,
    product: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    tolerance: float,
    most: int,
) -> float:
    """The eigenvalue at one end, in scipy's names of ends; NaN where there is none to be found."""
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    operator = LinearOperator((len(start), len(start)), matvec=product, dtype=np.float64)
    first = product(start)
    if not np.all(np.isfinite(first)) or not first.any():
        return 0.0 if np.all(first == 0) else float("nan")
    try:
        found = eigsh(operator, 1, which=which, v0=start, tol=tolerance, maxiter=most,
                      return_eigenvectors=False)  # fmt: skip
    except ArpackError:  # it did not converge
        return float("nan")
    return float(found[0])


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return np.concatenate([t.numpy().reshape(-1) for t in tensors]).astype(np.float64)
