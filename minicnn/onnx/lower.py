"""Lowering: from ONNX nodes to a graph of blocks, for a given input shape.

Every value is either a `Constant` (a weight, or something computed from constants: the subgraphs
that exporters write to compute shapes fold away here) or a `Value` of the network to be. A
converter calls `node.add(block, ...)`, which computes on constants and makes a network node
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx

from minicnn.blocks import Block, Flatten, Identity, Reshape, Shape, Squeeze, Transpose, Unsqueeze
from minicnn.errors import MiniCNNError, ModelFileError, UnsupportedOperatorError
from minicnn.graph import Node
from minicnn.limits import check_bytes
from minicnn.onnx import operators, registry  # noqa: F401  (operators fill the registry)
from minicnn.onnx.files import arrays_of, sorted_nodes, tensor_to_array
from minicnn.onnx.modules import module_path

__all__ = ["Constant", "Lowering", "NeedsConstantError", "OnnxNode", "Value"]

_SAME_NUMBERS = (Reshape, Transpose, Flatten, Squeeze, Unsqueeze, Identity)
DEEPEST = 32  # branches within branches
MOST_WORK = 10**10  # floating-point operations of one operator on constants, seconds of work


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known without input; `name` is the initialiser it comes from, where it is one."""

    array: np.ndarray
    name: str

    @property
    def shape(self) -> Shape:
        """Shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the array."""
        return self.array.dtype


@dataclass(frozen=True)
class Value:
    """A value of the network to be."""

    name: str
    shape: Shape
    dtype: np.dtype


class NeedsConstantError(UnsupportedOperatorError):
    """Something must be known when loading, and depends on these inputs of the file."""

    def __init__(self, message: str, inputs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.inputs = tuple(inputs)


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
        self._made_bytes = 0  # by constants that the file asks to be computed
        self._depth = 0  # of branches within branches

    def run(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Lower nodes that come in running order.

        Raises
        ------
        UnsupportedOperatorError
            Listing every operator that is not read.
        """
        self._check_supported(nodes)
        if not self._depth:
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
            except (ArithmeticError, LookupError, ValueError, TypeError) as error:
                raise ModelFileError(
                    f"{self.where}, at {node}: the node is malformed. It has {len(proto.input)} "
                    f"input(s) and the attributes {[a.name for a in proto.attribute]}; reading it "
                    f"failed with {type(error).__name__}: {error}."
                ) from error
            results = results if isinstance(results, list) else [results]
            for name, result in zip(proto.output, results, strict=False):
                if name:
                    self.values[name] = node.finished(result, name)
            module = module_path(proto)
            if module:
                self.nodes[first:] = [replace(n, module=module) for n in self.nodes[first:]]

    def branch(self, graph: onnx.GraphProto) -> list[Constant | Value]:
        """Lower a graph within the graph, which sees all values outside; gives its outputs."""
        if self._depth >= DEEPEST:
            raise ModelFileError(f"branches lie more than {DEEPEST} deep in each other")
        outside = dict(self.values)
        self.values.update(
            (name, Constant(array, self.step_name(name, "branch") if name in outside else name))
            for name, array in arrays_of(graph, self.where, self.dtype).items()
        )
        self._depth += 1
        try:
            self.run(sorted_nodes(graph, set(self.values), self.where))
            return [self.values[output.name] for output in graph.output]
        finally:
            self._depth -= 1
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
        if all(isinstance(operand, Constant) for operand in operands):
            shapes = [operand.shape for operand in operands]
            self.check_budget(block.shape(*shapes), block.dtype(*(o.dtype for o in operands)))
            if block.flops(*shapes) > MOST_WORK:
                raise ModelFileError(
                    f"it asks for {block.flops(*shapes):,} operations on constants when loading"
                )
            constants = [operand for operand in operands if isinstance(operand, Constant)]
            if len(operands) == 1 and isinstance(block, _SAME_NUMBERS):
                name = constants[0].name
            array, _ = block.forward(*(constant.array for constant in constants))
            if not isinstance(block, _SAME_NUMBERS):
                self._made_bytes += array.nbytes
            return Constant(np.asarray(array), name)
        shape = block.shape(*(operand.shape for operand in operands))
        dtype = block.dtype(*(operand.dtype for operand in operands))
        check_bytes(prod(shape) * dtype.itemsize, f"a value of shape {shape}")
        names = tuple(
            self.parameter(operand) if isinstance(operand, Constant) else operand.name
            for operand in operands
        )
        self.nodes.append(Node(name, block, names))
        return Value(name, shape, dtype)

    def check_budget(self, shape: Sequence[int], dtype: Any = np.float64) -> None:
        """Refuse a constant of absurd size before it is made; all of them count together."""
        size = prod(int(n) for n in shape) * np.dtype(dtype).itemsize
        check_bytes(self._made_bytes + size, f"a constant of shape {tuple(map(int, shape))}")

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
        return name

    def step_name(self, output: str, kind: str) -> str:
        """A name for a step inside an operator that no value of the file has."""
        name, count = f"{output}/{kind}", 1
        while name in self.taken:
            count += 1
            name = f"{output}/{kind}.{count}"
        self.taken.add(name)
        return name


class OnnxNode:
    """A node as its converter sees it: inputs, attributes, and `add`."""

    def __init__(self, lowering: Lowering, proto: onnx.NodeProto) -> None:
        self.lowering, self.proto = lowering, proto
        self.inputs = [lowering.values[name] if name else None for name in proto.input]
        self._attributes = {a.name: a for a in proto.attribute}
        self._made: set[str] = set()  # names of the nodes that this one became so far

    def __str__(self) -> str:
        return f"node {self.proto.name or self.proto.output[0]} ({self.proto.op_type})"

    def has(self, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value, lists as tuples, text decoded."""
        if name not in self._attributes:
            return default
        value = onnx.helper.get_attribute_value(self._attributes[name])
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, onnx.TensorProto):
            return tensor_to_array(value, self.lowering.where)
        return (
            tuple(value) if isinstance(value, (list, tuple)) or hasattr(value, "extend") else value
        )

    def constant(self, index: int, what: str, default: Any = None) -> Any:
        """An input that must be known without running the network, or the default if absent."""
        if not self.has(index):
            return default
        value = self.inputs[index]
        if isinstance(value, Constant):
            return value.array
        assert value is not None  # `has` saw it
        inputs = self.lowering.roots(value.name)
        raise NeedsConstantError(
            f"its {what} depends on the network's input {', '.join(inputs)}; minicnn needs it to "
            f"be constant. Export with fixed shapes, or give that input when loading: "
            f"load(file, constants={{{', '.join(f'{name!r}: ...' for name in inputs)}}}).",
            inputs,
        )

    def shape(self, index: int = 0) -> Shape:
        """Shape of an input."""
        return self.inputs[index].shape  # type: ignore[union-attr]

    def dtype(self, index: int = 0) -> np.dtype:
        """Type of an input."""
        return self.inputs[index].dtype  # type: ignore[union-attr]

    def is_constant(self, index: int = 0) -> bool:
        """Whether an input is known without running the network."""
        return isinstance(self.inputs[index], Constant)

    def make(self, array: Any, name: str = "") -> Constant:
        """A constant of one's own; floats take the network's precision."""
        array = np.asarray(array)
        if array.dtype.kind == "f":
            array = array.astype(self.lowering.dtype, copy=False)
        name = name or self.lowering.step_name(self.proto.output[0], "constant")
        return Constant(array, name)

    def integers(self, numbers: Any, dtype: Any = np.int64) -> Constant:
        """Whole numbers as a constant of one's own."""
        return self.make(np.asarray(numbers, dtype))

    def graph(self, name: str) -> onnx.GraphProto:
        """An attribute that is a graph."""
        found = self._attributes.get(name)
        if found is None or not found.HasField("g"):
            raise ModelFileError(f"it has no graph {name}")
        return found.g

    def add(self, block: Block, *operands: Constant | Value | int | None) -> Any:
        """Apply a block to inputs (by index) and values; without any, to the first input."""
        chosen = [
            self.inputs[operand] if isinstance(operand, int) else operand
            for operand in (operands or (0,))
        ]
        name = self.lowering.step_name(self.proto.output[0], block.kind)
        self._made.add(name)
        return self.lowering.add(block, [o for o in chosen if o is not None], name)

    def finished(self, result: Constant | Value, name: str) -> Constant | Value:
        """Give the block that makes a result the name that the result has in the file."""
        if isinstance(result, Constant):
            return Constant(result.array, name) if result.name in self._made else result
        if result.name == name:
            return result
        nodes = self.lowering.nodes
        if self.lowering._depth:  # a name within a branch may stand outside too
            name = name if name not in self.lowering.taken else self.lowering.step_name(name, "in")
            self.lowering.taken.add(name)
        if nodes and nodes[-1].name == result.name and result.name in self._made:
            last = nodes.pop()
            block, operands = last.block, last.operands
        else:
            block, operands = Identity(), (result.name,)
        label = self.proto.name if self.proto.name != name else ""
        nodes.append(Node(name, block, operands, label))
        return Value(name, result.shape, result.dtype)

    def depends_on_size(self) -> None:
        """Say that the result holds for this input size only."""
        self.lowering.reads_shapes = True
