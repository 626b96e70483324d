"""Explicit Jacobians: their product along a chain, against transposed blocks, number by number."""

from itertools import pairwise

import numpy as np
import pytest

import minicnn
from minicnn.blocks import Conv, MaxPool, ReLU
from minicnn.errors import InputError
from minicnn.functional import window
from minicnn.graph import Node
from minicnn.network import Network


def test_jacobians_multiply_and_the_transposed_blocks_agree(rng):
    x = rng.standard_normal((1, 1, 4, 4))
    w = rng.standard_normal((2, 1, 3, 3))
    nodes = [
        Node("conv", Conv(window(3, 1, 1, 1)), ("x", "w")),
        Node("relu", ReLU(), ("conv",)),
        Node("pool", MaxPool(window(2, 2, 0, 1)), ("relu",)),
    ]
    net = Network("three", {"x": (None, 1, 4, 4)}, nodes, ["pool"], {"w": w})
    values = {"x": x, **{step.name: step.value for step in net.steps(x)}}
    at = ["x", "conv", "relu", "pool"]
    single = [minicnn.jacobian(net.cut(a, b), values[a]) for a, b in pairwise(at)]
    product = single[2] @ single[1] @ single[0]
    np.testing.assert_allclose(minicnn.jacobian(net, x), product, atol=1e-12)
    p = rng.standard_normal((1, 2, 2, 2))
    projected = p.reshape(-1) @ product
    back = net.record(x).backward(p)
    np.testing.assert_allclose(back.reshape(-1), projected, atol=1e-12)
    signal = p
    for node, name, matrix in zip(nodes[::-1], at[2::-1], single[::-1], strict=True):
        operands = [values[name], *([w] if node.name == "conv" else [])]
        _, kept = node.block.record(*operands)
        before, signal = signal, node.block.transposed(kept)(signal)
        np.testing.assert_allclose(signal.reshape(-1), matrix.T @ before.reshape(-1), atol=1e-12)
    np.testing.assert_allclose(signal, back, atol=1e-12)


def test_a_constant_function_has_a_zero_jacobian():
    constant = minicnn.jacobian(lambda x: minicnn.Tensor(np.ones(3)), np.ones(2))
    np.testing.assert_array_equal(constant, np.zeros((3, 2)))


def test_the_unbearable_size_is_refused():
    with pytest.raises(InputError, match="elements"):
        minicnn.jacobian(ReLU(), np.ones(20_000))
