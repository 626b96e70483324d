"""What is written reads back: names, modules, facts, usual shapes; twice it is the same file."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
from onnx_graphs import (
    as_tuple,
    fire_network,
    graph,
    ints,
    node,
    noise,
    small_classifier,
    written,
)
from test_onnx_save import an_input, mnist, runs_the_same, single

import minicnn
from minicnn import blocks
from minicnn.graph import Node
from minicnn.network import Network


def assert_same(back, network, x):
    assert back.layers == network.layers
    assert [n.label for n in back.nodes] == [n.label for n in network.nodes]
    assert [n.module for n in back.nodes] == [n.module for n in network.nodes]
    assert [str(n.block) for n in back.nodes] == [str(n.block) for n in network.nodes]
    assert list(back.arrays) == list(network.arrays)
    assert (dict(back.inputs), list(back.outputs)) == (dict(network.inputs), list(network.outputs))
    assert (back.preprocess, list(back.labels)) == (network.preprocess, list(network.labels))
    for name, array in network.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
    for a, b in zip(as_tuple(back(x)), as_tuple(network(x)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_round_trip_of_the_bundled_network(tmp_path):
    network = mnist()
    network.save(tmp_path / "mnist.onnx")
    back = minicnn.load(tmp_path / "mnist.onnx")
    assert_same(back, network, an_input(network))
    own = ("producer", "opset", "file", "minicnn.preprocess.source")
    ours = {k: v for k, v in network.metadata.items() if k not in own}
    ours["minicnn.preprocess"] = network.preprocess.to_json()
    assert {k: v for k, v in back.metadata.items() if k not in own} == ours


@pytest.mark.parametrize("lrn", [False, True])
def test_a_file_written_twice_is_the_same_file(lrn, tmp_path):
    network = minicnn.load(written(small_classifier(lrn), tmp_path))
    network.save(tmp_path / "model.onnx")
    back = minicnn.load(tmp_path / "model.onnx")
    assert_same(back, network, an_input(network))
    first = (tmp_path / "model.onnx").read_bytes()
    back.save(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == first


def test_names_of_nodes_and_modules_stay(tmp_path):
    nodes = [
        node("Conv", ["x", "features.0.weight"], ["a"], name="/features/features.0/Conv"),
        node("Relu", ["a"], ["y"], name="activation"),
    ]
    model = graph(nodes, {"x": (1, 3, 8, 8)}, {"features.0.weight": noise(2, 3, 3, 3)})
    network = minicnn.load(written(model, tmp_path))
    network.save(tmp_path / "again.onnx")
    back = minicnn.load(tmp_path / "again.onnx")
    assert_same(back, network, noise(1, 3, 8, 8))
    assert back.nodes[0].label == "/features/features.0/Conv"
    assert back.nodes[0].module == network.nodes[0].module != ""


def test_a_step_written_as_several_nodes_keeps_its_module(tmp_path):
    network = single(blocks.ChannelSum(1, 1), noise(1, 3, 2, 2))
    (one,) = network.nodes
    network = network.derived(nodes=[Node("y", blocks.Swish(2.0), one.operands, "it", "act.1")])
    network.save(tmp_path / "a.onnx")
    back = minicnn.load(tmp_path / "a.onnx")
    assert back.layers[-1] == "y"
    assert {n.module for n in back.nodes} == {"act.1"}


def test_what_is_known_of_photos_and_classes_is_in_the_file(tmp_path):
    how = dataclasses.replace(minicnn.preprocess.PRESETS["caffe"], size=18, crop=16)
    model = written(small_classifier(), tmp_path)
    network = minicnn.load(model, preprocess=how, labels=["cat", "dög", "x", "y", "z"])
    network = network.derived(metadata={**network.metadata, "author": "someone"})
    network.save(tmp_path / "mine.onnx")
    facts = {p.key: p.value for p in onnx.load(tmp_path / "mine.onnx").metadata_props}
    assert set(facts) == {"author", "minicnn.preprocess", "minicnn.labels"}
    back = minicnn.load(tmp_path / "mine.onnx")
    assert (back.preprocess, list(back.labels)) == (how, ["cat", "dög", "x", "y", "z"])
    assert back.metadata["minicnn.preprocess.source"] == "file"
    assert back.metadata["author"] == "someone"


def test_an_assumption_does_not_become_a_fact(tmp_path):
    network = minicnn.load(written(small_classifier(), tmp_path))
    network.save(tmp_path / "mine.onnx")
    back = minicnn.load(tmp_path / "mine.onnx")
    assert back.preprocess == network.preprocess
    assert back.metadata["minicnn.preprocess.source"].startswith("assumed")


def a_relu(**typical):
    free = {name: (None, 3, *[None] * (len(shape) - 2)) for name, shape in typical.items()}
    nodes = [Node(f"y_{name}", blocks.ReLU(), (name,)) for name in typical]
    return Network("relus", free, nodes, [node.name for node in nodes], typical=typical)


def test_usual_shapes_stay(tmp_path):
    network = a_relu(a=(3, 3, 50, 60), b=(1, 3), c=(2, 3))
    path, again = tmp_path / "a.onnx", tmp_path / "again.onnx"
    network.save(path)
    back = minicnn.load(path)
    assert (back.inputs, back.typical) == (network.inputs, network.typical)
    assert json.loads(back.metadata["minicnn.typical"]) == {"a": [3, 3, 50, 60], "c": [2, 3]}
    path.rename(tmp_path / "relus.onnx")
    minicnn.load(tmp_path / "relus.onnx").save(again)
    assert again.read_bytes() == (tmp_path / "relus.onnx").read_bytes()
    given = minicnn.load(again, shape={"a": (1, 3, 7, 8)})
    assert given.typical == {"a": (1, 3, 7, 8), "b": (1, 3), "c": (2, 3)}
    given.cut(inputs=["b"], outputs=["y_b"]).save(path)
    assert "minicnn.typical" not in minicnn.load(path).metadata


NONSENSE = [
    "", "5", "null", "[1]", "{", "[" * 9999, "9" * 9999, '{"a": 5}', '{"a": [0, 3, 4, 4]}',
    '{"a": [-1, 3, 4, 4]}', '{"a": [1, 3, 4]}', '{"a": [1, 3, 4, 1e99]}', '{"a": [1.0, 3, 4, 4]}',
    '{"a": [true, 3, 4, 4]}', '{"a": [1, 3, 4, 99999999]}', '{"a": "1344"}', '{"a": null}',
    '{"b": [2, 3, 4, 4]}', '{"a": [[1], 3, 4, 4]}',
]  # fmt: skip


@pytest.mark.parametrize("said", NONSENSE, ids=lambda said: said[:20])
@pytest.mark.parametrize("key", ["minicnn.typical", "minicnn.constants"])
def test_nonsense_in_metadata_is_passed_over(key, said, tmp_path):
    path = tmp_path / "a.onnx"
    a_relu(a=(2, 3, 4, 4)).save(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {key: said})
    back = minicnn.load(written(model, tmp_path))
    assert back.typical == {"a": (1, 3, 224, 224)}


def test_what_a_file_fixes_is_not_what_it_calls_typical(tmp_path):
    path = tmp_path / "a.onnx"
    a_relu(a=(2, 3, 4, 4)).save(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"minicnn.typical": '{"a": [2, 7, 4, 5]}'})
    assert minicnn.load(written(model, tmp_path)).typical == {"a": (2, 3, 4, 5)}


def test_names_of_a_reversed_network_stay(tmp_path):
    network = mnist()
    tape = network.record(an_input(network))
    back = tape.reverse(network.logits, "desalinet")
    back.save(tmp_path / "reversed.onnx")
    again = minicnn.load(tmp_path / "reversed.onnx")
    assert [name for name in again.layers if name in back.layers] == back.layers
    assert set(back.arrays) <= set(again.arrays)
    assert again.outputs == back.outputs
    p = noise(*tape.output.shape, seed=1)
    np.testing.assert_allclose(again(p), back(p), atol=1e-6 * np.abs(back(p)).max())


def test_arrays_kept_of_the_forward_run_are_told_from_parameters(tmp_path):
    network = minicnn.load(written(fire_network(), tmp_path))
    back = network.record(an_input(network)).reverse()
    back.save(tmp_path / "reversed.onnx")
    facts = {p.key: p.value for p in onnx.load(tmp_path / "reversed.onnx").metadata_props}
    assert set(json.loads(facts["minicnn.constants"])) == back.constants != set()


def test_several_inputs_of_several_types(tmp_path):
    nodes = [
        node("Gather", ["table", "rows"], ["taken"], axis=0),
        node("Add", ["taken", "shift"], ["y"]),
        node("Relu", ["y"], ["z"]),
    ]
    a, b = noise(4, 3), noise(2, 3)
    model = graph(nodes, {"table": (4, 3), "shift": (2, 3)}, {"rows": ints(3, 0)}, ("y", "z"))
    network = minicnn.load(written(model, tmp_path))
    path = runs_the_same(network, tmp_path, a, b)
    assert minicnn.load(path).outputs == network.outputs
