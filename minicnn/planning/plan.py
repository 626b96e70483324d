"""A plan: a frozen network for inputs of given shapes, as one list of steps and one arena.

What the plan does is what the blocks do one by one; values that nobody asks for are not made where
a kernel's epilogue can do without. Running it costs one call for all blocks between two that have
no kernel.

Source of the idea: inference engines that compile graphs; here the whole of it is a few pages.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from minicnn.blocks import (
    Add,
    BatchNorm,
    Concat,
    Flatten,
    Mask,
    Multiply,
    Packed,
    ReLU,
    Reshape,
    Scale,
    Shape,
    Stacked,
)
from minicnn.graph import Node
from minicnn.kernels import memory
from minicnn.kernels.cpu import ending
from minicnn.kernels.cpu.copying import lay_finished, lay_relaid
from minicnn.kernels.cpu.program import Bound, Image, Place, Program, aligned, bit_steps
from minicnn.kernels.cpu.running import as_image, channels_last
from minicnn.planning.convolutions import takes_any_order
from minicnn.planning.grouping import Group, gates, grouped
from minicnn.planning.lowering import Context
from minicnn.planning.packs import Packs
from minicnn.planning.storage import ARENA, Homes, arena_layout, image_at
from minicnn.planning.table import lowering_of

__all__ = ["Plan", "Statistics"]

REORDERING = (Flatten, Reshape)
NOTHING = np.empty(0, np.uint8)
KEPT = "kept"  # the key of the buffer for masks and switches

Statistics = dict[str, Packed]
"""Masks and switches by node."""


class Plan:
    """A network laid out.

    Parameters
    ----------
    nodes : sequence of Node
        In running order.
    arrays : mapping
        Parameters and constants.
    shapes : mapping
        Shape of every value for these inputs.
    inputs : mapping
        Strides in bytes of each input.
    wanted : sequence of str
        Values asked for.
    keeping : collection of str
        Nodes whose masks or switches are asked for.
    packs : Packs
        Where packed filters are kept.
    foreign : collection of str
        Values that hold integers or truth values: blocks compute them, kernels leave them alone.
    """

    note = ""  # on how it runs: always alike

    def __init__(
        self,
        nodes: Sequence[Node],
        arrays: Mapping[str, np.ndarray],
        shapes: Mapping[str, Shape],
        inputs: Mapping[str, tuple[int, ...]],
        wanted: Sequence[str],
        keeping: Sequence[str],
        packs: Packs,
        foreign: Collection[str] = (),
    ) -> None:
        self.wanted, self.keeping = list(wanted), set(keeping)
        self._foreign = foreign
        self.shapes, self.arrays = dict(shapes), arrays
        self._inputs = dict(inputs)
        self._context = Context(arrays, self.shapes, packs)
        self.groups = grouped(
            nodes, set(wanted), arrays, self.shapes, self._is_head, self._has_epilogue, foreign
        )
        self.nodes = {node.name: node for node in nodes}
        self._find_homes(nodes)
        self._lay_arena()
        self._lay_kept()
        self.segments: list[Program | Node] = []
        self._lay_steps()
        programs = [segment for segment in self.segments if isinstance(segment, Program)]
        buffers: list[Any] = [place.buffer for program in programs for _, place in program.patches]
        self.gates = list(dict.fromkeys(key[1] for key in buffers if key[0] == "given"))
        self._free: list[_Instance] = []
        self._lock = threading.Lock()

    # Laying out

    def _is_head(self, node: Node) -> bool:
        return self._is_image(node.name) and lowering_of(self._context, node) is not None

    def _has_epilogue(self, node: Node) -> bool:
        found = lowering_of(self._context, node)
        return found is not None and found.epilogue(self._context, node)

    def _is_image(self, name: str) -> bool:
        shape = self.shapes[name]
        return len(shape) in (2, 4) and 0 not in shape and name not in self._foreign

    def _find_homes(self, nodes: Sequence[Node]) -> None:
        """Which values live where, and which nodes need no step at all."""
        computed = {group.name for group in self.groups if isinstance(group, Group)}
        concats = {
            node.name
            for node in nodes
            if isinstance(node.block, Concat)
            and Homes.lays_out(node, self.shapes)
            and not any(operand in self.arrays for operand in node.operands)
            and node.name not in self._foreign
        }
        live = [
            node
            for item in self.groups
            for node in ([item] if isinstance(item, Node) else item.nodes)
        ]
        usable = [
            n
            for n in live
            if n.name in concats or not (isinstance(n.block, Concat) or n.name in self._foreign)
        ]
        in_one_piece = {  # what changes the order in memory writes nowhere but from a beginning
            group.name
            for group in self.groups
            if isinstance(group, Group) and group.head and isinstance(group.head.block, REORDERING)
        }
        self.homes = Homes(usable, (computed - in_one_piece) | concats, self.shapes)
        self._python = {
            item.name
            for item in self.groups
            if isinstance(item, Node) and item.name not in self.homes.views
        }
        kernels_made = computed | concats
        for name in list(self.homes.views):
            root = self.homes.of(name).root
            if root not in kernels_made and root not in self._inputs and root not in self._python:
                raise AssertionError(f"{name} is a view of nothing: {root}")

    def _lay_arena(self) -> None:
        """Which root values share memory when."""
        asked = {self.homes.of(name).root for name in self.wanted}
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for step, item in enumerate(self.groups):
            reads = item.operands if isinstance(item, Node) else item.reads(self.arrays)
            for name in [item.name, *reads]:
                if name in self.arrays:
                    continue
                root = self.homes.of(name).root
                first.setdefault(root, step)
                last[root] = step
        outside = {*asked, *self._inputs, *self._python}
        inner = [root for root in first if root not in outside and self._is_image(root)]
        self._relaid = [
            name for name, strides in self._inputs.items() if self._needs_relaying(name, strides)
        ]
        for name in self._relaid:
            first[name], inner = 0, [*inner, name]
            last.setdefault(name, 0)
        sizes = {root: 4 * prod(self.shapes[root]) for root in inner}
        offsets, self.arena_bytes = arena_layout(sizes, {r: (first[r], last[r]) for r in inner})
        self._places: dict[str, Place] = {r: Place(ARENA, offsets[r]) for r in inner}
        self.fresh = sorted(asked - self._inputs.keys() - self._python)

    def _lay_kept(self) -> None:
        """Where in one buffer the masks and switches go that kernels write."""
        self.kept_bytes = 0
        self.kept_places: dict[str, tuple[int, int, tuple[int, ...], int]] = {}
        for name in sorted(self.keeping - self._python):
            node = self.nodes[name]
            levels = node.block.levels(self.shapes[node.operands[0]])
            shape = Packed.planes_shape(self.shapes[name], levels)
            last = self.kept_bytes + prod(shape)
            self.kept_places[name] = (self.kept_bytes, last, shape, levels)
            self.kept_bytes = -(-last // 64) * 64

    def _kept(self, name: str) -> Place:
        return Place(KEPT, self.kept_places[name][0])

    def _needs_relaying(self, name: str, strides: tuple[int, ...]) -> bool:
        """Whether an input is copied to channels-last order first."""
        shape = self.shapes[name]
        if not self._is_image(name):
            return False
        if len(shape) == 2:
            return strides != (4 * shape[1], 4)
        if strides[1] == 4 and strides[3] == 4 * shape[1]:
            return False
        return not all(self._reads_any_order(item, name) for item in self.groups)

    def _reads_any_order(self, item: Group | Node, name: str) -> bool:
        """Whether a group copes with an input whose channels are not last."""
        reads = item.operands if isinstance(item, Node) else item.reads(self.arrays)
        if name not in reads or (isinstance(item, Node) and item.name in self._python):
            return True
        if isinstance(item, Node) or item.head is None or item.before is not None:
            return False
        only_source = reads.count(name) == 1 and item.head.operands[0] == name
        return only_source and takes_any_order(self._context, item.head)

    def image(self, name: str) -> Image:
        """Where a value lives."""
        home = self.homes.of(name)
        root, shape = home.root, self.shapes[home.root]
        channels = self.shapes[name][1]
        if root in self._places:
            return image_at(self._places[root], shape, home.first, channels)
        if root in self._inputs and len(shape) == 4:
            return as_image(("value", root), shape, self._inputs[root]).part(home.first, channels)
        return image_at(Place(("value", root)), shape, home.first, channels)

    def _program(self) -> Program:
        """The program that the next step belongs to."""
        if not self.segments or isinstance(self.segments[-1], Node):
            self.segments.append(Program())
        last = self.segments[-1]
        assert isinstance(last, Program)
        return last

    def _lay_steps(self) -> None:
        for name in self._relaid:
            shape, strides = self.shapes[name], self._inputs[name]
            full = (*shape, 1, 1)[:4]
            steps = (*strides, 0, 0)[:4]
            lay_relaid(self._program(), Place(("value", name)), full, steps, self._places[name])
        for item in self.groups:
            if isinstance(item, Group):
                self._lay_group(item)
            elif item.name in self._python:
                self.segments.append(item)
            else:
                for operand, first in self.homes.copied.get(item.name, []):
                    target = self.image(item.name).part(first, self.shapes[operand][1])
                    lay_finished(self._program(), self.image(operand), target)

    def _lay_group(self, group: Group) -> None:
        program, y = self._program(), self.image(group.name)
        fields = self._epilogue(program, group)
        if group.head is None:
            self._context.notes[group.name] = ("copy", "only what an epilogue does")
            lay_finished(program, self.image(group.source), y, **fields)
            return
        found = lowering_of(self._context, group.head)
        assert found is not None
        values = [o for o in group.head.operands if o not in self.arrays]
        if group.before is not None:
            factor = next(o for o in group.before.operands if o in self.arrays)
            fields["before"] = self.arrays[factor]
            values = [o for o in group.before.operands if o not in self.arrays]
        if group.head.name in self.keeping and not isinstance(group.head.block, ReLU):
            fields["kept"] = self._kept(group.head.name)
        images = [self.image(name) for name in values]
        found.lay(program, self._context, group.head, images, y, **fields)

    def _epilogue(self, program: Program, group: Group) -> dict[str, Any]:
        """The fields of a group's epilogue."""
        fields: dict[str, Any] = {}
        mode = 0
        y_channels = self.shapes[group.name][1]
        running = group.head.name if group.head else group.source  # what the next block works on
        for node in group.tails:
            block = node.block
            if isinstance(block, BatchNorm):
                gain, shift = block.frozen(*(self.arrays[o] for o in node.operands[1:]))
                fields["scale"] = program.constant(np.ascontiguousarray(gain, np.float32))
                fields["shift"] = program.constant(np.ascontiguousarray(shift, np.float32))
            elif isinstance(block, Scale):
                number = np.float32(block.factor)
                fields["scale"] = program.constant(np.full(y_channels, number, np.float32))
            elif isinstance(block, Multiply):
                factor = next(self.arrays[o] for o in node.operands if o in self.arrays)
                fields["scale"] = program.constant(np.ascontiguousarray(factor.reshape(-1)))
            elif isinstance(block, Add):
                other = next(o for o in node.operands if o != running)
                fields.update(self.image(other).steps("residual"))
            elif isinstance(block, Mask):
                mode |= ending.MASK
                fields.update(bit_steps("mask", Place(("given", node.name)), block.mask.shape))
                fields["mask_images"] = block.mask.shape[0]
            elif isinstance(block, Stacked):
                found = gates(block)
                assert found is not None
                mask, modes = found
                each = self.shapes[node.name][0] // len(modes)
                fields["modes"] = program.constant(np.repeat(np.array(modes, np.int64), each))
                if mask is not None:
                    fields.update(bit_steps("mask", Place(("given", node.name)), mask.shape))
                    fields["mask_images"] = mask.shape[0]
            elif isinstance(block, ReLU):
                mode |= ending.RECTIFY
                if node.name in self.keeping:
                    fields.update(bit_steps("signs", self._kept(node.name), self.shapes[node.name]))
            running = node.name
        if mode:
            fields["mode"] = mode
        return fields

    # Running

    def run(
        self, inputs: Mapping[str, np.ndarray], given: Mapping[str, Packed] | None = None
    ) -> tuple[dict[str, np.ndarray], Statistics]:
        """Run on inputs of the shapes and strides planned for.

        Parameters
        ----------
        inputs : mapping
            Arrays by name.
        given : mapping, optional
            Masks and switches by node, in place of those that the nodes' blocks hold.

        Returns
        -------
        values : dict
            The values asked for, each in memory that nothing else uses (or a view of an input).
        statistics : dict
            The masks and switches asked for.
        """
        with self._lock:
            instance = self._free.pop() if self._free else None
        instance = instance or _Instance(self)
        try:
            return instance.run(self, inputs, given or {})
        finally:
            with self._lock:
                self._free.append(instance)

    def explained(self) -> list[tuple[str, str, str, Shape]]:
        """For each step: what runs as one, by which kernel, why, and the shape of the result."""
        rows = []
        notes = self._context.notes
        for item in self.groups:
            if isinstance(item, Group):
                kinds = [node.block.kind for node in item.nodes]
                key = item.head.name if item.head else item.name
                kernel, why = notes.get(key, ("", ""))
            elif item.name in self._python:
                kinds, (kernel, why) = [item.block.kind], ("block", "no kernel; runs as it is")
                if item.name in notes:
                    kernel, why = notes[item.name]
            else:
                kinds, kernel = [item.block.kind], "view"
                copied = self.homes.copied.get(item.name, [])
                why = f"copies {', '.join(o for o, _ in copied)}" if copied else "takes no time"
            rows.append((item.name, " + ".join(kinds), f"{kernel}: {why}", self.shapes[item.name]))
        return rows


class _Instance:
    """A plan in memory; one run at a time."""

    def __init__(self, plan: Plan) -> None:  # and holds no plan: plans hold their instances
        self._arena = aligned(plan.arena_bytes)
        self._segments: list[Bound | Node] = [
            segment if isinstance(segment, Node) else Bound(segment, {ARENA: self._arena})
            for segment in plan.segments
        ]

    def run(
        self, plan: Plan, inputs: Mapping[str, np.ndarray], given: Mapping[str, Packed]
    ) -> tuple[dict[str, np.ndarray], Statistics]:
        values: dict[str, np.ndarray] = dict(inputs)  # by root, as arrays of their full shape
        values.update((name, _fresh(plan.shapes[name])) for name in plan.fresh)
        kept = memory.empty((plan.kept_bytes,), np.uint8) if plan.kept_bytes else NOTHING
        statistics = {
            name: Packed(kept[first:last].reshape(shape), plan.shapes[name], levels)
            for name, (first, last, shape, levels) in plan.kept_places.items()
        }
        buffers: dict[Hashable, np.ndarray] = {KEPT: kept}
        buffers.update((("value", name), array) for name, array in values.items())
        for name in plan.gates:
            bits = given[name] if name in given else plan.nodes[name].block.bound()[0]
            buffers["given", name] = bits.planes
        for segment in self._segments:
            if isinstance(segment, Bound):
                segment.run(buffers)
            else:
                y = self._run_block(plan, segment, values, given, statistics)
                values[segment.name] = buffers["value", segment.name] = y
        return {name: self._array(plan, name, values) for name in plan.wanted}, statistics

    def _array(self, plan: Plan, name: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """A value as an array (N, C, ...)."""
        home = plan.homes.of(name)
        shape = plan.shapes[name]
        if home.root in values:
            whole = values[home.root]
            part = whole if len(whole.shape) < 2 else whole[:, home.first : home.first + shape[1]]
            return part.reshape(shape) if name != home.root else whole
        image = plan.image(name)
        at = np.ndarray(
            (image.batch, image.channels, image.height, image.width),
            np.float32,
            self._arena,
            image.place.offset,
            tuple(4 * step for step in (image.image, 1, image.row, image.pixel)),
        )
        return at.reshape(shape) if len(shape) == 2 else at

    def _run_block(
        self,
        plan: Plan,
        node: Node,
        values: dict[str, np.ndarray],
        given: Mapping[str, Packed],
        statistics: Statistics,
    ) -> np.ndarray:
        arrays = plan.arrays
        block = node.block
        if node.name in given:
            block = block.rebound(given[node.name])
        operands = [
            arrays[o] if o in arrays else self._array(plan, o, values) for o in node.operands
        ]
        y, statistic = block.forward(*operands)
        y = np.asarray(y)
        if any(np.may_share_memory(y, operand) for operand in operands):
            y = y.copy(order="K")
        if y.dtype != np.float32:
            pass  # no kernel reads it
        elif y.ndim == 4:
            y = channels_last(y)
        elif y.ndim == 2:
            y = np.ascontiguousarray(y)
        if statistic is not None and node.name in plan.keeping:
            statistics[node.name] = statistic
        return y


def _fresh(shape: Shape) -> np.ndarray:
    """Memory for a value that was asked for."""
    return memory.empty_image(shape) if len(shape) == 4 else memory.empty(shape)
