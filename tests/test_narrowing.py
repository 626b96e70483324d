"""One channel of a network: values and signals are those of the whole."""

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import blocks as B
from minicnn.attribution import IntegratedGradients, Occlusion
from minicnn.attribution import integrated as module
from minicnn.attribution.narrowing import narrowed
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.network import Network

ONE = Window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1))


def net(nodes, arrays, output):
    arrays = {name: np.asarray(a, np.float32) for name, a in arrays.items()}
    typical = {"x": (1, 3, 6, 6)}
    return Network("net", {"x": (None, 3, 6, 6)}, nodes, [output], arrays, typical=typical).freeze()


def by_filters(rng, *tail, readers=()):
    """A convolution with a filter a class, and what comes after it."""
    nodes = [Node("c", B.Conv(ONE), ("x", "w", "b")), *tail, *readers]
    arrays = {"w": rng.standard_normal((5, 3, 1, 1)), "b": rng.standard_normal(5)}
    return net(nodes, arrays, nodes[-1].name)


def test_values_and_signals_are_those_of_the_whole(rng):
    tail = [
        Node("r", B.ReLU(), ("c",)),
        Node("m", B.Mean((2, 3), True), ("r",)),
        Node("y", B.Reshape((1, 5), False), ("m",)),
    ]
    for network in (by_filters(rng, *tail), minicnn.load("mnist")):
        (name,), at = network.inputs, network.logits
        x = rng.standard_normal(network.default_shape(name)).astype(np.float32)
        for channel in (0, 4):
            one = narrowed(network, at, channel)
            value = network.values({name: x}, [at])[at][:, channel]
            np.testing.assert_allclose(one(x)[:, 0], value, rtol=1e-5, atol=1e-5)
            p = np.zeros(network.infer_shapes()[at], np.float32)
            p[0, channel] = 1
            whole = network.record(x).backward(p, at=at)
            np.testing.assert_allclose(
                one.record(x).backward(np.ones((1, 1), np.float32), at=at), whole, atol=1e-5
            )


@pytest.mark.parametrize(
    "tail",
    [
        [Node("s", B.Softmax(1), ("c",))],  # mixes channels
        [Node("m", B.Mean((1,), True), ("c",))],
        [Node("f", B.Flatten(), ("c",))],  # places and channels become one axis
        [Node("l", B.LRN(3), ("c",))],
        [Node("r", B.ReLU(), ("c",)), Node("a", B.Add(), ("c", "r"))],  # two operands
    ],
)
def test_what_mixes_channels_stays_whole(rng, tail):
    network = by_filters(rng, *tail)
    assert narrowed(network, tail[-1].name, 0) is None


def test_a_grouped_convolution_stays_whole(rng):
    nodes = [Node("c", B.Conv(ONE, 3), ("x", "w"))]
    assert narrowed(net(nodes, {"w": rng.standard_normal((3, 1, 1, 1))}, "c"), "c", 1) is None


@pytest.mark.slow
def test_squeezenet_is_explained_alike_with_and_without():
    network = minicnn.load(shared("models/squeezenet1.1.onnx"))
    x = minicnn.data.photo("china", network.preprocess)
    ours = IntegratedGradients(network, steps=6).attribute(x, 663)
    covered = Occlusion(network, patch=60, stride=60).attribute(x, 663)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "narrowed", lambda *_: None)
        patch.setattr("minicnn.attribution.occlusion.narrowed", lambda *_: None)
        whole = IntegratedGradients(network, steps=6).attribute(x, 663)
        np.testing.assert_allclose(ours, whole, atol=1e-5 * np.abs(whole).max())
        expected = Occlusion(network, patch=60, stride=60).attribute(x, 663)
        np.testing.assert_allclose(covered, expected, atol=1e-4 * np.abs(expected).max())
