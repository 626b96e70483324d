"""Simpler forms compute the same: batch norm folded into the layer before it, softmax dropped."""

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import blocks as B
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.network import Network

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.standard_normal(shape)


def network(layer, weights, channels, inputs, extra=()):
    """x -> layer -> batch norm -> ReLU."""
    arrays = {f"w{i}": w for i, w in enumerate(weights)}
    arrays |= {"g": normal(channels), "b": normal(channels), "m": normal(channels),
               "v": RNG.uniform(0.5, 2, channels)}  # fmt: skip
    nodes = [
        Node("conv", layer, ("x", *(f"w{i}" for i in range(len(weights)))), "the layer"),
        Node("bn", B.BatchNorm(1e-3), ("conv", "g", "b", "m", "v")),
        Node("y", B.ReLU(), ("bn",)),
    ]
    return Network("small", {"x": inputs}, [*nodes, *extra], ["y"], arrays)


PLAIN = Window((3, 3), (2, 2), (1, 0, 1, 1), (1, 1))
LAYERS = {
    "convolution": (B.Conv(PLAIN), [(4, 3, 3, 3), (4,)], 4, (2, 3, 7, 8)),
    "no bias": (B.Conv(PLAIN), [(4, 3, 3, 3)], 4, (2, 3, 7, 8)),
    "groups": (B.Conv(PLAIN, 2), [(6, 2, 3, 3), (6,)], 6, (2, 4, 7, 8)),
    "transposed": (B.ConvTranspose(PLAIN), [(3, 4, 3, 3), (4,)], 4, (2, 3, 4, 5)),
    "transposed in groups": (B.ConvTranspose(PLAIN, 2), [(4, 3, 3, 3)], 6, (2, 4, 4, 5)),
    "1-D": (B.Conv(Window((3,), (1,), (1, 1), (1,))), [(4, 3, 3)], 4, (2, 3, 9)),
    "linear": (B.Linear(), [(5, 6), (5,)], 5, (3, 6)),
}


@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())
def test_a_folded_layer_gives_what_both_gave(case):
    layer, shapes, channels, x_shape = case
    net = network(layer, [normal(*shape) for shape in shapes], channels, x_shape)
    folded = net.fold_bn()
    assert [node.block.kind for node in folded.nodes] == [layer.kind, "ReLU"]
    assert folded.layers == ["bn", "y"]
    x = normal(*x_shape)
    np.testing.assert_allclose(folded(x), net(x), rtol=1e-10, atol=1e-12)
    p = normal(*net(x).shape)
    signals = [one.record(x).backward(p) for one in (folded, net)]
    np.testing.assert_allclose(*signals, rtol=1e-10, atol=1e-12)


def test_new_weights_take_names_that_nothing_has():
    layer = Node("bn.weight", B.ReLU(), ("y",)), Node("z", B.Add(), ("bn.weight", "bn.bias"))
    net = network(*LAYERS["no bias"][:1], [normal(4, 3, 3, 3)], 4, (2, 3, 7, 8), layer)
    net = net.derived(outputs=["z"], inputs={**net.inputs, "bn.bias": (1,)})
    folded = net.fold_bn()
    assert folded.nodes[0].operands == ("x", "bn.weight.2", "bn.bias.2")
    x = normal(2, 3, 7, 8), normal(1)
    np.testing.assert_allclose(folded(*x), net(*x), rtol=1e-10, atol=1e-12)


def test_a_layer_that_others_read_stays():
    net = network(*LAYERS["convolution"][:1], [normal(4, 3, 3, 3)], 4, (2, 3, 7, 8),
                  [Node("z", B.Add(), ("y", "conv"))]).derived(outputs=["z"])  # fmt: skip
    assert net.fold_bn().layers == net.layers


def test_the_original_keeps_its_arrays():
    net = network(*LAYERS["no bias"][:1], [normal(4, 3, 3, 3)], 4, (2, 3, 7, 8))
    before = {name: array.copy() for name, array in net.arrays.items()}
    net.fold_bn()
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_resnet_folds_all_of_its_batch_norms():
    net = minicnn.load(shared("models/li2018_resnet56.onnx"))
    folded = net.fold_bn()
    assert not any(isinstance(node.block, B.BatchNorm) for node in folded.nodes)
    x = RNG.standard_normal((2, 3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(folded(x), net(x), atol=1e-4 * np.abs(net(x)).max())
    assert not any(array.flags.writeable for array in folded.arrays.values())


def test_scores_without_their_softmax():
    net = minicnn.load(minicnn.data.bundled_model())
    scores = net.drop_softmax()
    x = minicnn.data.photo(minicnn.data.bundled_path("digit_7"), net.preprocess)
    np.testing.assert_array_equal(scores.record(x).output, net.record(x)[net.logits])
    assert scores.drop_softmax() is scores or scores.drop_softmax().layers == scores.layers
    assert "Softmax" not in [node.block.kind for node in scores.nodes]
