"""Blocks against onnxruntime: one operator a graph, random windows, and how ties are broken.

`test_onnx_versions` reads every operator at every opset; here the judge is asked about numbers.
"""

import math

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx_graphs import by_onnxruntime, noise, one, written
from test_kernels import geometries

import minicnn
from minicnn import blocks
from minicnn import functional as F
from minicnn.blocks import Window

POSITIVE = np.abs(noise(4, seed=8)) + np.float32(0.5)
SQUARE = Window((3, 3), (2, 2), (1, 0, 1, 2), (1, 1))
PLAIN = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 2]}
IMAGE = (2, 4, 7, 8)


def agree(folder, block, model, x, *arrays):
    """The block, the network loaded from the model's file, and onnxruntime say the same."""
    path = written(model, folder)
    (expected,) = by_onnxruntime(path, x)
    network = minicnn.load(path)
    for y in (block(x, *arrays), network(x)):
        assert (y.shape, y.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    assert [node.block.kind for node in network.nodes] == [block.kind]


def arrays_of(*shapes):
    return [noise(*shape, seed=i + 1) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("op", "block", "arrays", "attributes"),
    [
        ("Conv", blocks.Conv(SQUARE), arrays_of((5, 4, 3, 3), (5,)), PLAIN),
        ("Conv", blocks.Conv(SQUARE, 4), arrays_of((8, 1, 3, 3)), {**PLAIN, "group": 4}),
        ("ConvTranspose", blocks.ConvTranspose(SQUARE), arrays_of((4, 5, 3, 3), (5,)), PLAIN),
        ("MaxPool", blocks.MaxPool(SQUARE), [], PLAIN),
        ("AveragePool", blocks.AveragePool(SQUARE), [], PLAIN),
        ("AveragePool", blocks.AveragePool(SQUARE, True), [], {**PLAIN, "count_include_pad": 1}),
        ("GlobalMaxPool", blocks.MaxPool(None), [], {}),
        ("GlobalAveragePool", blocks.Mean((2, 3), True), [], {}),
        ("Relu", blocks.ReLU(), [], {}),
        ("LeakyRelu", blocks.LeakyReLU(0.3), [], {"alpha": 0.3}),
        ("PRelu", blocks.PReLU(), arrays_of((4, 1, 1)), {}),
        ("HardSigmoid", blocks.HardSigmoid(0.4, 0.3), [], {"alpha": 0.4, "beta": 0.3}),
        ("HardSwish", blocks.HardSwish(), [], {}),
        ("Sigmoid", blocks.Sigmoid(), [], {}),
        ("Tanh", blocks.Tanh(), [], {}),
        ("Softmax", blocks.Softmax(1), [], {"axis": 1}),
        ("LogSoftmax", blocks.LogSoftmax(-1), [], {"axis": -1}),
        ("BatchNormalization", blocks.BatchNorm(0.1), [*arrays_of((4,), (4,), (4,)), POSITIVE],
         {"epsilon": 0.1}),
        *(("LRN", blocks.LRN(n, 0.5, 0.6, 1.5), [],
           {"size": n, "alpha": 0.5, "beta": 0.6, "bias": 1.5}) for n in (1, 3, 5)),
        ("MatMul", blocks.MatMul(), arrays_of((8, 3)), {}),
        ("Add", blocks.Add(), arrays_of((4, 1, 1)), {}),
        ("Sub", blocks.Subtract(), arrays_of((7, 8)), {}),
        ("Mul", blocks.Multiply(), arrays_of((4, 1, 8)), {}),
        ("Div", blocks.Divide(), [POSITIVE[:, None, None]], {}),
        ("Gather", blocks.Take(np.array([[1, -1], [1, 0]]), 2), [np.array([[1, -1], [1, 0]])],
         {"axis": 2}),
        ("Sum", blocks.Add(), arrays_of((4, 1, 1)), {}),
        ("Transpose", blocks.Transpose((2, 0, 3, 1)), [], {"perm": [2, 0, 3, 1]}),
        ("Identity", blocks.Identity(), [], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
@pytest.mark.parametrize("scale", [1, 30])
def test_a_block_computes_what_its_operator_does(op, block, arrays, attributes, scale, tmp_path):
    x = noise(*IMAGE) * np.float32(scale)
    model = one(op, IMAGE, *arrays, opset=17, **attributes)
    agree(tmp_path, block, model, x, *([] if op == "Gather" else arrays))


@pytest.mark.parametrize(
    ("op", "block", "parameters", "operands"),
    [
        ("Clip", blocks.Clip(-0.5, 0.7), [np.float32(-0.5), np.float32(0.7)], []),
        ("Gemm", blocks.Linear(), arrays_of((5, 6), (5,)), arrays_of((5, 6), (5,))),
        ("Reshape", blocks.Reshape((3, -1)), [np.array([3, -1])], []),
        ("Squeeze", blocks.Squeeze((0,)), [np.array([0])], []),
        ("Unsqueeze", blocks.Unsqueeze((0, -1)), [np.array([0, -1])], []),
        ("Slice", blocks.Slice(np.s_[1:, ::-2]),
         [np.array([1, -1]), np.array([9, -99]), np.array([0, 1]), np.array([1, -2])], []),
        ("Pad", blocks.Pad(((1, -1), (0, 2)), 0.5), [np.array([1, 0, -1, 2]), np.float32(0.5)], []),
        ("ReduceSum", blocks.Sum((1,), True), [np.array([1])], []),
    ],
)  # fmt: skip
def test_a_block_computes_what_its_operator_does_with_settings_as_inputs(
    op, block, parameters, operands, tmp_path
):
    shape = {"Squeeze": (1, 6)}.get(op, (2, 6))
    attributes = {"transB": 1} if op == "Gemm" else {}
    model = one(op, shape, *parameters, opset=17, **attributes)
    agree(tmp_path, block, model, noise(*shape), *operands)


@pytest.mark.parametrize(
    ("op", "block", "arrays", "axis"),
    [
        ("Concat", blocks.Concat(1), arrays_of((2, 3)), 1),
        ("Gather", blocks.Take(np.array([1, 0])), [np.array([1, 0])], 0),
    ],
)
def test_a_file_may_rely_on_the_batch_that_it_fixes(op, block, arrays, axis, tmp_path):
    model = one(op, (2, 6), *arrays, opset=17, axis=axis)
    agree(tmp_path, block, model, noise(2, 6), *(arrays if op == "Concat" else []))


def attributes_of(window):
    names = ("kernel", "stride", "pads", "dilation")
    keys = ("kernel_shape", "strides", "pads", "dilations")
    chosen = {key: list(getattr(window, name)) for key, name in zip(keys, names)}
    return chosen | ({"ceil_mode": 1} if window.ceil_mode else {})


@given(geometries(), st.sampled_from([(1, 2, 3), (2, 1, 2), (3, 1, 1)]))
def test_random_convolutions(tmp_path_factory, geometry, channels):
    window, size = geometry
    groups, per_group, per_out = channels
    x, w = noise(2, per_group * groups, *size), noise(per_out * groups, per_group, *window.kernel)
    model = one("Conv", x.shape, w, group=groups, **attributes_of(window))
    agree(tmp_path_factory.mktemp("g"), blocks.Conv(window, groups), model, x, w)


@given(geometries(), st.sampled_from([(1, 2, 3), (2, 1, 2), (3, 1, 1)]), st.data())
def test_random_transposed_convolutions(tmp_path_factory, geometry, channels, data):
    window, size = geometry
    groups, per_group, per_out = channels
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in window.stride)
    out = window.output_size(size)
    assume(min(window.transposed_size(out, extra)) > 0)
    p, w = noise(2, per_out * groups, *out), noise(per_out * groups, per_group, *window.kernel)
    attributes = attributes_of(window) | {"output_padding": list(extra)}
    model = one("ConvTranspose", p.shape, w, group=groups, **attributes)
    block = blocks.ConvTranspose(window, groups, extra)
    agree(tmp_path_factory.mktemp("g"), block, model, p, w)


pooling = geometries(pads_below_kernel=True, ceil_modes=(False, True))


@given(pooling)
def test_random_max_pools_with_ties(tmp_path_factory, geometry):
    """Values and winners: few different numbers, so that most windows hold ties."""
    window, size = geometry
    x = np.random.default_rng(0).integers(-2, 1, (2, 3, *size)).astype(np.float32)
    y = blocks.MaxPool(window)(x)
    assume(np.isfinite(y).all())  # a dilated window may stand with all its taps in the padding
    model = one("MaxPool", x.shape, opset=19, **attributes_of(window))
    agree(tmp_path_factory.mktemp("g"), blocks.MaxPool(window), model, x)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(2, 2, 0, 1), (3, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 2), ((2, 3), (1, 2), (1, 0), 1)],
)
def test_of_ties_the_same_tap_wins(kernel, stride, padding, dilation, ceil_mode):
    pair = [n if isinstance(n, tuple) else (n, n) for n in (kernel, stride, padding, dilation)]
    window = Window(pair[0], pair[1], pair[2] * 2, pair[3], ceil_mode)
    x = np.random.default_rng(0).integers(-2, 1, (2, 3, 8, 9)).astype(np.float32)
    model = one("MaxPool", x.shape, opset=19, outputs=("y", "i"), **attributes_of(window))
    model.graph.output[1].type.tensor_type.elem_type = 7  # int64
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    y, indices = session.run(None, {"x": x})
    ours, places = F.max_pool2d(
        x, kernel, stride, padding, dilation, ceil_mode, return_indices=True
    )  # fmt: skip
    np.testing.assert_array_equal(ours, y)
    planes = np.arange(6).reshape(2, 3, 1, 1) * math.prod(x.shape[2:])  # ONNX counts through all
    np.testing.assert_array_equal(places + planes, indices)


@given(pooling, st.booleans())
def test_random_average_pools(tmp_path_factory, geometry, include_pad):
    window, size = geometry
    x = noise(2, 3, *size)
    attributes = attributes_of(window) | {"count_include_pad": int(include_pad)}
    model = one("AveragePool", x.shape, opset=19, **attributes)
    agree(tmp_path_factory.mktemp("g"), blocks.AveragePool(window, include_pad), model, x)
