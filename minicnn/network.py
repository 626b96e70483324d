"""Network: a graph of named blocks with parameters. Loaded, cut and reversed networks all are one.

A network runs on arrays (`net(x)`), on tensors (to learn or to differentiate again), step by step
(`net.steps(x)`), or recorded (`net.record(x)`), which gives a tape to send signals back through.
Values are named after the nodes that give them; `summary`, `to_dot` and notebooks show the graph.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from minicnn import drawing, kernels
from minicnn import rules as rulebook
from minicnn.blocks import Block, Expression, Kept, Packed, Shape
from minicnn.calls import Call
from minicnn.errors import (
    InputError,
    MiniCNNError,
    printable,
)
from minicnn.folding import drop_softmax, fold_batch_norm
from minicnn.graph import Node
from minicnn.parameters import Parametrised
from minicnn.planning import Planner
from minicnn.rules import Rule
from minicnn.structure import spoken
from minicnn.tape import Tape, frozen

__all__ = ["Network", "Step"]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a run: the node, the value it gave, and how long it took."""

    node: Node
    value: np.ndarray
    statistic: Packed | None
    seconds: float

    def __repr__(self) -> str:
        return f"<Step {self.name}: {self.block}, {self.value.shape}>"

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    @property
    def block(self) -> Block:
        """The block called."""
        return self.node.block


@dataclass(frozen=True, eq=False)
class _Recipe:
    """What a run records: values held, statistics kept, and the calls without their bits."""

    held: Sequence[str]
    keeping: Sequence[str]
    shapes: Mapping[str, Shape]
    calls: Sequence[Call]
    dropped: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Network(Parametrised):
    """A graph of named blocks that runs; see `Structure` for its fields."""

    _recipes: dict[Any, _Recipe] = field(default_factory=dict)

    def derived(self, **changes: Any) -> Network:
        """The same network with other fields: how cut and reversed networks are made."""
        fresh = {"_tensors": {}, "_planner": self._planner.related(), "_recipes": {},
                 "_reversals": {}}  # fmt: skip
        return replace(self, **{**fresh, **changes})

    def apart(self) -> Network:
        """The same network with packed filters of its own, which are gone when it is.

        For whoever reverses it with filters made for the occasion; parameters stay shared.
        """
        return self.derived(_planner=Planner())

    # Running

    def __call__(self, *inputs: Any) -> Any:
        """Run on arrays, or on tensors; a tuple where there are several outputs."""
        if any(isinstance(x, Expression) for x in inputs):
            return self._results(self._run_tensors(inputs), ())
        named = self._named_inputs(inputs)
        plan = self._planner.plan(self, named, list(dict.fromkeys(self.outputs)))
        if plan is not None:
            return self._handed(self._results(plan.run(named)[0], inputs))
        values = self._found(named, self.outputs)
        return self._handed(self._results(values, [*inputs, *self.arrays.values()]))

    def _handed(self, result: Any) -> Any:
        """Results for a caller, who may hold NumPy's arrays."""
        if isinstance(result, tuple):
            return tuple(self.handed(value) for value in result)
        return self.handed(result)

    def with_bits(self, bits: Mapping[str, Packed], *inputs: np.ndarray) -> Any:
        """Run with other masks and switches than those bound into the blocks.

        Parameters
        ----------
        bits : mapping
            By node; the others keep theirs.
        *inputs : array
            One for each input.
        """
        named = self._named_inputs(inputs)
        plan = self._planner.plan(self, named, list(dict.fromkeys(self.outputs)))
        if plan is not None:
            return self._results(plan.run(named, bits)[0], inputs)
        nodes = [
            replace(node, block=node.block.rebound(bits[node.name])) if node.name in bits else node
            for node in self.nodes
        ]
        return self.derived(nodes=nodes)(*inputs)

    def _results(self, values: Mapping[str, Any], taken: Sequence[Any]) -> Any:
        """The outputs, each in memory of its own; a tuple where there are several.

        `taken` are the arrays whose memory they may show.
        """
        result: list[Any] = []
        for name in self.outputs:
            value = values[name]
            if kernels.on_gpu(value):
                value = value.copy() if _is_held(value, [*taken, *result]) else value
            elif isinstance(value, np.ndarray):
                shared = any(np.may_share_memory(value, other) for other in [*taken, *result])
                value = value.copy() if shared or not value.flags.writeable else value
            result.append(value)
        return result[0] if len(result) == 1 else tuple(result)

    def values(self, inputs: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, Any]:
        """Run as far as needed, and give the named values."""
        given = {name: self.brought(x) for name, x in inputs.items()}
        found = self._found(given, names)
        return {name: self.handed(value) for name, value in found.items()}

    def _found(self, inputs: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """The same where the network computes."""
        wanted = list(dict.fromkeys(self.value_name(name) for name in names))
        plan = self._planner.plan(self, inputs, wanted)
        if plan is not None:
            return plan.run(inputs)[0]
        found = {name: inputs[name] for name in wanted if name in self.inputs}
        for step in self._execute(inputs, self.needed(wanted)):
            if step.name in wanted:
                found[step.name] = step.value
        return found

    def steps(self, *inputs: np.ndarray) -> Iterator[Step]:
        """Run one block at a time, giving each step as it is done."""
        steps = self._execute(self._named_inputs(inputs), self.nodes)
        return (replace(step, value=self.handed(step.value)) for step in steps)

    def record(
        self,
        *inputs: np.ndarray,
        rules: Sequence[Rule | str] | None = None,
        keep: str | Iterable[str] = (),
        timed: bool = False,
        copy: bool = True,
    ) -> Tape:
        """Run forward once and keep what reversing needs.

        Where an input has flat areas and the network pools by maxima, kernels serve that treat
        equal windows equally (see `kernels.flat`): slower than those of `net(x)`, and equal to them
        but for rounding.

        Parameters
        ----------
        *inputs : array
            One for each input, float32 or float64 as the network is.
        rules : sequence of Rule or str, optional
            Keep only the masks and switches that these rules read; by default all.
        keep : str or iterable of str
            Values to hold, "all" for every one. Values not held are computed again when asked for.
        timed : bool
            Run block by block and note the time of each (`tape.seconds`).
        copy : bool
            Whether the tape keeps inputs of its own; False promises that nobody changes them.

        Returns
        -------
        Tape

        Raises
        ------
        InputError
            If an input has another dtype, or holds NaN or infinity.
        ShapeError
            If a shape does not fit; the node is named.
        """
        given = self._named_inputs(inputs)
        values = {n: frozen(_own(x) if copy else x) for n, x in given.items()}
        found = None if rules is None else [rulebook.find(rule) for rule in rules]
        recipe = self._recipe(values, found, keep)
        even = self._has_ties(values.values())
        with kernels.evenly(even):
            plan = None if timed else self._planner.plan(self, values, recipe.held, recipe.keeping)
            if plan is not None:
                given, statistics = plan.run(values)
                held = {name: frozen(value) for name, value in given.items()}
                return self._tape(recipe, {**values, **held}, statistics, {}, even)
            held, statistics, seconds = dict(values), {}, {}
            for step in self._execute(values, self.nodes):
                if step.statistic is not None and step.name in recipe.keeping:
                    statistics[step.name] = step.statistic
                seconds[step.name] = step.seconds
                if step.name in recipe.held:
                    held[step.name] = frozen(step.value)
        return self._tape(recipe, held, statistics, seconds, even)

    def _tape(
        self,
        recipe: _Recipe,
        held: Mapping[str, np.ndarray],
        statistics: Mapping[str, Packed],
        seconds: Mapping[str, float],
        even: bool,
    ) -> Tape:
        calls = [
            call.keeping(statistics[call.name]) if call.name in statistics else call
            for call in recipe.calls
        ]
        return Tape(self, calls, held, recipe.shapes, recipe.dropped, seconds, even)

    def _recipe(
        self,
        values: Mapping[str, np.ndarray],
        rules: Sequence[Rule] | None,
        keep: str | Iterable[str],
    ) -> _Recipe:
        """What to record for inputs of these shapes; remembered where rules are well known."""
        keep = keep if isinstance(keep, str) else tuple(keep)
        shapes = tuple(x.shape for x in values.values())
        names = None if rules is None else tuple(rule.name for rule in rules)
        known = rules is None or all(rule.structural for rule in rules)
        if known and (shapes, names, keep) in self._recipes:
            return self._recipes[shapes, names, keep]
        found = self._new_recipe(shapes, rules, keep)
        if known:
            self._recipes[shapes, names, keep] = found
        return found

    def _new_recipe(
        self, inputs: Sequence[Shape], rules: Sequence[Rule] | None, keep: str | Iterable[str]
    ) -> _Recipe:
        shapes = self.infer_shapes(*inputs)
        shapes.update((name, array.shape) for name, array in self.arrays.items())
        calls = [_call(node, None, shapes) for node in self.nodes]
        held = self._worth_holding(keep, rules, calls)
        keeping, dropped = [], {}
        for call in calls:
            if call.block.statistic:
                if rules is None or any(rule.needs_kept(call) for rule in rules):
                    keeping.append(call.name)
                else:
                    dropped[call.name] = " and ".join(rule.name for rule in rules)
        order = [name for name in [*self.inputs, *self.layers] if name in held]
        return _Recipe(order, keeping, shapes, calls, dropped)

    def known_reversal(self, key: Any) -> tuple[Network, dict[str, str]] | None:
        """A reversed network drawn before, and whose bits its nodes hold."""
        return self._reversals.get((key, self._planner.packs.version))

    def remember_reversal(self, key: Any, drawn: Network, slots: dict[str, str]) -> None:
        """Keep a reversed network for other runs, if the parameters are frozen."""
        if self._planner.is_frozen(self):
            while len(self._reversals) >= 32:
                self._reversals.pop(next(iter(self._reversals)))
            self._reversals[key, self._planner.packs.version] = (drawn, slots)

    def explain_plan(self, *inputs: np.ndarray) -> drawing.Text:
        """What is fused, and which kernel serves each block and why.

        Parameters
        ----------
        *inputs : array, optional
            Inputs to plan for; by default one of the usual size.

        Examples
        --------
        >>> import minicnn
        >>> net = minicnn.load(minicnn.data.bundled_model())
        >>> print(net.explain_plan())
        mnist: 13 blocks in 9 steps...
        """
        given = inputs or self._zeros()
        named = self._named_inputs(given)
        plan = self._planner.plan(self, named, self.outputs)
        if plan is None:
            reason = self._planner.why_not(self, named)
            return drawing.Text(f"{self.name} runs block by block: {reason}.")
        return drawing.plan(
            self.name, plan.explained(), plan.arena_bytes, self._planner.packs.nbytes, plan.note
        )

    def _zeros(self) -> list[np.ndarray]:
        """Empty inputs of the usual size."""
        types = {name: self.types.get(name, self.dtype) for name in self.inputs}
        zeros = [np.zeros(self.default_shape(name), dtype) for name, dtype in types.items()]
        return [kernels.to_device(x, self.device) for x in zeros]

    def _worth_holding(
        self, keep: str | Iterable[str], rules: Sequence[Rule] | None, calls: Sequence[Call]
    ) -> set[str]:
        """What a tape holds: what is asked for, outputs, class scores, what reversals read."""
        if keep == "all":
            return set(self.layers)
        named = {self.value_name(name) for name in ([keep] if isinstance(keep, str) else keep)}
        own = [
            node
            for node, call in zip(self.nodes, calls, strict=True)
            if rules is None or any(rule.needs_kept(call) for rule in rules)
        ]
        read = {str(value) for call in calls for rule in rules or () for value in rule.reads(call)}
        read |= self.read_by_transposes(own)
        return named | read | {*self.outputs, self.logits}

    def reverse(
        self,
        *inputs: np.ndarray,
        at: str | Sequence[str] | None = None,
        rule: Rule | str = "salinet",
        wrt: str | Sequence[str] | None = None,
    ) -> Network:
        """The reversed network for a given input: `record(x).reverse(...)`.

        A network whose transposes depend on no value, such as SaliNet's, needs no input.

        Raises
        ------
        InputError
            If no input is given and the reversal depends on it.
        """
        if inputs:
            return self.record(*inputs).reverse(at, rule, wrt)
        tape = self.record(*self._zeros())
        if tape.depends_on_values():
            raise InputError(
                f"{self.name} has blocks whose transposes depend on the input; give one: "
                f"net.reverse(x), or net.record(x).reverse()."
            )
        return tape.reverse(at, rule, wrt)

    def _execute(self, inputs: Mapping[str, np.ndarray], nodes: Sequence[Node]) -> Iterator[Step]:
        """Run nodes in order, dropping each value after its last reader."""
        last = {operand: node.name for node in nodes for operand in node.operands}
        values: dict[str, np.ndarray] = dict(inputs)
        for node in nodes:
            operands = [
                self.arrays[name] if name in self.arrays else values[name] for name in node.operands
            ]
            self.shape_of(node, [np.shape(operand) for operand in operands])
            start = time.perf_counter()
            value, statistic = node.block.forward(*operands)
            step = Step(node, kernels.as_array(value), statistic, time.perf_counter() - start)
            values[node.name] = step.value
            del operands, value
            for name in {*node.operands, node.name}:
                if last.get(name, node.name) == node.name and name not in self.arrays:
                    values.pop(name, None)
            yield step

    def _run_tensors(self, inputs: Sequence[Any]) -> dict[str, Any]:
        if len(inputs) != len(self.inputs):
            raise InputError(f"{self.name} takes {len(self.inputs)} inputs; it got {len(inputs)}.")
        arrays = [x.values() if isinstance(x, Expression) else x for x in inputs]
        for (name, shape), x in zip(self.inputs.items(), arrays, strict=True):
            self.check_input(name, shape, x)
        values: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        values.update(self.arrays)
        values.update(self._parameter_tensors())
        with kernels.evenly(self._has_ties(arrays)):
            for node in self.nodes:
                operands = [values[name] for name in node.operands]
                values[node.name] = self.named_error(node, partial(node.block, *operands))
        return values

    def _has_ties(self, inputs: Iterable[np.ndarray]) -> bool:
        """Whether windows of equal pixels may tie for a maximum; see `kernels.flat`."""
        return self._pools_by_maxima and any(kernels.has_flat_areas(x) for x in inputs)

    @cached_property
    def _pools_by_maxima(self) -> bool:
        return any(node.block.statistic == "switches" for node in self.nodes)

    def _named_inputs(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name, checked."""
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{self.name} takes {len(self.inputs)} input(s), {', '.join(self.inputs)}; "
                f"it got {len(inputs)}."
            )
        found = {name: self.brought(x) for name, x in zip(self.inputs, inputs, strict=True)}
        for name, shape in self.inputs.items():
            self.check_input(name, shape, found[name])
        return found

    # Simpler forms

    def drop_softmax(self) -> Network:
        """The network up to its class scores; the same where no softmax ends it."""
        return drop_softmax(self)._frozen_like(self)

    def fold_bn(self) -> Network:
        """Each batch norm folded into the layer before it, where nothing else reads that layer.

        Examples
        --------
        >>> import minicnn
        >>> net = minicnn.load(minicnn.data.bundled_model())
        >>> len(net.fold_bn().nodes) == len(net.nodes)         # it has none left to fold
        True
        """
        return fold_batch_norm(self)._frozen_like(self)

    # Writing

    def save(self, path: str | os.PathLike[str], check: bool = True) -> None:
        """Write the network as an ONNX file that any runtime executes; see `minicnn.onnx.save`.

        Examples
        --------
        >>> import minicnn, tempfile, pathlib
        >>> net = minicnn.load(minicnn.data.bundled_model())
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "mnist.onnx"
        >>> net.save(path)
        >>> minicnn.load(path)
        <Network mnist: 13 blocks, ...>
        """
        from minicnn.onnx.save import save  # the one arrow that points up, taken when called

        save(self.to("cpu"), path, check)

    # Showing

    def summary(self) -> drawing.Text:
        """A table, one line a block: name, kind, settings, output shape, parameters, FLOPs."""
        return drawing.summary(self)

    def to_dot(self, mirror: Network | None = None) -> str:
        """The graph as Graphviz text; with a reversed network as its mirror, side by side.

        The text is returned, not written: `Path("net.dot").write_text(net.to_dot())`.
        """
        if mirror is not None and not isinstance(mirror, Network):
            raise InputError(
                "to_dot takes a reversed network; write its result to a file yourself."
            )
        return drawing.to_dot(self, mirror)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} {spoken(shape)}" for name, shape in self.inputs.items())
        return printable(f"<Network {self.name}: {drawing.blocks(self)}, {inputs}>")

    def _repr_html_(self) -> str:
        return drawing.to_html(self)


def _call(node: Node, statistic: Packed | None, shapes: Mapping[str, Shape]) -> Call:
    """A node's call; its values are bound later, by the tape."""
    kept = Kept(statistic, [shapes[name] for name in node.operands], _unbound)
    return Call(node.name, node.block, node.operands, node.name, kept, node.label)


def _own(x: Any) -> Any:
    """A copy in the order that its axes have in memory."""
    if not kernels.on_gpu(x):
        return x.copy(order="K")
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    return x.transpose(order).copy().transpose(np.argsort(order).tolist())


def _is_held(value: Any, others: Iterable[Any]) -> bool:
    """Whether an array on the card may share memory with others."""
    return any(kernels.on_gpu(o) and bool(np.may_share_memory(value, o)) for o in others)


def _unbound(index: int) -> Any:
    raise MiniCNNError("A call by itself holds no values; ask the tape: tape.call(name).")
