"""Start files for the fuzzer, and seeded ways to break them.

    data, how = mutated(files, np.random.default_rng([seed, index]))

Some changes are blind, to the bytes; the others know what a model is: they put absurd numbers into
attributes, shapes and sizes, and rewire, repeat, rename and nest nodes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

import minicnn

__all__ = ["mutated", "start_files"]

Rng = np.random.Generator

INTEGERS = [0, 1, -1, 2, -2, 3, 7, 64, 255, 10**4, 2**16, 2**20, 10**9, 2**31 - 1, 2**31, -(2**31),
            2**32, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63)]  # fmt: skip
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, float("inf"), float("-inf"), float("nan"), 0.5]
ABSURD_SHAPES = [(0,), (-1,), (-1, -1), (2**40,), (2**20, 2**20), (10**6, 10**6, 10**3), (1,) * 40,
                 (2**31, 2**31, 2**31), (2**62, 4), (1, 2**28), (3, 0, 2**62)]  # fmt: skip


# Where to start


def start_files() -> list[bytes]:
    """The bundled network, a network of every habit, and onnx's one-node tests that are read."""
    files = [Path(minicnn.data.bundled_model()).read_bytes(), _mixed().SerializeToString()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the reference's own arithmetic
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    from minicnn.onnx import registry

    seen: dict[str, int] = {}
    for case in cases:
        model = ModelProto.FromString(case.model.SerializeToString())
        kinds = {(node.op_type, node.domain) for node in model.graph.node}
        known = all(registry.find(kind, domain, 28) for kind, domain in kinds)
        first = model.graph.node[0].op_type
        if known and seen.get(first, 0) < 12 and len(model.graph.node) < 20:
            seen[first] = seen.get(first, 0) + 1
            _fix_inputs(model, case.data_sets[0][0])
            files.append(model.SerializeToString())
    return files


def _fix_inputs(model: ModelProto, values: Sequence[object]) -> None:
    """Make every input but the first a weight, so that shapes and sizes are known."""
    for info, value in list(zip(model.graph.input, values, strict=False))[1:]:
        if isinstance(value, np.ndarray) and value.size < 10_000 and value.dtype.kind in "fiub":
            model.graph.initializer.append(numpy_helper.from_array(value, info.name))


def _mixed() -> ModelProto:
    """A network of what real files do: shape subgraphs, constants, branches, functions, padding."""
    rng = np.random.default_rng(0)
    node = helper.make_node

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    def ints(name: str, *values: int) -> TensorProto:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    body = helper.make_graph([node("Relu", ["n"], ["z"])], "body", [], [
        helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [weight("inner", 20, 20)])  # fmt: skip
    twice = helper.make_function("here", "Twice", ["a"], ["o"], [node("Add", ["a", "a"], ["o"])],
                                 [helper.make_opsetid("", 17)])  # fmt: skip
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], strides=[1, 1], name="conv1"),
        node("BatchNormalization", ["c1", "b1", "b1", "b1", "v1"], ["n1"]),
        node("Relu", ["n1"], ["n"]),
        node("If", ["sure"], ["i"], then_branch=body, else_branch=body),
        node("MaxPool", ["i"], ["p"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        node("ConstantOfShape", ["ones"], ["o"], value=helper.make_tensor("v", 1, [1], [0.5])),
        node("Mul", ["p", "o"], ["m"]),
        node("Twice", ["m"], ["t"], domain="here"),
        node("Resize", ["t", "", "", "sizes"], ["r"], mode="nearest"),
        node("Pad", ["r", "pads"], ["q"]),
        node("ConvTranspose", ["q", "w2"], ["d"], strides=[2, 2], output_padding=[1, 1]),
        node("Concat", ["d", "d"], ["k"], axis=1),
        node("Constant", [], ["tail"], value=ints("tail", -1)),
        node("Shape", ["k"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"], axis=0),
        node("Concat", ["batch", "tail"], ["target"], axis=0),
        node("Reshape", ["k", "target"], ["f"]),
        node("Slice", ["f", "zero", "ten", "one"], ["g"]),
        node("Expand", ["g", "wide"], ["e"]),
        node("Tile", ["e", "reps"], ["l"]),
        node("Gemm", ["l", "w3"], ["y"], transB=1),
        node("Softmax", ["y"], ["h"], axis=1),
    ]
    tensors = [weight("w1", 4, 3, 3, 3), weight("b1", 4), weight("w2", 4, 2, 3, 3),
               weight("w3", 5, 20), ints("ones", 1, 4, 1, 1), ints("sizes", 1, 4, 6, 6),
               ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), ints("zero", 0), ints("ten", 10),
               ints("one", 1), ints("wide", 1, 1), ints("reps", 1, 2),
               numpy_helper.from_array(np.full(4, 2, np.float32), "v1"),
               numpy_helper.from_array(np.array(True), "sure")]  # fmt: skip
    graph = helper.make_graph(
        nodes, "mixed", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT, None)], tensors)  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("here", 1)]
    return helper.make_model(graph, functions=[twice], opset_imports=imports, ir_version=8)


# Changes to bytes


def _cut_off(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    return data[: rng.integers(len(data))]


def _flip_bits(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return data


def _flip_early(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(min(len(data), 400))] ^= 1 << int(rng.integers(8))
    return data


def _splice(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    at, start = rng.integers(len(data)), rng.integers(len(other))
    length = rng.integers(1, 300)
    data[at : at + length * rng.integers(2)] = other[start : start + length]
    return data


def _remove(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    at = rng.integers(len(data))
    del data[at : at + rng.integers(1, 40)]
    return data


def _varint(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    at = rng.integers(len(data))
    value = int(rng.choice([0, 127, 128, 2**14, 2**21, 2**32 - 1, 2**63, 2**64 - 1]))
    packed = bytearray()
    while value > 127:
        packed.append(value & 127 | 128)
        value >>= 7
    data[at : at + 1] = packed + bytes([value])
    return data


def _repeat(data: bytearray, rng: Rng, other: bytes) -> bytearray:
    at = rng.integers(len(data))
    return data[:at] + data[at : at + rng.integers(1, 500)] * int(rng.integers(2, 200)) + data[at:]


BLIND = [_cut_off, _flip_bits, _flip_bits, _flip_early, _splice, _remove, _varint, _repeat]


# Changes to models


def _pick(things: Sequence, rng: Rng):
    return things[int(rng.integers(len(things)))] if len(things) else None


def _graphs(graph: GraphProto) -> list[GraphProto]:
    inner = [a.g for n in graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]
    return [graph, *(deeper for g in inner for deeper in _graphs(g))]


def _attribute(graph: GraphProto, rng: Rng) -> None:
    """An absurd value of an attribute, or of one more than it has."""
    node = _pick(graph.node, rng)
    attribute = _pick(node.attribute, rng)
    if attribute is None or rng.random() < 0.2:
        name = _pick(["axis", "axes", "kernel_shape", "pads", "strides", "dilations", "group", "to",
                      "auto_pad", "size", "alpha", "epsilon", "perm", "mode", "keepdims", "value",
                      "num_outputs", "blocksize", "output_padding", "ceil_mode", "split"],
                     rng)  # fmt: skip
        node.attribute.append(helper.make_attribute(name, _any_value(rng)))
    elif attribute.ints and rng.random() < 0.8:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = _pick(INTEGERS, rng)
    elif attribute.ints:
        attribute.ints.extend([int(_pick(INTEGERS, rng))] * int(rng.integers(1, 5)))
    elif attribute.type == AttributeProto.INT:
        attribute.i = _pick(INTEGERS, rng)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = _pick(FLOATS, rng)
    elif attribute.type == AttributeProto.TENSOR:
        _spoil(attribute.t, rng)
    else:
        name = attribute.name
        attribute.CopyFrom(helper.make_attribute(name, _any_value(rng)))


def _any_value(rng: Rng) -> object:
    return _pick(
        [_pick(INTEGERS, rng), [_pick(INTEGERS, rng) for _ in range(rng.integers(1, 7))],
         _pick(FLOATS, rng), [float(_pick(FLOATS, rng))], "SAME_UPPER", "constant", b"\xff\xfe",
         "reflect", "linear", helper.make_tensor("t", 1, [2], [1.0, 2.0])], rng)  # fmt: skip


def _no_attribute(graph: GraphProto, rng: Rng) -> None:
    node = _pick(graph.node, rng)
    if node.attribute:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def _tensor(graph: GraphProto, rng: Rng) -> None:
    if graph.initializer:
        _spoil(_pick(graph.initializer, rng), rng)


def _spoil(tensor: TensorProto, rng: Rng) -> None:
    """Other sizes, another type, or other numbers."""
    what = rng.integers(5)
    if what == 0:
        del tensor.dims[:]
        tensor.dims.extend(_pick(ABSURD_SHAPES, rng))
    elif what == 1:
        tensor.data_type = int(rng.integers(0, 27))
    elif what == 2 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = _pick(INTEGERS, rng)
    elif what == 3:
        tensor.data_location = TensorProto.EXTERNAL
        location = _pick(["../../etc/passwd", "/dev/zero", "model.onnx", ".", "", "x\0y"], rng)
        for key, value in (("location", location), ("offset", _pick(INTEGERS, rng))):
            tensor.external_data.add(key=key, value=str(value))
    else:
        try:
            array = np.array(numpy_helper.to_array(tensor))
        except Exception:
            return
        if array.size and array.dtype.kind in "iuf":
            values = INTEGERS if array.dtype.kind in "iu" else FLOATS
            with np.errstate(all="ignore"):
                new = np.array(_pick(values, rng)).astype(array.dtype)
            array.reshape(-1)[int(rng.integers(array.size))] = new
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _sizes(graph: GraphProto, rng: Rng) -> None:
    """Absurd targets of what reads shapes: Reshape, Expand, Tile, Pad, Resize, ConstantOfShape."""
    small = [t for t in graph.initializer if t.data_type == TensorProto.INT64 and len(t.dims) == 1]
    tensor = _pick(small, rng)
    if tensor is not None and 0 <= tensor.dims[0] < 100:
        count = int(tensor.dims[0]) if rng.random() < 0.8 else int(rng.integers(0, 9))
        pool = INTEGERS if rng.random() < 0.5 else [2**10, 2**15, 2**20, 1, -1]
        values = np.array([_pick(pool, rng) for _ in range(count)], np.int64)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _input_shape(graph: GraphProto, rng: Rng) -> None:
    info = _pick(graph.input, rng)
    if info is None:
        return
    dims = info.type.tensor_type.shape.dim
    what = rng.integers(4)
    if what == 0 and dims:
        dims[int(rng.integers(len(dims)))].dim_value = _pick(INTEGERS, rng)
    elif what == 1:
        dims.add(dim_value=int(_pick(INTEGERS, rng)))
    elif what == 2 and dims:
        del dims[int(rng.integers(len(dims)))]
    else:
        info.type.tensor_type.elem_type = int(rng.integers(0, 27))


def _nodes(graph: GraphProto, rng: Rng) -> None:
    """Leave out, repeat, or reorder nodes."""
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node]
    at, what = int(rng.integers(len(nodes))), rng.integers(4)
    if what == 0:
        del nodes[at]
    elif what == 1:
        nodes.insert(int(rng.integers(len(nodes))), nodes[at])
    elif what == 2:
        nodes = [nodes[i] for i in rng.permutation(len(nodes))]
    else:
        nodes += nodes * int(rng.integers(1, 50))
    del graph.node[:]
    graph.node.extend(nodes)


def _rewire(graph: GraphProto, rng: Rng) -> None:
    """Give a node another input or output, or one more, or one less."""
    names = [n for node in graph.node for n in (*node.input, *node.output)]
    names += [t.name for t in graph.initializer] + ["", "nowhere"]
    node = _pick(graph.node, rng)
    ends = node.input if rng.random() < 0.7 else node.output
    what = rng.integers(4)
    if what == 0 or not ends:
        ends.append(_pick(names, rng))
    elif what == 1:
        del ends[int(rng.integers(len(ends)))]
    else:
        ends[int(rng.integers(len(ends)))] = _pick(names, rng)


def _rename(graph: GraphProto, rng: Rng) -> None:
    things = [*graph.input, *graph.output, *graph.initializer, *graph.node]
    names = [thing.name for thing in things]
    _pick(things, rng).name = _pick([*names, "", "a\nb", "\x1b[31m", "x" * 10_000, "é"], rng)


def _operator(graph: GraphProto, rng: Rng) -> None:
    from minicnn.onnx import registry

    known = sorted(registry._TABLE)
    _pick(graph.node, rng).op_type = _pick([*known, "Loop", "Scan", "LSTM", "NoSuch", ""], rng)


def _grow(graph: GraphProto, rng: Rng) -> None:
    """A node that makes something huge, read by the first node."""
    node = _pick(graph.node, rng)
    if not node.input:
        return
    shape = np.array([s for s in _pick(ABSURD_SHAPES, rng) if abs(s) < 2**63], np.int64)
    graph.initializer.append(numpy_helper.from_array(shape, "huge"))
    kind, old = _pick(["ConstantOfShape", "Expand", "Tile", "Reshape", "Range"], rng), node.input[0]
    inputs = {"ConstantOfShape": ["huge"], "Range": ["huge"] * 3}.get(kind, [old, "huge"])
    graph.node.append(helper.make_node(kind, inputs, ["grown"]))
    node.input[0] = "grown"


def _nest(graph: GraphProto, rng: Rng) -> None:
    """The graph within branches of itself, a few deep or more than may be."""
    if not graph.output or not graph.node:
        return
    body = GraphProto.FromString(graph.SerializeToString())
    del body.input[:]
    for _ in range(int(_pick([1, 2, 5, 25], rng))):
        try:
            call = helper.make_node("If", ["sure"], [graph.output[0].name],
                                    then_branch=body, else_branch=body)  # fmt: skip
            body = helper.make_graph([call], "b", [], list(graph.output))
        except DecodeError:
            break
        if body.ByteSize() > 300_000:
            break
    del graph.node[:]
    graph.node.extend(body.node)
    graph.initializer.append(numpy_helper.from_array(np.array(True), "sure"))


INFORMED: list[Callable[[GraphProto, Rng], None]] = [
    _attribute, _attribute, _attribute, _no_attribute, _tensor, _tensor, _sizes, _sizes,
    _input_shape, _nodes, _rewire, _rewire, _rename, _operator, _grow, _nest,
]  # fmt: skip


def mutated(files: Sequence[bytes], rng: Rng) -> tuple[bytes, str]:
    """A changed file, and the names of what was done to it.

    Parameters
    ----------
    files : sequence of bytes
        Start files.
    rng : numpy.random.Generator
        Where chance comes from.

    Returns
    -------
    bytes, str
    """
    data = _pick(files, rng) if rng.random() < 0.7 else files[int(rng.integers(2))]
    how: list[str] = []
    if rng.random() < 0.65:
        model = ModelProto.FromString(data)
        for _ in range(rng.integers(1, 4)):
            change = _pick(INFORMED, rng)
            graph = _pick(_graphs(model.graph), rng)
            how.append(change.__name__.strip("_"))
            if graph.node:
                change(graph, rng)
        if rng.random() < 0.05:
            model.opset_import[0].version = int(_pick(INTEGERS, rng))
        data = model.SerializeToString()
    if not how or rng.random() < 0.1:
        for _ in range(rng.integers(1, 3)):
            blind = _pick(BLIND, rng)
            how.append(blind.__name__.strip("_"))
            data = bytes(blind(bytearray(data or b"\0"), rng, _pick(files, rng))) or b"\0"
    return data, "+".join(how)
