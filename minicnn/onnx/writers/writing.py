"""Writing a graph: each block's writer turns one call into ONNX nodes.

`Writing` goes through a network's nodes; `Call` is what a writer sees of one. Shapes are known in
several variants, one for each choice of the network's open lengths: a length that differs between
them is open in the file too. A writer whose nodes depend on such a length asks for it with `fixed`;
then the file is written again with it fixed, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from minicnn.blocks import Block, Shape
from minicnn.errors import OutputError
from minicnn.graph import Node, taken_name
from minicnn.onnx.modules import MODULE_KEY
from minicnn.onnx.writers import registry
from minicnn.structure import FreeShape, Structure

__all__ = ["Call", "NeedsSizeError", "Value", "Writing", "tensor_type"]


class NeedsSizeError(Exception):
    """A block can be written for one size only, and the size is open."""


def tensor_type(dtype: np.dtype) -> int:
    """ONNX's number for a type."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


@dataclass(frozen=True)
class Value:
    """A value of the graph: its name, its shape in each variant, its type."""

    name: str
    shapes: tuple[Shape, ...]
    dtype: np.dtype

    def __post_init__(self) -> None:
        if len({len(shape) for shape in self.shapes}) > 1:
            raise NeedsSizeError(f"{self.name}, whose number of axes depends on it,")

    @property
    def shape(self) -> FreeShape:
        """Its shape, None where a length is open."""
        lengths = zip(*self.shapes, strict=True)
        return tuple(n[0] if len(set(n)) == 1 else None for n in lengths)

    @property
    def rank(self) -> int:
        """Its number of axes."""
        return len(self.shapes[0])


class Writing:
    """An ONNX graph in the making.

    Parameters
    ----------
    network : Structure
        What is written.
    variants : sequence of sequence of tuple of int
        Shapes for its inputs, once for each choice of their open lengths.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        In running order.
    constants : dict
        Arrays that writers made.
    values : dict
        The network's inputs, arrays and values by name.
    """

    def __init__(self, network: Structure, variants: Sequence[Sequence[Shape]]) -> None:
        self.dtype = network.dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.values: dict[str, Value] = {}
        self.arrays = network.arrays
        self._taken = {*network.inputs, *network.arrays, *network.layers}
        types = network.infer_types()
        inferred = [network.infer_shapes(*inputs) for inputs in variants]
        for name, array in network.arrays.items():
            self.values[name] = Value(name, (array.shape,) * len(variants), array.dtype)
        for name in [*network.inputs, *network.layers]:
            self.values[name] = Value(name, tuple(s[name] for s in inferred), types[name])
        for node in network.nodes:
            first = len(self.nodes)
            operands = [self.values[operand] for operand in node.operands]
            self.write(node.block, operands, node.name)
            self.nodes[-1].name = self._node_name(node)
            if node.module:
                for proto in self.nodes[first:]:
                    proto.metadata_props.add(key=MODULE_KEY, value=node.module)

    def _node_name(self, node: Node) -> str:
        """A node's label, or its value's name where parts of one node share the label."""
        taken = {proto.name for proto in self.nodes[:-1]}
        return node.name if not node.label or node.label in taken else node.label

    def write(self, block: Block, operands: Sequence[Value], name: str) -> None:
        """Add the nodes of a block, the last of which gives the value `name`."""
        function = registry.find(block)
        if function is None:
            raise OutputError(f"At {name}: {registry.why_not(block)}.")
        first = len(self.nodes)
        call = Call(self, block, operands, name)
        result = function(call)
        result = result.name if isinstance(result, Value) else result
        if result not in {output for proto in self.nodes[first:] for output in proto.output}:
            result = call.node("Identity", result)  # an operand itself
        for proto in self.nodes[first:]:
            _rename(proto.input, result, name)
            if _rename(proto.output, result, name):
                proto.name = name

    def free(self, name: str) -> str:
        """The name, or with the first number that makes it a new one."""
        return taken_name(name, self._taken)


class Call:
    """A block's call as its writer sees it; `call[i]` is operand i.

    Parameters
    ----------
    writing : Writing
        The graph.
    block : Block
        What is called.
    operands : sequence of Value
        On what.
    name : str
        The name of its value.
    """

    def __init__(
        self, writing: Writing, block: Block, operands: Sequence[Value], name: str
    ) -> None:
        self.block: Any = block
        self.operands = list(operands)
        self.name = name
        self._writing = writing

    def __getitem__(self, index: int) -> Value:
        return self.operands[index]

    def __len__(self) -> int:
        return len(self.operands)

    @property
    def dtype(self) -> np.dtype:
        """Type of the first operand if it holds floats, else what the network computes in."""
        own = self.operands[0].dtype
        return own if own.kind == "f" else self._writing.dtype

    def node(self, op: str, *inputs: Any, output: int = 0, **attributes: Any) -> str:
        """Add an ONNX node.

        Parameters
        ----------
        op : str
            The operator.
        *inputs : Value, str, None, number, sequence of int or array
            Values and names of outputs; None leaves an optional input out. A number becomes a
            scalar of the first operand's type, a sequence of int a vector, an array a constant.
        output : int
            Which of the node's outputs is wanted.
        **attributes
            As ONNX calls them; those that are None are left out.

        Returns
        -------
        str
            Name of that output: "name/op" until the call is done.
        """
        names = [self._input(given) for given in inputs]
        while names and not names[-1]:
            names.pop()
        outputs = [self._writing.free(f"{self.name}/{op}") for _ in range(output + 1)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self._writing.nodes.append(helper.make_node(op, names, outputs, name=outputs[-1], **given))
        return outputs[-1]

    def _input(self, given: Any) -> str:
        if given is None or isinstance(given, str):
            return given or ""
        if isinstance(given, Value):
            return given.name
        if isinstance(given, (tuple, list)):
            return self.constant(np.array(given, np.int64))
        if isinstance(given, np.ndarray):
            return self.constant(given)
        return self.constant(np.asarray(given, self.operands[0].dtype))

    def constant(self, array: np.ndarray) -> str:
        """Add an array to the file; floats take the type of the call."""
        return self.array(
            array.astype(self.dtype, copy=False) if array.dtype.kind == "f" else array
        )

    def array(self, array: np.ndarray) -> str:
        """Add an array to the file, in its own type."""
        name = self._writing.free(f"{self.name}/constant")
        self._writing.constants[name] = array
        return name

    def zeros(self, shape: Sequence[int]) -> str:
        """An array of zeros that takes no room in the file."""
        zero = helper.make_tensor("zero", tensor_type(self.operands[0].dtype), [1], [0])
        return self.node("ConstantOfShape", tuple(shape), value=zero)

    def write(self, block: Block, *operands: Value) -> Value:
        """Write another block as a step of this one."""
        name = self._writing.free(f"{self.name}/{block.kind}")
        self._writing.write(block, operands, name)
        shapes = tuple(
            block.shape(*variant) for variant in zip(*(o.shapes for o in operands), strict=True)
        )
        return Value(name, shapes, block.dtype(*(operand.dtype for operand in operands)))

    def cast(self, value: Value | str, dtype: Any) -> str:
        """A value in another type."""
        return self.node("Cast", value, to=tensor_type(dtype))

    def promoted(self, *values: Value) -> list[Any]:
        """Values in their common type: ONNX's operators take one type, NumPy's take several."""
        common = np.result_type(*(value.dtype for value in values))
        return [value if value.dtype == common else self.cast(value, common) for value in values]

    def known(self, index: int) -> np.ndarray | None:
        """An operand's numbers, if it is an array of the network."""
        return self._writing.arrays.get(self.operands[index].name)

    def fixed(self, index: int = 0, axes: slice = slice(None)) -> Shape:
        """An operand's shape, or a part of it, where the nodes written depend on it."""
        shape = self.operands[index].shape[axes]
        if None in shape:
            raise NeedsSizeError(f"{self.name} ({self.block.kind})")
        return shape  # type: ignore[return-value]  # no None in it

    def channels(self, index: int = 0) -> int:
        """Number of channels of an operand."""
        return self.fixed(index, slice(1, 2))[0]


def _rename(names: Any, old: str, new: str) -> bool:
    """Rename within a list; gives whether the name was there."""
    places = [i for i, name in enumerate(names) if name == old]
    for i in places:
        names[i] = new
    return bool(places)
