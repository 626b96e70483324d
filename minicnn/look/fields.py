"""Receptive fields: which part of the input each unit of each layer can see, exactly.

Walking up from the input, each block says which units u of its operand an output unit reads
(`Block.reads`), and its field is the hull of theirs:

    field(o) = hull of field(u), u in reads(o)

For a chain of windows with kernels k, strides s, begin pads b and dilations d this gives the known
recurrences (j: stride, r: size, a: first pixel of unit 0)

    j' = j s        r' = r + d (k - 1) j        a' = a - b j

but the walk is exact for branches (a hull of both), asymmetric pads, upsampling (strides that are
fractions, sizes that differ from unit to unit) and at borders, too. What reads a whole value (fully
connected layers, global pools, instance norm) sees all.

Source: A. Araujo, W. Norris, J. Sim, "Computing receptive fields of convolutional neural networks",
Distill 2019, doi:10.23915/distill.00021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from minicnn.blocks import Shape, Transpose
from minicnn.errors import InputError, UnitError
from minicnn.graph import Node
from minicnn.look.seeing import Axes, Axis, joined, through
from minicnn.network import Network

__all__ = ["Field", "receptive_fields"]


@dataclass(frozen=True, eq=False)
class Field:
    """The receptive fields of a layer's units, in pixels of the input.

    Parameters
    ----------
    name : str
        The layer.
    image : tuple of int
        Size of the input: (H, W).
    axes : tuple or None
        For each spatial axis what each unit sees; None: everything.

    Examples
    --------
    >>> import minicnn
    >>> field = receptive_fields(minicnn.load("mnist"))["pool1"]
    >>> field.size, field.stride, field.start, field.centre
    ((6, 6), (Fraction(2, 1), Fraction(2, 1)), (-2, -2), (0.5, 0.5))
    >>> field.box((0, 0)), field.box((0, 0), clip=False)    # top, left, bottom, right
    ((0, 0, 4, 4), (-2, -2, 4, 4))
    """

    name: str
    image: tuple[int, ...]
    axes: Axes

    @property
    def sees_all(self) -> bool:
        """Whether each unit sees the whole input."""
        return self.axes is None

    @property
    def size(self) -> tuple[int, ...] | None:
        """Pixels along each axis, of the largest where they differ; None where all is seen."""
        if self.axes is None:
            return None
        return tuple(max(int((a.spans[:, 1] - a.spans[:, 0]).max()), 0) for a in self.axes)

    @property
    def stride(self) -> tuple[Fraction, ...] | None:
        """Pixels from one unit to the next; None where all is seen."""
        return None if self.axes is None else tuple(axis.stride for axis in self.axes)

    @property
    def start(self) -> tuple[int, ...] | None:
        """First pixel that unit 0 sees: negative in the padding; None where all is seen."""
        return None if self.axes is None else tuple(int(axis.spans[0, 0]) for axis in self.axes)

    @property
    def centre(self) -> tuple[float, ...] | None:
        """Middle of what unit 0 sees; None where all is seen."""
        if self.axes is None:
            return None
        return tuple((int(axis.spans[0].sum()) - 1) / 2 for axis in self.axes)

    def centres(self, axis: int) -> np.ndarray:
        """Middle of what each unit along an axis sees; that of the image where all is seen."""
        if self.axes is None:
            return np.array([(self.image[axis] - 1) / 2])
        return (self.axes[axis].spans.sum(axis=1) - 1) / 2

    def box(self, unit: Sequence[int], clip: bool = True) -> tuple[int, ...]:
        """The part of the input that a unit sees.

        Parameters
        ----------
        unit : sequence of int
            (row, column), perhaps after the channel.
        clip : bool
            Whether to leave out the padding, that of layers in between included.

        Returns
        -------
        tuple of int
            (top, left, bottom, right), the last two not included.

        Raises
        ------
        UnitError
            If there is no such unit.
        """
        if self.axes is None:
            return (*(0 for _ in self.image), *self.image)
        place = tuple(unit)[len(unit) - len(self.axes) :]
        counts = tuple(len(axis.spans) for axis in self.axes)
        if len(place) != len(counts) or not all(
            0 <= i < n for i, n in zip(place, counts, strict=True)
        ):
            raise UnitError(
                f"{self.name} has no unit {','.join(map(str, unit))}: its maps are "
                f"{' x '.join(map(str, counts))}."
            )
        seen = [axis.inside if clip else axis.spans for axis in self.axes]
        spans = [own[i].tolist() for own, i in zip(seen, place, strict=True)]
        spans = [(first, end) if first < end else (0, 0) for first, end in spans]
        return (*(first for first, _ in spans), *(end for _, end in spans))

    def spoken(self) -> tuple[str, str]:
        """Size and stride in words, as tables show them: ("43", "8"), ("all", "")."""
        if self.size is None or self.stride is None:
            return "all", ""
        return _alike(self.size), _alike(self.stride)


def receptive_fields(network: Network, *shapes: Shape, of: str | None = None) -> dict[str, Field]:
    """The receptive field of every value.

    Parameters
    ----------
    network : Network
        Its structure alone counts; nothing is run.
    *shapes : tuple of int
        Shapes of the inputs; by default those of usual images.
    of : str, optional
        The input that is looked at; by default the first.

    Returns
    -------
    dict of Field
        By value, the input among them; without those that do not depend on the input.

    Raises
    ------
    InputError
        If there is no such input, or it is no image.
    """
    source = of or next(iter(network.inputs))
    if source not in network.inputs:
        raise InputError(f"{network.name} has no input {source}: {', '.join(network.inputs)}.")
    known = network.infer_shapes(*shapes)
    if len(known[source]) < 3:
        raise InputError(
            f"Input {source} has shape {known[source]}: receptive fields are parts of images."
        )
    last = network.preprocess is not None and network.preprocess.layout == "NHWC"
    image = known[source][1:-1] if last else known[source][2:]
    found = _walk(network, known, source, image)
    return {name: Field(name, image, axes) for name, axes in found.items()}


def _walk(network: Network, known: dict[str, Shape], source: str, image: Shape) -> dict[str, Axes]:
    """For every value what its units see, from the input up."""
    shapes = {**{name: array.shape for name, array in network.arrays.items()}, **known}
    pixels = [np.stack([np.arange(n), np.arange(n) + 1], axis=1) for n in image]
    found: dict[str, Axes] = {source: tuple(Axis(own, own, Fraction(1)) for own in pixels)}
    for node in network.nodes:
        if _puts_channels_first(node, source) and shapes[node.name][2:] == image:
            found[node.name] = found[source]
            continue
        operands = [shapes[operand] for operand in node.operands]
        paths = [
            through(node.block, wrt, operands, found[operand], shapes[node.name])
            for wrt, operand in enumerate(node.operands)
            if operand in found
        ]
        if paths:
            found[node.name] = joined(paths)
    return found


def _puts_channels_first(node: Node, source: str) -> bool:
    """Whether a node turns an input (N, H, W, C) into (N, C, H, W)."""
    return node.operands == (source,) and node.block == Transpose((0, 3, 1, 2))


def _alike(numbers: Sequence[int] | Sequence[Fraction]) -> str:
    """Numbers with "x" between, or one where they are all the same."""
    return "x".join(map(str, numbers)) if len(set(numbers)) > 1 else str(numbers[0])
