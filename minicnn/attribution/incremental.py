"""Running a network again where only a box of its input has changed: exact, and only what changed.

Every value of the clean run is kept once. A changed box reaches a box of the next value, computed
from the part that this box reads: the clean value with the changed box pasted in. So each block
runs on parts, many changes in one batch,

    box  ->  reached(box)  ->  reads(reached(box))  ->  the block on that part,

until a block that mixes all places (a fully connected layer) takes the whole. The first of those is
linear and gets the difference to the clean run, place by place: a low-rank update of its output.

All boxes of a batch have the size of the largest at each layer: what is computed too much is what
was there before.

Source: Nakandala, Kumar and Papakonstantinou, "Incremental and approximate inference for faster
occlusion-based deep CNN explanations" (Krypton), SIGMOD 2019; geometry: `blocks.sight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from minicnn import kernels
from minicnn.blocks import BatchNorm, Flatten, Linear, Reshape
from minicnn.blocks.sight import is_empty
from minicnn.errors import InputError
from minicnn.graph import Node
from minicnn.network import Network

__all__ = ["Change", "Incremental"]

FAR = 1 << 30  # a place that no part reaches
DENSE = 0.7  # share of a map from which on a matrix product with all of it is as fast


@dataclass(frozen=True, eq=False)
class Change:
    """A value of several runs, as far as it differs from the clean one.

    Parameters
    ----------
    values : numpy.ndarray, shape (N, C, h, w), or of any other rank
        The boxes; where there are no `places`, the whole values.
    places : numpy.ndarray of int, shape (N, 2), or None
        Top and left of each box.
    """

    values: np.ndarray
    places: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Stage:
    """One block that moves over images, and the pointwise ones after it, run as one network.

    Parameters
    ----------
    nodes : sequence of Node
        The block first.
    operands : tuple of str
        Which values it reads that depend on the input.
    whole, part : Network
        The same on whole operands, and on parts; None where there is no such thing.
    """

    nodes: Sequence[Node]
    operands: tuple[str, ...]
    whole: Network
    part: Network | None
    known: dict[tuple[str, int, int, int], tuple[int, int] | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.nodes[-1].name


class Incremental:
    """A network and one clean input of it.

    Parameters
    ----------
    network : Network
        With one image as input.
    x : numpy.ndarray, shape (1, C, H, W)
        The clean input.
    wanted : sequence of str
        The values that are asked for.

    Attributes
    ----------
    clean : dict
        Values of the clean run by name.
    """

    def __init__(self, network: Network, x: np.ndarray, wanted: Sequence[str]) -> None:
        if x.ndim != 4 or len(x) != 1 or len(network.inputs) != 1:
            raise InputError(f"One image (1, C, H, W) is changed box by box; got {x.shape}.")
        self.network = network
        self.wanted = [network.value_name(name) for name in wanted]
        self.source = next(iter(network.inputs))
        network.check_input(self.source, network.inputs[self.source], x)
        self._shapes = network.infer_shapes(x.shape)
        self._shapes |= {name: array.shape for name, array in network.arrays.items()}
        self._widest = 0
        self._matrices: dict[str, np.ndarray] = {}
        self._stages = self._divided()
        names = [stage.name for stage in self._stages]
        self.clean = {self.source: x, **network.values({self.source: x}, names)}

    def run(self, change: Change) -> dict[str, Change]:
        """The wanted values where the input is changed.

        Parameters
        ----------
        change : Change
            Of the input: one box for each run.

        Returns
        -------
        dict
            A `Change` for each wanted value.
        """
        found = {self.source: change}
        last = {name: i for i, stage in enumerate(self._stages) for name in stage.operands}
        for i, stage in enumerate(self._stages):
            found[stage.name] = self._run(stage, found)
            for name in stage.operands:
                if last[name] == i and name not in self.wanted:
                    found.pop(name, None)
        return {name: found[name] for name in self.wanted}

    def whole(self, name: str, change: Change) -> np.ndarray:
        """A changed value in full: (N, C, H, W), or what shape it has."""
        if change.places is None:
            return change.values
        rows, columns = self._shapes[name][2:]
        zeros = np.zeros_like(change.places)
        return self._parts(name, change, zeros, (rows, columns), 0.0)

    def bytes_each(self, size: tuple[int, int]) -> int:
        """Bytes that one run takes at its widest stage, for a box of this size in the middle."""
        x = self.clean[self.source]
        top, left = ((n - m) // 2 for n, m in zip(x.shape[2:], size, strict=True))
        box = x[:, :, top : top + size[0], left : left + size[1]]
        self._widest = box.nbytes
        self.run(Change(box, np.array([[top, left]])))
        return self._widest

    # Stages

    def _divided(self) -> list[_Stage]:
        """The network as stages."""
        network = self.network
        nodes = self._depending(network.needed(self.wanted))
        readers: dict[str, int] = {}
        for node in nodes:
            for operand in node.operands:
                readers[operand] = readers.get(operand, 0) + 1
        groups: list[list[Node]] = []
        at: dict[str, list[Node]] = {}
        for node in nodes:
            varying = [o for o in node.operands if o in at or o == self.source]
            before = at.get(varying[0]) if len(varying) == 1 else None
            alone = len(varying) == 1 and readers[varying[0]] == 1
            if before is not None and alone and self._joins(node, before):
                before.append(node)
                at[node.name] = before
            else:
                groups.append([node])
                at[node.name] = groups[-1]
        return [self._stage(group, set(at) | {self.source}) for group in groups]

    def _joins(self, node: Node, before: Sequence[Node]) -> bool:
        """Whether a block runs as one with those before it, whose last value it alone reads."""
        if before[-1].name in self.wanted:
            return False
        if len(before) == 1 and self._flattens(before[0]):
            return isinstance(node.block, Linear)
        return node.block.pointwise and self._runs_on_parts(node) and self._runs_on_parts(before[0])

    def _flattens(self, node: Node) -> bool:
        """Whether a block makes a vector of each image's map."""
        before, after = self._shapes[node.operands[0]], self._shapes[node.name]
        moves = isinstance(node.block, (Flatten, Reshape))
        return moves and len(before) == 4 and after == (1, before[1] * before[2] * before[3])

    def _depending(self, nodes: Sequence[Node]) -> list[Node]:
        """Those nodes whose values depend on the input."""
        depending, found = {self.source}, []
        for node in nodes:
            if depending.intersection(node.operands):
                depending.add(node.name)
                found.append(node)
        return found

    def _runs_on_parts(self, node: Node) -> bool:
        """Whether a block runs on parts: it says so, and its constants are the same everywhere."""
        if node.block.on_part() is None or len(self._shapes[node.name]) != 4:
            return False
        if not node.block.pointwise or isinstance(node.block, BatchNorm):
            return True
        shapes = [self._shapes[o] for o in node.operands if o in self.network.arrays]
        return all(not shape or (len(shape) > 2 and shape[-2:] == (1, 1)) for shape in shapes)

    def _stage(self, nodes: Sequence[Node], varying: set[str]) -> _Stage:
        operands = tuple(dict.fromkeys(o for o in nodes[0].operands if o in varying))
        part = None
        images = all(len(self._shapes[name]) == 4 for name in operands)
        if images and self._runs_on_parts(nodes[0]):
            block = nodes[0].block.on_part()
            assert block is not None
            part = self._piece([replace(nodes[0], block=block), *nodes[1:]], operands)
        return _Stage(nodes, operands, self._piece(nodes, operands), part)

    def _piece(self, nodes: Sequence[Node], operands: tuple[str, ...]) -> Network:
        """Some nodes as a network of their own, for images of any size and number."""
        used = {operand for node in nodes for operand in node.operands}
        free = {
            name: (None, self._shapes[name][1], *[None] * (len(self._shapes[name]) - 2))
            for name in operands
        }
        return self.network.derived(
            name=nodes[-1].name,
            inputs=free,
            nodes=list(nodes),
            outputs=[nodes[-1].name],
            arrays={name: a for name, a in self.network.arrays.items() if name in used},
            preprocess=None,
            labels=(),
            mirror=None,
            typical={name: self._shapes[name] for name in operands},
        )

    # One stage

    def _run(self, stage: _Stage, found: Mapping[str, Change]) -> Change:
        boxes = self._reached(stage, found)
        if boxes is None:
            return self._run_whole(stage, found)
        shape = self._shapes[stage.name]
        size = (boxes[:, 1] - boxes[:, 0]).max(0)  # (rows, columns)
        places = np.minimum(boxes[:, 0], np.array(shape[2:]) - size)  # (N, 2)
        if stage.part is None:
            values = self._run_whole(stage, found).values
            return Change(_cut(values, places, size), places)
        head = stage.nodes[0]
        shapes = [self._shapes[operand] for operand in head.operands]
        inputs = {}
        for wrt, name in enumerate(head.operands):
            if name in stage.operands:
                first = ((0, int(size[0])), (0, int(size[1])))
                read = head.block.reads(wrt, shapes, first)
                step = head.block.reads(wrt, shapes, ((1, 2), (1, 2)))
                one = head.block.reads(wrt, shapes, ((0, 1), (0, 1)))
                assert read is not None
                assert step is not None
                assert one is not None
                stride = np.array([step[0][0] - one[0][0], step[1][0] - one[1][0]])
                tops = places * stride + np.array([read[0][0], read[1][0]])
                extent = (read[0][1] - read[0][0], read[1][1] - read[1][0])
                inputs[name] = self._parts(name, found[name], tops, extent, head.block.filling)
        values = stage.part.values(inputs, [stage.name])[stage.name]
        nbytes = values.nbytes + sum(array.nbytes for array in inputs.values())
        self._widest = max(self._widest, nbytes // len(values))
        return Change(values, places)

    def _run_whole(self, stage: _Stage, found: Mapping[str, Change]) -> Change:
        """Run on whole operands; a fully connected layer takes the difference alone."""
        update = self._low_rank(stage, found)
        if update is not None:
            return Change(update)
        inputs = {name: self.whole(name, found[name]) for name in stage.operands}
        nbytes = sum(array.nbytes for array in inputs.values())
        self._widest = max(self._widest, nbytes // len(next(iter(inputs.values()))))
        return Change(stage.whole.values(inputs, [stage.name])[stage.name])

    def _reached(self, stage: _Stage, found: Mapping[str, Change]) -> np.ndarray | None:
        """The boxes of a stage's output that change, (N, 2, 2): firsts and ends; None: all of it.

        Boxes that reach nothing become one place: it is computed as it was.
        """
        head, shape = stage.nodes[0], self._shapes[stage.name]
        if len(shape) != 4:
            return None
        total: np.ndarray | None = None
        for wrt, name in enumerate(head.operands):
            if name not in stage.operands:
                continue
            change = found[name]
            if change.places is None:
                return None
            ends = change.places + np.array(change.values.shape[2:])
            own = np.empty((len(ends), 2, 2), np.int64)
            for axis in (0, 1):
                for n, (first, end) in enumerate(
                    zip(change.places[:, axis].tolist(), ends[:, axis].tolist(), strict=True)
                ):
                    span = self._span(stage, wrt, axis, first, end)
                    if span is None:
                        return None
                    own[n, :, axis] = span
            if total is None:
                total = own
            else:
                total[:, 0] = np.minimum(total[:, 0], own[:, 0])
                total[:, 1] = np.maximum(total[:, 1], own[:, 1])
        return total

    def _span(
        self, stage: _Stage, wrt: int, axis: int, first: int, end: int
    ) -> tuple[int, int] | None:
        """What a span of one axis of an operand reaches, remembered."""
        head = stage.nodes[0]
        key = (head.operands[wrt], axis, first, end)
        if key not in stage.known:
            shapes = [self._shapes[operand] for operand in head.operands]
            other = (0, shapes[wrt][3 - axis])
            box = ((first, end), other) if axis == 0 else (other, (first, end))
            reached = head.block.reached(wrt, shapes, box)
            if reached is None:
                stage.known[key] = None
            elif is_empty(reached[axis : axis + 1]):
                length = self._shapes[stage.name][2 + axis]
                at = min(max(reached[axis][0], 0), length - 1)
                stage.known[key] = (at, at + 1)
            else:
                stage.known[key] = reached[axis]
        return stage.known[key]

    def _parts(
        self, name: str, change: Change, tops: np.ndarray, size: tuple[int, int], filling: float
    ) -> np.ndarray:
        """Parts of a value at `tops`, of a size, with the changed boxes pasted in."""
        places = change.places
        if places is None:
            places = np.zeros_like(tops)
        if change.values.shape[2:] == size and np.array_equal(places, tops):
            return change.values
        both = np.concatenate([tops, places], axis=1)
        return kernels.parts(self.clean[name], change.values, both, size, filling)

    # Fully connected layers

    def _low_rank(self, stage: _Stage, found: Mapping[str, Change]) -> np.ndarray | None:
        """A linear layer of a flattened map: the clean output and W times what has changed."""
        if len(stage.nodes) != 2 or not self._flattens(stage.nodes[0]):
            return None
        source, weights = stage.operands[0], stage.nodes[1].operands[1]
        change = found[source]
        rows, columns = self._shapes[source][2:]
        if change.places is None or weights not in self.network.arrays:
            return None
        size = change.values.shape[2:]
        if size[0] * size[1] > DENSE * rows * columns:
            return None
        nothing = replace(change, places=np.full_like(change.places, FAR))
        old = self._parts(source, nothing, change.places, (size[0], size[1]), 0.0)
        difference = change.values - old  # (N, C, h, w)
        matrices = self._by_place(weights, source)  # (H, W, C, K)
        y = np.repeat(self.clean[stage.name], len(difference), axis=0)  # (N, K)
        for i, j in np.ndindex(rows, columns):
            at = np.array([i, j]) - change.places
            mine = np.flatnonzero(((at >= 0) & (at < np.array(size))).all(1))
            if len(mine):
                y[mine] += difference[mine, :, at[mine, 0], at[mine, 1]] @ matrices[i, j]
        return y

    def _by_place(self, name: str, source: str) -> np.ndarray:
        """Weights (K, C H W) as one matrix (C, K) for each place: (H, W, C, K)."""
        if name not in self._matrices:
            channels, rows, columns = self._shapes[source][1:]
            weights = self.network.arrays[name].reshape(-1, channels, rows, columns)
            self._matrices[name] = np.ascontiguousarray(weights.transpose(2, 3, 1, 0))
        return self._matrices[name]


def _cut(values: np.ndarray, places: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A box of each image."""
    return np.stack(
        [
            image[:, top : top + size[0], left : left + size[1]]
            for image, (top, left) in zip(values, places, strict=True)
        ]
    )
