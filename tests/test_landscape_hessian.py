"""Hessian products against finite differences; Lanczos against dense eigenvalues; the grid."""

import numpy as np
import pytest
from test_landscape_surface import Stopped, samples, small_network, stopping

import minicnn
from minicnn.errors import InputError
from minicnn.landscape import (
    HessianProducts,
    axis,
    curvature,
    extreme_eigenvalues,
    random_direction,
)
from minicnn.landscape.evaluation import moved


def stepped(network, names, vector, step):
    """The network moved along a vector of all its named arrays."""
    direction, first = {}, 0
    for name in names:
        array = network.arrays[name]
        direction[name] = vector[first : first + array.size].reshape(array.shape)
        first += array.size
    return network.derived(arrays=moved(network, [direction], [step]))


@pytest.mark.parametrize("ignore", ["biasbn", "none"])
@pytest.mark.parametrize("batch", [4, 64])
def test_products_are_differences_of_gradients(rng, ignore, batch):
    network = small_network(rng, np.float64)
    x, labels = samples(rng, 9, np.float64)
    hessian = HessianProducts(network, x, labels, ignore, batch)
    assert hessian.names == (
        ["w", "w2", "f"] if ignore == "biasbn" else ["w", "g", "s", "w2", "b2", "f", "fb"]
    )
    v = rng.standard_normal(hessian.size)
    step = 1e-6
    ends = [
        HessianProducts(
            stepped(network, hessian.names, v, sign * step), x, labels, ignore, batch
        ).gradient()
        for sign in (1, -1)
    ]
    wanted = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(hessian(v), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    np.testing.assert_array_equal(hessian(v), hessian(v))


def test_the_gradient_is_that_of_the_mean_loss(rng):
    from minicnn.landscape import Evaluator

    network = small_network(rng, np.float64)
    x, labels = samples(rng, 9, np.float64)
    hessian = HessianProducts(network, x, labels, batch=4)
    v, step = rng.standard_normal(hessian.size), 1e-6
    losses = [
        Evaluator(stepped(network, hessian.names, v, sign * step), x, labels, []).at()[0]
        for sign in (1, -1)
    ]
    slope = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose(hessian.gradient() @ v, slope, rtol=1e-6)


def test_products_are_symmetric_and_averaged(rng):
    network = small_network(rng, np.float64)
    x, labels = samples(rng, 6, np.float64)
    hessian = HessianProducts(network, x, labels)
    u, v = rng.standard_normal((2, hessian.size))
    np.testing.assert_allclose(u @ hessian(v), v @ hessian(u), rtol=1e-9)
    twice = HessianProducts(network, np.concatenate([x, x]), np.concatenate([labels, labels]))
    np.testing.assert_allclose(twice(v), hessian(v), rtol=1e-9)


@pytest.mark.parametrize(
    "values",
    [[-1.0, 0.1, 0.2, 9.0, 3.0], [-9.0, 0.1, 0.2, 1.0, 3.0], [0.5, 1.0, 2.0, 4.0, 8.0]],
)
def test_lanczos_finds_both_ends(rng, values):
    turn, _ = np.linalg.qr(rng.standard_normal((40, 40)))
    spectrum = np.concatenate([values, np.linspace(0.5, 0.9, 35)])
    matrix = turn * spectrum @ turn.T
    found = extreme_eigenvalues(lambda v: matrix @ v, 40, 1e-8)
    np.testing.assert_allclose(found, (spectrum.min(), spectrum.max()), atol=1e-5)
    assert found == extreme_eigenvalues(lambda v: matrix @ v, 40, 1e-8)


def test_products_that_are_not_finite_give_nan():
    assert np.isnan(extreme_eigenvalues(lambda v: v * np.inf, 5)).all()
    assert extreme_eigenvalues(lambda v: v * 0, 5) == (0, 0)


def test_curvature_on_a_grid_is_that_of_dense_hessians(rng, tmp_path):
    network = small_network(rng)
    x, labels = samples(rng, 6)
    plane = [random_direction(network, seed) for seed in (0, 1)]
    grid = axis("-0.2:0.2:2"), axis("-0.1:0.1:2")
    file = tmp_path / "h.npz"
    with pytest.raises(Stopped):
        curvature(network, x, labels, plane, *grid, file, track=stopping(2))
    found = curvature(network, x, labels, plane, *grid, file, tolerance=1e-2)
    again = curvature(network, x, labels, plane, *grid)
    np.testing.assert_array_equal(found.lowest, again.lowest)
    np.testing.assert_array_equal(found.highest, again.highest)
    exact = network.astype(np.float64)
    here = exact.derived(arrays=moved(exact, plane, (0.2, -0.1)))
    hessian = HessianProducts(here, x.astype(np.float64), labels)
    ends = extreme_eigenvalues(hessian, hessian.size, 1e-6)
    top = abs(ends[1])
    np.testing.assert_allclose((found.lowest[0, 1], found.highest[0, 1]), ends, atol=0.02 * top)
    assert found.ratio[0, 1] == pytest.approx(max(-ends[0], 0) / top, abs=0.03)
    with pytest.raises(InputError, match="in tolerance"):
        curvature(network, x, labels, plane, *grid, file, tolerance=0.1)


def test_a_dense_hessian_of_a_few_weights(rng):
    """All columns of H for the last layer of softmax regression: (diag p - p p^T) x x^T."""
    from minicnn.blocks import Linear
    from minicnn.graph import Node
    from minicnn.network import Network

    w, x, labels = rng.standard_normal((3, 4)), rng.standard_normal((5, 4)), rng.integers(0, 3, 5)
    net = Network("line", {"x": (None, 4)}, [Node("y", Linear(), ("x", "w"))], ["y"], {"w": w})
    hessian = HessianProducts(net, x, labels)
    dense = np.stack([hessian(e) for e in np.eye(12)])
    odds = np.exp(x @ w.T)
    odds /= odds.sum(1, keepdims=True)
    wanted = np.zeros((12, 12))
    for p, one in zip(odds, x, strict=True):
        wanted += np.kron(np.diag(p) - np.outer(p, p), np.outer(one, one)) / 5
    np.testing.assert_allclose(dense, wanted, atol=1e-12)
    low, high = extreme_eigenvalues(hessian, 12, 1e-9)
    np.testing.assert_allclose((low, high), np.linalg.eigvalsh(wanted)[[0, -1]], atol=1e-6)


def test_refusals(rng):
    net = minicnn.load("mnist")
    x, labels = np.zeros((2, 1, 28, 28), np.float32), np.array([0, 1])
    with pytest.raises(InputError, match="ignore='bias'"):
        HessianProducts(net, x, labels, "bias")
    with pytest.raises(InputError, match="plane two"):
        curvature(net, x, labels, [random_direction(net)], axis("0:1:2"), axis("0:1:2"))
