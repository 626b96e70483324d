"""Filters: the weights of a layer, in the colours of the picture where the layer reads one.

A first layer sees z = A p + c of the pixels p (see `colours`), and <w, z> = <A^T w, p> + <w, c>.
Its filters are shown as they act on pixels, A^T w: divided by the deviation, red first whatever
order the network reads.

Source: A. Krizhevsky et al., NeurIPS 2012, figure 3; A. Vedaldi's lectures.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from minicnn import kernels
from minicnn.blocks import (
    Block,
    Cast,
    Conv,
    ConvTranspose,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MatMul,
    Reshape,
    Squeeze,
    Transpose,
)
from minicnn.errors import InputError, nearest
from minicnn.graph import Node
from minicnn.look.colours import colour_change, coloured_values, image_channels
from minicnn.look.patches import Patch, best_patch
from minicnn.network import Network

__all__ = ["Filters", "filters"]

RESHAPING: tuple[type[Block], ...] = (Cast, Dropout, Flatten, Identity, Reshape, Squeeze)
IMAGED = (Conv, ConvTranspose)


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of one layer.

    Parameters
    ----------
    layer : str
        The value that they give.
    kind : str
        Of the layer's block.
    weights : numpy.ndarray, shape (O, I, kh, kw)
        As the network has them, I input channels a group. Of a transposed convolution a row is what
        one input channel paints; of a linear layer each row is shaped like the map that it reads,
        or (I, 1, 1) where it reads a plain vector.
    pixels : numpy.ndarray, shape (O, 3 or 1, kh, kw), or None
        Where the layer reads the image: the same filters as they act on pixels from 0 to 1, RGB or
        grey.
    black : numpy.ndarray, shape (O,), or None
        Then also what each answers to black, without its bias: <w, z> = <pixels, p> + black.
    """

    layer: str
    kind: str
    weights: np.ndarray
    pixels: np.ndarray | None = None
    black: np.ndarray | None = None

    @property
    def shown(self) -> np.ndarray:
        """What there is to look at: as they act on pixels, else as they are."""
        return self.weights if self.pixels is None else self.pixels

    @property
    def colour(self) -> bool:
        """Whether filters are coloured pictures."""
        return self.pixels is not None and self.pixels.shape[1] == 3

    def patches(self, norm: str = "l2") -> list[Patch]:
        """The best patch of each filter; see `best_patch`.

        Of a layer that reads the image patches are made of pixels, and the value reached is the
        layer's answer but for its bias (but for `black` too under "l2" and "linf", where patches
        are deviations from any picture).

        Raises
        ------
        InputError
            For "pixels" at a layer that does not read the image.
        """
        if norm == "pixels" and self.pixels is None:
            raise InputError(
                f"{self.layer} does not read the image, so its patches are not made of pixels. "
                f"Choose l2 or linf, or the first layer."
            )
        found = [best_patch(w, norm) for w in self.shown]
        if norm == "pixels" and self.black is not None:
            return [Patch(p.x, p.value + float(b)) for p, b in zip(found, self.black, strict=True)]
        return found


def filters(network: Network, layer: str | None = None) -> Filters:
    """The filters of a layer.

    Parameters
    ----------
    network : Network
        Any.
    layer : str, optional
        A convolution, a transposed convolution or a linear layer. By default the first layer that
        reads the image, through whatever only changes its colours: normalising blocks, batch norm,
        pads, a 1x1 convolution from colours to colours.

    Returns
    -------
    Filters

    Raises
    ------
    UnknownNameError
        If there is no such layer.
    InputError
        If it has no filters, or none that are pictures, or by default if no layer reads an image.

    Examples
    --------
    >>> import minicnn
    >>> filters(minicnn.load("mnist")).weights.shape
    (16, 1, 3, 3)
    """
    coloured = coloured_values(network)
    node = _first(network, coloured) if layer is None else _named(network, layer)
    weights, seen = _weights(network, node), _map_read(network, node)
    channels = image_channels(network)
    reads = seen in coloured and not isinstance(node.block, ConvTranspose)
    if not reads or weights.shape[1] != channels:
        return Filters(node.name, node.block.kind, weights)
    a, c = colour_change(network, seen, channels)
    pixels = np.einsum("oihw,ic->ochw", weights, a).astype(weights.dtype)
    black = np.einsum("oihw,i->o", weights, c)
    return Filters(node.name, node.block.kind, weights, pixels, black)


def _first(network: Network, coloured: set[str]) -> Node:
    """The first layer that reads the image and does more than change its colours."""
    filtered = _filtered(network)
    for name, node in filtered.items():
        if name not in coloured and _map_read(network, node) in coloured:
            return node
    raise InputError(
        f"No layer of {network.name} reads an image with filters. "
        + (
            f"Name a layer, such as {next(iter(filtered))}."
            if filtered
            else "None has 2-D filters."
        )
    )


def _named(network: Network, layer: str) -> Node:
    """The layer of that name, which must have filters."""
    name, filtered = network.value_name(layer), _filtered(network)
    if name not in filtered:
        raise InputError(
            f"{name} of {network.name} has no 2-D filters of its own. {nearest(name, filtered)}"
        )
    return filtered[name]


def _filtered(network: Network) -> dict[str, Node]:
    """The layers whose filters are an array of the network, and can be drawn."""
    return {
        node.name: node
        for node in network.nodes
        if (isinstance(node.block, IMAGED) and _axes(network, node) == 4)
        or (isinstance(node.block, (Linear, MatMul)) and _axes(network, node) == 2)
    }


def _axes(network: Network, node: Node) -> int:
    """Axes of a layer's weights, 0 where they are computed by the network."""
    name = node.operands[1]
    return network.arrays[name].ndim if name in network.arrays else 0


def _map_read(network: Network, node: Node) -> str:
    """The map that a layer reads, perhaps flattened; else just what it reads."""
    shapes, made = network.infer_shapes(), {other.name: other for other in network.nodes}
    name = node.operands[0]
    while len(shapes[name]) != 4 and name in made and isinstance(made[name].block, RESHAPING):
        name = made[name].operands[0]
    return name if len(shapes[name]) == 4 else node.operands[0]


def _weights(network: Network, node: Node) -> np.ndarray:
    """A layer's filters as (O, I, kh, kw)."""
    w = kernels.to_host(network.arrays[node.operands[1]])
    if isinstance(node.block, IMAGED):
        return w
    w = w.T if isinstance(node.block, MatMul) else w  # (out, in)
    name = _map_read(network, node)
    shape = network.infer_shapes()[name][1:]
    if len(shape) != 3 or prod(shape) != w.shape[1]:
        return w[:, :, None, None]
    w = w.reshape(len(w), *shape)
    return w.transpose(0, 3, 1, 2) if _channels_last(network, name) else w


def _channels_last(network: Network, name: str) -> bool:
    """Whether a map is laid out (N, H, W, C): such an image, or a map transposed to that."""
    if name in network.inputs:
        return network.preprocess is not None and network.preprocess.layout == "NHWC"
    block = next(node.block for node in network.nodes if node.name == name)
    return isinstance(block, Transpose) and block.axes == (0, 2, 3, 1)
