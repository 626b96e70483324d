"""A network divided into stages: blocks that run as one on parts of images.

A stage reads values from outside through any windows (its heads); all else in it works at the same
place of the image, a convolution of one pixel, a ReLU, a concatenation. So the boxes of all its
values are that of its output, only what it reads from outside is larger, and the whole stage is one
small network that runs on parts:

    e1 = relu(conv1x1(s)),  e3 = relu(conv3x3(s)),  relu(conv1x1(concat(e1, e3)))     one stage

Where the heads read different hulls of a source, they share the largest, and each crops its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from minicnn.blocks import BatchNorm, Block, Conv, Flatten, Linear, Reshape, Shape, Slice
from minicnn.blocks.sight import Box, is_empty, union
from minicnn.graph import Node
from minicnn.network import Network

__all__ = ["Source", "Stage", "stages"]

Reader = tuple[Node, int]
"""A node and which of its operands it reads."""


@dataclass(frozen=True)
class Source:
    """How a stage reads a value from outside.

    Parameters
    ----------
    readers : sequence of (Node, int)
        The nodes that read it, and as which operand.
    first, stride, extent : tuple of int
        Output place o reads [stride o + first, stride o + first + extent) of each axis.
    filling : float
        What lies beyond the image.
    """

    readers: Sequence[Reader]
    first: tuple[int, int]
    stride: tuple[int, int]
    extent: tuple[int, int]
    filling: float


@dataclass(frozen=True, eq=False)
class Stage:
    """Some nodes that run as one.

    Parameters
    ----------
    nodes : sequence of Node
        In running order; the last gives the stage's value.
    sources : dict
        What it reads from outside that depends on the input, and how; None where it must be whole.
    whole, part : Network
        The nodes on whole values, and on parts; None where they do not run on parts.
    shapes : mapping
        Of all values of the network.
    """

    nodes: Sequence[Node]
    sources: dict[str, Source | None]
    whole: Network
    part: Network | None
    shapes: dict[str, Shape]
    _known: dict[tuple[str, int, int, int], tuple[int, int] | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its value."""
        return self.nodes[-1].name

    @property
    def shape(self) -> Shape:
        """Of its value."""
        return self.shapes[self.name]

    @property
    def channels(self) -> int:
        """Of all its values together."""
        return sum(self.shapes[node.name][1] for node in self.nodes)

    @property
    def flattened(self) -> str | None:
        """The weights of a linear layer that reads a flattened map, where the stage is one."""
        if len(self.nodes) == 2 and isinstance(self.nodes[1].block, Linear):
            return self.nodes[1].operands[1]
        return None

    def reached(self, name: str, axis: int, first: int, end: int) -> tuple[int, int] | None:
        """Which places of its value a span of a source reaches, along an axis; None: all.

        A span that reaches nothing gives one place: it is computed as it was.
        """
        key = (name, axis, first, end)
        if key not in self._known:
            self._known[key] = self._reached(name, axis, first, end)
        return self._known[key]

    def _reached(self, name: str, axis: int, first: int, end: int) -> tuple[int, int] | None:
        other = (0, self.shapes[name][3 - axis])
        box = ((first, end), other) if axis == 0 else (other, (first, end))
        total: Box = ((0, 0),)
        at = 0
        for node in self.nodes:
            for wrt, operand in enumerate(node.operands):
                if operand == name:
                    shapes = [self.shapes[o] for o in node.operands]
                    found = node.block.reached(wrt, shapes, box)
                    if found is None:
                        return None
                    total = union(total, found[axis : axis + 1])
                    at = found[axis][0]
        if is_empty(total):
            at = min(max(at, 0), self.shape[2 + axis] - 1)
            return (at, at + 1)
        return total[0]


def stages(network: Network, shapes: dict[str, Shape], wanted: Sequence[str]) -> list[Stage]:
    """Divide the part of a network that its input's changes reach.

    Parameters
    ----------
    network : Network
        With one input.
    shapes : dict
        Of all its values and arrays.
    wanted : sequence of str
        The values asked for: each is the value of a stage.

    Returns
    -------
    list of Stage
        In running order.
    """
    return _Division(network, shapes, wanted).made()


class _Division:
    """The walk that groups nodes."""

    def __init__(self, network: Network, shapes: dict[str, Shape], wanted: Sequence[str]) -> None:
        self.network, self.shapes, self.wanted = network, shapes, set(wanted)
        self.nodes = self._depending(network.needed(list(wanted)))
        self.varying = {node.name for node in self.nodes} | set(network.inputs)
        self.readers: dict[str, int] = {}
        for node in self.nodes:
            for operand in node.operands:
                self.readers[operand] = self.readers.get(operand, 0) + 1

    def made(self) -> list[Stage]:
        """All stages."""
        groups: dict[str, list[Node]] = {}  # by the value that they give
        order = {node.name: i for i, node in enumerate(self.nodes)}
        for node in self.nodes:
            before = [
                groups[operand]
                for operand in dict.fromkeys(node.operands)
                if operand in groups and self._joins(node, operand, groups[operand])
            ]
            own = sorted([n for group in before for n in group], key=lambda n: order[n.name])
            if not before or self._sources([*own, node]) is None:
                own, before = [], []
            for group in before:
                del groups[group[-1].name]
            groups[node.name] = [*own, node]
        return [self._stage(groups[node.name]) for node in self.nodes if node.name in groups]

    def _depending(self, nodes: Sequence[Node]) -> list[Node]:
        """Those nodes whose values depend on the input."""
        depending, found = set(self.network.inputs), []
        for node in nodes:
            if depending.intersection(node.operands):
                depending.add(node.name)
                found.append(node)
        return found

    def _joins(self, node: Node, operand: str, group: Sequence[Node]) -> bool:
        """Whether a node runs as one with the group that gives an operand, which it alone reads."""
        if self.readers[operand] > 1 or operand in self.wanted:
            return False
        if len(group) == 1 and self._flattens(group[0]):
            return isinstance(node.block, Linear) and node.operands[1] in self.network.arrays
        if not (self._runs_on_parts(node) and all(map(self._runs_on_parts, group))):
            return False
        shapes = [self.shapes[o] for o in node.operands]
        here = ((3, 5), (1, 4))
        return node.block.reads(node.operands.index(operand), shapes, here) == here

    def _flattens(self, node: Node) -> bool:
        """Whether a block makes a vector of each image's map."""
        before, after = self.shapes[node.operands[0]], self.shapes[node.name]
        moves = isinstance(node.block, (Flatten, Reshape))
        return moves and len(before) == 4 and after == (1, before[1] * before[2] * before[3])

    def _runs_on_parts(self, node: Node) -> bool:
        """Whether a block runs on parts: it says so, and its constants are the same everywhere."""
        values = [node.name, *(o for o in node.operands if o in self.varying)]
        if node.block.on_part() is None or any(len(self.shapes[v]) != 4 for v in values):
            return False
        if not node.block.pointwise or isinstance(node.block, BatchNorm):
            return True
        arrays = [self.shapes[o] for o in node.operands if o not in self.varying]
        return all(not shape or (len(shape) > 2 and shape[-2:] == (1, 1)) for shape in arrays)

    def _sources(self, nodes: Sequence[Node]) -> dict[str, Source | None] | None:
        """What a group reads from outside, and how; None where its readers do not go together."""
        made = {node.name for node in nodes}
        readers: dict[str, list[Reader]] = {}
        for node in nodes:
            for wrt, operand in enumerate(node.operands):
                if operand in self.varying and operand not in made:
                    readers.setdefault(operand, []).append((node, wrt))
        if not all(map(self._runs_on_parts, nodes)):
            return dict.fromkeys(readers)
        found: dict[str, Source | None] = {}
        for name, own in readers.items():
            source = self._source(own)
            if source is None:
                return None
            found[name] = source
        return found

    def _source(self, readers: Sequence[Reader]) -> Source | None:
        """How nodes read a value together; None where their strides or fillings differ."""
        hulls = [self._read(reader, ((0, 1), (0, 1))) for reader in readers]
        nexts = [self._read(reader, ((1, 2), (1, 2))) for reader in readers]
        strides = {
            (b[0][0] - a[0][0], b[1][0] - a[1][0]) for a, b in zip(hulls, nexts, strict=True)
        }
        fillings = {node.block.filling for node, _ in readers if not node.block.pointwise}
        if len(strides) > 1 or len(fillings) > 1:
            return None
        hull = hulls[0]
        for other in hulls[1:]:
            hull = union(hull, other)
        return Source(
            readers,
            first=(hull[0][0], hull[1][0]),
            stride=next(iter(strides)),
            extent=(hull[0][1] - hull[0][0], hull[1][1] - hull[1][0]),
            filling=next(iter(fillings), 0.0),
        )

    def _read(self, reader: Reader, box: Box) -> Box:
        node, wrt = reader
        read = node.block.reads(wrt, [self.shapes[o] for o in node.operands], box)
        assert read is not None, f"{node.name} runs on parts"
        return read

    def _stage(self, nodes: Sequence[Node]) -> Stage:
        sources = self._sources(nodes)
        assert sources is not None
        whole = self._piece(nodes, list(sources))
        part = None
        if all(sources.values()):
            part = self._piece(self._on_parts(nodes, sources), list(sources))
        return Stage(nodes, sources, whole, part, self.shapes)

    def _on_parts(self, nodes: Sequence[Node], sources: dict[str, Source | None]) -> list[Node]:
        """The nodes for parts: windows without pads, each reader with its own share of a part."""
        found: list[Node] = []
        for node in nodes:
            block = node.block.on_part()
            assert block is not None
            operands = list(node.operands)
            for wrt, operand in enumerate(node.operands):
                source = sources.get(operand)
                crop = self._crop((node, wrt), source) if source else (0, 0, 0, 0)
                if any(crop) and isinstance(block, Conv):
                    pads = tuple(-n for n in crop)
                    block = Conv(replace(block.window, pads=pads), block.groups)
                elif any(crop):
                    operands[wrt] = f"{node.name}/part{wrt}"
                    found.append(Node(operands[wrt], _cropping(crop), (operand,)))
            found.append(replace(node, block=block, operands=tuple(operands)))
        return found

    def _crop(self, reader: Reader, source: Source) -> tuple[int, int, int, int]:
        """What a reader leaves out of a source's part: top, left, bottom, right."""
        (top, bottom), (left, right) = self._read(reader, ((0, 1), (0, 1)))
        first, extent = source.first, source.extent
        return (
            top - first[0],
            left - first[1],
            first[0] + extent[0] - bottom,
            first[1] + extent[1] - right,
        )

    def _piece(self, nodes: Sequence[Node], sources: Sequence[str]) -> Network:
        """Some nodes as a network of their own, for images of any size and number."""
        used = {operand for node in nodes for operand in node.operands}
        return self.network.derived(
            name=nodes[-1].name,
            inputs={
                name: (None, *self.shapes[name][1:2], *[None] * (len(self.shapes[name]) - 2))
                for name in sources
            },
            nodes=list(nodes),
            outputs=[nodes[-1].name],
            arrays={name: a for name, a in self.network.arrays.items() if name in used},
            preprocess=None,
            labels=(),
            mirror=None,
            typical={name: self.shapes[name] for name in sources},
        )


def _cropping(crop: tuple[int, int, int, int]) -> Block:
    top, left, bottom, right = crop
    rows = slice(top, -bottom if bottom else None)
    return Slice((slice(None), slice(None), rows, slice(left, -right if right else None)))


def spans_reached(stage: Stage, name: str, axis: int, spans: np.ndarray) -> np.ndarray | None:
    """`Stage.reached` of many spans (N, 2); None where one reaches everything."""
    distinct, inverse = np.unique(spans, axis=0, return_inverse=True)
    found = [stage.reached(name, axis, int(first), int(end)) for first, end in distinct]
    if any(span is None for span in found):
        return None
    return np.array(found, np.int64)[inverse.reshape(-1)]
