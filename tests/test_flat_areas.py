"""Flat areas: equal windows get equal values where switches are kept, so ties stay ties.

The first check that a lecturer makes: the bundled network, a bundled digit, against float64.
"""

import numpy as np
import pytest

import minicnn
from minicnn import kernels, seeds
from minicnn.kernels import has_flat_areas

F = np.float32
RNG = np.random.default_rng(11)


@pytest.mark.parametrize("digit", ["digit_0", "digit_2", "digit_4", "digit_7", "digit_8"])
@pytest.mark.parametrize("rule", ["salinet", "deconvnet", "desalinet"])
def test_digits_agree_with_float64(digit, rule):
    net = minicnn.load("mnist")
    double = net.astype(np.float64)
    x = minicnn.data.photo(minicnn.data.bundled_path(digit), net.preprocess)
    tape, exact = net.record(x), double.record(x.astype(np.float64))
    assert tape.even
    q, expected = (t.backward(seeds.logit(t), rule) for t in (tape, exact))
    np.testing.assert_allclose(q, expected, atol=1e-5 * np.abs(expected).max())


def test_values_asked_for_later_are_those_of_the_run():
    net = minicnn.load("mnist")
    x = minicnn.data.photo(minicnn.data.bundled_path("digit_4"), net.preprocess)
    kept, later = net.record(x, keep="all"), net.record(x)
    for name in net.layers:
        np.testing.assert_array_equal(later[name], kept[name])
    with kernels.evenly():
        np.testing.assert_array_equal(net(x), kept.output)


def test_what_is_asked_for_by_name_serves_all_the_same():
    net = minicnn.load("mnist")
    x = minicnn.data.photo(minicnn.data.bundled_path("digit_4"), net.preprocess)
    with kernels.using(conv2d="winograd4"):
        asked = net.record(x).output
        plain = net(x)
    np.testing.assert_array_equal(asked, plain)


def brute_force(x):
    return any(
        (x[n, :, i : i + a, j : j + b] == x[n, :, i : i + 1, j : j + 1]).all()
        for a, b in ((3, 4), (4, 3))
        for n in range(len(x))
        for i in range(x.shape[2] - a + 1)
        for j in range(x.shape[3] - b + 1)
    )


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_flat_areas_are_found_where_there_are_some(levels, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (2, 2, 7, 8)).astype(F)
    if seed % 2:
        x[1, :, 2:5, 3:7] = 1  # three rows, four columns
    if brute_force(x):
        assert has_flat_areas(x)


@pytest.mark.parametrize("shape", [(1, 3, 2, 9), (2, 5), (0, 3, 8, 8), (1, 1, 1, 1)])
def test_other_shapes_have_none(shape):
    assert not has_flat_areas(np.zeros(shape, F))


def test_noise_and_gradients_have_none():
    assert not has_flat_areas(RNG.standard_normal((1, 3, 32, 32)).astype(F))
    assert not has_flat_areas(np.arange(64, dtype=F).reshape(1, 1, 8, 8))


def test_tensors_agree_with_float64_too():
    net = minicnn.load("mnist")
    x = minicnn.data.photo("digit_4", net.preprocess)
    given = minicnn.Tensor(x, requires_grad=True)
    net.drop_softmax()(given)[0, 4].backward()
    exact = net.astype(np.float64).record(x.astype(np.float64))
    expected = exact.backward(seeds.logit(exact, 4))
    np.testing.assert_allclose(given.grad.numpy(), expected, atol=1e-5 * np.abs(expected).max())
