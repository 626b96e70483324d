"""From an opened model to a network: lowered for its inputs' shapes, freed of them where it can be.

The weights are given apart, so that a file can also be read without them (`check`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import numpy as np
import onnx

from minicnn.blocks import Identity, Shape
from minicnn.errors import ModelFileError
from minicnn.graph import Node
from minicnn.limits import check_bytes
from minicnn.network import Network
from minicnn.onnx.allowance import Allowance
from minicnn.onnx.files import OpenedModel
from minicnn.onnx.freedom import doubled_sizes, is_free, more_images
from minicnn.onnx.inputs import (
    concrete_shape,
    free_shape,
    given_constants,
    given_shapes,
    input_type,
    typical_shapes,
)
from minicnn.onnx.lower import Lowering
from minicnn.onnx.node import Constant, Value
from minicnn.onnx.ordering import sorted_nodes
from minicnn.onnx.registry import NEWEST_OPSET, OLDEST_OPSET

__all__ = ["opset_of", "read"]


def read(
    opened: OpenedModel,
    weights: Mapping[str, np.ndarray],
    dtype: np.dtype,
    shape: Shape | Mapping[str, Shape] | None = None,
    batch: int | Literal["dynamic"] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Network:
    """The network of a file with given weights; see `load` for the other arguments."""
    graph, where = opened.model.graph, opened.where
    opset = opset_of(opened.model, where)
    arrays = {**weights, **given_constants(constants or {}, graph, dtype, where)}
    free = {i.name: free_shape(i, where) for i in graph.input if i.name not in arrays}
    types = {i.name: input_type(i, dtype, where) for i in graph.input if i.name in free}
    given = given_shapes(free, shape)
    metadata = {entry.key: entry.value for entry in opened.model.metadata_props}
    typical = typical_shapes(_fact(metadata, "minicnn.typical"))
    concrete = {
        name: concrete_shape(dims, given.get(name), typical.get(name, ()))
        for name, dims in free.items()
    }
    baked = next((dims[0] for dims in (concrete if batch else free).values() if dims), None)
    if isinstance(batch, int):
        concrete = {name: (batch, *dims[1:]) if dims else () for name, dims in concrete.items()}
    order = sorted_nodes(graph, {*arrays, *free}, where)

    for name, dims in concrete.items():
        check_bytes(prod(dims) * types[name].itemsize, f"{where}: input {name} of shape {dims}")
    allowance = Allowance()

    def lowered(shapes: Mapping[str, Shape]) -> Lowering:
        lowering = Lowering(where, opset, shapes, arrays, dtype, baked, types, allowance)
        lowering.run(order)
        return lowering

    lowering = lowered(concrete)
    larger = [  # by two as well: a window over the batch may not see one image more
        {name: more_images(shape, count) for name, shape in concrete.items()} for count in (1, 2)
    ]
    ends = [output.name for output in graph.output]
    any_batch = not isinstance(batch, int) and all(
        is_free(lowering, lowered, shapes, ends, batch == "dynamic") for shapes in larger
    )
    nodes, outputs = _only_needed(lowering, ends, where, constants is not None)
    used = {operand for node in nodes for operand in node.operands} | set(outputs)
    doubled = {name: doubled_sizes(free[name], shape) for name, shape in concrete.items()}
    is_open = not lowering.reads_shapes and (
        doubled == concrete or is_free(lowering, lowered, doubled, ())
    )
    open_sizes = free if is_open else {}
    inputs = {
        name: (None if any_batch else concrete[name][0], *open_sizes.get(name, concrete[name])[1:])
        if concrete[name]
        else ()
        for name in free
        if name in used
    }
    metadata |= {
        "producer": opened.model.producer_name,
        "opset": str(opset),
        "file": str(opened.path),
    }
    return Network(
        name=opened.path.stem,
        inputs=inputs,
        nodes=nodes,
        outputs=outputs,
        arrays={name: array for name, array in lowering.arrays.items() if name in used},
        typical={name: concrete[name] for name in inputs},
        dtype=dtype,
        types={name: types[name] for name in inputs if types[name] != dtype},
        metadata=metadata,
        constants=frozenset(lowering.own) | (_kept_constants(metadata) & lowering.arrays.keys()),
    )


def _kept_constants(metadata: Mapping[str, str]) -> frozenset[str]:
    """The arrays that are no parameters, of a file that minicnn wrote."""
    names = _fact(metadata, "minicnn.constants")
    known = names if isinstance(names, list) else []
    return frozenset(name for name in known if isinstance(name, str))


def _fact(metadata: Mapping[str, str], key: str) -> Any:
    """What a file's metadata says in JSON; None if nothing, or nothing that can be read."""
    try:
        return json.loads(metadata.get(key, "null"))
    except (ValueError, RecursionError):
        return None


def opset_of(model: onnx.ModelProto, where: str) -> int:
    """The opset version of a file, within what is read.

    Raises
    ------
    ModelFileError
        If the file states none, or one that is too old.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise ModelFileError(f"{where} does not say which opset it uses; export it again.")
    opset = max(versions)
    if opset < OLDEST_OPSET:
        raise ModelFileError(
            f"{where} uses opset {opset}; minicnn reads {OLDEST_OPSET} to {NEWEST_OPSET}. Convert "
            f"it with onnx.version_converter.convert_version(model, 13)."
        )
    if opset > NEWEST_OPSET:
        warnings.warn(
            f"{where} uses opset {opset}; minicnn was checked up to {NEWEST_OPSET}", stacklevel=4
        )
    return opset


def _only_needed(
    lowering: Lowering, outputs: Sequence[str], where: str, may_be_constant: bool
) -> tuple[list[Node], list[str]]:
    """The nodes that the outputs depend on; outputs that depend on nothing are nodes too."""
    for name in outputs:
        if name not in lowering.values:
            raise ModelFileError(f"{where}: nothing in the file makes its output {name!r}.")
    values = [lowering.values[name] for name in outputs]
    if not may_be_constant and all(isinstance(value, Constant) for value in values):
        raise ModelFileError(f"{where}: no output depends on an input.")
    ends: list[str] = []
    for name, value in zip(outputs, values, strict=True):
        if isinstance(value, Constant):
            own = Constant(value.array, lowering.step_name(name, "constant"))
            name = lowering.step_name(name, "output") if name in lowering.arrays else name
            lowering.nodes.append(Node(name, Identity(), (lowering.parameter(own),)))
        ends.append(value.name if isinstance(value, Value) else name)
    needed, kept = set(ends), []
    for node in reversed(lowering.nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.operands)
    return kept[::-1], ends
