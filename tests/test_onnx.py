"""The importer: how files store weights, shapes, names and outputs, and what `load` makes of them.

Operators and versions are in test_onnx_versions.py, damaged files in test_bad_input.py.
"""

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import (
    as_tuple,
    by_onnxruntime,
    check_like_onnxruntime,
    fire_network,
    graph,
    ints,
    node,
    noise,
    small_classifier,
    small_map_network,
    written,
)

import minicnn

F = np.float32
X = (2, 3, 8, 8)
WEIGHT = noise(4, 3, 3, 3)


def conv(*before, weight="w", arrays=None, **changes):
    """A convolution whose weight comes out of other nodes."""
    nodes = [*before, node("Conv", ["x", weight], ["y"], name="conv")]
    return graph(nodes, {"x": ("N", 3, 8, 8)}, arrays or {}, **changes)


# Weights


def test_initialisers_may_be_graph_inputs_too(tmp_path):
    model = conv(arrays={"w": WEIGHT})
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHT.shape))
    path = written(model, tmp_path)
    network = minicnn.load(path)
    assert list(network.inputs) == ["x"]
    x = noise(*X)
    np.testing.assert_allclose(network(x), by_onnxruntime(path, x)[0], atol=1e-5)


def test_weights_may_be_constant_nodes(tmp_path):
    constant = node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHT))
    network = check_like_onnxruntime(conv(constant), tmp_path, noise(*X))
    assert network.parameter_names() == ["w"]


@pytest.mark.parametrize(
    ("call", "stored"),
    [
        (node("Identity", ["stored"], ["w"]), WEIGHT),
        (node("Reshape", ["stored", "shape"], ["w"]), WEIGHT.reshape(4, -1)),
        (node("Transpose", ["stored"], ["w"], perm=[3, 2, 0, 1]), WEIGHT.transpose(2, 3, 1, 0)),
        (node("Unsqueeze", ["stored", "last"], ["w"]), noise(4, 3, 3)),
        (node("Squeeze", ["stored", "first"], ["w"]), WEIGHT[None]),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_weights_reached_through_a_node_become_parameters_and_keep_their_names(
    call, stored, tmp_path
):
    arrays = {"stored": stored, "shape": ints(4, 3, 3, 3), "last": ints(3), "first": ints(0)}
    network = check_like_onnxruntime(conv(call, arrays=arrays), tmp_path, noise(*X))
    assert network.parameter_names() == ["stored"]
    assert network.layers == ["y"]


def test_weights_may_be_constants_of_a_shape(tmp_path):
    fill = node(
        "ConstantOfShape", ["shape"], ["w"], value=numpy_helper.from_array(F([0.25]))
    )  # fmt: skip
    model = conv(fill, arrays={"shape": ints(4, 3, 3, 3)})
    network = check_like_onnxruntime(model, tmp_path, noise(*X))
    (weight,) = network.parameters()
    np.testing.assert_array_equal(weight.data, np.full((4, 3, 3, 3), 0.25, F))


def test_one_weight_may_serve_two_layers(tmp_path):
    nodes = [
        node("Identity", ["w"], ["shared"]),
        node("Conv", ["x", "w"], ["first"], pads=[1] * 4),
        node("Conv", ["first", "shared"], ["y"]),
    ]
    model = graph(nodes, {"x": X}, {"w": noise(3, 3, 3, 3)})
    network = check_like_onnxruntime(model, tmp_path, noise(*X))
    assert network.parameter_names() == ["w"]


def test_two_reshapes_of_one_weight_stay_apart(tmp_path):
    nodes = [
        node("Reshape", ["w", "column"], ["a"]),
        node("Reshape", ["w", "plane"], ["b"]),
        node("Mul", ["x", "a"], ["half"]),
        node("Add", ["half", "b"], ["y"]),
    ]
    arrays = {"w": noise(6), "column": ints(6, 1, 1), "plane": ints(2, 3)}
    check_like_onnxruntime(graph(nodes, {"x": (2, 6, 2, 3)}, arrays), tmp_path, noise(2, 6, 2, 3))


def test_half_precision_weights_become_float32(tmp_path):
    cast = node("Cast", ["half"], ["w"], to=TensorProto.FLOAT)
    model = conv(cast, arrays={"half": WEIGHT.astype(np.float16)})
    network = check_like_onnxruntime(model, tmp_path, noise(*X))
    assert network.dtype == np.float32


def test_half_precision_networks_compute_in_float32(tmp_path):
    path = written(conv(arrays={"w": WEIGHT.astype(np.float16)}), tmp_path)
    full = written(conv(arrays={"w": WEIGHT.astype(np.float16).astype(F)}), tmp_path, "full.onnx")
    x = noise(*X)
    np.testing.assert_array_equal(minicnn.load(path)(x), minicnn.load(full)(x))


def test_external_data_is_read_from_beside_the_file(tmp_path):
    model = conv(arrays={"w": WEIGHT, "unused": noise(3)})
    path, x = tmp_path / "model.onnx", noise(*X)
    expected = by_onnxruntime(written(model, tmp_path, "inside.onnx"), x)[0]
    onnx.save_model(
        model, path, save_as_external_data=True, location="model.data", size_threshold=0
    )
    assert (tmp_path / "model.data").stat().st_size >= WEIGHT.nbytes
    np.testing.assert_allclose(minicnn.load(path)(x), expected, atol=1e-5)


def test_an_omitted_bias_may_be_written_as_an_empty_name(tmp_path):
    model = conv(arrays={"w": WEIGHT})
    model.graph.node[0].input.append("")
    check_like_onnxruntime(model, tmp_path, noise(*X))


# Shapes and constant folding


def flatten_by_shape_subgraph(batch="N"):
    """What torch wrote for x.view(x.size(0), -1), and a shift by an integer division."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "front"], ["batch1"]),
        node("Concat", ["batch1", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    arrays = {"zero": np.array(0), "front": ints(0), "rest": ints(-1), "w": noise(24, 5)}
    return graph(nodes, {"x": (batch, 2, 3, 4)}, arrays)


def test_a_shape_subgraph_folds_away_and_other_batches_still_work(tmp_path):
    network = check_like_onnxruntime(flatten_by_shape_subgraph(), tmp_path, noise(1, 2, 3, 4))
    assert [step.block.kind for step in network.nodes] == ["Reshape", "MatMul"]
    x = noise(5, 2, 3, 4)
    expected = by_onnxruntime(tmp_path / "model.onnx", x)[0]
    np.testing.assert_allclose(network(x), expected, atol=1e-5)


def test_a_batch_that_the_graph_computes_with_stays_fixed(tmp_path):
    """x divided by its batch, and rows in reverse: other batches would give wrong numbers."""
    divided = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "i"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["x", "f"], ["y"]),
    ]
    backwards = [helper.make_node("Slice", ["x", "a", "b", "c", "d"], ["y"])]
    for nodes, constants in [
        (divided, {"i": np.int64(0)}),
        (
            backwards,
            {
                "a": np.array([-1]),
                "b": np.array([-(2**31)]),
                "c": np.array([0]),
                "d": np.array([-1]),
            },
        ),
    ]:
        graph = helper.make_graph(
            nodes,
            "batch",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        )
        opset = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
        assert minicnn.load(tmp_path / "m.onnx").inputs == {"x": (1, 3)}
        assert minicnn.load(tmp_path / "m.onnx", shape=(4, 3)).inputs == {"x": (4, 3)}


def test_a_batch_of_one_baked_into_reshape_opens(tmp_path):
    nodes = [node("Reshape", ["x", "to"], ["flat"]), node("MatMul", ["flat", "w"], ["y"])]
    arrays = {"to": ints(1, 24), "w": noise(24, 5)}
    network = check_like_onnxruntime(
        graph(nodes, {"x": (1, 2, 3, 4)}, arrays), tmp_path, noise(1, 2, 3, 4)
    )
    x = noise(3, 2, 3, 4)
    np.testing.assert_allclose(network(x), x.reshape(3, 24) @ arrays["w"], atol=1e-5)


@pytest.mark.parametrize("target", [(1, -1), (1, 4, -1)])
def test_a_literal_target_means_what_it_says_where_the_batch_is_open(target, tmp_path):
    """onnxruntime lays three images side by side here; to take them apart would be wrong."""
    nodes = [node("Relu", ["x"], ["r"]), node("Reshape", ["r", "to"], ["y"])]
    model = graph(nodes, {"x": ("N", 2, 2)}, {"to": ints(*target)})
    network = check_like_onnxruntime(model, tmp_path, noise(1, 2, 2))
    x = noise(3, 2, 2)
    try:
        found = network(x)
    except minicnn.errors.ShapeError:  # refusing other batches is right, too
        return
    np.testing.assert_allclose(found, by_onnxruntime(tmp_path / "model.onnx", x)[0], atol=1e-5)


@pytest.mark.parametrize(("op", "version"), [("Softmax", 11), ("Flatten", 13), ("LogSoftmax", 11)])
def test_flattening_from_axis_2_works_for_other_batches(op, version, tmp_path):
    nodes = [node("Relu", ["x"], ["r"]), node(op, ["r"], ["y"], axis=2)]
    model = graph(nodes, {"x": ("N", 2, 3, 4)}, opset=version)
    network = check_like_onnxruntime(model, tmp_path, noise(1, 2, 3, 4))
    x = noise(5, 2, 3, 4)
    expected = by_onnxruntime(tmp_path / "model.onnx", x)[0]
    np.testing.assert_allclose(network(x), expected, atol=1e-5)


def test_a_file_of_a_fixed_batch_loads_and_runs(tmp_path):
    """Its graph may hold the batch size in a place where it cannot be opened."""
    nodes = [
        node("Concat", ["x", "more"], ["wide"], axis=1),
        node("Reshape", ["wide", "to"], ["y"]),
    ]
    arrays = {"more": noise(4, 2, 2), "to": ints(2, 2, 10)}
    check_like_onnxruntime(graph(nodes, {"x": (4, 3, 2)}, arrays), tmp_path, noise(4, 3, 2))


@pytest.mark.parametrize(("a", "b"), [(7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (-1, 5), (0, 4)])
def test_integer_division_of_constants_rounds_towards_zero(a, b, tmp_path):
    nodes = [
        node("Div", ["a", "b"], ["quotient"]),
        node("Cast", ["quotient"], ["real"], to=TensorProto.FLOAT),
        node("Add", ["x", "real"], ["y"]),
    ]
    model = graph(nodes, {"x": (1, 2)}, {"a": ints(a), "b": ints(b)})
    network = check_like_onnxruntime(model, tmp_path, noise(1, 2))
    assert network(np.zeros((1, 2), F))[0, 0] == int(a / b)


def test_halving_a_size_by_slices_folds(tmp_path):
    """What exporters write for x[:, :, :h // 2]."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "two", "three", "zero"], ["height"]),
        node("Div", ["height", "two"], ["half"]),
        node("Slice", ["x", "zero", "half", "two"], ["y"]),
    ]
    arrays = {"two": ints(2), "three": ints(3), "zero": ints(0)}
    network = check_like_onnxruntime(graph(nodes, {"x": X}, arrays), tmp_path, noise(*X))
    assert [step.block.kind for step in network.nodes] == ["Slice"]


def test_open_image_sides_stay_open_where_nothing_reads_them(tmp_path):
    model = graph(
        [node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], {"x": ("N", 3, "H", "W")}, {"w": WEIGHT}
    )
    path = written(model, tmp_path)
    network = minicnn.load(path)
    for size in [(6, 9), (11, 4)]:
        x = noise(1, 3, *size)
        np.testing.assert_allclose(network(x), by_onnxruntime(path, x)[0], atol=1e-5)


def test_open_sides_that_the_graph_reads_are_fixed_by_shape(tmp_path):
    call = node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])
    path = written(graph([call], {"x": (None, 3, None, None)}, {"w": WEIGHT}), tmp_path)
    network = minicnn.load(path, shape=(1, 3, 7, 10))
    assert network.inputs["x"] == (None, 3, 7, 10)
    x = noise(2, 3, 7, 10)
    np.testing.assert_allclose(network(x), by_onnxruntime(path, x)[0], atol=1e-5)
    with pytest.raises(minicnn.errors.ShapeError, match="needs"):
        network(noise(2, 3, 8, 10))


def test_dilated_same_padding_covers_the_dilated_kernel(tmp_path):
    weight = {"w": noise(4, 3, 3, 2)}
    same = node("Conv", ["x", "w"], ["y"], dilations=[2, 4], auto_pad="SAME_UPPER")
    pads = node("Conv", ["x", "w"], ["y"], dilations=[2, 4], pads=[2, 2, 2, 2])
    x = noise(*X)
    first, second = (
        minicnn.load(written(graph([call], {"x": X}, weight), tmp_path))(x) for call in (same, pads)
    )
    np.testing.assert_array_equal(first, second)


# Nodes, names and outputs


def test_nodes_may_come_in_any_order(tmp_path):
    model = small_classifier()
    path = written(model, tmp_path, "sorted.onnx")
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    x = noise(2, 3, 16, 16)
    found = minicnn.load(written(model, tmp_path))(x)
    np.testing.assert_allclose(found, by_onnxruntime(path, x)[0], atol=1e-5)


def test_local_functions_are_inlined(tmp_path):
    scaled = helper.make_function(
        "here", "ScaledRelu", ["a", "b"], ["out"],
        [node("Mul", ["a", "b"], ["product"]), node("Relu", ["product"], ["out"])],
        [helper.make_opsetid("", 13)],
    )  # fmt: skip
    nodes = [
        node("ScaledRelu", ["x", "w"], ["h"], domain="here", name="first"),
        node("ScaledRelu", ["h", "w"], ["y"], domain="here", name="second"),
    ]
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("here", 1)]
    model = graph(
        nodes, {"x": (2, 3)}, {"w": F([1, -2, 3])}, functions=[scaled], opset_imports=imports
    )
    network = check_like_onnxruntime(model, tmp_path, noise(2, 3))
    assert [step.block.kind for step in network.nodes] == ["Multiply", "ReLU"] * 2


def test_node_names_work_as_layer_names(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], ["17"], name="stem/conv"),
        node("Relu", ["17"], ["y"], name="stem/relu"),
    ]
    network = minicnn.load(written(graph(nodes, {"x": X}, {"w": WEIGHT}), tmp_path))
    assert network.layers == ["17", "y"]
    assert network.value_name("stem/conv") == "17"
    cut = network.cut(outputs="stem/conv")
    np.testing.assert_array_equal(cut(noise(*X)).clip(0), network(noise(*X)))


def test_a_value_is_meant_before_a_node_that_is_called_the_same(tmp_path):
    nodes = [
        node("Relu", ["x"], ["b"], name="a"),
        node("Tanh", ["b"], ["a"], name="b"),
        node("Sigmoid", ["a"], ["y"], name="y"),
    ]
    network = check_like_onnxruntime(graph(nodes, {"x": (2, 3)}), tmp_path, noise(2, 3))
    assert [network.value_name(name) for name in "aby"] == ["a", "b", "y"]
    assert network.cut(outputs="a").nodes[-1].block.kind == "Tanh"


def test_nodes_of_one_name_stay_apart(tmp_path):
    """Onnxruntime refuses such a file; the same file with other names is the judge."""
    nodes = [
        node("Conv", ["x", "w"], ["h"], name="same"),
        node("Conv", ["h", "v"], ["y"], name="same"),
    ]
    arrays = {"w": WEIGHT, "v": noise(2, 4, 3, 3)}
    found = minicnn.load(written(graph(nodes, {"x": X}, arrays), tmp_path))(noise(*X))
    nodes[1].name = "other"
    path = written(graph(nodes, {"x": X}, arrays), tmp_path)
    np.testing.assert_allclose(found, by_onnxruntime(path, noise(*X))[0], rtol=1e-5, atol=1e-5)


def test_names_of_steps_inside_an_operator_can_be_printed_and_typed(tmp_path):
    call = node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0)
    model = graph([call], {"x": ("N", 3)}, {"w": noise(3, 2), "b": noise(2)})
    network = check_like_onnxruntime(model, tmp_path, noise(2, 3))
    assert len(network.layers) > 1
    assert all(name.isprintable() for name in network.layers)


def test_a_weight_may_be_called_like_a_node(tmp_path):
    nodes = [node("Conv", ["x", "conv"], ["y"], name="conv")]
    network = check_like_onnxruntime(graph(nodes, {"x": X}, {"conv": WEIGHT}), tmp_path, noise(*X))
    assert network.parameter_names() == ["conv"]


def test_several_outputs_come_in_the_order_of_the_file(tmp_path):
    model = small_classifier()
    del model.graph.output[:]
    for name in ("scores", "relu1", "probabilities"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    network = check_like_onnxruntime(model, tmp_path, noise(2, 3, 16, 16))
    assert network.outputs == ["scores", "relu1", "probabilities"]


def test_nodes_that_no_output_needs_are_left_out(tmp_path):
    model = small_classifier()
    model.graph.node.insert(2, node("Tanh", ["conv1"], ["aside"]))
    network = check_like_onnxruntime(model, tmp_path, noise(2, 3, 16, 16))
    assert "aside" not in network.layers


@pytest.mark.parametrize("unused", ["middle", ""])
def test_unused_outputs_of_a_split_are_left_out(unused, tmp_path):
    nodes = [
        node("Split", ["x"], ["first", unused, "third"], axis=1, num_outputs=3),
        node("Sub", ["third", "first"], ["y"]),
    ]
    x = noise(*X)
    network = minicnn.load(written(graph(nodes, {"x": X}, opset=18), tmp_path))
    assert network.layers == ["first", "third", "y"]
    np.testing.assert_array_equal(network(x), x[:, 2:] - x[:, :1])


def test_two_inputs_are_taken_in_the_order_of_the_file(tmp_path):
    model = graph([node("Sub", ["b", "a"], ["y"])], {"a": (2, 3), "b": (2, 3)})
    check_like_onnxruntime(model, tmp_path, noise(2, 3), noise(2, 3, seed=1))


def test_class_scores_are_what_the_last_softmax_reads(tmp_path):
    network = minicnn.load(written(small_classifier(), tmp_path))
    assert network.logits == "scores"
    assert network.classifies
    assert not minicnn.load(written(small_map_network(), tmp_path)).classifies


def test_the_file_says_which_opset_and_producer_it_has(tmp_path):
    model = small_classifier()
    model.producer_name = "somebody"
    network = minicnn.load(written(model, tmp_path))
    assert network.metadata["opset"] == "13"
    assert network.metadata["producer"] == "somebody"


# Preprocessing and labels


def with_metadata(model, **entries):
    helper.set_model_props(model, {key.replace("_", "."): text for key, text in entries.items()})
    return model


def test_preprocessing_and_labels_written_into_the_file_are_used(tmp_path):
    how = minicnn.Preprocess(20, 16, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 1.0, "BGR")
    model = with_metadata(
        small_classifier(), minicnn_preprocess=how.to_json(), minicnn_labels='["a","b","c","d","e"]'
    )
    network = minicnn.load(written(model, tmp_path))
    assert network.preprocess == how
    assert network.labels == ("a", "b", "c", "d", "e")
    assert network.metadata["minicnn.preprocess.source"] == "file"


def test_given_preprocessing_and_labels_win_over_the_file(tmp_path):
    how = minicnn.Preprocess(20, 16)
    model = with_metadata(
        small_classifier(), minicnn_preprocess=how.to_json(), minicnn_labels='["a"]'
    )
    network = minicnn.load(written(model, tmp_path), preprocess="caffe", labels=["p", "q"])
    assert network.preprocess.order == "BGR"
    assert network.class_name(1) == "q"
    assert network.class_name(2) == "2"
    assert network.metadata["minicnn.preprocess.source"] == "given"


def test_without_metadata_imagenet_numbers_are_assumed_and_said_to_be(tmp_path):
    network = minicnn.load(written(small_classifier(), tmp_path))
    assert network.preprocess.mean == (0.485, 0.456, 0.406)
    assert network.preprocess.crop == 16
    assert network.metadata["minicnn.preprocess.source"].startswith("assumed")


def test_a_thousand_classes_get_imagenet_names(tmp_path):
    network = minicnn.load(written(small_classifier(classes=1000), tmp_path))
    assert network.class_name(243) == "bull mastiff"
    assert minicnn.load(written(small_classifier(), tmp_path)).labels == ()


# A comparison with teeth


def changed(model, op, edit):
    """The model with `edit` done to its first node of a kind."""
    model = copy.deepcopy(model)
    edit(next(n for n in model.graph.node if n.op_type == op))
    return model


def becomes(op, **attributes):
    """An edit: the node becomes another operator."""

    def edit(found):
        keep = {a.name: helper.get_attribute_value(a) for a in found.attribute}
        keep = {} if op == "Identity" else {**keep, **attributes}
        found.CopyFrom(node(op, list(found.input[:1]), list(found.output), **keep))

    return edit


def attribute(**changes):
    """An edit: other attributes."""

    def edit(found):
        keep = {a.name: helper.get_attribute_value(a) for a in found.attribute} | changes
        found.CopyFrom(node(found.op_type, list(found.input), list(found.output), **keep))

    return edit


def reverse_inputs(found):
    names = list(reversed(found.input))
    del found.input[:]
    found.input.extend(names)


WRONG = {
    "ReLU removed": ("Relu", becomes("Identity")),
    "ReLU leaks": ("Relu", becomes("LeakyRelu", alpha=0.1)),
    "average instead of maximum": ("MaxPool", becomes("AveragePool")),
    "LRN removed": ("LRN", becomes("Identity")),
    "LRN over more channels": ("LRN", attribute(size=5)),
    "LRN with another exponent": ("LRN", attribute(beta=0.5)),
    "pool pads shifted": ("MaxPool", attribute(pads=[1, 1, 0, 0])),
    "convolution pads shifted": ("Conv", attribute(pads=[0, 0, 2, 2])),
    "branches exchanged": ("Concat", reverse_inputs),
    "maximum instead of mean": ("GlobalAveragePool", becomes("GlobalMaxPool")),
}


def test_the_right_graph_agrees_with_onnxruntime(tmp_path):
    check_like_onnxruntime(fire_network(), tmp_path, noise(2, 3, 12, 12))


@pytest.mark.parametrize(("op", "edit"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_graph_gives_clearly_other_scores(op, edit, tmp_path):
    x = noise(2, 3, 12, 12)
    right = by_onnxruntime(written(fire_network(), tmp_path), x)[0]
    wrong = as_tuple(minicnn.load(written(changed(fire_network(), op, edit), tmp_path))(x))[0]
    assert np.abs(wrong - right).max() > 1e-3 * np.abs(right).max()
