"""Operators that move values or change types against onnxruntime, at each opset that changed them.

Indices, shapes, types, quantisation; then constants that a file computes from shapes.

Left out is what onnxruntime does otherwise than ONNX's text, reference or node tests; comments at
the tables say what and why.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_cases import (
    INTEGERS,
    NEWEST,
    Case,
    F,
    by_version,
    case,
    check_cases,
    disagreement,
    positive,
    typed,
    whole,
)
from onnx_graphs import ints, node, noise

# Indices


def indexing() -> Iterator[Case]:
    for axis in (None, -1, 0, 1, -2):
        for kind in (np.int64, F):  # onnxruntime takes few combinations of types
            index = np.array([[0, 2, -1], [-3, 5, 1]]).astype(kind)  # 5 is none of 4
            yield case("OneHot", index, np.array(4, kind), F([0.5, 2]), at=(9, 11), axis=axis)
        index = whole(2, 3, low=-5, high=5)
        yield case("OneHot", index, ints(4), ints(0, 1), at=(9, 11), axis=axis)
    x = noise(3, 4, 5)
    for axis, kind, shape in product((None, 0, 1, 2, -1), (np.int64, np.int32),
                                     ((3, 4, 5), (2, 3, 4))):  # fmt: skip
        n, how = x.shape[axis or 0], {"axis": axis}
        index = whole(*shape, low=-n, high=n, dtype=kind)
        once = np.argsort(noise(*shape), axis=axis or 0).astype(kind)
        new = noise(*shape, seed=2)
        yield from (case("GatherElements", x, index, at=(11, 13), live=k, **how) for k in (1, 2))
        yield case("Scatter", x, once, new, at=9, **how)
        yield case("ScatterElements", x, once, new, at=(11, 13, 16, 18), **how)
        yield case("ScatterElements", x, once - kind(n), new, at=(11, 18), **how)
        yield case("ScatterElements", x, index, new, at=(16, 18), reduction="add", **how)
        yield case("ScatterElements", whole(3, 4, 5), once, whole(*shape), at=(11, 18), **how)
        yield case("Gather", x, index[0, :2, :2], at=(11, 13), **how)
        yield case("Gather", whole(3, 4, 5), np.array(1, kind), at=(7, 13), **how)
    x = noise(2, 3, 4)
    for index, lead in [
        ([[0, 1], [1, -1]], 0), ([[[0, 1]], [[1, 2]]], 0), ([[1], [0]], 0), ([[0, 1, 2]], 0),
        ([[0], [2]], 1), ([[[0], [2]], [[1], [-1]]], 1), ([[0, 1], [2, 3]], 1),
        ([[[1], [2], [0]], [[-1], [3], [2]]], 2),
    ]:  # fmt: skip
        at = (12, 13) if lead else (11, 12, 13)
        yield case("GatherND", x, np.array(index), at=at, batch_dims=lead or None)
        yield case("GatherND", whole(2, 3, 4), np.array(index), at=at, batch_dims=lead or None)
    for index, shape in [
        ([[0, 1], [1, -1]], (2, 4)), ([[1]], (1, 3, 4)), ([[0, 1, 2], [1, 2, 3], [-1, 0, 0]], (3,)),
        ([[[0], [1]]], (1, 2, 3, 4)),
    ]:  # fmt: skip
        new = noise(*shape, seed=3)
        yield case("ScatterND", x, np.array(index), new, at=(11, 13, 16, 18))
        yield case("ScatterND", x, np.array(index), new, at=(16, 18), reduction="add")
        yield case("ScatterND", whole(2, 3, 4), np.array(index), whole(*shape), at=(11, 18))
    twice = np.array([[0], [0]])
    yield case("ScatterND", x, twice, noise(2, 3, 4, seed=3), at=(16, 18), reduction="add")
    for upper, k, shape in product((None, 0, 1), (None, 0, 1, -1, 5, -5), ((3, 4), (2, 4, 3))):
        given = [] if k is None else [np.array(k)]
        yield case("Trilu", noise(*shape), *given, at=14, upper=upper)


# Shapes. Left out: reflections of more than there is, which onnxruntime refuses.

LARGEST, SMALLEST = 2**63 - 1, -(2**63)
SLICES = [  # starts, ends, axes, steps
    ([0], [LARGEST], [1], [1]), ([0], [2**31 - 1], [1], [1]), ([1], [LARGEST], [-1], [2]),
    ([-1], [SMALLEST], [2], [-1]), ([LARGEST], [SMALLEST], [2], [-1]),
    ([-1], [-(2**31)], [2], [-1]), ([2**31 - 1], [-(2**31)], [2], [-2]), ([-1], [-6], [2], [-1]),
    ([-1], [-7], [2], [-1]), ([3], [1], [2], [-1]), ([3], [0], [2], [-1]), ([3], [-5], [2], [-1]),
    ([-3], [-1], [2], [1]), ([-9], [9], [2], [3]), ([SMALLEST], [LARGEST], [2], [1]),
    ([1, 0], [3, 2], [1, 2], [1, 1]), ([1, 0], [3, 2], [2, 0], [1, 1]),
    ([-2, -1], [0, 0], [1, 2], [-1, -2]), ([2], [LARGEST], [2], [LARGEST]),
    ([4], [SMALLEST], [2], [SMALLEST + 1]),
]  # fmt: skip
PADS = [(0, 0, 1, 2, 0, 0, 3, 1), (0, 1, 0, 2, 0, 0, 0, 3), (0, 0, -1, 2, 0, 0, 3, -2),
        (0, 0, -1, -2, 0, 0, -1, -1), (0, 0, 2, -1, 0, 0, -2, 1)]  # fmt: skip


def padding() -> Iterator[Case]:
    x = noise(1, 3, 5, 6)
    for pads, mode in product(PADS, (None, "constant", "reflect", "edge", "wrap")):
        newer = (19, 21, NEWEST) if mode == "wrap" else (11, 13, 18, 19, 21, NEWEST)
        for value in ([], [np.array(F(1.5))]):
            yield case("Pad", x, ints(*pads), *value, at=newer, mode=mode)
            if mode != "wrap":
                old = {"mode": mode, "value": 1.5 if value else None}
                yield case("Pad", x, at=7, pads=list(pads), **old)
    far = ints(0, 2, 4, 9, 0, 0, 4, 9)
    yield from (case("Pad", x, far, at=(13, 19, NEWEST), mode=m) for m in ("edge", "constant"))
    yield case("Pad", x, far, at=(19, NEWEST), mode="wrap")
    for mode, (axes, pads) in product(
        ("constant", "reflect", "edge", "wrap"),
        [((2, 3), (1, 2, 3, 1)), ((-1,), (2, 2)), ((3, 1), (1, 1, 0, 1)), ((2,), (-1, 2))],
    ):
        at = (19, NEWEST) if mode == "wrap" else (18, 19, NEWEST)
        yield case("Pad", x, ints(*pads), np.array(F(0.5)), ints(*axes), at=at, mode=mode)
    for dtype in (np.int64, np.int32, np.uint8, np.int8, bool):
        y, pads = whole(2, 3, low=0, dtype=dtype), ints(1, 0, 0, 2)
        yield case("Pad", y, pads, np.array(1, dtype), at=(13, 18, NEWEST))
        yield case("Pad", y, pads, at=(13, 18, NEWEST))


def shapes() -> Iterator[Case]:
    yield from padding()
    x = noise(2, 3, 5)
    for starts, ends, axes, steps in SLICES:
        given = [ints(*numbers) for numbers in (starts, ends, axes, steps)]
        yield case("Slice", x, *given, at=(10, 11, 13))
        yield case("Slice", whole(2, 3, 5), *given, at=(10, 13))
        if set(steps) == {1}:
            yield case("Slice", x, *given[:3], at=(10, 13))
            yield case("Slice", x, at=(7, 9), starts=starts, ends=ends, axes=axes)
    yield case("Slice", x, ints(0, 1), ints(1, 3), None, ints(1, 2), at=(10, 13))
    for count, axis in product((2, 3, 4), (2, -1)):
        how = {"outputs": count, "num_outputs": count, "axis": axis}
        yield from (case("Split", y, at=(18, NEWEST), **how) for y in (noise(2, 3, 7),
                                                                       whole(2, 3, 7)))  # fmt: skip
    yield case("Split", noise(6, 3), at=(7, 11), outputs=3, split=[1, 2, 3])
    yield case("Split", noise(6, 3), ints(1, 2, 3), at=(13, 18, NEWEST), outputs=3)
    for axes in ([0], [0, 2], [-1], [-2, -4], None):
        old = 11 if axes and min(axes) < 0 else (7, 11)
        yield case("Squeeze", noise(1, 3, 1, 1), at=old, axes=axes)
        given = [ints(*axes)] if axes else []
        yield case("Squeeze", noise(1, 3, 1, 1), *given, at=(13, 21, NEWEST))
    for axes in ([0], [0, 2], [3, 1], [2, 0], [-1], [-1, 0], [0, -2]):
        yield case("Unsqueeze", noise(2, 3), at=11 if min(axes) < 0 else (7, 11), axes=axes)
        yield case("Unsqueeze", noise(2, 3), ints(*axes), at=(13, 21, NEWEST))
    for shape, repeats in [
        ((2, 3), (2, 2)),
        ((2, 3), (1, 3)),
        ((2, 1, 4), (1, 5, 2)),
        ((4,), (3,)),
    ]:
        for y in (noise(*shape), whole(*shape)):
            yield case("Tile", y, ints(*repeats), at=(7, 13))
    for shape, target in [((3, 1), (2, 3, 4)), ((3, 1), (1,)), ((1,), (3,)), ((2, 3), (1, 1)),
                          ((1, 1, 4), (2, 1, 1)), ((), (2, 3))]:  # fmt: skip
        for y in (noise(*shape), whole(*shape)):
            yield case("Expand", np.asarray(y), ints(*target), at=(8, 13))
    for side in (2, 3):
        deep = noise(2, side * side * 2, 3, 2)
        yield case("DepthToSpace", deep, at=(7, 11, 13), blocksize=side)
        for mode in ("DCR", "CRD"):
            yield case("DepthToSpace", deep, at=(11, 13), blocksize=side, mode=mode)
        yield case("SpaceToDepth", noise(2, 2, side * 2, side * 3), at=(7, 13), blocksize=side)
    for dtype in (np.int64, np.uint8, np.float64, np.float16, bool):
        yield case("Identity", whole(2, 3, low=0, dtype=dtype), at=(7, 13, 14, 16, 19, 21, NEWEST))
    yield case("Dropout", noise(2, 3), at=(7, 10, 12, 13, 22))
    for ratio, training in [((0.3,), ()), ((0.3,), (False,)), ((0,), (True,))]:
        given = [np.array(F(r)) for r in ratio] + [np.array(t) for t in training]
        for outputs in (1, 2):  # before opset 12 onnxruntime leaves the mask unset
            yield case("Dropout", noise(2, 3), *given, at=(12, 13, 22), outputs=outputs)


# Types. All floats of a network are one type, so casts between float and double are not compared.

CASTS = {
    TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.BOOL: "bool",
    **{getattr(TensorProto, name.upper()): name for name in INTEGERS},
}  # fmt: skip


def types() -> Iterator[Case]:
    new = (19, NEWEST)
    for (_, source), (to, target) in product(CASTS.items(), CASTS.items()):
        kind = np.dtype(source).kind
        x = np.array(
            [0, 0.4, 0.5, 0.6, 1.5, 2.7, 99.9, -0.0] if kind == "f" else [0, 1, 2, 100, 127]
        )
        yield case("Cast", x.astype(source), at=(9, 13, *new), to=to)
        yield case("CastLike", x.astype(source), np.ones(1, target), at=(15, *new))
        if kind in "if" and np.dtype(target).kind in "ifb":
            x = np.array([-1, -2.7, -0.5, -100, -1.5]).astype(source)
            yield case("Cast", x, at=(9, 13, *new), to=to)
        if kind in "iu" and np.dtype(target).kind in "iub":
            limits = np.iinfo(source)
            yield case("Cast", np.array([limits.min, limits.max], source), at=(13, *new), to=to)
    double = np.array([0, 0.4, -1.5, 99.9])
    for to in (TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL):
        yield case("Cast", double, at=(9, 13, *new), to=to)
    for to in (TensorProto.DOUBLE, TensorProto.FLOAT):
        yield case("Cast", double.astype("i4" if to == TensorProto.FLOAT else "f8"), at=13, to=to)


def quantisation() -> Iterator[Case]:
    x, at = noise(2, 4, 6) * 20, (21, 23, 25)
    for dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        q = whole(2, 4, 6, low=limits.min, high=limits.max + 1, dtype=dtype)
        one, three, tenth = np.array(1, dtype), np.array(3, dtype), np.array(F(0.1))
        yield case("DequantizeLinear", q, tenth, at=(10, 13, 19, *at))
        yield case("DequantizeLinear", q, tenth, three, at=(10, 13, 19, *at))
        ties = np.arange(-8, 8).astype(F) / 2
        for values in (x, F([0.05, 0.15, 0.25, -0.05, -0.15, 1e9, -1e9])):
            yield case("QuantizeLinear", values, tenth, three, at=(10, 13, 19, *at))
        yield case("QuantizeLinear", ties, np.array(F(1)), one, at=(10, 13, *at))
        for axis in (None, 0, 1, 2, -1):
            n = q.shape[1 if axis is None else axis]
            step, zero = positive(n, seed=5), whole(n, low=0, dtype=dtype)
            yield case("DequantizeLinear", q, step, zero, at=(13, 19, *at), axis=axis)
            yield case("DequantizeLinear", q, step, at=(13, 19, *at), axis=axis)
            yield case("QuantizeLinear", x, step, zero, at=(13, 19, *at), axis=axis)
        for block, axis in [(2, 1), (3, 2), (2, 2), (4, -1), (4, 2)]:
            shape = [2, 4, 6]
            shape[axis] = -(-shape[axis] // block)
            step, zero = positive(*shape, seed=5), whole(*shape, low=0, dtype=dtype)
            how = {"axis": axis, "block_size": block}
            yield case("DequantizeLinear", q, step, zero, at=at, **how)
            yield case("DequantizeLinear", q, step, at=at, **how)
            yield case("QuantizeLinear", x, step, zero, at=at, **how)
    for dtype in (np.int16, np.uint16):
        q, three = whole(2, 4, 6, low=0, high=2**15, dtype=dtype), np.array(3, dtype)
        yield case("DequantizeLinear", q, np.array(F(0.1)), three, at=at)
        yield case("QuantizeLinear", x * 100, np.array(F(0.1)), three, at=at)
        yield case("QuantizeLinear", x * 100, positive(4), whole(4, low=0, dtype=dtype), at=at)
    for name in ("INT8", "UINT8", "INT16", "UINT16"):
        to = getattr(TensorProto, name)
        yield case("QuantizeLinear", x, np.array(F(0.1)), at=at, output_dtype=to)
    counts = whole(2, 3, low=-1000, high=1000, dtype=np.int32)
    yield case("DequantizeLinear", counts, np.array(F(0.1)), at=(10, 13, *at))


FAMILIES = [indexing, shapes, types, quantisation]
TABLE = by_version(FAMILIES)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow, on purpose
@pytest.mark.parametrize(("op", "version"), TABLE, ids=lambda value: str(value))
def test_operator_gives_what_onnxruntime_gives(op, version, tmp_path):
    check_cases(TABLE[op, version], version, tmp_path)


# Constants beside the network


@pytest.mark.parametrize("version", [11, 13, 18, NEWEST])
@pytest.mark.parametrize(
    ("start", "limit", "delta"), [(0, 5, 1), (5, 0, -2), (1, 10, 3), (0.5, 4.2, 0.3), (3, 1, -0.5)]
)
def test_ranges_give_what_onnxruntime_gives(start, limit, delta, version, tmp_path):
    x = noise(2, 3)
    nodes = [
        node("Range", ["start", "limit", "delta"], ["range"]),
        node("ReduceMean", ["x"], ["mean"], keepdims=0),
        node("Add", ["mean", "range"], ["y"]),
    ]
    arrays = {n: np.array(F(v)) for n, v in
              (("start", start), ("limit", limit), ("delta", delta))}  # fmt: skip
    assert not disagreement(typed(nodes, {"x": x}, arrays, version), tmp_path, x)


@pytest.mark.parametrize("k", [None, 0, 1, -1, 9])
def test_identity_matrices_give_what_onnxruntime_gives(k, tmp_path):
    x, attributes = noise(3, 4), {} if k is None else {"k": k}
    for version in (9, 22):
        nodes = [node("EyeLike", ["x"], ["eye"], **attributes), node("Add", ["x", "eye"], ["y"])]
        assert not disagreement(typed(nodes, {"x": x}, {}, version), tmp_path, x)
        nodes = [
            node("EyeLike", ["like"], ["eye"], dtype=TensorProto.FLOAT, **attributes),
            node("MatMul", ["x", "eye"], ["y"]),
        ]
        model = typed(nodes, {"x": x}, {"like": whole(4, 5, dtype=np.int32)}, version)
        assert not disagreement(model, tmp_path, x)


@pytest.mark.parametrize("version", [7, 11, 13, 19, NEWEST])
@pytest.mark.parametrize("height", [6, 7])
def test_of_a_condition_on_shapes_one_branch_is_read(height, version, tmp_path):
    def branch(op, name):
        end = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node(op, ["x"], [name])], op, [], [end])

    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "two"], ["height"]),
        node("Equal", ["height", "six"], ["sure"]),
        node(
            "If", ["sure"], ["y"], then_branch=branch("Relu", "a"), else_branch=branch("Tanh", "b")
        ),
    ]
    x = noise(1, 2, height, 3)
    model = typed(nodes, {"x": x}, {"two": np.array(2), "six": np.array(6)}, version)
    assert not disagreement(model, tmp_path, x)
