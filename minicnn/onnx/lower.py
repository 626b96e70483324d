"""Lowering: from ONNX nodes to a graph of blocks, for a given input shape.

Every value is either a `Constant` (a weight, or something computed from constants: the subgraphs
that exporters write to compute shapes fold away here) or a `Value` of the network to be. A
converter calls `node.add(block, ...)`, which computes on constants and makes a network node
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from minicnn.blocks import Block, Flatten, Identity, Reshape, Shape, Squeeze, Transpose, Unsqueeze
from minicnn.errors import MiniCNNError, ModelFileError, UnsupportedOperatorError
from minicnn.graph import Node
from minicnn.onnx import operators, registry  # noqa: F401  (operators fill the registry)
from minicnn.onnx.files import tensor_to_array

__all__ = ["Constant", "Lowering", "OnnxNode", "Value"]

_SAME_NUMBERS = (Reshape, Transpose, Flatten, Squeeze, Unsqueeze, Identity)
BUDGET = 2**28  # elements that a file may ask for in one constant: 1 GiB of float32
VALUE_BUDGET = 2**32  # and in one value of the running network: 16 GiB


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known without input; `name` is the initialiser it comes from, where it is one."""

    array: np.ndarray
    name: str

    @property
    def shape(self) -> Shape:
        """Shape of the array."""
        return self.array.shape


@dataclass(frozen=True)
class Value:
    """A value of the network to be."""

    name: str
    shape: Shape


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
    """

    def __init__(
        self,
        where: str,
        opset: int,
        inputs: Mapping[str, Shape],
        constants: Mapping[str, np.ndarray],
        dtype: np.dtype,
        batch: int | None = None,
    ) -> None:
        self.where, self.opset, self.dtype, self.batch = where, opset, dtype, batch
        self.values: dict[str, Constant | Value] = {
            name: Constant(array, name) for name, array in constants.items()
        }
        self.values.update((name, Value(name, shape)) for name, shape in inputs.items())
        self.taken = set(self.values)  # names of values; run() adds those of all nodes
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.reads_shapes = False  # whether the graph was specialised to the inputs' sizes

    def run(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Lower nodes that come in running order.

        Raises
        ------
        UnsupportedOperatorError
            Listing every operator that is not read.
        """
        self._check_supported(nodes)
        self.taken.update(name for proto in nodes for name in proto.output)
        for proto in nodes:
            node = OnnxNode(self, proto)
            converter = registry.find(proto.op_type, proto.domain, self.opset)
            assert converter is not None  # _check_supported has seen to that
            try:
                results = converter(node)
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
            shape = block.shape(*(operand.shape for operand in operands))
            self.check_budget(shape)
            constants = [operand for operand in operands if isinstance(operand, Constant)]
            if len(operands) == 1 and isinstance(block, _SAME_NUMBERS):
                name = constants[0].name
            array, _ = block.forward(*(constant.array for constant in constants))
            return Constant(np.asarray(array), name)
        shape = block.shape(*(operand.shape for operand in operands))
        self.check_budget(shape, "value", VALUE_BUDGET)
        names = tuple(
            self._parameter(operand) if isinstance(operand, Constant) else operand.name
            for operand in operands
        )
        self.nodes.append(Node(name, block, names))
        return Value(name, shape)

    def check_budget(self, shape: Shape, what: str = "constant", most: int = BUDGET) -> None:
        """Refuse arrays of absurd size before they are made."""
        size = 1
        for n in shape:
            size *= int(n)
        if size > most:
            raise ModelFileError(f"it asks for a {what} of {size:,} elements, shape {shape}")

    def _parameter(self, constant: Constant) -> str:
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
        raise UnsupportedOperatorError(
            f"its {what} depends on the network's input; minicnn needs it to be constant. Export "
            f"with fixed shapes, or simplify the file"
        )

    def shape(self, index: int = 0) -> Shape:
        """Shape of an input."""
        return self.inputs[index].shape  # type: ignore[union-attr]

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
        if nodes and nodes[-1].name == result.name and result.name in self._made:
            last = nodes.pop()
            block, operands = last.block, last.operands
        else:
            block, operands = Identity(), (result.name,)
        label = self.proto.name if self.proto.name != name else ""
        nodes.append(Node(name, block, operands, label))
        return Value(name, result.shape)

    def depends_on_size(self) -> None:
        """Say that the result holds for this input size only."""
        self.lowering.reads_shapes = True
