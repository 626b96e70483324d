"""Layers: each against its definition, as a graph and from a file; objectives and their scores."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import InputError, ShapeError
from minicnn.tensor import Tensor

IMAGE = (4, 9, 7)

LAYERS = {
    "conv": (lambda: nn.Conv2d(4, 6, 3), IMAGE),
    "conv, strided and padded": (lambda: nn.Conv2d(4, 6, (3, 5), 2, (1, 2)), IMAGE),
    "conv, dilated, no bias": (
        lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2, bias=False),
        IMAGE,
    ),
    "conv, grouped": (lambda: nn.Conv2d(4, 8, 3, groups=4), IMAGE),
    "linear": (lambda: nn.Linear(12, 5), (12,)),
    "linear, no bias": (lambda: nn.Linear(12, 5, bias=False), (12,)),
    "batch norm": (lambda: nn.BatchNorm2d(4, eps=1e-3), IMAGE),
    "relu": (nn.ReLU, IMAGE),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), IMAGE),
    "tanh": (nn.Tanh, IMAGE),
    "sigmoid": (nn.Sigmoid, IMAGE),
    "max pool": (lambda: nn.MaxPool2d(2), IMAGE),
    "max pool, overlapping": (lambda: nn.MaxPool2d(3, 2, 1), IMAGE),
    "average pool": (lambda: nn.AvgPool2d(3, 2), IMAGE),
    "global average": (nn.GlobalAvgPool2d, IMAGE),
    "flatten": (nn.Flatten, IMAGE),
    "dropout": (lambda: nn.Dropout(0.4), IMAGE),
    "sequence": (lambda: nn.Sequential(nn.Conv2d(4, 2, 1), nn.Tanh(), nn.Flatten()), IMAGE),
}


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lively(model, seed=0):
    """No parameter or statistic left at 0 or 1."""
    rng = np.random.default_rng(seed)
    for array in model.state_dict().values():
        array[...] = rng.uniform(0.5, 1.5, array.shape) * (0.4 if array.ndim > 1 else 1)
    return model


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_as_a_graph_and_from_a_file_gives_the_same(name, tmp_path):
    make, shape = LAYERS[name]
    model, x = lively(make()), images(3, *shape)
    expected = model.eval()(Tensor(x)).data
    network = model.network(shape)
    np.testing.assert_allclose(network(x), expected, rtol=1e-5, atol=1e-6)
    if len(network.nodes) == 0:
        return  # dropout alone: the graph is its input
    model.save(tmp_path / "layer.onnx", shape)
    np.testing.assert_allclose(minicnn.load(tmp_path / "layer.onnx")(x), expected, rtol=1e-5,
                               atol=1e-6)  # fmt: skip


def test_layers_are_their_torch_namesakes():
    torch = pytest.importorskip("torch")
    own = [make() for name, (make, _) in LAYERS.items() if "," not in name and name != "sequence"]
    shapes = [s for name, (_, s) in LAYERS.items() if "," not in name and name != "sequence"]
    for layer, shape in zip(own, shapes, strict=True):
        kind = type(layer).__name__
        names = {"GlobalAvgPool2d": "AdaptiveAvgPool2d"}
        given = {
            "Conv2d": (4, 6, 3), "Linear": (12, 5), "BatchNorm2d": (4, 1e-3), "LeakyReLU": (0.2,),
            "MaxPool2d": (2,), "AvgPool2d": (3, 2), "GlobalAvgPool2d": (1,), "Dropout": (0.4,),
        }  # fmt: skip
        twin = getattr(torch.nn, names.get(kind, kind))(*given.get(kind, ()))
        lively(layer)
        twin.load_state_dict(
            {name: torch.tensor(array) for name, array in layer.state_dict().items()}, strict=False
        )
        for mode in (True, False) if kind != "Dropout" else (False,):
            x = images(5, *shape, seed=mode)
            y, expected = layer.train(mode)(Tensor(x)), twin.train(mode)(torch.tensor(x))
            np.testing.assert_allclose(
                y.data, expected.detach().numpy(), rtol=1e-4, atol=1e-5, err_msg=kind
            )
        for name, array in layer.named_buffers().items():
            np.testing.assert_allclose(array, twin.state_dict()[name].numpy(), rtol=1e-5)


def test_batch_norm_by_its_definition():
    layer, x = lively(nn.BatchNorm2d(3, eps=1e-2, momentum=0.3)), images(8, 3, 4, 5)
    gain, shift = layer.weight.data.copy(), layer.bias.data.copy()
    mean, var = layer.running_mean.copy(), layer.running_var.copy()
    each = (slice(None), None, None)
    y = layer(Tensor(x)).data
    m, v = x.mean((0, 2, 3)), x.var((0, 2, 3))
    normal = (x - m[each]) / np.sqrt(v[each] + 1e-2)
    np.testing.assert_allclose(y, normal * gain[each] + shift[each], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_mean, 0.7 * mean + 0.3 * m, rtol=1e-5)
    unbiased = v * 160 / 159
    np.testing.assert_allclose(layer.running_var, 0.7 * var + 0.3 * unbiased, rtol=1e-5)
    layer.reset()
    y = layer.eval()(Tensor(x)).data
    np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    layer, ones = nn.Dropout(p), np.ones((10, 4000), np.float32)
    y = layer(Tensor(ones)).data
    assert np.allclose(y[y != 0], 1 / (1 - p))
    error = np.sqrt(p * (1 - p) / ones.size)
    assert (y == 0).mean() == pytest.approx(p, abs=5 * error)
    assert y.mean() == pytest.approx(1, abs=5 * error / (1 - p))
    assert layer.eval()(Tensor(ones)).data.min() == 1


def test_dropout_repeats_from_its_seed_and_may_drop_in_evaluation():
    layer, x = nn.Dropout(0.5), Tensor(images(4, 50))
    first = layer(x).data
    assert (layer(x).data != first).any()
    np.testing.assert_array_equal(nn.Dropout(0.5)(x).data, first)
    layer.always = True
    layer.eval().reseed(7)
    once = layer(x).data
    assert (once == 0).any()
    layer.reseed(7)
    np.testing.assert_array_equal(layer(x).data, once)
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).data, x.data)


def test_dropouts_gradient_goes_where_the_values_went():
    layer, x = nn.Dropout(0.5), Tensor(np.ones((3, 40), np.float32), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.data)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, float("nan")])
def test_dropout_needs_a_probability(p):
    with pytest.raises(InputError, match="probability"):
        nn.Dropout(p)


def test_convolutions_groups_divide_the_channels():
    for given in ((4, 6, 3, 1, 0, 1, 4), (3, 6, 3, 1, 0, 1, 2), (4, 4, 3, 1, 0, 1, 0)):
        with pytest.raises(InputError, match="groups"):
            nn.Conv2d(*given)


@pytest.mark.parametrize("name", ["conv", "linear", "batch norm"])
def test_another_number_of_channels_is_refused(name):
    make, shape = LAYERS[name]
    wrong = (shape[0] + 1, *shape[1:])
    with pytest.raises(ShapeError):
        make()(Tensor(images(2, *wrong)))
    with pytest.raises(ShapeError):
        make().network(wrong)


def test_fresh_layers_are_alike_and_learn():
    one, two = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
    np.testing.assert_array_equal(one.weight.data, two.weight.data)
    assert not np.shares_memory(one.weight.data, two.weight.data)
    assert one.weight.data.std() == pytest.approx(np.sqrt(2 / 27), rel=0.2)
    assert not one.bias.data.any()
    assert one.weight.requires_grad
    assert one.bias.requires_grad


def test_a_sequence_is_a_list_of_its_layers():
    first, second = nn.Linear(3, 2), nn.ReLU()
    net = nn.Sequential(first, second)
    assert list(net) == [first, second]
    assert net[-1] is second
    assert list(net.named_parameters()) == ["0.weight", "0.bias"]
    with pytest.raises(IndexError):
        net[2]


# Objectives


def test_classification_by_its_definition():
    outputs = images(6, 4) * 3
    targets = np.array([0, 1, 2, 3, 3, 0])
    p = np.exp(outputs.astype(np.float64))
    expected = -np.log((p / p.sum(1, keepdims=True))[np.arange(6), targets])
    objective = nn.Classification(smoothing=0.1)
    np.testing.assert_allclose(objective.losses(outputs, targets), expected, rtol=1e-6)
    assert nn.Classification().loss(Tensor(outputs), targets).item() == pytest.approx(
        expected.mean(), rel=1e-5
    )
    np.testing.assert_array_equal(objective.scores(outputs, targets), outputs.argmax(1) == targets)
    huge = np.array([[1e30, -1e30, 0, 0]], np.float32)
    assert nn.Classification().losses(huge, np.array([0]))[0] == 0


def test_regression_by_its_definition():
    outputs, targets = images(5, 1, 3, 3), images(5, 1, 3, 3, seed=1)
    squares = ((outputs - targets) ** 2).reshape(5, -1).mean(1)
    objective, x = nn.Regression(), Tensor(outputs, requires_grad=True)
    loss = objective.loss(x, targets)
    loss.backward()
    assert loss.item() == pytest.approx(squares.mean(), rel=1e-5)
    np.testing.assert_allclose(x.grad.data, 2 * (outputs - targets) / 45, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(objective.losses(outputs, targets), squares, rtol=1e-5)
    np.testing.assert_allclose(objective.scores(outputs, targets), np.sqrt(squares), rtol=1e-5)


def test_targets_that_only_broadcast_are_refused():
    outputs, targets = images(5, 1), images(5)  # (5, 1) - (5,) would be (5, 5)
    with pytest.raises(ShapeError, match=r"\(5, 1\)"):
        nn.Regression().loss(Tensor(outputs), targets)
    with pytest.raises(ShapeError, match=r"\(5, 1\)"):
        nn.Regression().scores(outputs, targets)
    with pytest.raises(ShapeError):
        nn.Classification().loss(Tensor(outputs), np.array([0, 1, 2, 3, 4]))
