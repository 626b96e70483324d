"""Initialisation: variances, bounds, orthogonality, seeds; and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import nn
from minicnn.errors import InputError, UnknownNameError
from minicnn.tensor import Tensor

SHAPES = [(300, 200), (64, 50, 3, 3), (40, 10, 5, 5)]
VARIANCES = {
    "lecun": lambda n, m: 1 / n,
    "glorot": lambda n, m: 2 / (n + m),
    "he": lambda n, m: 2 / n,
}


def drawn(scheme, shape, seed=0, gain=1.0):
    return nn.draw(scheme, shape, np.random.default_rng(seed), gain)


def counted(shape):
    """Fans by counting: what a unit reads, and how many units read a number (stride 1)."""
    out, into, *window = shape
    cells = 1
    for length in window:
        cells *= length
    return into * cells, out * cells


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", VARIANCES)
def test_variance_and_bounds(name, shape):
    fan_in, fan_out = counted(shape)
    assert nn.fans(shape) == (fan_in, fan_out)
    variance = VARIANCES[name](fan_in, fan_out)
    for law in ("normal", "uniform"):
        w = drawn(f"{name}_{law}", shape)
        assert w.dtype == np.float32
        assert w.shape == shape
        error = np.sqrt(2 / w.size)  # of a variance, relative, for a normal law
        assert w.var() == pytest.approx(variance, rel=5 * error)
        assert abs(w.mean()) < 5 * np.sqrt(variance / w.size)
    bound = np.sqrt(3 * variance)
    assert 0.99 * bound < np.abs(w).max() <= bound * (1 + 1e-6)
    kurtosis = (drawn(f"{name}_normal", shape).astype(float) ** 4).mean() / variance**2
    assert kurtosis == pytest.approx(3, abs=0.3)  # 1.8 for an even law


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([(), (3, 3)]), st.integers(0, 9))
def test_orthogonal(rows, columns, window, seed):
    w = drawn("orthogonal", (rows, columns, *window), seed, gain=1.5).reshape(rows, -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 1.5**2 * np.eye(len(product)), atol=1e-5)


def test_orthogonal_is_drawn_evenly():
    """QR alone fixes signs of R's diagonal, which tilts the mean of Q's."""
    corners = [drawn("orthogonal", (3, 3), seed)[0, 0] for seed in range(150)]
    assert abs(np.mean(corners)) < 5 / np.sqrt(3 * 150)
    assert np.var(corners) == pytest.approx(1 / 3, rel=0.4)


@pytest.mark.parametrize("scheme", nn.SCHEMES)
def test_gain_scales_and_seeds_repeat(scheme):
    one, again, twice = (drawn(scheme, (6, 8), 3, gain) for gain in (1.0, 1.0, 2.0))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(twice, 2 * one, rtol=1e-6)
    if scheme != "constant":
        assert (drawn(scheme, (6, 8), 4) != one).any()
    else:
        assert set(one.ravel().tolist()) == {1.0}


def signal_norms(scheme, gain):
    """Mean square of each of 20 layers' outputs, of a batch of ones' mean square 1."""
    model = nn.Sequential(*(nn.Linear(256, 256) for _ in range(20)))
    nn.initialise(model, scheme, seed=0, gain=gain)
    x, found = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32), []
    for layer in model:
        x = np.maximum(layer(Tensor(x)).data, 0)
        found.append(float((x**2).mean()))
    return found


def test_he_keeps_the_signal_of_a_deep_relu_network_and_lecun_loses_it():
    """He et al. 2015: half of what a ReLU reads is lost, which a variance of 2 / n restores."""
    he, lecun = signal_norms("he_normal", 1.0), signal_norms("lecun_normal", 1.0)
    assert 0.2 < he[-1] / he[0] < 5
    assert lecun[-1] / lecun[0] < 1e-4
    np.testing.assert_allclose(signal_norms("lecun_normal", np.sqrt(2)), he, rtol=1e-4)


def test_a_layer_more_does_not_change_the_others():
    def model(more):
        layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)]
        return nn.initialise(nn.Sequential(*layers, *more), seed=7)

    short, long = model([]), model([nn.ReLU(), nn.Conv2d(4, 4, 3)])
    for name, array in short.state_dict().items():
        np.testing.assert_array_equal(array, long.state_dict()[name])
    weights = [long[i].weight.data for i in (2, 4)]
    assert (weights[0] != weights[1]).any()  # one shape, two streams
    assert (nn.initialise(model([]), seed=8)[0].weight.data != short[0].weight.data).any()


def test_all_starts_anew_and_frozen_layers_stay_frozen():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    fresh = {name: a.copy() for name, a in nn.initialise(model, seed=2).state_dict().items()}
    model[0].requires_grad(False)
    for array in model.state_dict().values():
        array[...] = 9
    assert nn.initialise(model, seed=2) is model
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, fresh[name])
    assert not model[0].weight.requires_grad
    assert (fresh["1.running_var"] == 1).all()
    assert (fresh["1.weight"] == 1).all()
    for name in ("0.bias", "1.bias", "1.running_mean", "3.bias"):
        assert (fresh[name] == 0).all()


def test_double_precision_stays():
    layer = nn.Linear(3, 2)
    layer.weight = Tensor(np.zeros((2, 3)), requires_grad=True)
    nn.initialise(layer, "glorot_uniform")
    assert layer.weight.data.dtype == np.float64
    assert layer.weight.data.any()


def test_what_makes_no_sense():
    with pytest.raises(UnknownNameError, match="he_normal"):
        drawn("he", (2, 2))
    with pytest.raises(UnknownNameError, match="orthogonal"):
        nn.initialise(nn.Linear(2, 2), "ortogonal")
    for shape in ((), (3,), (4, 0), (0, 4), (4, 2, 0, 3)):
        with pytest.raises(InputError, match="shape"):
            drawn("he_normal", shape)


def test_an_image_too_small_for_a_network_is_said():
    with pytest.raises(InputError, match=r"128, 0"):
        nn.build("lenet", (1, 3, 3), 10)
