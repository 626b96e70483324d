"""Evaluation: loss and accuracy of one network at many sets of parameters.

    theta(a, b) = theta + a d1 + b d2
    loss        = mean over the samples of -log softmax(scores)[label]
    accuracy    = share of samples whose highest score is the label's

Running variances, which only `towards` moves, go on a line from one solution to the other too, but
beyond either end no lower than the lower of both: less than nothing is no variance.

What does not change from point to point is done once: samples are normalised once, the softmax is
dropped, the network is planned once. For each point its batch norms are folded into the layers
before them (with frozen statistics that is exact), and the filters are packed again right where the
plan reads them (`Network.refill`), which takes about a tenth of the time that 256 CIFAR images
take. Scores of different points share nothing: from the first layer on, their filters differ.

Sums run over the batches in order, in float64, whatever the number of threads or processes, so that
a point's numbers are the same bits in every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from minicnn.errors import InputError, ShapeError
from minicnn.folding import fold_batch_norm
from minicnn.landscape.directions import Direction
from minicnn.landscape.weights import on_host, variances
from minicnn.network import Network
from minicnn.nn.objectives import answered
from minicnn.structure import Structure

__all__ = ["BATCH", "Evaluator", "check_samples", "loss_and_hits", "moved", "samples_fingerprint"]

BATCH = 128  # images a run: more gain nothing


class Evaluator:
    """A network that can stand anywhere in the plane.

    Parameters
    ----------
    network : Network
        The origin. It is not changed. Where it is on a card, points are evaluated there.
    x : numpy.ndarray of float32, shape (N, C, H, W)
        Samples, normalised as the network needs them.
    labels : numpy.ndarray of int, shape (N,)
        Their classes.
    directions : sequence of dict
        One or two.

    Raises
    ------
    ShapeError, InputError
        If samples, labels or directions do not fit the network.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.landscape import random_direction
    >>> net = minicnn.load("mnist")
    >>> x, labels = np.zeros((4, 1, 28, 28), np.float32), net(np.zeros((4, 1, 28, 28), np.float32))
    >>> Evaluator(net, x, labels.argmax(1), [random_direction(net)]).at(0.0)[1]
    1.0
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        labels: np.ndarray,
        directions: Sequence[Mapping[str, np.ndarray]],
        batch: int = BATCH,
    ) -> None:
        device, network = network.device, on_host(network)
        check_samples(network, x, labels)
        self._origin = network.drop_softmax()
        self._x, self._labels, self._batch = x, labels, batch
        self._directions = [_known(network, direction) for direction in directions]
        folded = fold_batch_norm(self._origin)
        self._stands = {name: np.array(array) for name, array in folded.arrays.items()}
        here = folded.derived(arrays=dict(self._stands)).apart().freeze()
        self._network = here.to(device, hosted=True)
        self._input, self._scores = next(iter(network.inputs)), folded.logits

    def at(self, *point: float) -> tuple[float, float]:
        """Loss and accuracy at a point: a coordinate for each direction.

        Where the network overflows for a sample the loss is infinite, and its answer is not right.
        """
        loss, hits = 0.0, 0
        with np.errstate(over="ignore", invalid="ignore"):
            self._move(point)
            for first in range(0, len(self._x), self._batch):
                part = slice(first, first + self._batch)
                scores = self._network.values({self._input: self._x[part]}, [self._scores])
                more, right = loss_and_hits(scores[self._scores], self._labels[part])
                loss, hits = loss + more, hits + right
        mean = loss / len(self._x)
        return (mean if np.isfinite(mean) else np.inf), hits / len(self._x)

    def _move(self, point: Sequence[float]) -> None:
        """Give the planned network the parameters of a point."""
        arrays = moved(self._origin, self._directions, point)
        folded = fold_batch_norm(self._origin.derived(arrays=arrays)).arrays
        stands = self._stands
        other = {n: a for n, a in folded.items() if not np.array_equal(a, stands[n])}
        self._network.refill(other)
        self._stands |= other


def moved(
    network: Structure,
    directions: Sequence[Mapping[str, np.ndarray]],
    point: Sequence[float],
) -> dict[str, np.ndarray]:
    """All arrays at a point, those that do not move shared.

    Raises
    ------
    InputError
        If the point has not one coordinate a direction.
    """
    if len(point) != len(directions):
        raise InputError(f"{len(directions)} directions need as many coordinates; got {point}.")
    found, own = dict(network.arrays), network.arrays
    for step, direction in zip(point, directions, strict=True):
        for name, d in direction.items():
            found[name] = found[name] + found[name].dtype.type(step) * d
    for name in variances(network):
        ends = [own[name] + direction[name] for direction in directions if name in direction]
        if ends:
            least = np.minimum.reduce([own[name], *ends])
            found[name] = np.maximum(found[name], np.maximum(least, 0))
    return found


def loss_and_hits(scores: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """Sum of the cross-entropies and number of right answers.

    Parameters
    ----------
    scores : numpy.ndarray, shape (N, classes) or (N, classes, 1, 1)
        Before softmax.
    labels : numpy.ndarray of int, shape (N,)
        The right classes. Scores that are NaN or infinitely high answer nothing.

    Examples
    --------
    >>> loss_and_hits(np.zeros((3, 4)), np.array([0, 1, 0]))
    (4.1588830833596715, 2)
    """
    flat = scores.reshape(len(scores), -1).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite scores give NaN; `at` sees it
        shifted = flat - flat.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(flat)), labels]
    right = (flat.argmax(axis=1) == labels) & answered(flat)
    return float(losses.sum()), int(right.sum())


def check_samples(network: Network, x: np.ndarray, labels: np.ndarray) -> None:
    """Refuse samples that a network cannot be judged by."""
    if len(network.inputs) != 1:
        raise InputError(f"{network.name} has {len(network.inputs)} inputs; a landscape needs one.")
    if not len(x) or labels.shape != (len(x),) or labels.dtype.kind not in "iu":
        raise ShapeError(
            f"A landscape needs samples and as many integer labels; got samples of shape {x.shape} "
            f"and {labels.dtype} labels of shape {labels.shape}."
        )
    ((name, shape),) = network.inputs.items()
    network.check_input(name, shape, x)
    scores = network.infer_shapes(x.shape)[network.logits]
    if len(scores) < 2 or any(n != 1 for n in scores[2:]):
        raise InputError(
            f"{network.name} gives {network.logits} of shape {scores}; a landscape needs one score "
            f"a class, (N, classes)."
        )
    if not 0 <= labels.min() <= labels.max() < scores[1]:
        raise InputError(
            f"Labels run from {labels.min()} to {labels.max()}; {network.name} has {scores[1]} "
            f"classes, 0 to {scores[1] - 1}."
        )


def samples_fingerprint(x: np.ndarray, labels: np.ndarray) -> str:
    """A short text that differs for other samples."""
    digest = blake2b(f"{x.shape} {x.dtype} {labels.dtype}".encode(), digest_size=12)
    digest.update(np.ascontiguousarray(x).data.cast("B"))
    digest.update(np.ascontiguousarray(labels).data.cast("B"))
    return digest.hexdigest()


def _known(network: Network, direction: Mapping[str, np.ndarray]) -> Direction:
    """A direction whose arrays fit the network's."""
    for name, d in direction.items():
        if name not in network.arrays or network.arrays[name].shape != d.shape:
            raise ShapeError(
                f"A direction moves {name}, of shape {d.shape}; {network.name} has no such array. "
                f"Make the direction for this network."
            )
    return {name: np.asarray(d, network.arrays[name].dtype) for name, d in direction.items()}
