"""What operators compute against onnxruntime, at each opset that changed their meaning.

Extremes, reductions, normalisation, arithmetic, choices and activations, also on integers, double,
half, NaN and infinity.

Left out is what onnxruntime does otherwise than ONNX's text, reference or node tests; comments at
the tables say what and why.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from onnx import TensorProto
from onnx_cases import (
    INTEGERS,
    NEWEST,
    Case,
    F,
    by_version,
    case,
    check_cases,
    disagreement,
    flags,
    positive,
    sweep,
    typed,
    whole,
)
from onnx_graphs import by_onnxruntime, ints, node, noise, written

import minicnn

# Extremes and reductions


def extremes() -> Iterator[Case]:
    ties = whole(3, 4, 5, low=-2, high=2)
    for axis, x in product((0, 1, -1, None), (noise(3, 4, 5), ties.astype(F), ties)):
        if x.dtype == F:
            yield case("TopK", x, at=7, outputs=2, k=2, axis=axis)
            yield case("TopK", x, ints(2), at=10, outputs=2, axis=axis)
            for op, keepdims in product(("ArgMax", "ArgMin"), (None, 0, 1)):
                yield case(op, x, at=(7, 11, 12, 13), axis=axis, keepdims=keepdims)
                yield case(op, x, at=(12, 13), axis=axis, select_last_index=1, keepdims=keepdims)
        for k, largest in product((1, 2, 3), (None, 0, 1)):
            yield case(
                "TopK", x, ints(k), at=(11, 24), outputs=2, axis=axis, largest=largest, sorted=1
            )
    for op in ("ArgMax", "ArgMin"):
        yield case(op, ties.astype(np.int32), at=(7, 11, 13), axis=1)


REDUCTIONS = "Mean Sum Max Min Prod L1 L2 SumSquare LogSum LogSumExp".split()  # noqa: SIM905
WITH_INTEGERS = ("Sum", "Max", "Min", "Prod", "SumSquare")


def reductions() -> Iterator[Case]:
    for name in REDUCTIONS:
        op = f"Reduce{name}"
        old, new = ((7, 11), (13, NEWEST)) if name == "Sum" else ((7, 11, 13), (18, NEWEST))
        counts = [whole(2, 3, 4, low=1, high=5, dtype=np.int32)] if name in WITH_INTEGERS else []
        for x in [positive(2, 3, 4) if name == "LogSum" else noise(2, 3, 4), *counts]:
            for axes, keepdims in product(
                ([0], [1, 2], [-1], [-2, 0], [0, 1, 2], None), (None, 0, 1)
            ):
                yield case(op, x, at=old, axes=axes, keepdims=keepdims)
                given = [] if axes is None else [ints(*axes)]
                yield case(op, x, *given, at=new, keepdims=keepdims)
            for axes, empty in product(([], [ints()], [ints(1)]), (0, 1)):
                yield case(op, x, *axes, at=new, noop_with_empty_axes=empty)
        yield case(op, np.asarray(F(3)), at=18)
    for name, dtype in product(("ReduceMax", "ReduceMin"), (np.int8, np.uint8, np.int64)):
        yield case(name, whole(2, 3, 4, low=0, dtype=dtype), at=(12, 13), axes=[1])
        yield case(name, whole(2, 3, 4, low=0, dtype=dtype), ints(1), at=(18, 20))
        yield case(name, flags(2, 3, 4), ints(1), at=20)


# Normalisation


def normalisation() -> Iterator[Case]:
    for groups, shape, epsilon in product(
        (1, 2, 3, 6), ((2, 6, 4, 5), (2, 6, 4), (1, 6, 2, 3, 4), (2, 6)), (None, 0.1)
    ):
        for at, n in ((18, groups), (21, 6)):
            weights = noise(n), noise(n, seed=1)
            yield case("GroupNormalization", noise(*shape), *weights, at=at, num_groups=groups,
                       epsilon=epsilon)  # fmt: skip
    three = noise(3), noise(3, seed=1)
    four = noise(4), noise(4, seed=1), noise(4, seed=2), positive(4)
    for epsilon in (None, 0.1):
        for shape in [(2, 3, 4, 5), (2, 3, 4), (1, 3, 2, 3, 4)]:
            yield case("InstanceNormalization", noise(*shape), *three, at=(7, 22), epsilon=epsilon)
        for shape in [(2, 4, 5, 6), (2, 4, 5), (1, 4, 2, 3, 4), (3, 4)]:
            x = noise(*shape)
            yield case("BatchNormalization", x, *four, at=(7, 9, 14, 15), epsilon=epsilon)
            yield case(
                "BatchNormalization", x, *four, at=(14, 15), outputs=3, epsilon=epsilon,
                training_mode=1, momentum=0.7,
            )  # fmt: skip
        for axis in (None, -1, 1, 2, -2, 0):
            shape = (2, 3, 4)[-1 if axis is None else axis :]
            weights = [noise(*shape), noise(*shape, seed=1)]
            how = {"axis": axis, "epsilon": epsilon}
            for count, outputs in product((1, 2), (1, 2, 3)):
                yield case("LayerNormalization", noise(2, 3, 4), *weights[:count], at=17,
                           outputs=outputs, **how)  # fmt: skip
            yield case("RMSNormalization", noise(2, 3, 4), weights[0], at=23, **how)
    for axis, p in product((None, 0, 1, -1), (None, 1, 2)):
        yield case("LpNormalization", noise(2, 3, 4), at=(7, 22), axis=axis, p=p)
    yield case("LpNormalization", np.zeros((2, 3), F), at=(7, 22))
    for how in sweep(size=[1, 3, 5], alpha=[None, 0.1], beta=[None, 0.6], bias=[None, 2.0]):
        yield case("LRN", noise(1, 6, 3, 4), at=(7, 13), **how)


# Arithmetic, comparisons, choices

WIDE = [name for name in INTEGERS if name[-2:] in ("32", "64")]
EQUATIONS = {
    "ij,jk->ik": [(2, 3), (3, 4)], "ij,jk": [(2, 3), (3, 4)], "ij->ji": [(2, 3)], "ji": [(2, 3)],
    "ii->i": [(3, 3)], "ii": [(3, 3)], "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(2, 1, 3, 4), (1, 5, 4, 2)], "i,i->": [(4,), (4,)],
    "i,j->ij": [(3,), (4,)], "ijk->": [(2, 3, 4)], "ijk->j": [(2, 3, 4)],
    "ab,bc,cd->ad": [(2, 3), (3, 4), (4, 5)], " i j , j k -> k i ": [(2, 3), (3, 4)],
    "...i->...": [(2, 3, 4)], "i...->...i": [(2, 3, 4)],
    "bhwc,hkc->bhwk": [(2, 3, 4, 5), (3, 6, 5)],
    "ij,ij->ij": [(2, 3), (2, 3)], "iij->ij": [(3, 3, 2)], "aB,Bc->ac": [(2, 3), (3, 4)],
    "ij,kl->ijkl": [(1, 2), (3, 2)],
}  # fmt: skip


def arithmetic() -> Iterator[Case]:
    for name in INTEGERS:
        signed = name[0] == "i"
        a = whole(4, 5, low=-20 if signed else 0, high=20, dtype=name)
        b = whole(5, low=1, high=6, dtype=name, seed=1)
        b = b * np.array([1, -1, 1, -1, 1] if signed else [1] * 5, name)
        for op in ("Add", "Sub", "Mul", "Div"):  # towards zero
            yield case(op, a, b, at=(7, 13, 14) if name in WIDE else 14, live=2)
        for fmod in (None, 0, 1):
            yield case("Mod", a, b, at=(10, 13), live=2, fmod=fmod)
        yield from (case(op, a, at=(9, 13)) for op in ("Abs", "Sign"))
        if signed:
            yield case("Neg", a, at=(7, 13))
        two, five = np.array(2, name), np.array(5, name)
        if name in WIDE:
            yield from (case(op, a, b, at=(12, 13), live=2) for op in ("Max", "Min"))
        if name in ("int8", "uint8", *WIDE):
            for bounds in ((two, five), (None, five), (two,), (five, two)):
                yield case("Clip", a, *bounds, at=(12, 13))
    yield from (case("Relu", whole(3, 4, dtype=dtype), at=14) for dtype in (np.int8, np.int32))
    yield case("Mod", noise(3, 4) * 5, F([1.5, -2, 0.7, -3]), at=(10, 13), live=2, fmod=1)
    for op in ("Max", "Min", "Mean", "Sum"):
        for shapes in [((2, 3, 4), (3, 1), (4,)), ((2, 3),), ((2, 1), (1, 3))]:
            operands = [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
            yield case(op, *operands, at=(8, 13), live=len(operands))
    for low, high in [(-0.5, 0.7), (0.7, -0.5), (0, 0)]:
        if low < high:  # as attributes onnxruntime refuses the others
            yield case("Clip", noise(3, 4), at=7, min=float(low), max=float(high))
        yield case("Clip", noise(3, 4), np.array(F(low)), np.array(F(high)), at=(11, 12, 13))
    for base, exponent in product((F, np.int32, np.int64), repeat=2):
        x = whole(3, 4, low=1, high=5, dtype=base)
        at = (7, 12, 13, 15) if base == exponent == F else (12, 13, 15)
        for y in (whole(4, low=0, high=4, dtype=exponent), np.array(3, exponent)):
            yield from (case("Pow", x, y, at=at, live=live) for live in (1, 2))
        if exponent == F:
            yield case("Pow", x, F([0.5, 1.5, 2.5, 0]), at=at, live=2)
    for y in (2, 3, 0.5, -2):
        yield case("Pow", F([-2, -1.5, 1, 3]), np.array(F(y)), at=(7, 13))
    yield case("Pow", F([[2.0]]), F([1, 2, 3]), at=(7, 13))
    yield case("Pow", F([2.0, 3]), F([[2]]), at=(7, 13))
    for axis, dtype, how in product(
        (0, 1, -1), (F, np.int32, np.int64), sweep(exclusive=[None, 1], reverse=[None, 1])
    ):
        yield case("CumSum", whole(3, 4, 2, dtype=dtype), np.array(axis), at=(11, 14), **how)
    for equation, shapes in EQUATIONS.items():
        operands = [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
        yield case("Einsum", *operands, at=12, live=len(operands), equation=equation)
        yield case("Einsum", *operands, at=12, equation=equation)
    for a, b in [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 1, 3, 4), (5, 4, 2)),
                 ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]:  # fmt: skip
        for live in (1, 2):
            yield case("MatMul", noise(*a), noise(*b, seed=1), at=(7, 13), live=live)
    for how in sweep(transA=[0, 1], transB=[0, 1], alpha=[None, 0.5], beta=[None, 0.0, 0.3]):
        a = noise(3, 2) if how["transA"] else noise(2, 3)
        b = noise(4, 3) if how["transB"] else noise(3, 4)
        yield case("Gemm", a, b, at=(11, 13), **how)
        for c in [(4,), (2, 4), (2, 1), (1,), (1, 4), ()]:
            yield case("Gemm", a, b, np.asarray(noise(*c)), at=(7, 13), **how)


def choices() -> Iterator[Case]:
    pairs = [((2, 3, 4), (3, 1)), ((3, 1), (2, 3, 4)), ((2, 1), (1, 3)), ((), (2, 3))]
    for dtype, (a, b) in product((F, np.int32, np.int64), pairs):
        x = np.asarray(whole(*a, low=-2, high=3, dtype=dtype))
        y = whole(*b, low=-2, high=3, dtype=dtype, seed=1)
        is_float = dtype == F
        yield case("Equal", x, y, at=(11, 13, 19) if is_float else (7, 11, 13, 19), live=2)
        for op in ("Greater", "Less"):
            yield case(op, x, y, at=(7, 9, 13) if is_float else (9, 13), live=2)
        for op in ("GreaterOrEqual", "LessOrEqual"):
            yield case(op, x, y, at=(12, 16), live=2)
    for a, b in pairs:
        x, y = np.asarray(flags(*a)), flags(*b, seed=1)
        yield from (case(op, x, y, at=7, live=2) for op in ("And", "Or", "Xor"))
        yield case("Equal", x, y, at=(7, 11, 13, 19), live=2)
    yield case("Not", flags(2, 3), at=7)
    for dtype, (c, a, b) in product(
        (F, np.int64, np.int32, np.uint8),
        [((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), (2, 3)), ((2, 1, 1), (3,), ())],
    ):
        x, y = whole(*a, low=0, dtype=dtype), np.asarray(whole(*b, low=0, dtype=dtype, seed=3))
        yield case("Where", flags(*c), x, y, at=(9, 16), live=3)


# Activations

EDGES = F([0, -0.0, 1, -1, 3, -3, 20, -20, 88, -88, 100, -100, 1e4, -1e4])
POINTS = np.concatenate([noise(60) * 4, EDGES]).reshape(2, -1)
ACTIVATIONS = [  # operator, opset versions, attributes
    ("Gelu", 20, {"approximate": [None, "none", "tanh"]}),
    ("Elu", (7, 22), {"alpha": [None, 0.3, 2.5]}), ("Celu", 12, {"alpha": [None, 0.3, 2.5]}),
    ("Selu", (7, 22), {"alpha": [None, 2.0], "gamma": [None, 0.5]}), ("Softplus", (7, 22), {}),
    ("Softsign", (7, 22), {}), ("Mish", (18, 22), {}), ("HardSwish", (14, 22), {}),
    ("ThresholdedRelu", (10, 22), {"alpha": [None, 0.3, -1.0]}),
    ("LeakyRelu", (7, 16), {"alpha": [None, 0.3, -0.2]}),
    ("Swish", 24, {"alpha": [None, 0.5, 2.0]}),
    ("HardSigmoid", (7, 22), {"alpha": [None, 0.4], "beta": [None, 0.1]}), ("Sigmoid", (7, 13), {}),
    ("Tanh", (7, 13), {}), ("Relu", (7, 13, 14), {}), ("Erf", (9, 13), {}), ("Abs", (7, 13), {}),
    ("Neg", (7, 13), {}), ("Sin", (7, 22), {}), ("Cos", (7, 22), {}), ("Floor", (7, 13), {}),
    ("Ceil", (7, 13), {}), ("Sign", (9, 13), {}), ("Round", (11, 22), {}),
]  # fmt: skip


def activations() -> Iterator[Case]:
    for op, at, attributes in ACTIVATIONS:
        yield from (case(op, POINTS, at=at, **how) for how in sweep(**attributes))
    yield case("Round", F([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.4999]), at=(11, 22))
    yield case("Exp", noise(3, 4), at=(7, 13))
    for op in ("Log", "Sqrt", "Reciprocal"):
        yield case(op, np.abs(POINTS), at=(7, 13))
    for shape in [(3, 1, 1), (1, 3, 1, 1), (5,), (4, 5), (1,), (2, 3, 4, 5), ()]:
        slope = np.asarray(noise(*shape))
        yield from (case("PRelu", noise(2, 3, 4, 5), slope, at=(7, 9, 16), live=k) for k in (1, 2))
    for op, axis in product(("Softmax", "LogSoftmax"), (None, 0, 1, 2, 3, -1, -2)):
        at = (11, 13) if axis and axis < 0 else (7, 11, 13)
        yield case(op, noise(2, 3, 4, 5), at=at, axis=axis)
        yield case(op, F([[1e4, -1e4, 0]]), at=(7, 13))


FAMILIES = [extremes, reductions, normalisation, arithmetic, choices, activations]
TABLE = by_version(FAMILIES)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow, on purpose
@pytest.mark.parametrize(("op", "version"), TABLE, ids=lambda value: str(value))
def test_operator_gives_what_onnxruntime_gives(op, version, tmp_path):
    check_cases(TABLE[op, version], version, tmp_path)


# Numbers that are none, made inside of the network: what is given must be finite.

NANS = [  # operator, its opset versions, attributes, whether it has a second operand
    ("IsNaN", (9, 20), {}, False), ("IsInf", (10, 20), {}, False), ("Max", (8, 13), {}, True),
    ("Min", (8, 13), {}, True), ("Relu", (7, 14), {}, False), ("LeakyRelu", (7,), {}, False),
    ("Sign", (9,), {}, False), ("Clip", (11, 13), {}, True), ("ArgMax", (7, 13), {}, False),
    ("ArgMin", (7, 13), {}, False), ("ReduceMax", (7, 18), {}, False), ("Pow", (7, 13), {}, True),
    ("ReduceMin", (7, 18), {}, False), ("Cast", (9, 13), {"to": TensorProto.BOOL}, False),
    ("Equal", (13,), {}, True), ("Greater", (9,), {}, True), ("Less", (9,), {}, True),
    ("HardSwish", (14,), {}, False), ("Elu", (7,), {}, False),
    ("ThresholdedRelu", (10,), {}, False),
    ("Mod", (10,), {"fmod": 1}, True), ("PRelu", (9,), {}, True), ("Softplus", (7,), {}, False),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("op", "versions", "attributes", "two"), NANS, ids=lambda x: str(x))
def test_nan_and_infinity_go_the_same_way(op, versions, attributes, two, tmp_path):
    x = F([-2, -1, 0, 1, 2, 3])  # log(x) is NaN, -inf and numbers
    nodes = [
        node("Log", ["x"], ["log"]),
        node(op, ["log", "one"] if two else ["log"], ["y"], **attributes),
    ]
    for version in versions:
        model = typed(nodes, {"x": x}, {"one": np.array(F(1))}, version)
        assert not disagreement(model, tmp_path, x)


# Half and double. Networks compute half in float32; onnxruntime has no double convolution, so that
# is compared with its float one.

WEIGHT, BIAS = noise(4, 3, 3, 3), noise(4)
LAYERS = [
    node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
    node("Relu", ["conv"], ["relu"]),
    node("MaxPool", ["relu"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
    node("GlobalAveragePool", ["pool"], ["mean"]),
    node("Flatten", ["mean"], ["scores"]),
    node("Softmax", ["scores"], ["y"], axis=1),
]


@pytest.mark.parametrize("version", [7, 11, 13, 18, 22, NEWEST])
def test_networks_of_half_precision_give_what_onnxruntime_gives(version, tmp_path):
    x = noise(2, 3, 6, 8).astype(np.float16)
    arrays = {"w": WEIGHT.astype(np.float16), "b": BIAS.astype(np.float16)}
    assert not disagreement(typed(LAYERS, {"x": x}, arrays, version), tmp_path, x)
    nodes = [node("Cast", ["photo"], ["x"], to=TensorProto.FLOAT16), *LAYERS]
    nodes += [node("Cast", ["y"], ["z"], to=TensorProto.FLOAT)]
    photo = x.astype(F)
    model = typed(nodes, {"photo": photo}, arrays, version, ("z",))
    assert not disagreement(model, tmp_path, photo, within=4e-3)


@pytest.mark.parametrize("version", [7, 11, 13, 18, 22, NEWEST])
def test_networks_of_doubles_give_what_onnxruntime_gives_in_floats(version, tmp_path):
    x, arrays = noise(2, 3, 6, 8), {"w": WEIGHT, "b": BIAS}
    path = written(typed(LAYERS, {"x": x}, arrays, version), tmp_path)
    (expected,) = by_onnxruntime(path, x)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    double = written(typed(LAYERS, {"x": x.astype(np.float64)}, wide, version), tmp_path, "d.onnx")
    y = minicnn.load(double)(x.astype(np.float64))
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


DOUBLES = ["Exp", "Log", "Sqrt", "Sin", "Tanh", "Sigmoid", "ReduceSum", "ReduceMean", "Abs", "Neg",
           "Relu", "Floor"]  # fmt: skip


@pytest.mark.parametrize("op", DOUBLES)
def test_operators_on_doubles_give_what_onnxruntime_gives(op, tmp_path):
    x = positive(1, 2, 3, 4).astype(np.float64)
    for version in (7, 13, 18, NEWEST):
        model = typed([node(op, ["x"], ["y"])], {"x": x}, {}, version)
        assert not disagreement(model, tmp_path, x, within=1e-12)
