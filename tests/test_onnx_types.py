"""Types beside floats, branches, several inputs, open and baked batches, names of the source."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import graph, node, one

import minicnn
from minicnn import Tensor, blocks, errors
from minicnn.onnx.node import NeedsConstantError

F = np.float32
RNG = np.random.default_rng(3)


def saved(model, tmp_path, name="model.onnx"):
    onnx.save(model, tmp_path / name)
    return tmp_path / name


def typed_graph(nodes, inputs, outputs, arrays=None, opset=18):
    """A model whose inputs and outputs have types of their own: name -> (type, shape)."""

    def values(facts):
        return [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in facts.items()]

    weights = [numpy_helper.from_array(np.asarray(a), n) for n, a in (arrays or {}).items()]
    made = helper.make_graph(nodes, "g", values(inputs), values(outputs), weights)
    return helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])


def same_as_onnxruntime(path, *inputs, **arguments):
    network = minicnn.load(path, **arguments)
    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_inputs()]
    expected = session.run(None, dict(zip(names, inputs, strict=True)))
    found = network(*inputs)
    for y, want in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        assert y.dtype == want.dtype
        assert y.shape == want.shape
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    return network


MASKED = typed_graph(  # y = x where x > 0.1 and not flag, else -x; and the place of its maximum
    [
        node("Greater", ["x", "limit"], ["large"]),
        node("Not", ["flag"], ["unflagged"]),
        node("And", ["large", "unflagged"], ["kept"]),
        node("Neg", ["x"], ["minus"]),
        node("Where", ["kept", "x", "minus"], ["y"]),
        node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
    ],
    {"x": (TensorProto.FLOAT, ["n", 5]), "flag": (TensorProto.BOOL, ["n", 5])},
    {"y": (TensorProto.FLOAT, ["n", 5]), "best": (TensorProto.INT64, ["n"])},
    {"limit": F(0.1)},
)


@pytest.fixture
def masked(tmp_path):
    return saved(MASKED, tmp_path)


def test_truth_values_choose_and_maxima_are_found(masked):
    x, flag = RNG.standard_normal((3, 5)).astype(F), RNG.random((3, 5)) > 0.5
    network = same_as_onnxruntime(masked, x, flag)
    assert network.types == {"flag": np.dtype(bool)}
    assert network.tensors["best"].dtype == np.int64
    assert network.foreign == ["flag", "large", "unflagged", "kept", "best"]


def test_signals_pass_choices_and_not_conditions(masked):
    network = minicnn.load(masked)
    x, flag = RNG.standard_normal((2, 5)).astype(F), RNG.random((2, 5)) > 0.5
    p = RNG.standard_normal((2, 5)).astype(F)
    slope = np.where((x > F(0.1)) & ~flag, F(1), F(-1))
    np.testing.assert_array_equal(network.record(x, flag).backward(p, at="y"), p * slope)
    reversed_network = network.record(x, flag).reverse(at="y")
    np.testing.assert_array_equal(reversed_network(p), p * slope)


def test_what_jumps_says_that_it_has_no_gradient(masked):
    tape = minicnn.load(masked).record(
        RNG.standard_normal((2, 5)).astype(F), np.zeros((2, 5), bool)
    )
    with pytest.raises(errors.NotDifferentiableError, match="ArgMax at best"):
        tape.backward(np.ones(2, F), at="best")


def test_tensors_pass_choices_too(masked):
    network = minicnn.load(masked)
    x = Tensor(RNG.standard_normal((1, 5)).astype(F), requires_grad=True)
    y, _ = network(x, np.zeros((1, 5), bool))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.where(x.numpy() > F(0.1), F(1), F(-1)))


def test_an_input_of_the_wrong_type_is_refused(masked):
    with pytest.raises(errors.InputError, match=r"flag has dtype float32; model needs bool"):
        minicnn.load(masked)(np.zeros((1, 5), F), np.zeros((1, 5), F))


def test_a_photo_of_bytes_is_cast_and_convolved(tmp_path):
    model = typed_graph(
        [
            node("Cast", ["photo"], ["x"], to=TensorProto.FLOAT),
            node("Div", ["x", "white"], ["bright"]),
            node("Conv", ["bright", "w"], ["y"], pads=[1, 1, 1, 1]),
        ],
        {"photo": (TensorProto.UINT8, [1, 3, 6, 7])},
        {"y": (TensorProto.FLOAT, None)},
        {"white": F(255), "w": RNG.standard_normal((4, 3, 3, 3)).astype(F)},
    )
    path = saved(model, tmp_path)
    network = same_as_onnxruntime(path, RNG.integers(0, 256, (1, 3, 6, 7), np.uint8))
    double = network.astype(np.float64)
    assert double(np.ones((1, 3, 6, 7), np.uint8)).dtype == np.float64


def test_topk_sends_signals_to_what_it_chose(tmp_path):
    model = typed_graph(
        [node("TopK", ["x", "k"], ["top", "where"], axis=1)],
        {"x": (TensorProto.FLOAT, [2, 6])},
        {"top": (TensorProto.FLOAT, None), "where": (TensorProto.INT64, None)},
        {"k": np.array([2])},
    )
    path = saved(model, tmp_path)
    x = RNG.permutation(12).reshape(2, 6).astype(F)
    network = same_as_onnxruntime(path, x)
    q = network.record(x).backward(np.ones((2, 2), F), at="top")
    assert (q == (x >= np.sort(x, 1)[:, -2:-1])).all()


# Branches


def branch(op, name):
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node(op, ["x"], [name], name=f"{op} inside")], op, [], [out])


@pytest.mark.parametrize(("condition", "op"), [(True, "Relu"), (False, "Tanh")])
def test_of_a_constant_condition_one_branch_is_read(condition, op, tmp_path):
    call = node(
        "If", ["sure"], ["y"], then_branch=branch("Relu", "z"), else_branch=branch("Tanh", "z")
    )
    model = graph([call], {"x": (1, 2, 3, 3)}, {"sure": np.array(condition)}, opset=18)
    network = same_as_onnxruntime(
        saved(model, tmp_path), RNG.standard_normal((1, 2, 3, 3)).astype(F)
    )
    assert next(node.block.kind for node in network.nodes).lower() == op.lower()


def test_a_condition_that_the_input_decides_is_refused_by_name(tmp_path):
    nodes = [
        node("ReduceSum", ["x"], ["total"], keepdims=0),
        node("Greater", ["total", "zero"], ["sure"]),
        node(
            "If", ["sure"], ["y"], then_branch=branch("Relu", "z"), else_branch=branch("Tanh", "z")
        ),
    ]
    path = saved(graph(nodes, {"x": (1, 4)}, {"zero": F(0)}), tmp_path)
    with pytest.raises(NeedsConstantError, match="condition depends on the network's input x"):
        minicnn.load(path)


# Inputs given when loading, batches


def test_an_input_that_is_a_shape_is_given_when_loading(tmp_path):
    model = typed_graph(
        [node("Reshape", ["x", "shape"], ["y"])],
        {"x": (TensorProto.FLOAT, [2, 6]), "shape": (TensorProto.INT64, [2])},
        {"y": (TensorProto.FLOAT, None)},
    )
    path = saved(model, tmp_path)
    with pytest.raises(NeedsConstantError, match=r"constants=\{'shape': \.\.\.\}") as caught:
        minicnn.load(path)
    assert caught.value.inputs == ("shape",)
    network = minicnn.load(path, constants={"shape": [3, 4]})
    assert list(network.inputs) == ["x"]
    assert network(np.zeros((2, 6), F)).shape == (3, 4)
    with pytest.raises(errors.UnknownNameError, match="Did you mean shape"):
        minicnn.load(path, constants={"shap": [3, 4]})


BAKED = graph(  # a batch of 2, in the input and in both reshapes; the second undoes the first
    [
        node("Reshape", ["x", "flat"], ["rows"]),
        node("Relu", ["rows"], ["positive"]),
        node("Reshape", ["positive", "back"], ["y"]),
    ],
    {"x": (2, 3, 4)},
    {"flat": np.array([6, 4]), "back": np.array([2, 12])},
)


def test_a_baked_batch_is_opened_where_that_is_possible(tmp_path):
    path = saved(BAKED, tmp_path)
    assert minicnn.load(path, batch=2).inputs["x"] == (2, 3, 4)
    with pytest.raises(errors.ModelFileError, match="other batches"):
        minicnn.load(path, batch="dynamic")  # 6 rows could be anything
    opened = graph(
        [node("Reshape", ["x", "flat"], ["y"])], {"x": (1, 3, 4)}, {"flat": np.array([1, 12])}
    )
    network = minicnn.load(saved(opened, tmp_path), batch="dynamic")
    assert network(np.zeros((5, 3, 4), F)).shape == (5, 12)


def test_a_literal_batch_of_an_open_file_is_opened_on_demand(tmp_path):
    model = graph(
        [node("Reshape", ["x", "flat"], ["y"])], {"x": ("n", 3, 4)}, {"flat": np.array([1, -1])}
    )
    path = saved(model, tmp_path)
    assert minicnn.load(path).inputs["x"] == (1, 3, 4)
    assert minicnn.load(path, batch="dynamic")(np.zeros((5, 3, 4), F)).shape == (5, 12)
    assert minicnn.load(path, batch=3).inputs["x"] == (3, 3, 4)


def as_strided(batch, rows):
    """A mean, and its numbers taken in order: how torch's exporter writes a view."""
    nodes = [
        node("Reshape", ["x", "flat"], ["row"]), node("Gather", ["row", "places"], ["y"], axis=0)
    ]  # fmt: skip
    places = np.arange(rows * 12).reshape(rows, 12)
    return graph(nodes, {"x": (batch, 3, 4)}, {"flat": np.array([-1]), "places": places})


def test_a_gather_of_everything_in_order_opens_with_the_batch(tmp_path):
    network = minicnn.load(saved(as_strided(2, 2), tmp_path))
    x = RNG.standard_normal((5, 3, 4)).astype(F)
    np.testing.assert_array_equal(network(x), x.reshape(5, 12))
    # of an open batch the same indices are those of one image only
    assert minicnn.load(saved(as_strided("n", 1), tmp_path)).inputs["x"] == (1, 3, 4)


def test_a_first_axis_that_is_no_batch_is_left_open_by_a_gather_of_it(tmp_path):
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0]), node("Gather", ["t", "all"], ["g"], axis=0),
        node("Transpose", ["g"], ["y"], perm=[1, 0]),
    ]  # fmt: skip
    path = saved(graph(nodes, {"x": (1, 4)}, {"all": np.arange(4)}), tmp_path)
    x = RNG.standard_normal((3, 4)).astype(F)
    np.testing.assert_array_equal(minicnn.load(path)(x), x)


def test_images_with_channels_last_are_images(tmp_path):
    weights = RNG.standard_normal((4, 3, 3, 3)).astype(F)
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Conv", ["t", "w"], ["y"])]
    path = saved(graph(nodes, {"x": (1, 8, 9, 3)}, {"w": weights}), tmp_path)
    network = minicnn.load(path)
    assert network.preprocess.layout == "NHWC"
    assert network.preprocess.crop == (8, 9)
    x = RNG.standard_normal((1, 8, 9, 3)).astype(F)
    q = network.record(x).backward(RNG.standard_normal((1, 4, 6, 7)).astype(F))
    assert q.shape == (1, 8, 9, 3)
    assert network.channels_first(q).shape == (1, 3, 8, 9)


@pytest.mark.parametrize("op", ["Sign", "Floor", "Ceil", "Round"])
def test_truth_values_are_not_rounded(op, tmp_path):
    with pytest.raises(errors.InputError, match=f"{op} takes numbers, not truth values"):
        getattr(blocks, op)()(np.array([True, False]))
    nodes = [node("Greater", ["x", "zero"], ["c"]), node(op, ["c"], ["y"])]
    with pytest.raises(errors.InputError, match=rf"at node y \({op}\): {op} takes numbers"):
        minicnn.load(saved(graph(nodes, {"x": (1, 4)}, {"zero": np.zeros(4, F)}), tmp_path))


# Names of the source


def test_module_paths_of_both_exporters_are_names_of_layers(tmp_path):
    old = node("Relu", ["x"], ["a"], name="/layer1/layer1.0/act/Relu")
    new = node("Tanh", ["a"], ["y"], name="node_tanh")
    entry = new.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", "['', 'head', 'head.1', 'tanh']"
    network = minicnn.load(saved(graph([old, new], {"x": (1, 4)}), tmp_path))
    assert network.modules == {"layer1.0.act": ["a"], "head.1": ["y"]}
    assert network.value_name("layer1") == "a"
    assert network.value_name("head.1") == "y"


@pytest.mark.parametrize("text", ["[", "['a', 1]", "{}", "__import__('os')", "(" * 500])
def test_odd_scopes_are_no_module(text, tmp_path):
    call = node("Relu", ["x"], ["y"])
    entry = call.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", text
    assert minicnn.load(saved(graph([call], {"x": (1, 4)}), tmp_path)).modules in ({}, {"a": ["y"]})


# What was a silent wrong result


@pytest.mark.parametrize("shape", [(3, 8, 1, 1), (3, 2, 2, 2)])
def test_a_reshape_within_a_concatenation_is_laid_where_it_belongs(shape, tmp_path):
    nodes = [
        node("Reshape", ["x", "shape"], ["r"]),
        node("Relu", ["r"], ["s"]),
        node("Concat", ["r", "s", "r"], ["c"], axis=1),
        node("Flatten", ["c"], ["f"]),
        node("Flatten", ["r"], ["g"]),
        node("Concat", ["f", "g"], ["y"], axis=1),
    ]
    path = saved(graph(nodes, {"x": (3, 8)}, {"shape": np.array(shape)}), tmp_path)
    same_as_onnxruntime(path, RNG.standard_normal((3, 8)).astype(F))


def test_a_row_repeated_is_repeated(tmp_path):
    model = one("Tile", (1, 1, 1, 2), np.array([1, 2, 3, 4]))
    same_as_onnxruntime(saved(model, tmp_path), RNG.standard_normal((1, 1, 1, 2)).astype(F))
