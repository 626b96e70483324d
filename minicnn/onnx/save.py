"""`save`: from a network to an ONNX file that any runtime executes.

Any network: loaded, trained here, cut or reversed. Values, nodes and parameters keep their names;
the preprocessing and the class names go into the file's metadata, where `load` finds them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from warnings import warn

import onnx
from onnx import helper, numpy_helper

from minicnn._version import __version__
from minicnn.blocks import Shape
from minicnn.errors import MiniCNNError, OutputError
from minicnn.files import atomic_path, check_writable
from minicnn.onnx.inputs import concrete_shape
from minicnn.onnx.writers import registry
from minicnn.onnx.writers.writing import NeedsSizeError, Value, Writing, tensor_type
from minicnn.structure import Structure

__all__ = ["IR_VERSION", "OPSET", "save", "to_model"]

OPSET = 20  # what torch's exporter writes; ScatterElements adds from 16 on, Pad wraps from 19 on
IR_VERSION = 10  # the first that lets a node carry metadata
LARGEST = 2**31 - 2**20  # bytes of one protobuf message, with room for the names

_TYPICAL = "minicnn.typical"
_OF_ONE_FILE = ("producer", "opset", "file", "minicnn.preprocess.source")


def save(network: Structure, path: str | os.PathLike[str], check: bool = True) -> None:
    """Write a network as an ONNX file.

    Batch and image sizes that the network leaves open stay open, unless a block can be written for
    one size only; then the file is for the network's usual size, says so, and you are warned.

    Parameters
    ----------
    network : Network
        Loaded, trained, cut or reversed.
    path : path-like
        The file; its folder must exist. A file of that name is replaced when all is written.
    check : bool
        Have ONNX's own checker look at it first.

    Raises
    ------
    OutputError
        If it cannot be written there, is larger than an ONNX file may be, or has blocks that
        nothing says how to write: all are listed.

    Examples
    --------
    >>> import minicnn, tempfile, pathlib
    >>> net = minicnn.load(minicnn.data.bundled_model())
    >>> x = minicnn.data.photo(minicnn.data.bundled_digits()[0], net.preprocess)
    >>> reversed_net = net.record(x).reverse(rule="desalinet", at=net.logits)
    >>> minicnn.onnx.save(reversed_net, pathlib.Path(tempfile.mkdtemp()) / "desalinet.onnx")
    """
    path = check_writable(path)
    content = to_model(network).SerializeToString()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        del content  # the checker reads the file
        if check:
            _check(temporary, path)


def _check(temporary: Path, path: Path) -> None:
    try:
        onnx.checker.check_model(str(temporary), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OutputError(
            f"Cannot write {path}: ONNX's checker refuses the file ({error}). If every block is "
            f"minicnn's own, please report this."
        ) from error


def to_model(network: Structure) -> onnx.ModelProto:
    """The network as an ONNX model in memory.

    Raises
    ------
    OutputError
        As `save`.
    """
    _check_writers(network)
    read = {operand for node in network.nodes for operand in node.operands}
    arrays = {name: array for name, array in network.arrays.items() if name in read}
    writing = _written(network)
    arrays |= writing.constants
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST:
        raise OutputError(
            f"{network.name} holds {size:,} bytes; an ONNX file holds 2 GB at most. Cut the "
            f"network (net.cut) and save the pieces."
        )
    lengths = _Lengths()
    inputs = [lengths.described(writing.values[name]) for name in network.inputs]
    outputs = [lengths.described(writing.values[name]) for name in network.outputs]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    model = helper.make_model(
        helper.make_graph(writing.nodes, network.name, inputs, outputs, tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minicnn",
        producer_version=__version__,
    )
    helper.set_model_props(model, {**_metadata(network), **_typical(network, writing)})
    return model


def _check_writers(network: Structure) -> None:
    missing: dict[type, list[str]] = {}
    for node in network.nodes:
        if registry.find(node.block) is None:
            missing.setdefault(type(node.block), []).append(node.name)
    if not missing:
        return
    blocks = {type(node.block): node.block for node in network.nodes}
    lines = []
    for kind, names in missing.items():
        at = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        lines.append(f"At {at}: {registry.why_not(blocks[kind])}.")
    raise OutputError(f"Cannot write {network.name} as ONNX. {' '.join(lines)}")


def _written(network: Structure) -> Writing:
    """The graph, with as many lengths open as its blocks allow."""
    culprit = ""
    for open_lengths, variants in _variants(network):
        try:
            writing = Writing(network, variants)
        except NeedsSizeError as error:
            culprit = str(error)
            continue
        if culprit:
            warn(
                f"{network.name} is written for {open_lengths} only: {culprit} cannot be written "
                f"for every size.",
                stacklevel=4,
            )
        return writing
    raise AssertionError("with no length open no block can ask for one")


def _variants(network: Structure) -> Iterator[tuple[str, list[list[Shape]]]]:
    """Input shapes to write for: with all lengths open, with the batch open, with none.

    Each comes in several variants, of which the first is the usual one. Variants that the network
    does not take are left out; if it takes no other, the lengths are not open really.
    """
    usual = [network.default_shape(name) for name in network.inputs]
    free = [[n is None for n in shape] for shape in network.inputs.values()]
    batch_only = [[is_open and axis == 0 for axis, is_open in enumerate(f)] for f in free]
    closed = ", ".join(f"{name} {s}" for name, s in zip(network.inputs, usual, strict=True))
    for words, choice in [("", free), (f"inputs like {closed} in any batch", batch_only)]:
        others = [
            [_changed(shape, is_open, turn) for shape, is_open in zip(usual, choice, strict=True)]
            for turn in range(4)
        ]
        taken = [shapes for shapes in others if shapes != usual and _takes(network, shapes)]
        if taken and (choice == free or free != batch_only):
            yield words, [usual, *taken]
    yield f"inputs of {closed}", [usual]


def _changed(shape: Shape, is_open: Sequence[bool], turn: int) -> Shape:
    """A shape with other lengths where they are open: each axis in a way of its own.

    Every other turn by a factor, for networks that want multiples of something.
    """
    factor, more = 2 + turn // 2, turn % 2
    return tuple(
        n * (factor + axis) + more * (3 * axis + 1) if free else n
        for axis, (n, free) in enumerate(zip(shape, is_open, strict=True))
    )


def _takes(network: Structure, shapes: Sequence[Shape]) -> bool:
    try:
        network.infer_shapes(*shapes)
    except MiniCNNError:
        return False
    return True


class _Lengths:
    """Names for open lengths: the same where they are alike in every variant."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, ...], str] = {}

    def described(self, value: Value) -> onnx.ValueInfoProto:
        """An input or output with its type and shape."""
        shape: list[int | str] = []
        lengths = zip(*value.shapes, strict=True)
        for axis, (n, variants) in enumerate(zip(value.shape, lengths, strict=True)):
            name = "N" if axis == 0 else f"{value.name}.{axis}"
            shape.append(self._names.setdefault(variants, name) if n is None else n)
        return helper.make_tensor_value_info(value.name, tensor_type(value.dtype), shape)


def _typical(network: Structure, writing: Writing) -> Mapping[str, str]:
    """The usual shapes of inputs whose lengths are open in the file, unless `load` assumes them."""
    shapes = {name: writing.values[name].shape for name in network.inputs}
    usual = {name: network.default_shape(name) for name in network.inputs}
    unlike = {n: usual[n] for n, shape in shapes.items() if usual[n] != concrete_shape(shape)}
    return {_TYPICAL: json.dumps(unlike, ensure_ascii=False)} if unlike else {}


def _metadata(network: Structure) -> Mapping[str, str]:
    """What the file says besides the graph: all that the network's own file said, and ours."""
    kept = {k: v for k, v in network.metadata.items() if k not in _OF_ONE_FILE}
    for key in ("minicnn.preprocess", "minicnn.labels", "minicnn.constants", _TYPICAL):
        kept.pop(key, None)
    if network.preprocess is not None and not network.assumes_preprocess:
        kept["minicnn.preprocess"] = network.preprocess.to_json()
    if network.labels:
        kept["minicnn.labels"] = json.dumps(list(network.labels), ensure_ascii=False)
    constants = [name for name in network.arrays if name in network.constants]
    if constants:
        kept["minicnn.constants"] = json.dumps(constants, ensure_ascii=False)
    return kept
