"""`load`: from a file to a network that runs forwards and backwards."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from minicnn.blocks import Block, Identity, Shape
from minicnn.data.labels import imagenet_names
from minicnn.errors import (
    InputError,
    MiniCNNError,
    ModelFileError,
    UnknownNameError,
    UnsupportedOperatorError,
    nearest,
)
from minicnn.graph import Node
from minicnn.network import Network
from minicnn.onnx.files import open_model, sorted_nodes
from minicnn.onnx.lower import Constant, Lowering, Value
from minicnn.onnx.registry import NEWEST_OPSET, OLDEST_OPSET
from minicnn.preprocess import PRESETS, Preprocess, preset
from minicnn.structure import FreeShape

__all__ = ["load"]


def load(
    path: str | os.PathLike[str],
    shape: Shape | Mapping[str, Shape] | None = None,
    preprocess: Preprocess | str | None = None,
    labels: Sequence[str] | None = None,
    batch: int | Literal["dynamic"] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Network:
    """Read a network from an ONNX file.

    Parameters
    ----------
    path : path-like
        An ONNX file, opset 7 to 28, with its external data beside it if it has any.
    shape : tuple of int, or mapping by input name, optional
        Input shape (N, C, H, W), for files that leave it open. Without it an open batch is 1 and
        open image sides are 224 where the graph computes with them; other open sides stay open.
    preprocess : Preprocess or str, optional
        How photos become inputs; a name such as "imagenet". By default what the file says if
        minicnn wrote it, else ImageNet's usual numbers, which ONNX files do not state:
        `net.metadata["minicnn.preprocess.source"]` tells which.
    labels : sequence of str, optional
        Class names. By default the file's own if minicnn wrote it, else ImageNet's for 1000
        classes.
    batch : int or "dynamic", optional
        How many images at once. "dynamic" takes the first axis of every input for one of images,
        also where the file fixes it and has it baked into reshapes. By default what the file says,
        and any number where the graph is the same for all.
    constants : mapping, optional
        Arrays for inputs whose values the graph must know to be read, such as a shape.

    Returns
    -------
    Network

    Raises
    ------
    ModelFileError
        If the file is missing, empty, truncated, not ONNX, or damaged.
    UnsupportedOperatorError
        If it uses operators that minicnn does not read; all are listed.
    ShapeError
        If shapes do not fit; the node is named.
    """
    path = Path(path)
    where = path.name
    opened = open_model(path)
    model = opened.model
    graph = model.graph
    opset = _opset(model, where)
    dtype = _dtype(graph)
    arrays = opened.arrays(dtype) | _given_constants(constants or {}, graph, dtype, where)
    free = {i.name: _free_shape(i, where) for i in graph.input if i.name not in arrays}
    types = {i.name: _type(i, dtype, where) for i in graph.input if i.name in free}
    given = _given_shapes(free, shape)
    if batch is not None:
        free = {name: (None, *dims[1:]) if dims else () for name, dims in free.items()}
    if isinstance(batch, int):
        given = {n: (batch, *given.get(n, _concrete(d, None))[1:]) for n, d in free.items() if d}
    concrete = {name: _concrete(dims, given.get(name)) for name, dims in free.items()}

    baked = next((dims[0] for dims in (concrete if batch else free).values() if dims), None)
    order = sorted_nodes(graph, {*arrays, *free}, where)

    def lowered(shapes: Mapping[str, Shape]) -> Lowering:
        lowering = Lowering(where, opset, shapes, arrays, dtype, baked, types)
        lowering.run(order)
        return lowering

    lowering = lowered(concrete)
    more = {name: _more(shape) for name, shape in concrete.items()}
    any_batch = batch is None or batch == "dynamic"
    if any_batch:
        any_batch = _is_same(lowering, lowered, more, insist=batch == "dynamic")
    outputs = [output.name for output in graph.output]
    nodes, outputs = _only_needed(lowering, outputs, where, constants is not None)
    used = {operand for node in nodes for operand in node.operands} | set(outputs)
    open_sizes = {} if lowering.reads_shapes else free
    inputs = {
        name: (None if any_batch else concrete[name][0], *open_sizes.get(name, concrete[name])[1:])
        if concrete[name]
        else ()
        for name in free
        if name in used
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    metadata |= {"producer": model.producer_name, "opset": str(opset), "file": str(path)}
    network = Network(
        name=path.stem,
        inputs=inputs,
        nodes=nodes,
        outputs=outputs,
        arrays={name: array for name, array in lowering.arrays.items() if name in used},
        typical={name: concrete[name] for name in inputs},
        dtype=dtype,
        types={name: types[name] for name in inputs if types[name] != dtype},
    )
    chosen, source = _preprocess(preprocess, metadata, inputs, where)
    metadata["minicnn.preprocess.source"] = source
    channels = next(iter(inputs.values()), (None, None))[1:2]
    if chosen is not None and channels not in ((None,), (), (chosen.channels,)):
        raise InputError(
            f"{where} takes {channels[0]} channel(s); this preprocessing gives {chosen.channels}. "
            f"Give a Preprocess with as many means and deviations."
        )
    network = network.derived(preprocess=chosen, metadata=metadata)
    return network.derived(labels=_labels(labels, metadata, network, where)).freeze()


def _dtype(graph: onnx.GraphProto) -> np.dtype:
    """float64 where an input is double, else float32."""
    weights = {tensor.name for tensor in graph.initializer}
    kinds = [v.type.tensor_type.elem_type for v in graph.input if v.name not in weights]
    return np.dtype(np.float64 if onnx.TensorProto.DOUBLE in kinds else np.float32)


def _opset(model: onnx.ModelProto, where: str) -> int:
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
            f"{where} uses opset {opset}; minicnn was checked up to {NEWEST_OPSET}", stacklevel=3
        )
    return opset


def _type(value: onnx.ValueInfoProto, dtype: np.dtype, where: str) -> np.dtype:
    """The type of an input: all floats are the network's."""
    kind = value.type.tensor_type.elem_type
    try:
        found = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, ValueError, TypeError):
        raise ModelFileError(f"{where}: input {value.name} has the unknown type {kind}.") from None
    if found.name in ("float16", "float32", "float64", "bfloat16"):
        return dtype
    if found.kind not in "iub" or found.name not in _NUMBERS:
        raise UnsupportedOperatorError(
            f"{where}: input {value.name} holds {found.name}; minicnn reads floats, whole numbers "
            f"of 8 to 64 bits and truth values."
        )
    return found


_NUMBERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["bool"]


def _free_shape(value: onnx.ValueInfoProto, where: str) -> FreeShape:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise ModelFileError(f"{where}: input {value.name} is not a tensor.")
    return tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)


def _given_shapes(
    free: Mapping[str, FreeShape], shape: Shape | Mapping[str, Shape] | None
) -> dict[str, Shape]:
    if shape is None:
        return {}
    given = dict(shape) if isinstance(shape, Mapping) else {next(iter(free), ""): tuple(shape)}
    for name, dims in given.items():
        if name not in free or len(dims) != len(free[name]) or min(dims, default=1) < 1:
            raise InputError(
                f"shape={shape!r} does not fit: inputs are "
                + ", ".join(f"{n} with {len(d)} axes" for n, d in free.items())
            )
    return given


def _concrete(dims: FreeShape, given: Shape | None) -> Shape:
    """A shape to lower with: what is given, else what the file fixes, else 1 x 3 x 224 x 224."""
    if given:
        return given
    usual = [1, 3, *[224] * max(0, len(dims) - 2)]
    return tuple(n if n else usual[i] for i, n in enumerate(dims))


def _more(shape: Shape) -> Shape:
    """The same for one more image."""
    return (shape[0] + 1, *shape[1:]) if shape else shape


def _is_same(
    one: Lowering,
    lowered: Callable[[Mapping[str, Shape]], Lowering],
    shapes: Mapping[str, Shape],
    insist: bool = False,
) -> bool:
    """Whether other input shapes give the same graph: whether the network is free in them."""
    try:
        other = lowered(shapes)
    except MiniCNNError as error:
        if not insist:
            return False
        raise ModelFileError(f"{error} This file does not work for other batches.") from None
    same = _same_graph(one, other)
    if insist and not same:
        odd = [a.name for a, b in zip(one.nodes, other.nodes, strict=False) if not _same_node(a, b)]
        raise ModelFileError(
            f"{one.where}: its graph depends on the batch"
            + (f", first at {odd[0]}" if odd else "")
            + ". Give a number (batch=8), or export it with a dynamic batch axis."
        )
    return same


def _same_graph(one: Lowering, other: Lowering) -> bool:
    pairs = zip(one.nodes, other.nodes, strict=False)
    return (
        len(one.nodes) == len(other.nodes)
        and one.arrays.keys() == other.arrays.keys()
        and all(_same_node(a, b) for a, b in pairs)
        and all(_equal(array, other.arrays[name]) for name, array in one.arrays.items())
    )


def _same_node(a: Node, b: Node) -> bool:
    return a.operands == b.operands and _alike(a.block, b.block)


def _alike(a: Block, b: Block) -> bool:
    return type(a) is type(b) and all(
        _equal(getattr(a, f.name), getattr(b, f.name))
        for f in fields(a)  # type: ignore[arg-type]  # blocks are dataclasses
    )


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a is b or np.array_equal(a, b)
    return a == b


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


def _given_constants(
    given: Mapping[str, Any], graph: onnx.GraphProto, dtype: np.dtype, where: str
) -> dict[str, np.ndarray]:
    """Arrays for inputs that are to be known when loading."""
    known = [value.name for value in graph.input]
    for name in given:
        if name not in known:
            raise UnknownNameError(f"{where} has no input {name!r}. {nearest(name, known)}")
    arrays = {name: np.array(value) for name, value in given.items()}
    return {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in arrays.items()}


def _preprocess(
    chosen: Preprocess | str | None,
    metadata: Mapping[str, str],
    inputs: Mapping[str, FreeShape],
    where: str,
) -> tuple[Preprocess | None, str]:
    """How photos become inputs, and where that comes from."""
    if isinstance(chosen, Preprocess):
        return chosen, "given"
    shape = next(iter(inputs.values()), ())
    is_image = len(shape) == 4 and shape[1] in (1, 3)
    if chosen is None and "minicnn.preprocess" in metadata:
        try:
            return Preprocess.from_json(metadata["minicnn.preprocess"]), "file"
        except InputError as error:
            raise ModelFileError(f"{where}: {error}") from None
    if chosen is not None:
        named = preset(chosen)
        return (_sized(named, shape) if is_image and shape[2] else named), "given"
    if not is_image:
        return None, "none: the input is not an image"
    if shape[1] == 1:
        how = _sized(Preprocess(mean=(0.0,), std=(1.0,)), shape)
        size = max(how.crop_size or ())
        return replace(how, size=size), "assumed: grey in 0..1"
    return _sized(PRESETS["imagenet"], shape), "assumed: ImageNet's mean and deviation"


def _sized(how: Preprocess, shape: FreeShape) -> Preprocess:
    """The same numbers for the size that a network takes; the short side a seventh longer."""
    height, width = shape[2] or 224, shape[3] or 224
    crop = height if height == width else (height, width)
    return replace(how, size=round(max(height, width) * 256 / 224), crop=crop)


def _labels(
    chosen: Sequence[str] | None, metadata: Mapping[str, str], network: Network, where: str
) -> Sequence[str]:
    if chosen is not None:
        return tuple(chosen)
    if "minicnn.labels" in metadata:
        try:
            return tuple(str(label) for label in json.loads(metadata["minicnn.labels"]))
        except ValueError:
            raise ModelFileError(f"{where}: its minicnn.labels are not a JSON list.") from None
    shape = network.infer_shapes()[network.outputs[0]]
    if len(shape) > 1 and shape[1] == 1000 and int(np.prod(shape[2:])) == 1:
        return imagenet_names()
    return ()
