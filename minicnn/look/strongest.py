"""The strongest responses of every channel of a layer, found in one pass over any number of images.

For each channel c the k largest are kept, with their images and places, of

    max over places (i, j) of y_c(i, j)        one candidate an image (once=True)
    y_c(i, j)                                  every place of every image (once=False)

The result depends neither on the batch size nor on interruptions, only the best so far are in
memory, and little is added to the forward runs; see `ranking`.

Source: M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014
(arXiv:1311.2901), section 4 and figure 2: the top nine activations of a feature map.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.data.images import Images
from minicnn.errors import ImageError, InputError, ShapeError, UnitError
from minicnn.look.ranking import Best
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["Strongest", "channel_count", "checked_channels", "only_input", "strongest"]


@dataclass(frozen=True, eq=False)
class Strongest:
    """The k strongest responses of some channels, best first.

    Parameters
    ----------
    layer : str
        The value that was watched, (N, C) or (N, C, ...).
    channels : numpy.ndarray of int, shape (C,)
        Which of its channels.
    images : numpy.ndarray of int, shape (C, k)
        Index of the image of each response; -1 where there were fewer than k.
    places : numpy.ndarray of int, shape (C, k, spatial axes)
        Where in the map: (row, column) in an image's layer; nothing for a vector.
    values : numpy.ndarray of float, shape (C, k)
        The responses; minus infinity where there were fewer than k.
    """

    layer: str
    channels: np.ndarray
    images: np.ndarray
    places: np.ndarray
    values: np.ndarray

    def of(self, channel: int) -> list[tuple[int, tuple[int, ...], float]]:
        """A channel's responses, best first: (image, place, value).

        Raises
        ------
        UnitError
            If the channel was not watched.
        """
        rows = np.flatnonzero(self.channels == channel)
        if not len(rows):
            first = ", ".join(map(str, self.channels[:8]))
            more = ", ..." if len(self.channels) > 8 else ""
            raise UnitError(
                f"Channel {channel} of {self.layer} was not watched; there are {first}{more}."
            )
        row = int(rows[0])
        return [
            (int(image), tuple(int(i) for i in place), float(value))
            for image, place, value in zip(
                self.images[row], self.places[row], self.values[row], strict=True
            )
            if image >= 0
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name, to be saved."""
        return {
            "layer": np.array(self.layer), "channels": self.channels, "images": self.images,
            "places": self.places, "values": self.values,
        }  # fmt: skip


def strongest(
    network: Network,
    layer: str,
    images: Images,
    k: int = 9,
    channels: Sequence[int] | None = None,
    once: bool = True,
    batch: int = 16,
    track: Track = silent,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Strongest:
    """The k strongest responses of each channel of a layer over many images.

    Parameters
    ----------
    network : Network
        With one input.
    layer : str
        A value (N, C) or (N, C, ...): maps, features, class scores.
    images : Images
        Those that cannot be read, or are of a size that does not fit, are left out: see
        `images.skipped`.
    k : int
        How many for each channel.
    channels : sequence of int, optional
        By default all of them, which takes hardly longer.
    once : bool
        Whether an image counts once for a channel, with its strongest place.
    batch : int
        Images a forward run.
    track : Track
        Shows the progress.
    checkpoint : path-like, optional
        A file (.npz) that keeps what was found so far. The same call goes on where it stopped, and
        gives the result at once if it was done; whoever has the result may remove the file.

    Returns
    -------
    Strongest

    Raises
    ------
    InputError
        If the network has several inputs, k is not positive, or the checkpoint is of another scan.
    ShapeError
        If the layer has no channels, or the first image does not fit the network.
    UnitError
        If there is no such channel.
    ImageError
        If not one image can be read.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.data import Images, bundled_digits
    >>> net = minicnn.load("mnist")
    >>> found = strongest(net, "scores", Images(bundled_digits()), k=2)
    >>> found.images.shape                        # two digits for each of ten classes
    (10, 2)
    """
    source = only_input(network)
    layer = network.value_name(layer)
    if k < 1 or batch < 1:
        raise InputError(f"k={k} and batch={batch}: both must be 1 or more.")
    watched = checked_channels(network, layer, channels)
    kept = _checkpoint(checkpoint, network, layer, images, k, watched, once)
    best = _resumed(kept, images)
    start = best.seen if best else 0
    size = 1 if network.inputs[source][0] == 1 else batch
    what = f"batches of {size}" + (f" from image {start} on" if start else "")
    stream = images.batches(network.preprocess, size, start)
    try:
        for one in track(stream, what, -(-(len(images) - start) // size)):
            x = one.x.astype(network.dtype, copy=False)
            try:
                network.check_input(source, network.inputs[source], x)
                y = network.values({source: x}, [layer])[layer]
            except ShapeError as error:
                if best is None:  # not one image fitted: the network is to be blamed
                    raise
                images.skipped.update((int(i), f"{images.names[i]}: {error}") for i in one.indices)
                continue
            y = y if channels is None else y[:, watched]
            best = best or Best.none(len(watched), k, y.ndim - 2, y.dtype)
            best = best.merged(one, y, once)
            kept.offer(partial(_state, best, images))
    except KeyboardInterrupt:
        if best is not None:
            kept.write(_state(best, images))
        raise
    if best is None:
        raise ImageError(
            f"Not one of {len(images)} images can be read. The first: "
            f"{next(iter(images.skipped.values()))}"
        )
    kept.write(_state(best, images))
    return Strongest(layer, watched, best.images, best.places, best.values)


def only_input(network: Network) -> str:
    """The input of a network that has one.

    Raises
    ------
    InputError
        If it has several.
    """
    if len(network.inputs) != 1:
        raise InputError(
            f"{network.name} has {len(network.inputs)} inputs; images need a network with one. "
            f"Cut it: net.cut(inputs=...)."
        )
    return next(iter(network.inputs))


def channel_count(network: Network, layer: str) -> int:
    """How many channels a layer has.

    Raises
    ------
    ShapeError
        If it has none.
    """
    shape = network.infer_shapes()[network.value_name(layer)]
    if len(shape) < 2:
        raise ShapeError(f"{layer} has shape {shape}: no channels. Choose a layer (N, C, ...).")
    return shape[1]


def checked_channels(network: Network, layer: str, channels: Sequence[int] | None) -> np.ndarray:
    """The channels asked for, each once; all of a layer by default.

    Raises
    ------
    UnitError
        If there is no such channel.
    """
    count = channel_count(network, layer)
    wanted = list(range(count)) if channels is None else list(dict.fromkeys(channels))
    wrong = [c for c in wanted if not 0 <= c < count]
    if wrong or not wanted:
        asked = f"Channel {wrong[0]} does not exist" if wrong else "No channel is asked for"
        raise UnitError(f"{asked}: {layer} has {count} channels, 0 to {count - 1}.")
    return np.array(wanted)


def _checkpoint(
    path: str | os.PathLike[str] | None,
    network: Network,
    layer: str,
    images: Images,
    k: int,
    channels: np.ndarray,
    once: bool,
) -> Checkpoint:
    """Where to keep what was found, under a key that says all that the result depends on."""
    if path is None:
        return Checkpoint(None, {})
    key = {
        "network": network.fingerprint(), "layer": layer, "images": images.fingerprint(), "k": k,
        "channels": channels.tolist(), "once": once,
    }  # fmt: skip
    return Checkpoint(path, key)


def _state(best: Best, images: Images) -> dict[str, np.ndarray]:
    """What a checkpoint holds."""
    known = dict(images.skipped)  # a copy: the thread that decodes may add to it
    left_out = sorted(index for index in known if index < best.seen)
    return {
        "images": best.images, "places": best.places, "values": best.values,
        "seen": np.array(best.seen), "left_out": np.array(left_out, int),
        "reasons": np.array([known[index] for index in left_out], str),
    }  # fmt: skip


def _resumed(kept: Checkpoint, images: Images) -> Best | None:
    """What was found before, if anything was."""
    state = kept.read()
    if not state:
        return None
    reasons = zip(state["left_out"].tolist(), state["reasons"].tolist(), strict=True)
    images.skipped.update(reasons)
    return Best(state["images"], state["places"], state["values"], int(state["seen"]))
