"""What a unit responds to: the patches that excite it most, and what of each patch it saw.

For a response y_c(i, j) to an image, the patch is the part of the image inside the unit's receptive
field, and its backward picture what the unit's own value becomes when sent back to the pixels,

    p = y_c(i, j) at (c, i, j) and 0 elsewhere,    picture = reversed network under a rule (p),

cut by the same box. Beside each other they are the 3x3 blocks of Zeiler and Fergus (DeConvNet);
DeSaliNet gives the sharper pictures of Mahendran and Vedaldi.

Source: M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
figure 2; A. Mahendran and A. Vedaldi, "Salient Deconvolutional Networks", ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.blocks import Shape
from minicnn.data.images import Images
from minicnn.errors import UnitError
from minicnn.look.fields import Field, receptive_fields
from minicnn.look.strongest import Strongest, channel_count, only_input
from minicnn.network import Network
from minicnn.progress import Track, silent
from minicnn.rules import Rule, find

__all__ = ["UnitMap", "UnitPatch", "best_patches", "unit_map", "unit_patches"]


@dataclass(frozen=True, eq=False)
class UnitPatch:
    """One response of a unit and what was there in the image.

    Parameters
    ----------
    image : int
        Index of the image.
    name : str
        Its name.
    place : tuple of int
        Where in the map: (row, column); nothing for a vector.
    value : float
        The response.
    box : tuple of int
        What the unit sees of the image, clipped to it: (top, left, bottom, right).
    picture : numpy.ndarray, shape (bottom - top, right - left, 3)
        That part of the image, RGB in 0..1.
    backward : numpy.ndarray, shape (C, bottom - top, right - left)
        That part of the backward picture, raw and signed; outside of it it is zero,
        but for rounding.
    """

    image: int
    name: str
    place: tuple[int, ...]
    value: float
    box: tuple[int, ...]
    picture: np.ndarray
    backward: np.ndarray


def unit_patches(
    network: Network,
    layer: str,
    channel: int,
    found: Strongest,
    images: Images,
    rule: Rule | str = "deconvnet",
) -> list[UnitPatch]:
    """The patches that excite a channel most, with their backward pictures.

    Parameters
    ----------
    network : Network
        With one input.
    layer : str
        A layer.
    channel : int
        One of its channels.
    found : Strongest
        Its strongest responses; see `strongest`.
    images : Images
        Those that were searched.
    rule : Rule or str
        How to send back: deconvnet, desalinet, salinet, a code such as TTF, ...

    Returns
    -------
    list of UnitPatch
        Best first.

    Raises
    ------
    UnitError
        If the channel is not among those found, or these are of another layer.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.data import Images, bundled_digits
    >>> from minicnn.look import strongest
    >>> net, digits = minicnn.load("mnist"), Images(bundled_digits())
    >>> patches = unit_patches(net, "pool1", 3, strongest(net, "pool1", digits, k=2), digits)
    >>> [patch.picture.shape for patch in patches]
    [(4, 4, 3), (4, 4, 3)]
    """
    source, layer, rule = only_input(network), network.value_name(layer), find(rule)
    if layer != found.layer:
        raise UnitError(f"These are the strongest responses of {found.layer}, not of {layer}.")
    part = network.cut(outputs=layer)
    boxes = _Boxes(part, layer)
    patches = []
    for image, place, value in found.of(channel):
        x = images.read(image, network.preprocess).astype(network.dtype, copy=False)
        tape = part.record(x, rules=[rule], keep=[layer])
        unit = (0, channel, *place)
        p = np.zeros_like(tape[layer])
        p[unit] = tape[layer][unit]
        backward = network.channels_first(tape.backward(p, rule, at=layer, wrt=source))[0]
        top, left, bottom, right = box = boxes.of(x.shape, place)
        picture = images.picture(image, network.preprocess)[top:bottom, left:right]
        patches.append(
            UnitPatch(
                image=image,
                name=images.names[image],
                place=place,
                value=value,
                box=box,
                picture=picture,
                backward=backward[:, top:bottom, left:right],
            )
        )
    return patches


class _Boxes:
    """What the units of a layer see in images of any size."""

    def __init__(self, network: Network, layer: str) -> None:
        self.network, self.layer = network, layer
        self._fields: dict[Shape, Field] = {}

    def of(self, shape: Shape, place: Sequence[int]) -> tuple[int, ...]:
        """The box of a unit in an input of some shape."""
        if shape not in self._fields:
            self._fields[shape] = receptive_fields(self.network, shape)[self.layer]
        return self._fields[shape].box(place)


def best_patches(
    network: Network, found: Strongest, images: Images, track: Track = silent
) -> list[np.ndarray]:
    """Of each channel the patch that excites it most, and no backward picture.

    Parameters
    ----------
    network : Network
        With one input.
    found : Strongest
        The strongest responses of the channels.
    images : Images
        Those that were searched.
    track : Track
        Shows the progress.

    Returns
    -------
    list of numpy.ndarray, shape (H, W, 3)
        RGB in 0..1, one a channel.
    """
    boxes = _Boxes(network, found.layer)
    patches: list[np.ndarray] = [np.ones((1, 1, 3), np.float32)] * len(found.channels)
    best = found.images[:, 0]  # (C,)
    for image in track(np.unique(best).tolist(), "images", len(np.unique(best))):
        size = images.read(image, network.preprocess).shape
        picture = images.picture(image, network.preprocess)
        for row in np.flatnonzero(best == image):
            top, left, bottom, right = boxes.of(size, found.places[row, 0].tolist())
            patches[row] = picture[top:bottom, left:right]
    return patches


@dataclass(frozen=True, eq=False)
class UnitMap:
    """The map of one channel for a photo.

    Parameters
    ----------
    label : str
        Layer and channel.
    values : numpy.ndarray, shape (H', W')
        As the layer has it.
    resized : numpy.ndarray, shape (H, W)
        In the size of the photo, each unit drawn at the centre of its receptive field and bilinear
        between these.
    """

    label: str
    values: np.ndarray
    resized: np.ndarray


def unit_map(network: Network, x: np.ndarray, layer: str, channel: int) -> UnitMap:
    """The map of one channel, resized to lie over the photo.

    Parameters
    ----------
    network : Network
        With one input.
    x : numpy.ndarray, shape (1, C, H, W)
        The photo as its input.
    layer : str
        A layer of maps (N, C, H', W').
    channel : int
        Which of its channels.

    Returns
    -------
    UnitMap

    Raises
    ------
    UnitError
        If there is no such channel, or the layer has no maps.
    """
    source, layer = only_input(network), network.value_name(layer)
    network.check_input(source, network.inputs[source], x)
    y = network.values({source: x}, [layer])[layer]
    if y.ndim != 4:
        raise UnitError(f"{layer} has shape {y.shape}: no maps (N, C, H, W) to lay over a photo.")
    if not 0 <= channel < channel_count(network, layer):
        raise UnitError(f"{layer} has channels 0 to {y.shape[1] - 1}; there is no {channel}.")
    values = np.array(y[0, channel])
    field = receptive_fields(network, x.shape)[layer]
    pixels = network.channels_first(x).shape[2:]
    resized = values
    for axis, count in enumerate(pixels):
        resized = _between(resized, field.centres(axis), count, axis)
    return UnitMap(f"{layer} channel {channel}", values, resized)


def _between(values: np.ndarray, centres: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Linear interpolation along an axis, from values at some pixels to all `count` pixels."""
    place = np.interp(np.arange(count), centres, np.arange(len(centres)))
    low = np.minimum(place.astype(int), len(centres) - 1)
    high = np.minimum(low + 1, len(centres) - 1)
    shape = [1] * values.ndim
    shape[axis] = count
    weight = (place - low).astype(values.dtype).reshape(shape)
    return values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight
