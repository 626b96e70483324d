"""An ONNX node as its converter sees it, and the values that it reads and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from minicnn.blocks import Block, Identity, Shape
from minicnn.errors import ModelFileError, UnsupportedOperatorError
from minicnn.graph import Node
from minicnn.onnx.files import tensor_to_array

if TYPE_CHECKING:
    from minicnn.onnx.lower import Lowering

__all__ = ["Constant", "NeedsConstantError", "OnnxNode", "Value"]


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known without input.

    Parameters
    ----------
    array : numpy.ndarray
    name : str
        Of the initialiser that it comes from, where it is one.
    own : bool
        Whether the reader made it up: then it is no parameter.
    """

    array: np.ndarray
    name: str
    own: bool = False

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
        """An attribute's value, lists as tuples, text decoded; of the default's type, if any."""
        if name not in self._attributes:
            return default
        value = onnx.helper.get_attribute_value(self._attributes[name])
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, onnx.TensorProto):
            value = tensor_to_array(value, self.lowering.where)
        elif isinstance(value, (list, tuple)) or hasattr(value, "extend"):
            value = tuple(value)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if default is not None and not isinstance(default, range) and not isinstance(value, wanted):
            raise ModelFileError(f"its attribute {name} is {value!r}, where {default!r} would do")
        return value

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
        return self._input(index).shape

    def dtype(self, index: int = 0) -> np.dtype:
        """Type of an input."""
        return self._input(index).dtype

    def _input(self, index: int) -> Constant | Value:
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise ModelFileError(f"it needs an input number {index + 1}")
        return value

    def is_constant(self, index: int = 0) -> bool:
        """Whether an input is known without running the network."""
        return isinstance(self.inputs[index], Constant)

    def make(self, array: Any, name: str = "") -> Constant:
        """A constant; without a name one of the reader's own. Floats take the network's type."""
        array = np.asarray(array)
        if array.dtype.kind == "f":
            array = array.astype(self.lowering.dtype, copy=False)
        self.lowering.allowance.made(array)
        if name:
            return Constant(array, name)
        name = self.lowering.step_name(self.proto.output[0], "constant")
        return Constant(array, name, own=True)

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
        given = [operand for operand in chosen if operand is not None]
        if len(given) < len(chosen):
            raise ModelFileError("one of the inputs that it needs is left out")
        return self.lowering.add(block, given, name)

    def finished(self, result: Constant | Value, name: str) -> Constant | Value:
        """Give the block that makes a result the name that the result has in the file."""
        if isinstance(result, Constant):
            return replace(result, name=name) if result.name in self._made else result
        if result.name == name:
            return result
        nodes = self.lowering.nodes
        if self.lowering.depth:  # a name within a branch may stand outside too
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
