"""Directions against the definition, written out filter by filter."""

import numpy as np
import pytest

import minicnn
from minicnn.blocks import Add, BatchNorm, Conv, ConvTranspose, Linear, MatMul, ReLU
from minicnn.errors import InputError, ShapeError, UnknownNameError
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.landscape import normalised, random_direction, towards, trajectory
from minicnn.landscape.weights import filter_norms, weights
from minicnn.network import Network


def _network(rng, dtype=np.float64):
    """One of each kind of weights: conv, batch norm, transposed conv (grouped), linear, product."""

    def n(*shape):
        return rng.standard_normal(shape).astype(dtype)

    arrays = {
        "w": n(4, 3, 3, 3), "b": n(4), "g": n(4), "s": n(4), "m": n(4), "v": n(4) ** 2 + 0.1,
        "t": n(4, 3, 2, 2), "f": n(5, 6), "fb": n(5), "p": n(5, 7),
    }  # fmt: skip
    nodes = [
        Node("conv", Conv(Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))), ("x", "w", "b")),
        Node("bn", BatchNorm(1e-5), ("conv", "g", "s", "m", "v")),
        Node("relu", ReLU(), ("bn",)),
        Node(
            "up",
            ConvTranspose(Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), groups=2),
            ("relu", "t"),
        ),
    ]
    shape = {"x": (None, 3, 6, 6)}
    convs = Network("convs", shape, nodes, ["up"], {k: arrays[k] for k in "wbgsmvt"})
    nodes = [
        Node("fc", Linear(), ("x", "f", "fb")),
        Node("sum", Add(), ("fc", "fc")),
        Node("prod", MatMul(), ("sum", "p")),
    ]
    flat = Network("flat", {"x": (None, 6)}, nodes, ["prod"],
                   {k: arrays[k] for k in ("f", "fb", "p")})  # fmt: skip
    return convs, flat


def _filters(name, w):
    """Each filter of an array of the networks above, as the numbers it consists of."""
    if name == "t":  # inputs 0, 1 feed maps 0..2; inputs 2, 3 feed maps 3..5
        return [w[2 * g : 2 * g + 2, i] for g in range(2) for i in range(3)]
    if name == "p":
        return [w[:, i] for i in range(w.shape[1])]
    return list(w)


def test_filter_normalisation_is_the_definition(rng):
    for network in _network(rng):
        d = random_direction(network, 3, "none")
        found = random_direction(network, 3)
        assert set(found) == set(weights(network))
        for name, array in found.items():
            theta = network.arrays[name]
            parts = zip(*(_filters(name, each) for each in (d[name], array, theta)), strict=True)
            for plain, normal, own in parts:
                wanted = plain / (np.linalg.norm(plain) + 1e-10) * np.linalg.norm(own)
                np.testing.assert_allclose(normal, wanted, rtol=1e-12)


def test_a_grouped_transposed_convolution_has_these_filters(rng):
    """Changing one filter as `filter_norms` sees it changes one map of the result and no other."""
    convs, _ = _network(rng)
    cut = convs.cut("relu")
    x = rng.standard_normal((1, 4, 6, 6))
    before = cut(x)
    norms = filter_norms(convs.arrays["t"], weights(convs)["t"])
    for number, value in enumerate(np.unique(norms)):
        changed = np.where(norms == value, 0.0, convs.arrays["t"])
        after = cut.derived(arrays={"t": changed})(x)
        differ = [c for c in range(6) if not np.allclose(before[:, c], after[:, c])]
        assert len(differ) == 1, number


def test_layers_biases_and_what_does_not_move(rng):
    convs, _ = _network(rng)
    by_layer = random_direction(convs, 1, "layer", "none")
    assert set(by_layer) == {"w", "b", "g", "s", "t"}
    for name, array in by_layer.items():
        assert np.isclose(np.linalg.norm(array), np.linalg.norm(convs.arrays[name]))
    everything = random_direction(convs, 1, "filter", "none")
    assert np.isclose(np.linalg.norm(everything["b"]), np.linalg.norm(convs.arrays["b"]))
    assert not np.allclose(np.abs(everything["b"]), np.abs(convs.arrays["b"]))  # no copy
    weights_only = random_direction(convs, 1, "filter")
    assert set(weights_only) == {"w", "t"}
    np.testing.assert_array_equal(weights_only["w"], everything["w"])


def test_zero_filters_stay_where_they_are(rng):
    convs, _ = _network(rng)
    w = convs.arrays["w"].copy()
    w[1] = 0
    moved = normalised({"w": np.ones_like(w)}, convs.derived(arrays={**convs.arrays, "w": w}))
    assert not moved["w"][1].any()
    assert moved["w"][0].any()


def test_the_same_seed_gives_the_same_direction():
    net = minicnn.load("mnist")
    first, again, other = (random_direction(net, seed) for seed in (5, 5, 6))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.allclose(first[name], other[name])
        assert first[name].dtype == np.float32


def test_interpolation_includes_running_statistics(rng):
    convs, _ = _network(rng)
    arrays = {name: array + 1 for name, array in convs.arrays.items()}
    arrays["b"] = convs.arrays["b"]
    way = towards(convs, convs.derived(arrays=arrays))
    assert set(way) == {"w", "g", "s", "m", "v", "t"}
    for array in way.values():
        np.testing.assert_allclose(array, 1)


def test_refusals(rng):
    convs, flat = _network(rng)
    with pytest.raises(InputError, match="norm='weights'"):
        random_direction(convs, norm="weights")
    with pytest.raises(InputError, match="ignore='bn'"):
        random_direction(convs, ignore="bn")
    with pytest.raises(InputError, match="seed"):
        random_direction(convs, -1)
    with pytest.raises(UnknownNameError, match="same architecture"):
        towards(convs, flat)
    with pytest.raises(ShapeError, match="has shape"):
        normalised({"w": np.ones(3)}, convs)
    with pytest.raises(UnknownNameError, match="has no 'q'"):
        normalised({"q": np.ones(3)}, convs)
    empty = Network("none", {"x": (None, 3)}, [Node("y", ReLU(), ("x",))], ["y"])
    with pytest.raises(InputError, match="no parameters"):
        random_direction(empty)


def _states(network, rng, count=6):
    """A path that bends, in a plane with a little noise."""
    u, v = (random_direction(network, seed, "none") for seed in (1, 2))
    t = np.linspace(0, 1, count)
    return [
        {
            name: array + (1 - s) * 4 * u[name] + (s * (1 - s)) * 3 * v[name]
            + 0.01 * rng.standard_normal(array.shape)
            if name in u else array
            for name, array in network.arrays.items()
        }
        for s in t
    ]  # fmt: skip


@pytest.mark.parametrize("centred", [True, False])
def test_trajectory_is_the_singular_value_decomposition(rng, centred):
    convs, _ = _network(rng)
    states = _states(convs, rng)
    found = trajectory(convs, states, centred=centred)
    names = list(weights(convs))
    end = np.concatenate([convs.arrays[n].ravel() for n in names])
    rows = [np.concatenate([s[n].ravel() for n in names]) - end for s in states]
    path = np.stack([*rows, np.zeros_like(end)])  # the last state is noisy: the network follows it
    centre = path.mean(0) if centred else 0
    squares = np.linalg.svd(path - centre, compute_uv=False) ** 2
    np.testing.assert_allclose(found.explained, (squares / squares.sum())[:2], rtol=1e-9)
    directions = [np.concatenate([d[n].ravel() for n in names]) for d in found.directions]
    np.testing.assert_allclose(np.array(directions) @ np.array(directions).T, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.coordinates, path @ np.array(directions).T, atol=1e-9)
    np.testing.assert_array_equal(found.coordinates[-1], 0)
    assert found.explained.sum() > 0.95
    for axis, values in zip(found.window(), found.coordinates.T, strict=True):
        assert axis[0] < values.min()
        assert axis[-1] > values.max()
        assert np.any(axis == 0)


def test_trajectory_refusals(rng):
    convs, _ = _network(rng)
    states = _states(convs, rng)
    with pytest.raises(InputError, match="three states"):
        trajectory(convs, states[:1])
    with pytest.raises(InputError, match="turns"):
        trajectory(convs, [convs.arrays] * 5)
    with pytest.raises(ShapeError, match="nothing for t"):
        trajectory(convs, [{"w": convs.arrays["w"]}])
