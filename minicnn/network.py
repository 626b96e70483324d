"""Network: a graph of named blocks with parameters. Loaded, cut and reversed networks all are one.

A network runs on arrays (`net(x)`), on tensors (to learn or to differentiate again), step by step
(`net.steps(x)`), or recorded (`net.record(x)`), which gives a tape to send signals back through.
Values are named after the nodes that give them; `summary`, `to_dot` and notebooks show the graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from minicnn import drawing
from minicnn import rules as rulebook
from minicnn.blocks import (
    Block,
    Expression,
    Flatten,
    Identity,
    Kept,
    LogSoftmax,
    Packed,
    Reshape,
    Shape,
    Softmax,
    Squeeze,
)
from minicnn.calls import Call
from minicnn.errors import InputError, MiniCNNError, ShapeError, UnknownNameError, nearest
from minicnn.graph import Node
from minicnn.preprocess import Preprocess
from minicnn.rules import Rule
from minicnn.tape import Tape
from minicnn.tensor import Tensor

__all__ = ["FreeShape", "Network", "Step"]

FreeShape = tuple[int | None, ...]
"""A shape in which None stands for any length."""


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a run: the node, the value it gave, and how long it took."""

    node: Node
    value: np.ndarray
    statistic: Packed | None
    seconds: float

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    @property
    def block(self) -> Block:
        """The block called."""
        return self.node.block


@dataclass(frozen=True, eq=False)
class Network:
    """A graph of named blocks.

    Parameters
    ----------
    name : str
        For titles.
    inputs : mapping
        Shape of each input, None where any length will do.
    nodes : sequence of Node
        In an order in which they can run.
    outputs : sequence of str
        Names of the values returned.
    arrays : mapping
        Parameters and constants by name. They are shared, never copied.
    preprocess : Preprocess
        How a photo becomes an input.
    labels : sequence of str
        Names of the classes, if known.
    signals : mapping
        Of a reversed network: for each value below, which signal arrives there.
    mirrors : mapping
        Of a reversed network: for each of its nodes, the node reversed by it.
    metadata : mapping
        What its file said about it.
    dtype : numpy.dtype, optional
        What it computes in; that of its first parameter by default, else float32.

    """

    name: str
    inputs: Mapping[str, FreeShape]
    nodes: Sequence[Node]
    outputs: Sequence[str]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    labels: Sequence[str] = ()
    signals: Mapping[str, str] = field(default_factory=dict)
    mirrors: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    dtype: np.dtype = None  # type: ignore[assignment]  # resolved below
    _tensors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        floats = (array.dtype for array in self.arrays.values() if array.dtype.kind == "f")
        dtype = self.dtype or next(floats, np.float32)
        object.__setattr__(self, "dtype", np.dtype(dtype))

    def derived(self, **changes: Any) -> Network:
        """The same network with other fields: how cut and reversed networks are made."""
        return replace(self, **{"_tensors": {}, **changes})

    # Running

    def __call__(self, *inputs: Any) -> Any:
        """Run on arrays, or on tensors; a tuple where there are several outputs."""
        if any(isinstance(x, Expression) for x in inputs):
            values: Mapping[str, Any] = self._run_tensors(inputs)
        else:
            values = self.values(self._named_inputs(inputs), self.outputs)
        result = tuple(values[name] for name in self.outputs)
        return result[0] if len(result) == 1 else result

    def values(self, inputs: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, Any]:
        """Run as far as needed, and give the named values."""
        wanted = [self.value_name(name) for name in names]
        found = {name: inputs[name] for name in wanted if name in self.inputs}
        for step in self._execute(inputs, self._needed(wanted), wanted):
            if step.name in wanted:
                found[step.name] = step.value
        return found

    def steps(self, *inputs: np.ndarray) -> Iterator[Step]:
        """Run one block at a time, giving each step as it is done."""
        return self._execute(self._named_inputs(inputs), self.nodes, ())

    def record(
        self,
        *inputs: np.ndarray,
        rules: Sequence[Rule | str] | None = None,
        keep: str | Iterable[str] = (),
    ) -> Tape:
        """Run forward once and keep what reversing needs.

        Parameters
        ----------
        *inputs : array
            One for each input, float32 or float64 as the network is.
        rules : sequence of Rule or str, optional
            Keep only the masks and switches that these rules read; by default all.
        keep : str or iterable of str
            Values to hold, "all" for every one. Values not held are computed again when asked for.

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
        values = self._named_inputs(inputs)
        found = None if rules is None else [rulebook.find(rule) for rule in rules]
        everything = keep == "all"
        held_names = {self.value_name(n) for n in ((keep,) if isinstance(keep, str) else keep)
                      if not everything} | set(self.outputs)  # fmt: skip
        held_names |= self._read_by_transposes()
        held = dict(values)
        shapes = {name: value.shape for name, value in values.items()}
        shapes.update((name, array.shape) for name, array in self.arrays.items())
        calls, dropped, seconds = [], {}, {}
        for step in self._execute(values, self.nodes, ()):
            node = step.node
            shapes[node.name] = step.value.shape
            kept = Kept(step.statistic, [shapes[o] for o in node.operands], _unbound)
            call = Call(node.name, node.block, node.operands, node.name, kept)
            unread = found is not None and not any(rule.needs_statistic(call) for rule in found)
            if step.statistic is not None and found is not None and unread:
                call = replace(call, kept=kept.replaced(None))
                dropped[node.name] = " and ".join(rule.name for rule in found)
            calls.append(call)
            seconds[node.name] = step.seconds
            if everything or node.name in held_names:
                held[node.name] = step.value
        return Tape(self, calls, held, shapes, dropped, seconds)

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
        shapes = [self._default_shape(name) for name in self.inputs]
        tape = self.record(*(np.zeros(shape, self.dtype) for shape in shapes))
        if tape.depends_on_values():
            raise InputError(
                f"{self.name} has blocks whose transposes depend on the input; give one: "
                f"net.reverse(x), or net.record(x).reverse()."
            )
        return tape.reverse(at, rule, wrt)

    def _execute(
        self, inputs: Mapping[str, np.ndarray], nodes: Sequence[Node], wanted: Sequence[str]
    ) -> Iterator[Step]:
        """Run nodes in order, dropping each value after its last reader."""
        last = {operand: node.name for node in nodes for operand in node.operands}
        values: dict[str, np.ndarray] = dict(inputs)
        for node in nodes:
            operands = [
                self.arrays[name] if name in self.arrays else values[name] for name in node.operands
            ]
            self._shape_of(node, [np.shape(operand) for operand in operands])
            start = time.perf_counter()
            value, statistic = node.block.forward(*operands)
            step = Step(node, np.asarray(value), statistic, time.perf_counter() - start)
            values[node.name] = step.value
            del operands, value
            for name in {*node.operands, node.name}:
                if last.get(name, node.name) == node.name and name not in self.arrays:
                    values.pop(name, None)
            yield step

    def _run_tensors(self, inputs: Sequence[Any]) -> dict[str, Any]:
        if len(inputs) != len(self.inputs):
            raise InputError(f"{self.name} takes {len(self.inputs)} inputs; it got {len(inputs)}.")
        values: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        values.update(self.arrays)
        values.update(self._parameter_tensors())
        for node in self.nodes:
            operands = [values[name] for name in node.operands]
            values[node.name] = self._named_error(node, partial(node.block, *operands))
        return values

    def _shape_of(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        return self._named_error(node, partial(node.block.shape, *shapes))

    def _named_error(self, node: Node, action: Callable[[], Any]) -> Any:
        """Do something, and let errors say at which node."""
        try:
            return action()
        except ShapeError as error:
            raise ShapeError(f"At {node.name} ({node.block.kind}): {error}") from None

    def _named_inputs(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name, checked."""
        if len(inputs) != len(self.inputs):
            raise InputError(
                f"{self.name} takes {len(self.inputs)} input(s), {', '.join(self.inputs)}; "
                f"it got {len(inputs)}."
            )
        for (name, shape), x in zip(self.inputs.items(), inputs, strict=True):
            self._check_input(name, shape, x)
        return dict(zip(self.inputs, inputs, strict=True))

    def _check_input(self, name: str, shape: FreeShape, x: Any) -> None:
        if not isinstance(x, np.ndarray):
            raise InputError(f"Input {name} must be an array or a tensor; got {type(x).__name__}.")
        if x.dtype != self.dtype:
            raise InputError(
                f"Input {name} has dtype {x.dtype}; {self.name} computes in {self.dtype}. Convert "
                f"with x.astype(np.{self.dtype}), or the network with net.astype(...); photos come "
                f"ready from minicnn.data.photo."
            )
        fits = len(x.shape) == len(shape) and all(
            want in (None, got) for want, got in zip(shape[1:], x.shape[1:], strict=True)
        )
        if not fits:
            raise ShapeError(
                f"Input {name} has shape {x.shape}; {self.name} needs {_spoken(shape)} "
                f"(batch, channels, height, width)."
            )
        if not np.isfinite(x).all():
            bad = "NaN" if np.isnan(x).any() else "infinity"
            raise InputError(f"Input {name} holds {bad}; a network needs finite numbers.")

    # Names

    @property
    def layers(self) -> list[str]:
        """Names of all values, in running order."""
        return [node.name for node in self.nodes]

    def value_name(self, name: str) -> str:
        """The value that a name means: a value itself, or a node known by another label.

        Raises
        ------
        UnknownNameError
            With the nearest names.

        """
        known = {**dict.fromkeys(self.inputs), **dict.fromkeys(self.layers)}
        if name in known:
            return name
        labels = {node.label: node.name for node in self.nodes if node.label}
        if name in labels:
            return labels[name]
        raise UnknownNameError(
            f"{self.name} has no layer {name!r}. {nearest(name, [*known, *labels])}"
        )

    @property
    def logits(self) -> str:
        """The value that holds class scores: the output, or what a final softmax reads."""
        readers = {node.name: node for node in self.nodes}
        name = self.outputs[0]
        while name in readers:
            node = readers[name]
            if isinstance(node.block, (Softmax, LogSoftmax)):
                return node.operands[0]
            if not isinstance(node.block, (Flatten, Reshape, Squeeze, Identity)):
                break
            name = node.operands[0]
        return self.outputs[0]

    @property
    def classifies(self) -> bool:
        """Whether the output is one score a class: a vector for each image."""
        shape = self.infer_shapes()[self.outputs[0]]
        return len(shape) >= 2 and all(n == 1 for n in shape[2:]) and shape[1] > 1

    def class_name(self, number: int) -> str:
        """A class's name, or its number where names are not known."""
        return self.labels[number] if number < len(self.labels) else str(number)

    # Parameters

    def parameter_names(self) -> list[str]:
        """Names of what can learn: operands that are parameters and not running statistics."""
        found: dict[str, None] = {}
        for node in self.nodes:
            for place, name in enumerate(node.operands):
                if name in self.arrays and place not in node.block.buffers:
                    found[name] = None
        return list(found)

    def _parameter_tensors(self) -> dict[str, Tensor]:
        for name in self.parameter_names():
            if name not in self._tensors:
                self._tensors[name] = Tensor(self.arrays[name], requires_grad=True)
        return self._tensors

    def parameters(self) -> list[Tensor]:
        """The parameters as tensors that share memory with the network."""
        return list(self.named_parameters().values())

    def named_parameters(self) -> dict[str, Tensor]:
        """The same by name."""
        return dict(self._parameter_tensors())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters, running statistics and constants by name (not copies)."""
        return dict(self.arrays)

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy arrays of the same names and shapes into the network.

        Raises
        ------
        UnknownNameError, ShapeError
            If a name is missing or unknown, or a shape differs; then nothing is changed.

        """
        for name in {**self.arrays, **state}:
            if name not in state or name not in self.arrays:
                where = "the state" if name not in state else self.name
                raise UnknownNameError(f"{where} has no {name!r}. {nearest(name, self.arrays)}")
            if np.shape(state[name]) != self.arrays[name].shape:
                raise ShapeError(
                    f"{name} has shape {np.shape(state[name])}; {self.arrays[name].shape} needed."
                )
        for name, array in self.arrays.items():
            array[...] = state[name]

    def astype(self, dtype: Any) -> Network:
        """A copy that computes in another precision, e.g. float64 to check gradients."""
        return self.derived(
            dtype=dtype,
            arrays={
                name: array.astype(dtype) if array.dtype.kind == "f" else array
                for name, array in self.arrays.items()
            },
        )

    # Graph

    def cut(
        self, inputs: str | Sequence[str] | None = None, outputs: str | Sequence[str] | None = None
    ) -> Network:
        """The part of the network between given values.

        Parameters
        ----------
        inputs : str or sequence of str, optional
            Values that become inputs; by default the network's own.
        outputs : str or sequence of str, optional
            Values that become outputs; by default the network's own.

        Raises
        ------
        UnknownNameError
            If a name does not exist.
        InputError
            If the outputs also depend on an input that was cut off.

        """
        starts = _names(inputs) or list(self.inputs)
        starts = [self.value_name(name) for name in starts]
        ends = [self.value_name(name) for name in _names(outputs) or self.outputs]
        nodes = self._needed(ends, starts)
        made = {node.name for node in nodes}
        for node in nodes:
            for operand in node.operands:
                if operand not in made and operand not in starts and operand not in self.arrays:
                    raise InputError(
                        f"Cannot cut {self.name} at {', '.join(starts)}: {node.name} also depends "
                        f"on {operand}. Add it to the inputs."
                    )
        used = {operand for node in nodes for operand in node.operands}
        known = {**self.infer_shapes(), **self.inputs}
        return self.derived(
            name=f"{self.name} cut",
            inputs={
                n: self.inputs.get(n, (None, known[n][1], *[None] * (len(known[n]) - 2)))
                for n in starts
                if n in used or n in ends
            },
            nodes=nodes,
            outputs=ends,
            arrays={name: array for name, array in self.arrays.items() if name in used},
            preprocess=self.preprocess if starts == list(self.inputs) else None,
            labels=self.labels if ends == list(self.outputs) else (),
        )

    def _needed(self, outputs: Sequence[str], inputs: Sequence[str] = ()) -> list[Node]:
        """The nodes that outputs depend on, not going beyond inputs."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if node.name in needed and node.name not in inputs:
                nodes.append(node)
                needed.update(node.operands)
        return nodes[::-1]

    def _read_by_transposes(self) -> set[str]:
        """Values (not parameters) that transposes towards the inputs read."""
        read = set()
        for node in self.nodes:
            for wrt, operand in enumerate(node.operands):
                if operand not in self.arrays:
                    for i in node.block.uses(wrt):
                        read.add(node.name if i < 0 else node.operands[i])
        return read - set(self.arrays)

    def _default_shape(self, name: str) -> Shape:
        """A shape for an input where any length will do: one image of the usual size."""
        side = (self.preprocess.crop or self.preprocess.size) if self.preprocess else None
        free = [1, 3, *[side or 224] * 8]
        return tuple(n if n else free[i] for i, n in enumerate(self.inputs[name]))

    def infer_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """Shape of every value for given input shapes, without running anything."""
        given = inputs or [self._default_shape(name) for name in self.inputs]
        shapes: dict[str, Shape] = dict(zip(self.inputs, given, strict=True))
        arrays = {name: array.shape for name, array in self.arrays.items()}
        for node in self.nodes:
            operands = [arrays[o] if o in arrays else shapes[o] for o in node.operands]
            shapes[node.name] = self._shape_of(node, operands)
        return shapes

    # Showing

    def summary(self) -> drawing.Text:
        """A table, one line a block: name, kind, settings, output shape, parameters, FLOPs."""
        return drawing.summary(self)

    def to_dot(self, mirror: Network | None = None) -> str:
        """The graph as Graphviz text; with a reversed network as its mirror, side by side."""
        return drawing.to_dot(self, mirror)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<Network {self.name}: {len(self.nodes)} blocks, {_spoken_inputs(self)}>"

    def _repr_html_(self) -> str:
        return drawing.to_html(self)


def _names(names: str | Sequence[str] | None) -> list[str]:
    return [] if names is None else [names] if isinstance(names, str) else list(names)


def _unbound(index: int) -> Any:
    raise MiniCNNError("A call by itself holds no values; ask the tape: tape.call(name).")


def _spoken(shape: FreeShape) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in ("any", *shape[1:])) + ")"


def _spoken_inputs(network: Network) -> str:
    return ", ".join(f"{name} {_spoken(shape)}" for name, shape in network.inputs.items())
