"""What a network's first layers see: not pixels, but what preprocessing made of them.

Between the picture and a filter stand the preprocessing and perhaps normalising blocks of the
network. Together they change each pixel's colour p (RGB or grey, from 0 to 1) affinely:

    z = A p + c

A and c are read off from what flat pictures become: black gives c, red c + A's first column, ...
"""

from __future__ import annotations

import numpy as np

from minicnn.blocks import (
    Add,
    BatchNorm,
    Block,
    Cast,
    Concat,
    Conv,
    Divide,
    Dropout,
    Identity,
    Multiply,
    Pad,
    PadFromInside,
    Scale,
    Slice,
    Subtract,
    Take,
    Transpose,
    Unsqueeze,
)
from minicnn.graph import Node
from minicnn.network import Network

__all__ = ["colour_change", "coloured_values", "image_channels"]

COLOURING: tuple[type[Block], ...] = (
    Add, BatchNorm, Cast, Concat, Divide, Dropout, Identity, Multiply, Pad, PadFromInside, Scale,
    Slice, Subtract, Take, Transpose, Unsqueeze,
)  # fmt: skip


def image_channels(network: Network) -> int:
    """Channels of the image: 1 or 3, or 0 where no input is an image."""
    name = next(iter(network.inputs))
    shape = network.default_shape(name)
    if len(shape) != 4:
        return 0
    channels = shape[network.preprocess.channel_axis if network.preprocess else 1]
    return channels if channels in (1, 3) else 0


def coloured_values(network: Network) -> set[str]:
    """The image, and all values in which only its colours have changed, affinely."""
    channels = image_channels(network)
    found = {next(iter(network.inputs))} if channels else set[str]()
    for node in network.nodes:
        if any(o in found for o in node.operands) and _colours(network, node, found, channels):
            found.add(node.name)
    return found


def _colours(network: Network, node: Node, image: set[str], channels: int) -> bool:
    """Whether a block only changes each pixel's colour, affinely."""
    block, arrays = node.block, network.arrays
    if isinstance(block, Conv):
        w = arrays.get(node.operands[1])
        return w is not None and w.shape == (channels, channels, *[1] * block.window.rank)
    if not isinstance(block, COLOURING):
        return False
    own = [operand for operand in node.operands if operand not in arrays]
    if isinstance(block, (Multiply, Divide)) and len(own) > 1:
        return False
    return all(operand in image for operand in own) and (
        not isinstance(block, Divide) or node.operands[0] in image
    )


def colour_change(network: Network, name: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """A (I, channels) and c (I,) of z = A p + c: what flat pictures become at their centre."""
    how, image = network.preprocess, next(iter(network.inputs))
    seen = []
    for pixel in np.concatenate([np.zeros((1, channels)), np.eye(channels)]):  # black, red, ...
        x = np.zeros(network.default_shape(image), network.dtype)
        if how is not None:
            pixel = pixel[::-1] if how.order == "BGR" else pixel
            pixel = (pixel * how.scale - np.array(how.mean)) / np.array(how.std)
        np.moveaxis(x, how.channel_axis if how else 1, -1)[...] = pixel
        z = network.values({image: x}, [name])[name]
        seen.append(z[0, :, z.shape[2] // 2, z.shape[3] // 2].astype(np.float64))
    black, *colours = seen
    return np.stack([colour - black for colour in colours], axis=1), black
