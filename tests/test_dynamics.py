"""Predicting rectangles: the source repeats, errors are ranked, training beats stillness."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import data, nn
from minicnn.data import Pairs
from minicnn.data.rectangles import simulate
from minicnn.figures import study_figure
from minicnn.figures.studies_rectangles import activations_figure, scenes_figure
from minicnn.studies import Setup
from minicnn.studies.rectangles import (
    block_activations,
    dynamics,
    findings,
    ink,
    ranked,
)


def test_pictures_repeat_by_epoch(rng):
    x, y = (rng.random((10, c, 4, 4)).astype(np.float32) for c in (2, 1))
    source = Pairs(x, y, 3, seed=1)
    assert len(source) == 3
    for (a, b), (c, d) in zip(source.epoch(2), source.epoch(2), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    first, second = (np.concatenate([a for a, _ in source.epoch(n)]) for n in (0, 1))
    assert (first != second).any()


def test_ink_is_what_paper_is_not_and_is_kept_when_smaller(rng):
    x, y = (rng.random((3, c, 64, 64)).astype(np.float32) for c in (2, 1))
    small, target = ink(x, y, 16)
    assert small.shape == (3, 2, 16, 16)
    np.testing.assert_allclose(small.mean(axis=(2, 3)), 1 - x.mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(target[1, 0, 2, 3], 1 - y[1, 0, 8:12, 12:16].mean(), rtol=1e-5)


def test_ranked_from_best_to_worst(rng):
    truth = rng.random((5, 1, 4, 4))
    order, errors = ranked(truth + np.array([3, 1, 0, 2, 4]).reshape(5, 1, 1, 1), truth)
    assert order.tolist() == [2, 1, 3, 0, 4]
    np.testing.assert_allclose(errors, [9, 1, 0, 4, 16], atol=1e-12)


def test_the_network_is_fleurets(rng):
    model = nn.DynamicsNet()
    filters = [t for t in model.parameters() if t.data.ndim == 4]
    assert len(filters) == 18
    assert all(t.data.shape[2:] == (5, 5) for t in filters)
    assert {t.data.shape[0] for t in filters} == {16, 1}
    x = rng.random((1, 2, 16, 16)).astype(np.float32)
    assert model.network((2, 16, 16))(x).shape == (1, 1, 16, 16)
    assert block_activations(model, x).shape == (9, 16, 16, 16)


def test_findings_of_predictions_that_are_known(rng):
    model = nn.DynamicsNet(blocks=1, width=2)
    for tensor in model.parameters():
        tensor.data[...] = 0  # it predicts blank paper
    x, y = (rng.random((9, c, 16, 16)).astype(np.float32) for c in (2, 1))
    history = nn.fit(model, Pairs(x, y, 3), (x, y), nn.Recipe(1, rate=1e-30, decay=0.0),
                     objective=nn.Regression())  # fmt: skip
    arrays = findings(model, history, x, y, count=9).arrays
    np.testing.assert_allclose(arrays["error"], (y**2).mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(arrays["still"], ((x[:, 1:] - y) ** 2).mean(axis=(1, 2, 3)))
    best = np.argsort(arrays["error"])
    assert arrays["best_and_worst"].tolist() == [*best[:4], *best[-4:]]
    np.testing.assert_array_equal(arrays["shown_truth"], y[arrays["best_and_worst"]])
    told = int((arrays["still"] - arrays["error"]).argmax())
    np.testing.assert_array_equal(arrays["told_input"], x[told : told + 1])


def test_scenes_over_time():
    figure = scenes_figure([simulate(0, number, 5) for number in range(2)], size=32)
    assert [axis.get_title() for axis in figure.axes[:5]] == [
        "t = 0", "t = 0.25", "t = 0.5", "t = 0.75", "t = 1",
    ]  # fmt: skip
    assert len(figure.axes) == 10


@pytest.mark.slow
def test_a_small_training_beats_saying_that_nothing_moves():
    digits = data.read("digits")
    found = dynamics(Setup(digits, digits, epochs=8), train=160, test=48, size=16)
    arrays = found.arrays
    assert arrays["error"].mean() < 0.8 * arrays["still"].mean()
    assert arrays["train_loss"][-1] < 0.7 * arrays["train_loss"][0]
    order = arrays["error"][arrays["best_and_worst"]]
    assert (np.diff(order) >= 0).all()
    assert study_figure(found).axes
    assert activations_figure(found).axes
