"""Occlusion: what the network says when a patch of the photo is covered, place by place.

For each position of a patch that slides over the photo: the class scores, and for any feature map
its strongest response, its sum, or one unit. The scan is exact; each position computes only what
its patch changes (see `incremental`).

    attribution of a pixel  =  mean over the patches that cover it of  score - score when covered

Patch size, stride and filling are parameters: the paper does not state them.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
section 4.2 and figure 6: a grey square; strongest map, probability of the class, and top label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.attribution.baseline import baseline_of
from minicnn.attribution.incremental import Change, Incremental
from minicnn.attribution.method import Attribution, Target
from minicnn.attribution.narrowing import narrowed
from minicnn.attribution.watching import Watch
from minicnn.checkpoint import Checkpoint
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["FILLS", "Occluded", "Occlusion", "occlude", "positions"]

Fill = str | float | Sequence[float]
"""What covers: "mean" (of the photo's pixels), "grey" (mid-grey), "black", "white", "blur" (the
photo blurred), or the network's input values, one or one a channel."""

FILLS = ("mean", "grey", "black", "white", "blur")
BUDGET = 1 << 28  # bytes that the values of a batch may take at the widest stage


@dataclass(frozen=True, eq=False)
class Occluded:
    """What a scan found, over a grid of positions (rows, columns).

    Parameters
    ----------
    tops, lefts : numpy.ndarray of int
        Where the patches begin.
    patch : tuple of int
        Their height and width.
    clean : numpy.ndarray, shape (K, ...)
        The scores of the photo.
    scores : numpy.ndarray, shape (rows, columns, K, ...)
        The scores with each patch.
    watched : dict
        For each `Watch`: its value for the photo, and an array (rows, columns).
    """

    tops: np.ndarray
    lefts: np.ndarray
    patch: tuple[int, int]
    clean: np.ndarray
    scores: np.ndarray
    watched: dict[Watch, tuple[float, np.ndarray]]

    def probabilities(self, target: int) -> np.ndarray:
        """Softmax probability of a class at each position: (rows, columns)."""
        odds = kernels.softmax(self.scores.astype(np.float64), -1)
        return np.asarray(odds[..., target])

    def labels(self) -> np.ndarray:
        """The winning class at each position: (rows, columns)."""
        flat = self.scores.reshape(*self.scores.shape[:2], -1)
        return np.asarray(flat.argmax(-1))

    def drop(self, index: int | tuple[int, ...]) -> np.ndarray:
        """How far a score falls at each position: (rows, columns); negative where it rises."""
        index = index if isinstance(index, tuple) else (index,)
        scores = np.moveaxis(self.scores, (0, 1), (-2, -1))  # (K, ..., rows, columns)
        return np.asarray(self.clean[index] - scores[index])

    def spread(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """For each pixel of an image the mean of the patches that cover it; 0 where none does."""
        total, count = np.zeros(size), np.zeros(size)
        height, width = self.patch
        for i, top in enumerate(self.tops):
            for j, left in enumerate(self.lefts):
                total[top : top + height, left : left + width] += values[i, j]
                count[top : top + height, left : left + width] += 1
        return total / np.maximum(count, 1)


class Occlusion(Attribution):
    """How far the score falls where a pixel is covered; see the module.

    Parameters
    ----------
    network, at
        See `Attribution`.
    patch, stride : int or (int, int), optional
        Side of the patch, or height and width; step of its positions. By default a seventh of the
        photo, and a quarter of the patch.
    fill : str, float or sequence of float
        What covers; see `Fill`.
    track : Track
        Shows progress.
    """

    name = "Occlusion"
    reduction = "mean"  # all channels of a pixel are alike

    def __init__(
        self,
        network: Network,
        at: str | None = None,
        patch: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        fill: Fill = "mean",
        track: Track = silent,
    ) -> None:
        super().__init__(network, at)
        self.patch, self.stride, self.fill, self.track = patch, stride, fill, track

    def prepare(self, x: np.ndarray) -> None:
        super().prepare(x)
        _settings(self.network, x, self.patch, self.stride)
        _cover(self.network, x[:1], self.fill)

    def attribute(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        self.check(x)
        values = np.empty_like(x)
        for n, index in enumerate(self.targets(x, target)):
            narrow = narrowed(self.network, self.at, index[0])  # the other classes do not count
            found = occlude(
                narrow or self.network, x[n : n + 1], self.patch, self.stride, self.fill,
                at=self.at, track=self.track,
            )  # fmt: skip
            drop = found.drop((0, *index[1:]) if narrow else index)
            values[n] = found.spread(drop, x.shape[2:])
        return values


def positions(length: int, patch: int, stride: int) -> np.ndarray:
    """Where patches begin along an axis: every `stride`, and one that ends at its end.

    Examples
    --------
    >>> positions(10, 4, 4)
    array([0, 4, 6])
    """
    firsts = np.arange(0, length - patch + 1, stride)
    last = length - patch
    return firsts if firsts[-1] == last else np.append(firsts, last)


def occlude(
    network: Network,
    x: np.ndarray,
    patch: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    fill: Fill = "mean",
    watched: Sequence[Watch] = (),
    at: str | None = None,
    track: Track = silent,
    checkpoint: Path | None = None,
) -> Occluded:
    """Cover a photo with a patch, position by position.

    Parameters
    ----------
    network : Network
        What looks at it.
    x : numpy.ndarray, shape (1, C, H, W)
        The photo, preprocessed.
    patch, stride : int or (int, int), optional
        Side of the patch, or height and width; step of its positions. By default a seventh of the
        photo, and a quarter of the patch.
    fill : str, float or sequence of float
        What covers; see `Fill`.
    watched : sequence of Watch
        What else is noted at each position.
    at : str, optional
        The value noted as scores; by default the class scores before a final softmax.
    track : Track
        Shows progress.
    checkpoint : path, optional
        Where what was found is kept, so that an interrupted scan goes on.

    Returns
    -------
    Occluded

    Raises
    ------
    InputError
        If the patch is larger than the photo, or the fill makes no sense.
    """
    if x.ndim != 4 or len(x) != 1:
        raise InputError(f"Occlusion takes one photo (1, C, H, W); got an array of {x.shape}.")
    (height, width), (down, across) = _settings(network, x, patch, stride)
    at = network.logits if at is None else network.value_name(at)
    names = list(dict.fromkeys([at, *(one.at for one in watched)]))
    tops = positions(x.shape[2], height, down)
    lefts = positions(x.shape[3], width, across)
    cover = _cover(network, x, fill)
    run = Incremental(network, x, names)
    clean = {name: run.clean.get(name, x) for name in names}
    keeper = _keeper(checkpoint, network, x, cover, {
        "patch": [height, width], "stride": [down, across], "at": names,
        "watched": [str(one) for one in watched],
    })  # fmt: skip
    places = _ordered(run, tops, lefts, (height, width))
    scores = np.empty((len(places), *clean[at].shape[1:]), x.dtype)  # in the order of places
    notes = np.empty((len(watched), len(places)))
    before = keeper.read()
    done = int(before["done"]) if before else 0
    if before:
        scores[:done], notes[:, :done] = before["scores"], before["notes"]
    most = _batch_size(network, run, (height, width))
    firsts = range(done, len(places), most)
    for first in track(firsts, "batches of positions", len(firsts)):
        here = places[first : first + most]
        found = run.run(Change(_patches(cover, here, (height, width)), here))
        last = first + len(here)
        values = {name: run.whole(name, found[name]) for name in names}
        scores[first:last] = values[at]
        for i, one in enumerate(watched):
            notes[i, first:last] = one.of(values[one.at])
        keeper.offer(partial(_state, last, scores, notes))
    keeper.remove()
    grid = (len(tops), len(lefts))
    back = np.lexsort((places[:, 1], places[:, 0]))  # row by row
    return Occluded(
        tops, lefts, (height, width), clean[at][0],
        scores[back].reshape(*grid, *scores.shape[1:]),
        {one: (float(one.of(clean[one.at])[0]), notes[i, back].reshape(grid))
         for i, one in enumerate(watched)},
    )  # fmt: skip


def _keeper(
    path: Path | None, network: Network, x: np.ndarray, cover: np.ndarray, settings: dict[str, Any]
) -> Checkpoint:
    """Where a scan of this photo is kept."""
    if path is None:
        return Checkpoint(None, {})
    key = {"network": network.fingerprint(), "x": _digest(x), "cover": _digest(cover)}
    return Checkpoint(path, key | settings)


def _state(done: int, scores: np.ndarray, notes: np.ndarray) -> dict[str, np.ndarray]:
    """What a checkpoint holds after `done` positions."""
    return {"done": np.array(done), "scores": scores[:done], "notes": notes[:, :done]}


def _settings(
    network: Network,
    x: np.ndarray,
    patch: int | tuple[int, int] | None,
    stride: int | tuple[int, int] | None,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Patch and stride, checked, with their defaults."""
    if network.preprocess is not None and network.preprocess.layout != "NCHW":
        raise InputError(
            f"{network.name} takes photos with channels last; occlusion needs channels first."
        )
    size = _pair(max(1, round(min(x.shape[2:]) / 7)) if patch is None else patch)
    step = _pair(max(1, min(size) // 4) if stride is None else stride)
    if min(size) < 1 or min(step) < 1:
        raise InputError(f"Patch {size} and stride {step} must be 1 pixel or more.")
    if size[0] > x.shape[2] or size[1] > x.shape[3]:
        raise InputError(
            f"A patch of {size[0]}x{size[1]} pixels is larger than the photo, which the network "
            f"sees as {x.shape[2]}x{x.shape[3]}. Choose a smaller patch."
        )
    return size, step


def _cover(network: Network, x: np.ndarray, fill: Fill) -> np.ndarray:
    """What shows where the photo is covered, shaped like it."""
    if isinstance(fill, str):
        if fill not in FILLS:
            raise InputError(
                f"There is no fill {fill!r}. Choose {', '.join(FILLS)}, or give the input's values."
            )
        if fill == "mean":
            return np.broadcast_to(x.mean((2, 3), keepdims=True), x.shape)
        if fill == "blur":
            from scipy.ndimage import gaussian_filter

            sides = min(x.shape[2:]) / 16
            return gaussian_filter(x, (0, 0, sides, sides)).astype(x.dtype)
        return baseline_of(network, fill, x)
    colour = np.atleast_1d(np.asarray(fill, x.dtype))
    if colour.shape not in ((1,), (x.shape[1],)):
        raise InputError(f"A fill of {fill!r}: give one number, or one for each of {x.shape[1]}.")
    return baseline_of(network, colour.reshape(1, -1, 1, 1), x)


def _patches(cover: np.ndarray, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The cover at each place: (N, C, h, w)."""
    return kernels.parts(
        cover, np.zeros((len(places), cover.shape[1], 1, 1), cover.dtype),
        np.concatenate([places, np.full_like(places, 1 << 30)], axis=1), size, 0.0,
    )  # fmt: skip


def _ordered(
    run: Incremental, tops: np.ndarray, lefts: np.ndarray, patch: tuple[int, int]
) -> np.ndarray:
    """All positions (N, 2), those whose patches reach as far as each other side by side."""
    places = np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2)
    rows, columns = run.reached(places, patch).T
    return places[np.lexsort((columns, rows))]


def _batch_size(network: Network, run: Incremental, patch: tuple[int, int]) -> int:
    """How many positions fit into the budget; one where the network takes one image at a time."""
    if network.inputs[run.source][0] is not None:
        return 1
    return max(1, min(50, BUDGET // run.bytes_each(patch)))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, (int, np.integer)) else (value[0], value[1])


def _digest(array: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(array).tobytes(), digest_size=12).hexdigest()
