"""Lowering: from ONNX nodes to a graph of blocks, for a given input shape.

Every value is either a `Constant` (a weight, or something computed from constants: the subgraphs
that exporters write to compute shapes fold away here) or a `Value` of the network to be. A
converter calls `node.add(block, ...)`, which computes on constants and makes a network node
otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import prod
from typing import Any

import numpy as np
import onnx

from minicnn.blocks import Block, Flatten, Identity, Reshape, Shape, Squeeze, Transpose, Unsqueeze
from minicnn.errors import MiniCNNError, ModelFileError, UnsupportedOperatorError
from minicnn.graph import Node, taken_name
from minicnn.limits import check_bytes
from minicnn.onnx import operators, registry  # noqa: F401  (operators fill the registry)
from minicnn.onnx.allowance import Allowance, check_rank
from minicnn.onnx.files import arrays_of, sorted_nodes
from minicnn.onnx.modules import module_path
from minicnn.onnx.node import Constant, NeedsConstantError, OnnxNode, Value

__all__ = ["Lowering"]

_SAME_NUMBERS = (Reshape, Transpose, Flatten, Squeeze, Unsqueeze, Identity)
DEEPEST = 32  # branches within branches


class Lowering:
    """Turns nodes into blocks one after the other.

    Parameters
    ----------
    where : str
        The file, for errors.
    opset : int
        Its opset version.
    inputs : mapping
        Concrete shape of each input.
    constants : mapping
        Initialisers by name.
    dtype : numpy.dtype
        What the network computes in.
    batch : int, optional
        The batch that the file fixes, which exporters bake into the targets of reshapes. Where the
        file leaves it open, a target means what it says.
    types : mapping
        Types of inputs that hold integers or truth values.
    allowance : Allowance, optional
        What may be spent on constants, shared by all lowerings of a file.
    """

    def __init__(
        self,
        where: str,
        opset: int,
        inputs: Mapping[str, Shape],
        constants: Mapping[str, np.ndarray],
        dtype: np.dtype,
        batch: int | None = None,
        types: Mapping[str, np.dtype] | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.where, self.opset, self.dtype, self.batch = where, opset, dtype, batch
        self.values: dict[str, Constant | Value] = {
            name: Constant(array, name) for name, array in constants.items()
        }
        self.inputs, types = dict(inputs), types or {}
        self.values.update(
            (name, Value(name, shape, types.get(name, dtype))) for name, shape in inputs.items()
        )
        self.images = next((shape[0] for shape in inputs.values() if shape), None)
        self.taken = set(self.values)  # names of values; run() adds those of all nodes
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.reads_shapes = False  # whether the graph was specialised to the inputs' sizes
        self.own: set[str] = set()  # arrays that are the reader's, no parameters of the file
        self.allowance = allowance or Allowance()
        self.depth = 0  # of branches within branches

    def run(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Lower nodes that come in running order.

        Raises
        ------
        UnsupportedOperatorError
            Listing every operator that is not read.
        """
        self._check_supported(nodes)
        if not self.depth:
            self.taken.update(name for proto in nodes for name in proto.output)
        for proto in nodes:
            first = len(self.nodes)
            node = OnnxNode(self, proto)
            converter = registry.find(proto.op_type, proto.domain, self.opset)
            assert converter is not None  # _check_supported has seen to that
            try:
                results = converter(node)
            except NeedsConstantError as error:
                raise NeedsConstantError(
                    f"{self.where}, at {node}: {error}", error.inputs
                ) from None
            except MiniCNNError as error:
                raise type(error)(f"{self.where}, at {node}: {error}") from None
            except MemoryError:
                raise
            except Exception as error:  # whatever odd inputs and attributes made of it
                raise ModelFileError(
                    f"{self.where}, at {node}: the node is malformed. It has {len(proto.input)} "
                    f"input(s) and the attributes {[a.name for a in proto.attribute]}; reading it "
                    f"failed with {type(error).__name__}: {error}."
                ) from error
            results = results if isinstance(results, list) else [results]
            if any(proto.output[len(results) :]):
                raise ModelFileError(
                    f"{self.where}, at {node}: it names {len(proto.output)} outputs, of which "
                    f"minicnn reads {len(results)}."
                )
            for name, result in zip(proto.output, results, strict=False):
                if name:
                    self.values[name] = node.finished(result, name)
            module = module_path(proto)
            if module:
                self.nodes[first:] = [replace(n, module=module) for n in self.nodes[first:]]

    def branch(self, graph: onnx.GraphProto) -> list[Constant | Value]:
        """Lower a graph within the graph, which sees all values outside; gives its outputs."""
        if self.depth >= DEEPEST:
            raise ModelFileError(f"branches lie more than {DEEPEST} deep in each other")
        outside = dict(self.values)
        self.values.update(
            (name, Constant(array, self.step_name(name, "branch") if name in outside else name))
            for name, array in arrays_of(graph, self.where, self.dtype).items()
        )
        self.depth += 1
        try:
            self.run(sorted_nodes(graph, set(self.values), self.where))
            return [self.values[output.name] for output in graph.output]
        finally:
            self.depth -= 1
            self.values = outside

    def roots(self, name: str) -> list[str]:
        """The inputs that a value depends on."""
        needed = {name}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.operands)
        return [name for name in self.inputs if name in needed]

    def _check_supported(self, nodes: Sequence[onnx.NodeProto]) -> None:
        missing: dict[tuple[str, str], list[str]] = {}
        for proto in nodes:
            if registry.find(proto.op_type, proto.domain, self.opset) is None:
                at = proto.name or (proto.output[0] if proto.output else "?")
                missing.setdefault((proto.domain, proto.op_type), []).append(at)
        if not missing:
            return
        lines = []
        for (domain, name), places in missing.items():
            full = f"{domain}.{name}" if domain else name
            shown = ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
            why = registry.why_not(name, domain, self.opset)
            lines.append(f"{full} x{len(places)} (at {shown}{'; ' + why if why else ''})")
        raise UnsupportedOperatorError(
            f"{self.where} (opset {self.opset}) uses {len(missing)} operator(s) that minicnn does "
            f"not read: {', '.join(lines)}. Export the network without them, or cut the file "
            f"before them (onnx.utils.extract_model)."
        )

    def add(self, block: Block, operands: Sequence[Constant | Value], name: str) -> Any:
        """Apply a block: compute on constants, else add a node."""
        _check_operands(block, operands)
        if all(isinstance(operand, Constant) for operand in operands):
            return self._folded(block, [o for o in operands if isinstance(o, Constant)], name)
        shape = block.shape(*(operand.shape for operand in operands))
        check_rank(shape)
        dtype = block.dtype(*(operand.dtype for operand in operands))
        check_bytes(prod(shape) * dtype.itemsize, f"a value of shape {shape}")
        names = tuple(
            self.parameter(operand) if isinstance(operand, Constant) else operand.name
            for operand in operands
        )
        self.nodes.append(Node(name, block, names))
        return Value(name, shape, dtype)

    def _folded(self, block: Block, constants: Sequence[Constant], name: str) -> Constant:
        """The result of a block on constants; a weight that is only reshaped keeps its name."""
        shapes = [constant.shape for constant in constants]
        self.allowance.ask(block.shape(*shapes), block.dtype(*(c.dtype for c in constants)))
        self.allowance.done(block.flops(*shapes))
        if len(constants) == 1 and isinstance(block, _SAME_NUMBERS):
            name = constants[0].name
        arrays = [constant.array for constant in constants]
        array = np.asarray(block.forward(*arrays)[0])
        self.allowance.made(array, *arrays)
        return Constant(array, name, all(constant.own for constant in constants))

    def parameter(self, constant: Constant) -> str:
        """Enter a constant among the network's arrays, under its own name if that is free."""
        name, count = constant.name, 1
        while self.arrays.get(name, constant.array) is not constant.array or (
            count > 1 and name in self.taken and name not in self.arrays
        ):
            count += 1
            name = f"{constant.name}.{count}"
        self.arrays[name] = constant.array
        self.taken.add(name)
        if constant.own:
            self.own.add(name)
        return name

    def step_name(self, output: str, kind: str) -> str:
        """A name for a step inside an operator that no value of the file has."""
        return taken_name(f"{output}/{kind}", self.taken)


def _check_operands(block: Block, operands: Sequence[Constant | Value]) -> None:
    """Refuse too few operands, and types that the block does not compute on."""
    least = _operands_needed(type(block).forward)
    if len(operands) < least:
        raise ModelFileError(f"it has {len(operands)} input(s) and needs {least}")
    for i, operand in enumerate(operands):
        if i not in block.blind and operand.dtype.kind not in block.kinds:
            raise UnsupportedOperatorError(
                f"minicnn's {block.kind} does not compute on {operand.dtype}"
            )


@cache
def _operands_needed(forward: Callable[..., Any]) -> int:
    """How many operands a block cannot do without."""
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    return sum(p.default is p.empty and p.kind is not p.VAR_POSITIONAL for p in parameters)
