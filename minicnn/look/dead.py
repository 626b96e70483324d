"""Dead filters: channels that are zero everywhere, in every image.

A ReLU whose filter and bias stand so that no patch brings it above zero passes nothing on, and its
gradient is zero as well: it cannot learn to come back. For each channel c over all images i

    highest_c = max a_ic(u, v),   lowest_c = min a_ic(u, v)   at any place u, v
    active_c = number of images in which it is anywhere other than zero

A channel is dead where highest = lowest = 0, rare where it is active in few images only.

Source: Zeiler & Fergus, ECCV 2014, section 4 (dead features in the first layer).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from minicnn.blocks import Clip, ReLU, ThresholdedReLU
from minicnn.checkpoint import Checkpoint
from minicnn.data import Images
from minicnn.errors import ImageError, InputError
from minicnn.look.strongest import channel_count, only_input
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["DeadFilters", "LayerLife", "dead_filters", "rectified_layers"]

MEMORY = 256 << 20  # bytes of activations looked at, at a time
STATE = ("highest", "lowest", "active", "nonzero")


@dataclass(frozen=True, eq=False)
class LayerLife:
    """What became of one layer's channels over all images.

    Parameters
    ----------
    layer, kind : str
        The value, and the block that gave it.
    highest, lowest : numpy.ndarray, shape (C,)
        Largest and smallest value of each channel.
    active : numpy.ndarray of int64, shape (C,)
        Images in which it is somewhere other than zero.
    share : numpy.ndarray of float64, shape (C,)
        Share of its values that are other than zero.
    images : int
        How many were seen.
    """

    layer: str
    kind: str
    highest: np.ndarray
    lowest: np.ndarray
    active: np.ndarray
    share: np.ndarray
    images: int

    @property
    def dead(self) -> np.ndarray:
        """Numbers of the channels that are zero everywhere."""
        return np.flatnonzero(self.active == 0)

    def rare(self, below: float = 0.01) -> np.ndarray:
        """Numbers of those not dead, but active in less than this share of the images."""
        return np.flatnonzero((self.active > 0) & (self.active < below * self.images))


@dataclass(frozen=True, eq=False)
class DeadFilters:
    """A report, one entry a layer.

    Parameters
    ----------
    layers : list of LayerLife
        From input to output.
    images : int
        How many were seen.
    skipped : dict
        Index and reason of those that could not be read.
    """

    layers: list[LayerLife]
    images: int
    skipped: dict[int, str] = field(default_factory=dict)


def dead_filters(
    network: Network,
    images: Images,
    layers: Sequence[str] | None = None,
    track: Track = silent,
    checkpoint: str | os.PathLike[str] | None = None,
    batch: int | None = None,
) -> DeadFilters:
    """Look for dead channels in one pass over many images.

    Parameters
    ----------
    network : Network
        With one input.
    images : Images
        What is shown to it; never more than a batch in memory.
    layers : sequence of str, optional
        Which; by default all that can be exactly zero: ReLUs and clips at zero.
    track : Track
        Shows progress; see `minicnn.progress`.
    checkpoint : path-like, optional
        A file (.npz) that keeps what was found so far. The same call goes on where it stopped, and
        gives the same report; whoever has the report may remove the file.
    batch : int, optional
        Images at a time; by default up to 32, so that activations take 256 MiB.

    Returns
    -------
    DeadFilters

    Raises
    ------
    UnknownNameError
        If there is no such layer.
    InputError
        If the network has several inputs, or by default no rectifier; if the checkpoint is of
        another run.
    ImageError
        If no image can be read.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> images = Images(minicnn.data.bundled_digits())
    >>> [(layer.layer, len(layer.dead)) for layer in dead_filters(net, images).layers]
    [('relu1', ...), ('relu2', ...), ('relu3', ...), ('relu4', ...)]
    """
    image = only_input(network)
    names = rectified_layers(network) if layers is None else list(layers)
    names = list(dict.fromkeys(network.value_name(name) for name in names))
    channels = {name: channel_count(network, name) for name in names}
    if not names:
        raise InputError("No layer to look at: name one, or leave the choice to the function.")
    size = batch or _batch_size(network, names)
    kept = Checkpoint(
        checkpoint,
        {"dead": network.fingerprint(), "images": images.fingerprint(), "layers": names, "n": size},
    )
    tally = _Tally.of(kept.read(), channels, network.dtype)
    images.skipped.update(tally.skipped)
    state = tally.state(images)
    stream = images.batches(network.preprocess, size, tally.next)
    try:
        for part in track(stream, f"batches of {size}", -(-(len(images) - tally.next) // size)):
            begin = int(part.indices[0]) // size * size
            if begin > tally.next:  # batches stay the same if the pass goes on from here
                tally.next = begin
                state = tally.state(images)
                kept.offer(state.copy)
            x = part.x.astype(network.dtype, copy=False)
            network.check_input(image, network.inputs[image], x)
            tally.add(network.values({image: x}, names))
    except KeyboardInterrupt:
        kept.write(state)
        raise
    if not tally.seen:
        raise ImageError(
            f"None of the {len(images)} images can be read. The first: "
            f"{next(iter(images.skipped.values()))}"
        )
    tally.next = len(images)
    kept.write(tally.state(images))
    kinds = {node.name: node.block.kind for node in network.nodes} | {image: "input"}
    found = [tally.life(name, kinds[name]) for name in names]
    return DeadFilters(found, tally.seen, dict(images.skipped))


def _batch_size(network: Network, names: Sequence[str]) -> int:
    """Images at a time: at most 32, and so few that their activations fit."""
    shapes = network.infer_shapes()
    if network.inputs[only_input(network)][0] == 1:
        return 1
    an_image = sum(prod(shapes[name][1:]) for name in names) * network.dtype.itemsize
    return max(1, min(32, MEMORY // an_image))


def rectified_layers(network: Network) -> list[str]:
    """Layers whose values are exactly zero where a unit does not answer.

    Raises
    ------
    InputError
        If there are none.
    """
    found = [
        node.name
        for node in network.nodes
        if isinstance(node.block, (ReLU, ThresholdedReLU))
        or (isinstance(node.block, Clip) and node.block.low == 0)
    ]
    if not found:
        raise InputError(
            f"{network.name} has no ReLU, so no channel is zero for good. Name the layers to look "
            f"at: {', '.join(network.layers[:8])}."
        )
    return found


class _Tally:
    """What is known of every channel so far."""

    def __init__(self, channels: dict[str, int], dtype: np.dtype) -> None:
        self.next = self.seen = 0
        self.skipped: dict[int, str] = {}
        self.values = dict.fromkeys(channels, 0)  # of one channel, over all images
        self.highest = {name: np.full(n, -np.inf, dtype) for name, n in channels.items()}
        self.lowest = {name: np.full(n, np.inf, dtype) for name, n in channels.items()}
        self.active = {name: np.zeros(n, np.int64) for name, n in channels.items()}
        self.nonzero = {name: np.zeros(n, np.int64) for name, n in channels.items()}

    def add(self, values: dict[str, np.ndarray]) -> None:
        """Some more images."""
        for name, value in values.items():
            a = value.reshape(*value.shape[:2], -1)  # (N, C, H W)
            count = np.count_nonzero(a, axis=2)  # (N, C)
            np.maximum(self.highest[name], a.max(axis=(0, 2)), out=self.highest[name])
            np.minimum(self.lowest[name], a.min(axis=(0, 2)), out=self.lowest[name])
            self.active[name] += (count > 0).sum(axis=0)
            self.nonzero[name] += count.sum(axis=0)
            self.values[name] += a.shape[0] * a.shape[2]
        self.seen += len(a)

    def life(self, name: str, kind: str) -> LayerLife:
        """A layer's report."""
        share = self.nonzero[name] / self.values[name]
        return LayerLife(
            name, kind, self.highest[name], self.lowest[name], self.active[name], share, self.seen
        )

    def state(self, images: Images) -> dict[str, np.ndarray]:
        """Everything as it is now, for a checkpoint."""
        skipped = {i: why for i, why in images.skipped.items() if i < self.next}
        state = {
            f"{what} {name}": array.copy()
            for what in STATE
            for name, array in getattr(self, what).items()
        }
        return state | {
            "next": np.array(self.next),
            "seen": np.array(self.seen),
            "values": np.array(list(self.values.values())),
            "skipped": np.array(list(skipped), np.int64),
            "reasons": np.array(list(skipped.values()), np.str_),
        }

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], channels: dict[str, int], dtype: np.dtype) -> _Tally:
        """From a checkpoint; from nothing, a new one."""
        tally = cls(channels, dtype)
        if arrays:
            for what in STATE:
                for name, array in getattr(tally, what).items():
                    array[...] = arrays[f"{what} {name}"]
            tally.next, tally.seen = int(arrays["next"]), int(arrays["seen"])
            tally.values = dict(zip(channels, arrays["values"].tolist(), strict=True))
            tally.skipped = {
                int(i): str(why)
                for i, why in zip(arrays["skipped"], arrays["reasons"], strict=True)
            }
        return tally
