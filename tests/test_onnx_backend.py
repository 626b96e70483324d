"""ONNX's own test suite: every test whose operators minicnn reads, but those excluded below.

`onnx_backend` runs a model through minicnn. A test belongs here if the registry knows all of its
operators (those inside its branches too); the tiers are what the reader promises to know.
"""

import re
import warnings
from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests
from onnx_backend import MiniCNN

from minicnn.onnx import registry

TIERS = """
Conv MaxPool AveragePool GlobalAveragePool GlobalMaxPool Relu LeakyRelu PRelu Clip Sigmoid
HardSigmoid HardSwish Tanh Softmax LogSoftmax BatchNormalization LRN Gemm MatMul Add Sub Mul Div
Sum Concat Split Slice Reshape Flatten Transpose Squeeze Unsqueeze Gather Shape Constant
ConstantOfShape Cast Identity Dropout Pad ReduceMean ReduceSum

Gelu LayerNormalization Range Resize ConvTranspose Pow Sqrt Expand InstanceNormalization
GroupNormalization Elu Selu Softplus Mish Swish Erf Exp Log Abs Neg Min Max Mean ReduceMax
ReduceMin ReduceL2 Where Tile Equal Greater GreaterOrEqual Less LessOrEqual Upsample DepthToSpace
SpaceToDepth ArgMax LpPool CastLike GatherND

DequantizeLinear QuantizeLinear MaxUnpool GridSample TopK If Einsum
""".split()  # noqa: SIM905

EXCLUDED = {
    # types that have no meaning in this engine
    "strings": r"test_equal_string",
    "floats of 8 and 4 bits": r"FLOAT8|float8|e8m0|E8M0|FLOAT4|float4|e4m3|e5m2|e2m1",
    "integers of 4 and 2 bits": r"INT4|INT2|int4|int2",
    "sequences and optional values": r"test_identity_(sequence|opt)",
    # operators outside of the tiers that are read only in part
    "scattering by largest, smallest and product": r"test_scatter.*_(max|min|mul|multiply)",
    "opset 1": r"test_not_",
    "attention rounded to bfloat16 after every step": r"test_attention.*_bf16_expanded",
}

# sqrt and log of negative numbers, masks of infinity: the data is made so on purpose
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

LEAST = {"node": 1000, "pytorch-converted": 82, "pytorch-operator": 35, "simple": 6}  # tests run


def operators(graph):
    """Names of a graph's operators, its branches' included."""
    for node in graph.node:
        yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def readable(test):
    model = test.model or onnx.load(Path(test.model_dir) / "model.onnx")
    return all(registry.knows(name) for name in operators(model.graph))


def chosen():
    """Kind of each test that is run, and how many each reason excludes."""
    kinds, excluded = {}, Counter()
    for kind in LEAST:
        for test in load_model_tests(kind=kind):
            if not readable(test):
                continue
            reasons = [why for why, pattern in EXCLUDED.items() if re.search(pattern, test.name)]
            if reasons:
                excluded[reasons[0]] += 1
            else:
                kinds[test.name] = kind
    return kinds, excluded


with warnings.catch_warnings():  # making the tests' data overflows here and there
    warnings.simplefilter("ignore")
    RUN, EXCLUDED_COUNTS = chosen()


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite = BackendTest(MiniCNN, __name__)
    for name, case in suite.test_cases.items():
        for method in [method for method in vars(case) if method.startswith("test_")]:
            if method.removesuffix("_cpu") not in RUN or not method.endswith("_cpu"):
                delattr(case, method)
        yield name, case


globals().update(cases())


def test_every_operator_of_the_tiers_is_read():
    assert [name for name in TIERS if not registry.knows(name)] == []


def test_counts_are_told_and_enough_is_in_scope(capsys):
    counts = Counter(RUN.values())
    with capsys.disabled():
        print("\nONNX's own tests:", ", ".join(f"{counts[kind]} {kind}" for kind in LEAST))
        for why, count in EXCLUDED_COUNTS.items():
            print(f"  not run: {count:3} with {why}")
    assert {kind: count for kind, count in counts.items() if count < LEAST[kind]} == {}
    assert set(counts) == set(LEAST)
