"""Activations: which layers and channels are shown, and what is said of them."""

import numpy as np
import pytest
from conftest import shared
from onnx_graphs import graph, node, noise, small_classifier, written
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn.cli.app import app
from minicnn.errors import InputError, ShapeError, UnitError, UnknownNameError
from minicnn.look import activations, spread_layers


@pytest.fixture
def tiny(tmp_path):
    """Two 1x1 filters, x and -2x, and a ReLU."""
    nodes = [node("Conv", ["x", "w"], ["conv"]), node("Relu", ["conv"], ["y"])]
    w = np.array([1, -2], np.float32).reshape(2, 1, 1, 1)
    return minicnn.load(written(graph(nodes, {"x": (1, 1, 2, 2)}, {"w": w}), tmp_path))


def test_by_hand(tiny):
    x = np.array([[[[1, 0], [3, -4]]]], np.float32)
    conv, relu = activations(tiny, x)
    assert (conv.layer, conv.kind, conv.shape) == ("conv", "Conv", (2, 2, 2))
    assert conv.channels == (1, 0)  # |-2 * -4| is stronger than |-4|
    np.testing.assert_array_equal(conv.maps, [[[-2, 0], [-6, 8]], [[1, 0], [3, -4]]])
    assert (conv.low, conv.high, conv.mean) == (-6, 8, 0)
    assert (conv.zero, conv.positive) == (2 / 8, 3 / 8)
    assert (relu.low, relu.high, relu.zero, relu.positive) == (0, 8, 5 / 8, 3 / 8)
    (one,) = activations(tiny, x, ["y"], [0])
    np.testing.assert_array_equal(one.maps, [[[1, 0], [3, 0]]])


def test_equal_channels_keep_their_order(tiny):
    _, relu = activations(tiny, np.zeros((1, 1, 2, 2), np.float32))
    assert relu.channels == (0, 1)
    figures.activations_figure(None, np.zeros((1, 1, 2, 2)), [relu], "all zero")


def test_vectors_and_inputs_can_be_asked_for():
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", network.preprocess)
    scores, image = activations(network, x, ["scores", "image"])
    assert scores.maps.shape == (10,)
    assert scores.maps.argmax() == 7
    np.testing.assert_array_equal(image.maps, x[0])
    assert image.kind == "input"


def test_values_are_those_of_the_network():
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_4", network.preprocess)
    tape = network.record(x, keep="all")
    for row in activations(network, x):
        np.testing.assert_allclose(
            row.maps, tape[row.layer][0, list(row.channels)], rtol=1e-4, atol=1e-5
        )


# Picking layers


def deep_network(folder, blocks=150):
    """A chain of convolutions and ReLUs, pooled four times."""
    nodes, last = [], "x"
    for i in range(blocks):
        nodes += [node("Conv", [last, "w"], [f"c{i}"], pads=[1] * 4),
                  node("Relu", [f"c{i}"], [f"r{i}"])]  # fmt: skip
        last = f"r{i}"
        if i % 30 == 29:
            nodes.append(node("MaxPool", [last], [f"p{i}"], kernel_shape=[2, 2], strides=[2, 2]))
            last = f"p{i}"
    model = graph(nodes, {"x": (1, 3, 64, 64)}, {"w": noise(3, 3, 3, 3)}, (last,))
    return minicnn.load(written(model, folder))


def test_many_layers_are_spread_evenly(tmp_path):
    network = deep_network(tmp_path)
    found = spread_layers(network)
    assert len(found) == 8
    assert found[0] == "c0"
    assert found == [name for name in network.layers if name in found]
    places = np.array([network.layers.index(name) for name in found])
    assert np.diff(places).max() <= 65  # of 305
    shapes = network.infer_shapes()
    assert {shapes[name][2] for name in found} == {64, 32, 16, 8, 4, 2}  # each stage has one
    assert len(spread_layers(network, 3)) == 3
    assert spread_layers(network, 1) == ["c0"]
    assert len(spread_layers(network, 10_000)) == 305


def test_few_layers_are_all_shown(tmp_path):
    network = minicnn.load(written(small_classifier(), tmp_path))
    assert spread_layers(network) == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("alexnet_features", "conv1 relu1 pool1 relu2 conv3 conv4 relu5 pool5"),
        ("vgg16_features", "conv1_1 relu1_2 relu2_2 relu3_1 relu3_3 relu4_3 relu5_3 pool5"),
    ],
)
def test_real_networks(file, expected):
    assert spread_layers(minicnn.load(shared(f"models/{file}.onnx"))) == expected.split()


def test_residual_network():
    network = minicnn.load(shared("models/li2018_resnet56.onnx"))
    found = activations(network, noise(1, 3, 32, 32), 6, 4)
    assert len(found) == 6
    assert [row.shape[1] for row in found] == sorted((r.shape[1] for r in found), reverse=True)
    assert {row.shape[1] for row in found} == {32, 16, 8}
    figures.activations_figure(None, noise(1, 3, 32, 32), found, "residual")


# Errors


def test_errors(tiny, tmp_path):
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_4", network.preprocess)
    with pytest.raises(ShapeError, match="one image; got 2"):
        activations(network, np.concatenate([x, x]))
    with pytest.raises(UnitError, match="conv1 has no channel 16: it has 0 to 15"):
        activations(network, x, ["conv1"], [16])
    with pytest.raises(UnknownNameError, match="Did you mean"):
        activations(network, x, ["cnov1"])
    with pytest.raises(InputError, match="0 channels"):
        activations(network, x, channels=0)
    with pytest.raises(InputError, match="0 layers"):
        activations(network, x, 0)
    with pytest.raises(ShapeError, match="needs"):
        activations(network, x[:, :, :20])
    flat = graph([node("Relu", ["x"], ["y"])], {"x": (1, 4)})
    with pytest.raises(InputError, match="no layers with maps"):
        activations(minicnn.load(written(flat, tmp_path, "flat.onnx")), noise(1, 4))


# Figures and the command line


def test_figure_has_a_line_for_each_sixteen_maps():
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_4", network.preprocess)
    seen = minicnn.data.picture("digit_4", network.preprocess)
    rows = activations(network, x, ["conv1", "relu4", "scores"], 40)
    figure = figures.activations_figure(seen, x, rows, "lines")
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert [label.split("\n")[0] for label in labels if label] == [
        "input", "conv1", "relu4", "scores (Linear)",
    ]  # fmt: skip
    assert len(figure.axes) == 1 + 1 + 3 + 1


def typed(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = typed("look", "activations", "mnist", "digit_4", "--layers", "conv1,pool2,scores",
                   "--channels", "0,3-4", "--save", "maps.npz")  # fmt: skip
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == [
        "layer",
        "block",
        "output",
        "min",
        "max",
        "mean",
        "zero",
        "positive",
    ]
    assert [line.split()[0] for line in lines[2:5]] == ["conv1", "pool2", "scores"]
    with Image.open("mnist_digit_4_activations.png") as image:
        assert min(image.size) > 200
    with np.load("maps.npz") as file:
        assert file["conv1 maps"].shape == (3, 28, 28)
        assert file["pool2 channels"].tolist() == [0, 3, 4]
        assert file["scores maps"].shape == (10,)


@pytest.mark.parametrize("layers", ["nothing", "0", ","])
def test_command_refuses_before_it_writes(tmp_path, monkeypatch, layers):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, UnknownNameError)):
        typed("look", "activations", "mnist", "digit_4", "--layers", layers)
    assert not list(tmp_path.iterdir())
