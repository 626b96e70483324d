"""Plans on a card: a frozen network's blocks fused into kernels, and captured as a CUDA graph.

The groups are those of the CPU's plans (see `grouping`). The first run goes kernel by kernel; the
second is captured for inputs of these shapes, and from then on a run is: copy the inputs into the
graph's memory, launch it, copy the results out. So small batches do not wait for launches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minicnn.blocks import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Exp,
    Linear,
    Log,
    Mask,
    MatMul,
    Multiply,
    Packed,
    ReLU,
    Scale,
    Shape,
    Sigmoid,
    Stacked,
    Subtract,
    Tanh,
    Unpool,
)
from minicnn.graph import Node
from minicnn.kernels import Convolution, registry, unpool
from minicnn.kernels.devices import to_device
from minicnn.kernels.gpu import dense
from minicnn.kernels.gpu.ending import MASK, RECTIFY, Ending
from minicnn.kernels.gpu.graphs import Uncapturable
from minicnn.kernels.gpu.images import channels_last, new_image, per_channel
from minicnn.planning.capturable import CAPTURABLE
from minicnn.planning.captured import Captured, KeptBits, give_way
from minicnn.planning.grouping import Group, gates, grouped
from minicnn.planning.packs import Packs

__all__ = ["CardPlan"]

ELEMENTWISE = (Add, Divide, Exp, Log, Multiply, Scale, Sigmoid, Subtract, Tanh)
"""Blocks without a statistic that do the same to every number."""

Values = dict[str, Any]
Statistics = dict[str, Packed]


class CardPlan:
    """A network laid out for inputs of given shapes on a card; parameters as those of `Plan`."""

    def __init__(
        self,
        nodes: Sequence[Node],
        arrays: Mapping[str, Any],
        shapes: Mapping[str, Shape],
        wanted: Sequence[str],
        keeping: Collection[str],
        packs: Packs,
        foreign: Collection[str] = (),
    ) -> None:
        self.wanted, self.keeping = list(wanted), set(keeping)
        self.shapes, self.arrays, self._packs = dict(shapes), arrays, packs
        self._foreign = set(foreign)
        self.nodes = {node.name: node for node in nodes}
        self.groups = grouped(
            nodes, set(wanted), arrays, self.shapes, self._is_head, self._ends, self._foreign
        )
        self._last: dict[str, int] = {}
        for step, item in enumerate(self.groups):
            reads = item.operands if isinstance(item, Node) else item.reads(arrays)
            self._last.update(dict.fromkeys(reads, step))
        self._bits = [n.name for n in nodes if n.block.bound()]
        self._notes: dict[str, str] = {}
        self._constants: dict[str, Any] = {}
        self._runs, self._wait, self._lock = 0, 1, threading.Lock()
        self._captured: Captured | None = None
        blocks = {name: self.nodes[name] for name in sorted(self.keeping)}
        self._kept = KeptBits({
            name: (self.shapes[name], node.block.levels(self.shapes[node.operands[0]]))
            for name, node in blocks.items()
        })  # fmt: skip
        self.why_eager = self._why_eager()

    # Which kernels

    def _is_head(self, node: Node) -> bool:
        """Whether a kernel with an epilogue, or a packed product, computes a node."""
        block, first = node.block, node.operands[0]
        parameters = node.operands[1:]
        if first in self.arrays or node.name in self._foreign or 0 in self.shapes[node.name]:
            return False
        if not all(name in self.arrays for name in parameters):
            return False
        if isinstance(block, (Conv, ConvTranspose)):
            return len(self.shapes[node.name]) == 4 and self._entry(node)[0].method is not None
        if isinstance(block, (Linear, MatMul)):
            return len(self.shapes[first]) == len(self.arrays[parameters[0]].shape) == 2
        return False

    def _ends(self, node: Node) -> bool:
        block = node.block
        return not isinstance(block, (Conv, ConvTranspose)) or block.groups == 1

    def _problem(self, node: Node) -> Convolution:
        block, w = node.block, self.arrays[node.operands[1]]
        assert isinstance(block, (Conv, ConvTranspose))
        transposed = isinstance(block, ConvTranspose)
        size = self.shapes[node.name if transposed else node.operands[0]][2:]
        return Convolution(
            w.shape[1] * block.groups, w.shape[0], size, block.window, block.groups, transposed
        )

    def _entry(self, node: Node) -> tuple[registry.Entry, str]:
        problem = self._problem(node)
        block = "conv_transpose2d" if problem.transposed else "conv2d"
        return registry.choose(block, problem, "cuda")

    def _why_eager(self) -> str:
        """Why the network cannot be captured; empty if it is to be tried."""
        for item in self.groups:
            if isinstance(item, Node) and not self._is_capturable(item):
                return f"{item.block.kind} at {item.name} may copy from the host"
        return ""

    def _is_capturable(self, node: Node) -> bool:
        """Whether a block that no group holds does all its work on the card, by kernels alone."""
        block = node.block
        if isinstance(block, Concat):
            return self._lies_in_planes(node) and block.axis == 1
        if isinstance(block, Stacked):
            chains = [each for chain in block.parts for each in chain]
            return self._lies_in_planes(node) and all(isinstance(b, CAPTURABLE) for b in chains)
        return isinstance(block, CAPTURABLE)

    # Running

    def run(
        self, inputs: Mapping[str, Any], given: Mapping[str, Packed] | None = None
    ) -> tuple[Values, Statistics]:
        """Run on inputs of the shapes planned for; see `Plan.run`."""
        bits = {name: self.nodes[name].block.bound()[0] for name in self._bits}
        bits.update(given or {})
        with self._lock:
            self._runs += 1
            if self._captured is None and self._runs > self._wait and not self.why_eager:
                self._captured = self._capture(inputs, bits)
            if self._captured is not None:
                found = self._captured.run(inputs, bits)
                if found is not None:
                    return found
                # it gave its memory back; plans that take turns would only capture, so wait longer
                self._captured, self._runs, self._wait = None, 1, 2 * self._wait
        buffer = self._kept.buffer(next(iter(inputs.values())))
        return self.compute(inputs, bits, buffer), self._kept.within(buffer)

    def _capture(self, inputs: Mapping[str, Any], bits: Mapping[str, Packed]) -> Captured | None:
        """A graph; None where there cannot be one, or there is no memory for it now."""
        for attempt in range(2):
            if attempt:  # no longer within the handler, whose error holds what was tried
                give_way(next(iter(inputs.values())))
            try:
                return Captured(self.compute, self._kept, inputs, bits)
            except Uncapturable as error:
                self.why_eager = str(error)
                return None
            except MemoryError:
                continue
        self._runs, self._wait = 1, 2 * self._wait
        return None

    def compute(self, inputs: Mapping[str, Any], bits: Mapping[str, Packed], buffer: Any) -> Values:
        """Run kernel by kernel; bits asked for go into the buffer."""
        values: Values = dict(inputs)
        kept = self._kept.within(buffer)
        for step, item in enumerate(self.groups):
            if isinstance(item, Node):
                values[item.name] = self._run_block(item, values, bits, kept)
                reads: Sequence[str] = item.operands
            else:
                values[item.name] = self._run_group(item, values, bits, kept)
                reads = item.reads(self.arrays)
            for name in reads:
                if self._last[name] == step and name not in self.wanted:
                    values.pop(name, None)
        return {name: values[name] for name in self.wanted}

    def _run_block(
        self, node: Node, values: Values, bits: Mapping[str, Packed], kept: Statistics
    ) -> Any:
        block = node.block.rebound(bits[node.name]) if node.name in bits else node.block
        operands = [self.arrays[o] if o in self.arrays else values[o] for o in node.operands]
        if isinstance(block, Concat) and self._lies_in_planes(node) and block.axis == 1:
            return self._side_by_side(node, operands)
        if isinstance(block, Stacked) and self._lies_in_planes(node):
            return self._stacked(node, block, operands[0])
        if isinstance(block, ELEMENTWISE) and self._are_alike(node, operands):
            last = [x.transpose(0, 2, 3, 1) for x in operands]  # which CuPy's results keep
            return block.forward(*last)[0].transpose(0, 3, 1, 2)
        y, statistic = block.forward(*operands)
        if statistic is not None and node.name in self.keeping:
            kept[node.name].planes[...] = statistic.planes
        return y

    def _lies_in_planes(self, node: Node) -> bool:
        return len(self.shapes[node.name]) == 4 and node.name not in self._foreign

    def _are_alike(self, node: Node, operands: Sequence[Any]) -> bool:
        """Whether all are images of the result's shape."""
        shape = self.shapes[node.name]
        return self._lies_in_planes(node) and all(x.shape == shape for x in operands)

    def _side_by_side(self, node: Node, operands: Sequence[Any]) -> Any:
        """A concatenation of channels, with channels last."""
        y, first = new_image(operands[0], self.shapes[node.name]), 0
        for x in operands:
            y[:, first : first + x.shape[1]] = x
            first += x.shape[1]
        return y

    def _stacked(self, node: Node, block: Stacked, x: Any) -> Any:
        """Chains side by side in the batch; unpoolings by the same switches are one."""
        chains = block.parts
        alike = [c[0] for c in chains if len(c) == 1 and isinstance(c[0], Unpool)]
        if len(alike) == len(chains) and len({id(b.switches) for b in alike}) == 1:
            first = alike[0]
            return unpool(x, first.switches, first.window, first.size)
        y, rows = new_image(x, self.shapes[node.name]), len(x) // len(chains)
        for i, chain in enumerate(chains):
            part = x[i * rows : (i + 1) * rows]
            for each in chain:
                part = each.forward(part)[0]
            y[i * rows : (i + 1) * rows] = part
        return y

    def _run_group(
        self, group: Group, values: Values, bits: Mapping[str, Packed], kept: Statistics
    ) -> Any:
        y_shape = self.shapes[group.name]
        head = group.head
        source = values[group.source] if head is None else values[self._source(group)]
        y = new_image(source, y_shape)
        ending = self._ending(group, y, values, bits, kept)
        if head is None:
            self._notes[group.name] = "end: only what an epilogue does"
            ending.finish(channels_last(source), y)
        elif isinstance(head.block, (Conv, ConvTranspose)):
            self._convolve(group, head, source, y, ending)
        else:
            self._notes[head.name] = "dense: weights packed"
            w = self.arrays[head.operands[1]]
            is_linear = isinstance(head.block, Linear)
            packed = self._packs.get(
                w, ("card dense", is_linear), lambda: [dense.pack(w.T if is_linear else w)]
            )[0]
            if len(head.operands) > 2:
                ending = ending.with_bias(per_channel(self._repeated(head, y_shape[1]), y))
            dense.linear(source, packed, y, ending)
        return y

    def _repeated(self, head: Node, columns: int) -> Any:
        """A linear layer's bias, which may be one number for all."""
        return np.broadcast_to(self.arrays[head.operands[2]].reshape(-1), (columns,))

    def _source(self, group: Group) -> str:
        front = group.before or group.head
        assert front is not None
        return next(o for o in front.operands if o not in self.arrays)

    def _convolve(self, group: Group, head: Node, x: Any, y: Any, ending: Ending) -> None:
        problem, (entry, why) = self._problem(head), self._entry(head)
        self._notes[head.name] = f"{entry.name}: {why}"
        method, w = entry.method, self.arrays[head.operands[1]]
        how: tuple[Any, ...] = ("card", method.name, problem.transposed, problem.groups)
        gains = None
        if group.before is not None:
            name = next(o for o in group.before.operands if o in self.arrays)
            shape = (-1, 1, 1, 1) if problem.transposed else (1, -1, 1, 1)
            how, gains = (*how, name), self.arrays[name].reshape(shape)

        def pack() -> list[Any]:
            filters = w if gains is None else w * gains
            return [method.pack(filters, problem.groups, problem.transposed)]

        packed = self._packs.get(w, how, pack)[0]
        if len(head.operands) > 2:
            ending = ending.with_bias(per_channel(self.arrays[head.operands[2]], y))
        method.run(channels_last(x), packed, problem, y, ending)

    def _ending(
        self, group: Group, y: Any, values: Values, bits: Mapping[str, Packed], kept: Statistics
    ) -> Ending:
        """What the blocks after a group's head do, as an epilogue."""
        ending = Ending()
        running = group.head.name if group.head else group.source
        for node in group.tails:
            block = node.block
            if isinstance(block, BatchNorm):
                scale, shift = self._once(node, partial(self._norm, node, y))
                ending = replace(ending, scale=scale, shift=shift)
            elif isinstance(block, Scale):
                scale = self._once(node, partial(_constant, block.factor, y))
                ending = replace(ending, scale=scale)
            elif isinstance(block, Multiply):
                factor = next(self.arrays[o] for o in node.operands if o in self.arrays)
                ending = replace(ending, scale=self._once(node, partial(per_channel, factor, y)))
            elif isinstance(block, Add):
                other = next(o for o in node.operands if o != running)
                ending = replace(ending, residual=channels_last(values[other]))
            elif isinstance(block, Mask):
                ending = replace(ending, mode=ending.mode | MASK, mask=bits[node.name])
            elif isinstance(block, Stacked):
                found = gates(block)
                assert found is not None
                mask, modes = found
                each = y.shape[0] // len(modes)
                table = self._packs.get_table((tuple(modes), each), partial(_modes, modes, each, y))
                ending = replace(ending, modes=table, mask=bits[node.name] if mask else None)
            elif isinstance(block, ReLU):
                signs = kept.get(node.name)
                ending = replace(ending, mode=ending.mode | RECTIFY, signs=signs)
            running = node.name
        return ending

    def _once(self, node: Node, make: Callable[[], Any]) -> Any:
        """Numbers that are the same in every run, made in the first."""
        if node.name not in self._constants:
            self._constants[node.name] = make()
        return self._constants[node.name]

    def _norm(self, node: Node, y: Any) -> tuple[Any, Any]:
        """A frozen batch norm's gain and shift of each channel."""
        block = node.block
        assert isinstance(block, BatchNorm)
        gain, shift = block.frozen(*(self.arrays[o] for o in node.operands[1:]))
        return per_channel(gain, y), per_channel(shift, y)

    # Showing

    @property
    def note(self) -> str:
        """Whether runs are launched as one graph, and if not why."""
        captured = self._captured
        if self.why_eager:
            return f"launched kernel by kernel, for {self.why_eager}"
        if captured is None or captured.graph is None:
            return f"run {self._wait + 1} with these shapes is captured as a CUDA graph"
        return "captured as a CUDA graph: launched as one"

    @property
    def arena_bytes(self) -> int:
        """Bytes that the captured graph holds; 0 before there is one."""
        captured = self._captured
        return captured.nbytes if captured else 0

    def explained(self) -> list[tuple[str, str, str, Shape]]:
        """For each step: what runs as one, by which kernel and why, and the result's shape."""
        rows = []
        for item in self.groups:
            if isinstance(item, Group):
                kinds = [node.block.kind for node in item.nodes]
                key = item.head.name if item.head else item.name
                if item.head and isinstance(item.head.block, (Conv, ConvTranspose)):
                    entry, why = self._entry(item.head)
                    note = f"{entry.name}: {why}"
                else:
                    note = self._notes.get(key, "dense" if item.head else "end")
            else:
                kinds, note = [item.block.kind], "block: runs as it is"
            rows.append((item.name, " + ".join(kinds), note, self.shapes[item.name]))
        return rows


def _constant(number: float, y: Any) -> Any:
    """The same number for each channel."""
    return np.full_like(y, number, shape=(y.shape[1],))


def _modes(modes: Sequence[int], each: int, like: Any) -> Any:
    """An epilogue's mode for each image."""
    table = np.repeat(np.array(modes, np.int32), each)
    return to_device(table, f"cuda:{like.device.id}")
