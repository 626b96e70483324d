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

from minicnn.blocks import Block, Shape, Transpose
from minicnn.blocks.sight import Box, Span
from minicnn.errors import InputError, UnitError
from minicnn.graph import Node
from minicnn.network import Network

__all__ = ["Field", "receptive_fields"]

NOTHING = (2**31, -(2**31))  # the span of no pixel: a hull with any other is that other


@dataclass(frozen=True, eq=False)
class _Axis:
    """What the units along one axis see of the same axis of the input: pixels first to end - 1."""

    spans: np.ndarray  # (units, 2): first and end, the padding included
    inside: np.ndarray  # (units, 2): without what any layer only pads
    stride: Fraction  # pixels from one unit to the next

    def over(self, units: Span) -> tuple[Span, Span]:
        """The hull of what some units see, with the padding and without."""
        first, end = max(units[0], 0), min(units[1], len(self.spans))
        padded = [u for u in (units[0], units[1] - 1) if not 0 <= u < len(self.spans)]
        beyond = [self._beyond(u) for u in padded if units[0] < units[1]]
        return _hull(self.spans[first:end], *beyond), _hull(self.inside[first:end])

    def _beyond(self, unit: int) -> np.ndarray:
        """What a unit before the first or after the last would see, shape (1, 2)."""
        border = 0 if unit < 0 else len(self.spans) - 1
        return self.spans[border : border + 1] + int((unit - border) * self.stride // 1)

    def joined(self, other: _Axis) -> _Axis:
        """What is seen here or through another path."""
        spans, inside = (
            np.stack([np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])], axis=1)
            for a, b in ((self.spans, other.spans), (self.inside, other.inside))
        )
        return _Axis(spans, inside, max(self.stride, other.stride))


def _hull(*parts: np.ndarray) -> Span:
    """The hull of spans, shape (..., 2)."""
    spans = np.concatenate(parts)
    return (int(spans[:, 0].min()), int(spans[:, 1].max())) if len(spans) else NOTHING


_Axes = tuple[_Axis, ...] | None  # for each spatial axis; None: all is seen


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
    axes: _Axes

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


def _walk(network: Network, known: dict[str, Shape], source: str, image: Shape) -> dict[str, _Axes]:
    """For every value what its units see, from the input up."""
    shapes = {**{name: array.shape for name, array in network.arrays.items()}, **known}
    pixels = [np.stack([np.arange(n), np.arange(n) + 1], axis=1) for n in image]
    found: dict[str, _Axes] = {source: tuple(_Axis(own, own, Fraction(1)) for own in pixels)}
    for node in network.nodes:
        if _puts_channels_first(node, source) and shapes[node.name][2:] == image:
            found[node.name] = found[source]
            continue
        operands = [shapes[operand] for operand in node.operands]
        paths = [
            _through(node.block, wrt, operands, found[operand], shapes[node.name])
            for wrt, operand in enumerate(node.operands)
            if operand in found
        ]
        if paths:
            found[node.name] = _joined(paths)
    return found


def _puts_channels_first(node: Node, source: str) -> bool:
    """Whether a node turns an input (N, H, W, C) into (N, C, H, W)."""
    return node.operands == (source,) and node.block == Transpose((0, 3, 1, 2))


def _through(block: Block, wrt: int, shapes: Sequence[Shape], seen: _Axes, out: Shape) -> _Axes:
    """What the outputs of a block see through one of its operands."""
    size = out[2:]
    if seen is None or len(size) != len(seen):
        return None
    if block.pointwise and shapes[wrt][2:] == size:
        return seen
    reads: list[Box] = []
    for unit in range(max(size) + 1):  # one more, to measure the stride
        box = block.reads(wrt, shapes, tuple((unit, unit + 1) for _ in size))
        if box is None:
            return None
        reads.append(box)
    axes = []
    for place, (axis, count) in enumerate(zip(seen, size, strict=True)):
        read = [box[place] for box in reads[: count + 1]]
        spans, inside = zip(*(axis.over(units) for units in read[:count]), strict=True)
        stride = axis.stride * _step(read, len(axis.spans))
        axes.append(_Axis(np.array(spans), np.array(inside), stride))
    return tuple(axes)


def _step(spans: Sequence[Span], operands: int) -> Fraction:
    """Units of the operand from one output to the next, from what outputs 0..n read."""
    count = len(spans) - 1
    middle = [first for first, _ in spans[count // 4 : count - count // 4]]  # borders may differ
    for period in range(1, len(middle) // 2):
        moves = {b - a for a, b in zip(middle, middle[period:], strict=False)}
        if len(moves) == 1:
            return Fraction(moves.pop(), period)
    if spans[0][0] < spans[0][1] and spans[count][0] < spans[count][1]:
        return Fraction(spans[count][0] - spans[0][0], count)
    return Fraction(operands, count)


def _joined(paths: Sequence[_Axes]) -> _Axes:
    """What is seen through any of several paths."""
    result = paths[0]
    for path in paths[1:]:
        if result is None or path is None:
            return None
        result = tuple(a.joined(b) for a, b in zip(result, path, strict=True))
    return result


def _alike(numbers: Sequence[int] | Sequence[Fraction]) -> str:
    """Numbers with "x" between, or one where they are all the same."""
    return "x".join(map(str, numbers)) if len(set(numbers)) > 1 else str(numbers[0])
