"""Activations: what each layer makes of one photo.

Of a layer's channels those are shown whose response max |a| is the largest, strongest first; zero
shares say how sparse a layer is: a ReLU's zeros are the units that did not answer.

Where a network has many layers they are picked evenly: the first map, then at least one from each
stage (a run of layers whose maps have one size), its last; more go to the stages that are longest
for what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from minicnn.blocks import (
    LRN,
    Add,
    AveragePool,
    Celu,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Elu,
    Gelu,
    HardSwish,
    LeakyReLU,
    MaxPool,
    Mish,
    PReLU,
    ReLU,
    Selu,
    Sigmoid,
    Softplus,
    Swish,
    Tanh,
)
from minicnn.errors import InputError, ShapeError, UnitError
from minicnn.look.strongest import only_input
from minicnn.network import Network

__all__ = ["LayerMaps", "activations", "mapped_layers", "spread_layers"]

ROWS = 8
KINDS = (
    LRN, Add, AveragePool, Celu, Clip, Concat, Conv, ConvTranspose, Elu, Gelu, HardSwish,
    LeakyReLU, MaxPool, Mish, PReLU, ReLU, Selu, Sigmoid, Softplus, Swish, Tanh,
)  # fmt: skip
"""Blocks worth a row; the others scale, move or reshape what these gave."""


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """What one layer made of the photo.

    Parameters
    ----------
    layer, kind : str
        The value, and the block that gave it.
    shape : tuple of int
        (C, H, W) of the layer; (C,) where it is a vector.
    channels : tuple of int
        Those kept; all of a vector.
    maps : numpy.ndarray, shape (K, H, W) or (C,)
        Their values.
    low, high, mean : float
        Of the whole layer.
    zero : float
        Share of the layer's values that are exactly zero.
    positive : float
        Share above zero.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    channels: tuple[int, ...]
    maps: np.ndarray
    low: float
    high: float
    mean: float
    zero: float
    positive: float


def activations(
    network: Network,
    x: np.ndarray,
    layers: int | Sequence[str] | None = None,
    channels: int | Sequence[int] = 16,
) -> list[LayerMaps]:
    """The maps of several layers for one photo, in one forward run.

    Parameters
    ----------
    network : Network
        With one input.
    x : numpy.ndarray, shape (1, C, H, W)
        Its input.
    layers : int or sequence of str, optional
        Which layers, or how many to pick evenly; 8 by default.
    channels : int or sequence of int
        How many channels of each layer, the strongest first; or which.

    Returns
    -------
    list of LayerMaps
        In the order asked for; picked ones from input to output.

    Raises
    ------
    UnknownNameError
        If there is no such layer.
    UnitError
        If a layer has no such channel.
    ShapeError
        If x is not one image, or a value is neither maps nor a vector.
    InputError
        If the network has several inputs or, where layers are picked, no maps.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_4", net.preprocess)
    >>> [row.layer for row in activations(net, x, 4)]
    ['conv1', 'relu2', 'relu4', 'pool2']
    """
    image = only_input(network)
    network.check_input(image, network.inputs[image], x)
    if len(x) != 1:
        raise ShapeError(f"Activations are shown of one image; got {len(x)}. Give x[i : i + 1].")
    if layers is None or isinstance(layers, int):
        names = spread_layers(network, ROWS if layers is None else layers, x.shape)
    else:
        names = [network.value_name(name) for name in layers]
    kinds = {node.name: node.block.kind for node in network.nodes} | {image: "input"}
    values = network.values({image: x}, names)
    return [_maps(name, kinds[name], values[name], channels) for name in names]


def mapped_layers(network: Network, *inputs: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """Layers worth a row, with the size of their maps, from input to output."""
    shapes, foreign = network.infer_shapes(*inputs), set(network.foreign)
    return {
        node.name: shapes[node.name][2:]  # type: ignore[misc]
        for node in network.nodes
        if isinstance(node.block, KINDS)
        and len(shapes[node.name]) == 4
        and max(shapes[node.name][2:]) > 1
        and node.name not in foreign
    }


def spread_layers(network: Network, most: int = ROWS, *inputs: tuple[int, ...]) -> list[str]:
    """At most so many layers with maps, spread evenly over the network.

    Raises
    ------
    InputError
        If it has none, or none are asked for.
    """
    if most < 1:
        raise InputError(f"{most} layers cannot be shown: ask for 1 or more.")
    sizes = mapped_layers(network, *inputs)
    if not sizes:
        raise InputError(
            f"{network.name} has no layers with maps. Name some to see vectors: "
            f"{', '.join(network.layers[:8])}."
        )
    first, *others = sizes
    stages = [list(stage) for _, stage in groupby(others, key=sizes.__getitem__)]
    if len(stages) >= most:  # not even one each
        return [first, *(stages[i][-1] for i in _even(len(stages), most - 1))]
    rows = [1] * len(stages)
    for _ in range(min(most - 1, len(others)) - len(stages)):
        longest = [
            len(stage) / n if n < len(stage) else 0 for stage, n in zip(stages, rows, strict=True)
        ]
        rows[int(np.argmax(longest))] += 1
    picked = zip(stages, rows, strict=True)
    return [first, *(stage[i] for stage, n in picked for i in _even(len(stage), n))]


def _even(length: int, count: int) -> list[int]:
    """So many of `length` places, evenly, the last one among them."""
    return [length * (i + 1) // count - 1 for i in range(count)]


def _maps(name: str, kind: str, value: np.ndarray, channels: int | Sequence[int]) -> LayerMaps:
    """A layer's numbers, and the maps of the channels chosen."""
    a = value[0] if value.ndim in (2, 4) else value  # (C, H, W) or (C,)
    if value.ndim not in (2, 4):
        raise ShapeError(f"{name} has shape {value.shape}: neither maps (N, C, H, W) nor vectors.")
    vector = a.ndim == 1
    chosen = list(range(len(a))) if vector else _channels(name, a, channels)
    return LayerMaps(
        name,
        kind,
        a.shape,
        tuple(chosen),
        np.ascontiguousarray(a[chosen]),
        float(a.min()),
        float(a.max()),
        float(a.mean(dtype=np.float64)),
        float((a == 0).mean()),
        float((a > 0).mean()),
    )


def _channels(name: str, a: np.ndarray, channels: int | Sequence[int]) -> list[int]:
    """The channels asked for by number, or the strongest; equal ones in their order."""
    if isinstance(channels, int):
        if channels < 1:
            raise InputError(f"{channels} channels cannot be shown: ask for 1 or more.")
        strength = np.abs(a).max(axis=(1, 2))
        return [int(i) for i in np.argsort(-strength, kind="stable")[:channels]]
    for channel in channels:
        if not 0 <= channel < len(a):
            raise UnitError(f"{name} has no channel {channel}: it has 0 to {len(a) - 1}.")
    return list(channels)
