"""What planned networks once got wrong: repeated images, a value and its own multiple."""

import numpy as np
import pytest

import minicnn
from minicnn import blocks as B
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.network import Network

F = np.float32
RNG = np.random.default_rng(2)
SAME = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
ARRAYS = {
    "w": RNG.standard_normal((3, 3, 3, 3)).astype(F),
    **{name: RNG.uniform(0.5, 2, 3).astype(F) for name in "gbmv"},
}
NORM = Node("n", B.BatchNorm(), ("x", "g", "b", "m", "v"))
MINUS = Node("n", B.Scale(-1.0), ("x",))

GRAPHS = {
    "a value and its batch norm": [NORM, Node("y", B.Add(), ("x", "n"))],
    "its batch norm and a value": [NORM, Node("y", B.Add(), ("n", "x"))],
    "a value and its negative": [MINUS, Node("y", B.Add(), ("x", "n"))],
    "a value less itself": [Node("y", B.Subtract(), ("x", "x"))],
    "a convolution and its negative": [
        Node("c", B.Conv(SAME), ("x", "w")), Node("n", B.Scale(-1.0), ("c",)),
        Node("y", B.Add(), ("c", "n")),
    ],
    "two branches of one value": [
        MINUS, Node("r", B.ReLU(), ("x",)), Node("s", B.Add(), ("r", "n")),
        Node("y", B.ReLU(), ("s",)),
    ],
    "a choice between convolutions": [
        Node("c", B.Conv(SAME), ("x", "w")), Node("k", B.Compare("greater"), ("c", "x")),
        Node("r", B.ReLU(), ("c",)), Node("z", B.Where(), ("k", "r", "x")),
        Node("y", B.Conv(SAME), ("z", "w")),
    ],
    "truth values in a concatenation": [
        Node("k", B.Compare("greater"), ("x", "g4")), Node("l", B.Not(), ("k",)),
        Node("j", B.Concat(1), ("k", "l")), Node("f", B.Cast("float32"), ("j",)),
        Node("y", B.ReLU(), ("f",)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS.keys())
def test_planned_is_block_by_block(nodes):
    arrays = {**ARRAYS, "g4": np.zeros((1, 3, 1, 1), F)}
    used = {operand for node in nodes for operand in node.operands}
    arrays = {name: array for name, array in arrays.items() if name in used}
    net = Network("odd", {"x": (2, 3, 6, 7)}, nodes, ["y"], arrays).freeze()
    x = RNG.standard_normal((2, 3, 6, 7)).astype(F)
    assert "steps" in net.explain_plan(x)
    steps = {step.name: step.value for step in net.steps(x)}
    np.testing.assert_allclose(net(x), steps["y"], atol=1e-5)
    double = net.astype(np.float64)
    p = RNG.standard_normal(steps["y"].shape).astype(F)
    if any(isinstance(node.block, B.Cast) for node in nodes):
        return
    exact = double.record(x.astype(np.float64)).backward(p.astype(np.float64))
    np.testing.assert_allclose(net.record(x).backward(p), exact, atol=1e-4)


LAYERS = {
    "convolution": (B.Conv(SAME), ("w",)),
    "max pool": (B.MaxPool(Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))), ()),
    "average pool": (B.AveragePool(Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))), ()),
    "transposed": (B.ConvTranspose(SAME), ("w",)),
    "LRN": (B.LRN(3), ()),
    "mean": (B.Mean((2, 3)), ()),
    "ReLU": (B.ReLU(), ()),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("repeated", [(1, 3, 6, 8), (2, 3, 1, 8), (2, 3, 6, 1), (2, 1, 6, 8)])
def test_views_that_repeat_are_images_like_others(layer, repeated):
    block, more = layer
    view = np.broadcast_to(RNG.standard_normal(repeated).astype(F), (2, 3, 6, 8))
    arrays = {name: ARRAYS[name] for name in more}
    net = Network("one", {"x": (2, 3, 6, 8)}, [Node("y", block, ("x", *more))], ["y"], arrays)
    planned, plain = net.freeze()(view), net(view.copy())
    np.testing.assert_array_equal(planned, plain)
    inside = [Node("b", B.BroadcastTo((2, 3, 6, 8)), ("x",)), Node("y", block, ("b", *more))]
    wide = Network("two", {"x": repeated}, inside, ["y"], arrays).freeze()
    part = view[tuple(slice(n) for n in repeated)]
    np.testing.assert_allclose(wide(part), plain, atol=1e-5)


def test_a_digit_shown_four_times():
    net = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", net.preprocess)
    np.testing.assert_array_equal(net(np.broadcast_to(x, (4, 1, 28, 28))), net(np.repeat(x, 4, 0)))
