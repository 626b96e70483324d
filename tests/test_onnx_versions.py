"""Every operator of the first tier, at each opset version that changed its meaning.

Two judges: onnxruntime on random input (within 1e-5), and the expected outputs of ONNX's own node
tests (rtol 1e-3, as ONNX runs them).
"""

import re
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_graphs import check_like_onnxruntime, graph, ints, node, noise, one, written

import minicnn

F = np.float32
IMAGE = (2, 4, 7, 9)
ODD = {"kernel_shape": [3, 4], "strides": [2, 3]}
WINDOWS = {
    "plain": {},
    "four different pads": {"pads": [1, 0, 2, 1]},
    "SAME_UPPER": {"auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"auto_pad": "SAME_LOWER"},
    "VALID": {"auto_pad": "VALID"},
}


def positive(*shape: int) -> np.ndarray:
    return np.abs(noise(*shape)) + F(0.5)


def case(op: str, *arrays, at: tuple[int, ...], what: str = "", shape=IMAGE, **attributes):
    """One operator at several opset versions."""
    return [
        pytest.param(
            op, shape, arrays, version, attributes, id=f"{op} {version} {what}".replace(" ", "-")
        )
        for version in at
    ]


CONVOLUTIONS = [
    *(
        c
        for name, attributes in WINDOWS.items()
        for c in case(
            "Conv", noise(5, 4, 3, 4), noise(5), at=(7, 22), what=name, **ODD, **attributes
        )
    ),
    *case("Conv", noise(5, 4, 3, 3), at=(7, 11), what="no bias, no kernel_shape"),
    *case("Conv", noise(6, 2, 3, 3), noise(6), at=(11,), what="groups", group=2),
    *case("Conv", noise(4, 1, 3, 3), at=(11,), what="depthwise", group=4, pads=[1, 1, 1, 1]),
    *case("Conv", noise(5, 4, 3, 2), at=(11,), what="dilations", dilations=[2, 3]),
    *case("Conv", noise(5, 4, 1, 7), at=(11,), what="1x7", pads=[0, 3, 0, 3]),
    *case(
        "Conv", noise(3, 4, 4), noise(3), at=(7, 11), what="1-D", shape=(2, 4, 11), strides=[2],
        pads=[2, 1],
    ),
    *case("Conv", noise(3, 2, 2, 3, 2), at=(11,), what="3-D", shape=(1, 2, 4, 5, 6)),
    *case(
        "ConvTranspose", noise(4, 3, 3, 2), noise(3), at=(7, 11, 22), what="pads", strides=[2, 3],
        pads=[1, 0, 2, 1], output_padding=[1, 2],
    ),
    *case("ConvTranspose", noise(4, 3, 2, 2), at=(11,), what="groups", group=2, strides=[2, 2]),
    *case("ConvTranspose", noise(4, 3, 3, 3), at=(11,), what="dilations", dilations=[2, 2]),
    *case("ConvTranspose", noise(4, 3, 3), at=(11,), what="1-D", shape=(2, 4, 6), strides=[2]),
]  # fmt: skip

POOLING = [
    *(
        c
        for op in ("MaxPool", "AveragePool")
        for name, attributes in WINDOWS.items()
        for c in case(op, at=(7, 10, 19), what=name, **ODD, **attributes)
    ),
    *(
        c
        for op in ("MaxPool", "AveragePool")
        for c in [
            *case(op, at=(10,), what="ceil", ceil_mode=1, **ODD),
            *case(op, at=(10,), what="ceil, pads", ceil_mode=1, pads=[1, 1, 1, 1], **ODD),
            *case(op, at=(7,), what="1-D", shape=(2, 3, 11), kernel_shape=[3], strides=[2]),
            *case(op, at=(7,), what="3-D", shape=(1, 2, 5, 6, 4), kernel_shape=[2, 3, 2]),
        ]
    ),
    *case("MaxPool", at=(10,), what="dilations", dilations=[2, 2], **ODD),
    *case("MaxPool", at=(8,), what="AlexNet's pads", kernel_shape=[3, 3], strides=[2, 2],
          pads=[0, 0, 1, 1]),
    *case(
        "AveragePool", at=(7, 10, 19), what="padding counted", count_include_pad=1,
        pads=[1, 0, 2, 1], **ODD,
    ),
    *case("AveragePool", at=(19,), what="dilations", dilations=[2, 2], **ODD),
    *case("GlobalAveragePool", at=(7, 22)),
    *case("GlobalMaxPool", at=(7, 22)),
    *case("GlobalAveragePool", at=(7,), what="1-D", shape=(2, 3, 5)),
    *case("GlobalMaxPool", at=(7,), what="3-D", shape=(2, 3, 5, 2, 3)),
]  # fmt: skip

ACTIVATIONS = [
    *(c for op in ("Relu", "Sigmoid", "Tanh") for c in case(op, at=(7, 13))),
    *case("LeakyRelu", at=(7, 16)),
    *case("LeakyRelu", at=(7,), what="alpha", alpha=0.3),
    *case("PRelu", noise(4, 1, 1), at=(7, 9, 16), what="one slope a channel"),
    *case("PRelu", noise(1), at=(7,), what="one slope"),
    *case("HardSigmoid", at=(7, 22)),
    *case("HardSigmoid", at=(7,), what="alpha, beta", alpha=0.4, beta=0.3),
    *case("HardSwish", at=(14, 22)),
    *case("Clip", at=(7, 10), what="attributes", min=-0.5, max=0.7),
    *case("Clip", at=(7,), what="low only", min=0.1),
    *case("Clip", at=(7, 11, 13), what="no bounds"),
    *case("Clip", F(-0.5), F(0.7), at=(11, 12, 13), what="inputs"),
    *case("Clip", None, F(0.7), at=(11, 13), what="no minimum"),
    *case("Clip", F(0.1), at=(11, 13), what="no maximum"),
    *(
        c
        for op in ("Softmax", "LogSoftmax")
        for c in [
            *case(op, at=(7, 11, 13), what="default axis"),
            *case(op, at=(7, 11, 13), what="axis 1 of 4", axis=1),
            *case(op, at=(11, 13), what="axis 2 of 4", axis=2),
            *case(op, at=(11, 13), what="last axis", axis=-1),
            *case(op, at=(11, 13), what="axis 0", axis=0),
            *case(op, at=(7, 11, 13), what="SqueezeNet's", shape=(2, 10, 1, 1)),
            *case(op, at=(7, 11, 13), what="vectors", shape=(3, 10)),
        ]
    ),
]

STATISTICS = [noise(4), noise(4, seed=1), noise(4, seed=2), positive(4)]
NORMALISATION = [
    *case("BatchNormalization", *STATISTICS, at=(7, 9, 14, 15)),
    *case("BatchNormalization", *STATISTICS, at=(7, 15), what="epsilon", epsilon=0.1),
    *case("BatchNormalization", *STATISTICS, at=(9,), what="vectors", shape=(3, 4)),
    *case("LRN", at=(7, 13), size=3),
    *case("LRN", at=(7,), what="AlexNet's", shape=(1, 9, 3, 3), size=5, alpha=0.1, beta=0.75,
          bias=2.0),
]  # fmt: skip

PRODUCTS = [
    *case("Gemm", noise(4, 5), noise(5), at=(7, 9, 11, 13), shape=(3, 4)),
    *case("Gemm", noise(5, 4), noise(5), at=(7, 13), what="transB", shape=(3, 4), transB=1),
    *case("Gemm", noise(3, 5), noise(3, 1), at=(11,), what="a column added", shape=(3, 3)),
    *case(
        "Gemm", noise(5, 3), noise(1, 5), at=(7, 11), what="all attributes", shape=(3, 4), transA=1,
        transB=1, alpha=0.3, beta=0.7,
    ),
    *case("Gemm", noise(4, 5), at=(11, 13), what="no addend", shape=(3, 4), alpha=0.5),
    *case("Gemm", noise(4, 5), F(2), at=(11,), what="a number added", shape=(3, 4)),
    *case("MatMul", noise(4, 5), at=(7, 9, 13), shape=(3, 4)),
    *case("MatMul", noise(4, 9, 5), at=(7, 13), what="batched"),
]  # fmt: skip

ARITHMETIC = [
    *(
        c
        for op in ("Add", "Sub", "Mul", "Div")
        for c in [
            *case(op, positive(4, 1, 1), at=(7, 13, 14), what="channels"),
            *case(op, positive(*IMAGE), at=(7,), what="same shape"),
            *case(op, F(1.5), at=(7,), what="a number"),
            *case(op, positive(1, 2, 4, 7, 9), at=(7,), what="one axis more"),
        ]
    ),
    *case("Sum", noise(4, 1, 1), noise(9), at=(8, 13), what="three operands"),
    *case("Sum", at=(8,), what="one operand"),
    *(
        c
        for op, old, new in [("ReduceMean", (7, 11, 13), 18), ("ReduceSum", (7, 11), 13)]
        for c in [
            *case(op, at=old, what="attributes", axes=[2, 3], keepdims=0),
            *case(op, at=old, what="negative axis", axes=[-1]),
            *case(op, at=(*old, new), what="all axes", keepdims=1),
            *case(op, ints(2, 3), at=(new,), what="input", keepdims=0),
            *case(op, ints(-1), at=(new,), what="negative axis"),
            *case(op, at=(new,), what="no axes, no operation", noop_with_empty_axes=1),
        ]
    ),
]

SHAPES = [
    *case("Slice", at=(7, 9), what="attributes", starts=[1, -5], ends=[3, 100], axes=[1, 3]),
    *case("Slice", at=(7,), what="first axes", starts=[0, 1], ends=[2, 3]),
    *case("Slice", ints(1, -5), ints(3, 2**62), ints(1, 3), at=(10, 11, 13)),
    *case("Slice", ints(1), ints(8), ints(-1), ints(3), at=(10, 13), what="step"),
    *case("Slice", ints(8), ints(-(2**62)), ints(3), ints(-2), at=(10, 13), what="backwards"),
    *case("Slice", ints(100), ints(-100), ints(2), ints(-1), at=(10,), what="backwards, clamped"),
    *case("Slice", ints(-2), ints(-100), ints(2), ints(-3), at=(10,), what="backwards from -2"),
    *case("Slice", ints(-100), ints(2), ints(2), at=(10,), what="start before the first"),
    *case("Reshape", ints(2, -1, 3), at=(7, 13, 14)),
    *case("Reshape", ints(0, 0, -1), at=(7, 14), what="zeros copy"),
    *case("Reshape", ints(2, 4, -1), at=(14,), what="allowzero", allowzero=1),
    *(c for axis in (0, 1, 2, 3, 4) for c in case("Flatten", at=(9, 13), what=f"{axis}",
                                                  shape=(1, 4, 7, 9), axis=axis)),
    *case("Flatten", at=(11, 13), what="negative", shape=(1, 4, 7, 9), axis=-2),
    *case("Transpose", at=(7, 13, 21), what="NHWC", perm=[0, 2, 3, 1]),
    *case("Transpose", at=(7,), what="default", shape=(2, 3)),
    *case("Squeeze", at=(7, 11), what="attributes", shape=(1, 1, 4, 1), axes=[1, 3]),
    *case("Squeeze", at=(11,), what="negative", shape=(1, 3, 4, 1), axes=[-1]),
    *case("Squeeze", ints(1, -1), at=(13, 21), what="input", shape=(1, 1, 4, 1)),
    *case("Unsqueeze", at=(7, 11), what="attributes", shape=(2, 3), axes=[3, 1]),
    *case("Unsqueeze", ints(-1, 1), at=(13, 21), what="input", shape=(2, 3)),
    *case("Gather", np.array([[0, 2], [-1, 1]]), at=(11, 13), what="matrix", axis=1),
    *case("Gather", np.array(2), at=(7, 13), what="one index", axis=2),
    *case("Gather", ints(1, 1, 0), at=(7,), what="repeated", axis=-1),
    *case("Concat", noise(2, 3, 7, 9), at=(7, 13), axis=1),
    *case("Concat", noise(2, 4, 7, 2), at=(11,), what="negative axis", axis=-1),
    *case("Pad", at=(7, 10), what="attributes", pads=[0, 0, 1, 2, 0, 1, 3, 0], value=0.5),
    *case("Pad", ints(0, 0, 1, 2, 0, 1, 3, 0), F(0.5), at=(11, 13, 18, 21)),
    *case("Pad", ints(0, 0, -1, 2, 0, 0, 3, -2), at=(11, 18), what="negative pads crop"),
    *case("Pad", ints(1, 2, 3, 0), None, ints(2, -1), at=(18, 21), what="axes"),
    *case("Pad", ints(0, 0, 1, 2, 0, 0, 3, 0), at=(11, 18), what="reflect", mode="reflect"),
    *case("Pad", ints(0, 0, 1, 2, 0, 0, 3, 0), at=(11, 18), what="edge", mode="edge"),
    *case("Pad", at=(7,), what="reflect", pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="reflect"),
    *case("Pad", ints(0, 0, 1, 2, 0, 0, 3, 0), at=(19,), what="wrap", mode="wrap"),
    *case("Dropout", at=(7, 10), what="attribute", ratio=0.4),
    *case("Dropout", at=(12, 13, 22)),
    *case("Dropout", F(0.7), np.array(False), at=(12, 13), what="evaluation"),
    *case("Identity", at=(7, 13, 16)),
    *case("Cast", at=(7, 13), what="float to float", to=onnx.TensorProto.FLOAT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "shape", "arrays", "version", "attributes"),
    [
        *CONVOLUTIONS, *POOLING, *ACTIVATIONS, *NORMALISATION, *PRODUCTS, *ARITHMETIC, *SHAPES
    ],
)  # fmt: skip
def test_operator_gives_what_onnxruntime_gives(op, shape, arrays, version, attributes, tmp_path):
    model = one(op, shape, *arrays, opset=version, **attributes)
    check_like_onnxruntime(model, tmp_path, noise(*shape, seed=7))


@pytest.mark.parametrize(
    ("version", "parts", "sizes", "attributes"),
    [
        (7, 2, None, {"axis": 1}),
        (7, 3, None, {"axis": 2, "split": [1, 4, 2]}),
        (11, 2, None, {"axis": -3}),
        (13, 2, None, {"axis": 1}),
        (13, 3, ints(2, 1, 4), {"axis": 2}),
        (18, 3, None, {"axis": 2, "num_outputs": 3}),
        (18, 4, None, {"axis": 2, "num_outputs": 4}),
        (18, 2, ints(3, 6), {"axis": -1}),
    ],
)
def test_split_gives_what_onnxruntime_gives(version, parts, sizes, attributes, tmp_path):
    outputs = tuple(f"part{i}" for i in range(parts))
    arrays = [] if sizes is None else [sizes]
    model = one("Split", IMAGE, *arrays, opset=version, outputs=outputs, **attributes)
    check_like_onnxruntime(model, tmp_path, noise(*IMAGE))


@pytest.mark.parametrize("version", [7, 11, 13, 18, 22, 24])
def test_constants_and_shapes_fold_at_every_version(version, tmp_path):
    """Constant, ConstantOfShape, Shape, Cast and integer arithmetic disappear into the file."""
    if version < 9:
        scale = [node("Constant", [], ["scale"], value=numpy_helper.from_array(F([2, 3, 4, 5])))]
    else:
        scale = [node("Constant", [], ["four"], value=numpy_helper.from_array(ints(4))),
                 node("ConstantOfShape", ["four"], ["scale"],
                      value=numpy_helper.from_array(F([1.5])))]  # fmt: skip
    nodes = [
        *scale,
        node("Shape", ["x"], ["shape"]),
        node("Cast", ["shape"], ["real"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["real", "scale"], ["scaled"]),
        node("Reshape", ["scaled", "channels"], ["offsets"]),
        node("Add", ["x", "offsets"], ["y"]),
    ]
    model = graph(nodes, {"x": IMAGE}, {"channels": ints(4, 1, 1)}, opset=version)
    network = check_like_onnxruntime(model, tmp_path, noise(*IMAGE))
    assert [step.block.kind for step in network.nodes] == ["Add"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({}, [2, 4, 7, 9]), ({"start": 1}, [4, 7, 9]), ({"start": -2, "end": -1}, [7]),
     ({"end": 2}, [2, 4])],
)  # fmt: skip
def test_shape_of_opset_15_has_a_start_and_an_end(attributes, expected, tmp_path):
    rank = len(expected)
    nodes = [
        node("Shape", ["x"], ["shape"], **attributes),
        node("Cast", ["shape"], ["real"], to=onnx.TensorProto.FLOAT),
        node("ReduceMean", ["x"], ["one"], keepdims=0),
        node("Add", ["real", "one"], ["y"]),
    ]
    model = graph(nodes, {"x": IMAGE}, opset=15)
    network = check_like_onnxruntime(model, tmp_path, noise(*IMAGE))
    assert network(np.zeros(IMAGE, F)).tolist() == expected
    assert len(expected) == rank


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("value_float", 1.5), ("value_floats", [1.0, 2.0, 3.0, 4.0])],
)
def test_constant_of_opset_12_holds_plain_numbers(attribute, value, tmp_path):
    nodes = [node("Constant", [], ["c"], **{attribute: value}), node("Mul", ["x", "c"], ["y"])]
    check_like_onnxruntime(graph(nodes, {"x": (2, 4)}), tmp_path, noise(2, 4))


@pytest.mark.parametrize(("attribute", "value"), [("value_int", 6), ("value_ints", [6])])
def test_constant_of_opset_12_holds_plain_integers(attribute, value, tmp_path):
    nodes = [
        node("Constant", [], ["c"], **{attribute: value}),
        node("Reshape", ["c", "vector"], ["v"]),
        node("Concat", ["batch", "v"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    model = graph(nodes, {"x": (2, 2, 3)}, {"vector": ints(1), "batch": ints(2)})
    check_like_onnxruntime(model, tmp_path, noise(2, 2, 3))


def test_a_zero_copies_unless_allowzero_says_that_it_means_none(tmp_path):
    copying = one("Reshape", (2, 3, 4), ints(0, 12), opset=14)
    check_like_onnxruntime(copying, tmp_path, noise(2, 3, 4))
    literal = one("Reshape", (2, 3, 4), ints(0, 12), opset=14, allowzero=1)
    with pytest.raises(minicnn.errors.ShapeError, match="Cannot reshape"):
        minicnn.load(written(literal, tmp_path))


# Weights that other nodes make: what comes before the convolution folds away when loading.

WEIGHT = noise(4, 3, 3, 3)
BYTES = np.random.default_rng(0).integers(0, 9, WEIGHT.shape).astype(np.uint8)
HALF = onnx.helper.make_tensor(
    "stored", onnx.TensorProto.BFLOAT16, WEIGHT.shape, WEIGHT.astype(F).ravel()
)
TO_FLOAT = {"to": onnx.TensorProto.FLOAT}
MADE = {  # what: the node, its operands, the opset version from which it exists so
    "Identity": (node("Identity", ["stored"], ["w"]), [WEIGHT], 7),
    "Reshape": (node("Reshape", ["stored", "a1"], ["w"]), [WEIGHT.ravel(), ints(4, 3, 3, 3)], 7),
    "Transpose": (
        node("Transpose", ["stored"], ["w"], perm=[3, 2, 0, 1]), [WEIGHT.transpose(2, 3, 1, 0)], 7
    ),
    "Expand": (node("Expand", ["stored", "a1"], ["w"]), [noise(4, 3, 1, 1), ints(1, 1, 3, 3)], 8),
    "Tile": (node("Tile", ["stored", "a1"], ["w"]), [noise(4, 3, 1, 1), ints(1, 1, 3, 3)], 7),
    "Concat": (node("Concat", ["stored", "a1"], ["w"], axis=0), [WEIGHT, 2 * WEIGHT], 7),
    "Gather": (node("Gather", ["stored", "a1"], ["w"], axis=0), [WEIGHT, ints(3, 0, 2)], 7),
    "Mul": (node("Mul", ["stored", "a1"], ["w"]), [WEIGHT, F(2)], 7),
    "half": (node("Cast", ["stored"], ["w"], **TO_FLOAT), [WEIGHT.astype(np.float16)], 7),
    "bfloat16": (node("Cast", ["stored"], ["w"], **TO_FLOAT), [HALF], 13),
    "double": (node("Cast", ["stored"], ["w"], **TO_FLOAT), [WEIGHT.astype(np.float64)], 7),
    "bytes": (node("Cast", ["stored"], ["w"], **TO_FLOAT), [BYTES], 7),
    "quantised": (
        node("DequantizeLinear", ["stored", "a1", "a2"], ["w"]), [BYTES, F(0.2), np.uint8(5)], 10
    ),
    "quantised by kernel": (
        node("DequantizeLinear", ["stored", "a1", "a2"], ["w"], axis=0),
        [BYTES, positive(4), np.array([0, 2, 5, 9], np.uint8)], 13,
    ),
    "quantised by block": (
        node("DequantizeLinear", ["stored", "a1", "a2"], ["w"], axis=0, block_size=2),
        [BYTES, positive(2, 3, 3, 3), np.full((2, 3, 3, 3), 5, np.uint8)], 21,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MADE)
def test_weights_made_by_other_nodes_give_what_onnxruntime_gives(what, tmp_path):
    call, operands, since = MADE[what]
    arrays = dict(zip(["stored", "a1", "a2"], operands, strict=False))
    for version in (7, 10, 11, 13, 18, 21, 25):
        if version < since:
            continue
        given = {n: a for n, a in arrays.items() if not isinstance(a, onnx.TensorProto)}
        nodes = [call, node("Conv", ["x", "w"], ["y"])]
        model = graph(nodes, {"x": (2, 3, 6, 7)}, given, opset=version)
        model.graph.initializer.extend(a for a in arrays.values() if a is HALF)
        network = check_like_onnxruntime(model, tmp_path, noise(2, 3, 6, 7))
        assert [step.block.kind for step in network.nodes] == ["Conv"]


def test_unused_mask_of_dropout_does_no_harm(tmp_path):
    model = one("Dropout", (2, 3), opset=10)
    model.graph.node[0].output.append("mask")
    check_like_onnxruntime(model, tmp_path, noise(2, 3))


# ONNX's own node tests

TIER_1 = """
    Conv MaxPool AveragePool GlobalAveragePool GlobalMaxPool Relu LeakyRelu PRelu Clip Sigmoid
    HardSigmoid HardSwish Tanh Softmax LogSoftmax BatchNormalization LRN Gemm MatMul Add Sub Mul
    Div Sum Concat Split Slice Reshape Flatten Transpose Squeeze Unsqueeze Gather Shape Constant
    ConstantOfShape Cast Identity Dropout Pad ReduceMean ReduceSum ConvTranspose
""".split()  # noqa: SIM905  (a list of forty names is read more easily so)
EXCLUDED = {  # pattern of names: why minicnn does not run them
    r"training_dropout": "without a seed it is refused: random masks belong to training",
    r"zero_size_splits": "the input is empty",
    r"reshape_allowzero_reordered": "the input is empty",
    r"reduce_sum_empty_set": "the input is empty",
}


def node_tests() -> list:
    """ONNX's node tests with first-tier operators, float first input and float outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of its own cases overflow on purpose
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    chosen = []
    for test in found:
        if test.model is None or not {n.op_type for n in test.model.graph.node} <= set(TIER_1):
            continue
        inputs, outputs = test.model.graph.input, test.model.graph.output
        kinds = [v.type.tensor_type.elem_type for v in (*inputs[:1], *outputs)]
        excluded = any(re.search(pattern, test.name) for pattern in EXCLUDED)
        if inputs and set(kinds) == {onnx.TensorProto.FLOAT} and not excluded:
            chosen.append(test)
    return chosen


def disagreement(test, folder) -> str:
    """What is wrong with minicnn's answer to a node test; nothing where it is right."""
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    given, expected = test.data_sets[0]
    for value, array in list(zip(model.graph.input, given, strict=True))[1:]:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
        model.graph.input.remove(value)
    try:
        found = minicnn.load(written(model, folder))(given[0])
        found = found if isinstance(found, tuple) else (found,)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6, strict=True)
    except (minicnn.errors.MiniCNNError, AssertionError, ValueError) as error:
        return f"{test.name}: {str(error).strip().splitlines()[0]}"
    return ""


def test_onnx_node_tests_give_the_expected_outputs(tmp_path):
    tests = node_tests()
    wrong = [text for test in tests if (text := disagreement(test, tmp_path))]
    assert len(tests) >= 240
    assert not wrong, f"{len(wrong)} of {len(tests)} node tests fail:\n" + "\n".join(wrong)
