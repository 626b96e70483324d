"""MC dropout: moments of a linear model in closed form, measures by definition, rejection."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import data, nn
from minicnn.errors import InputError
from minicnn.figures import study_figure
from minicnn.studies import Setup
from minicnn.studies.mc_dropout import KEPT, accuracy_kept, mc_dropout
from minicnn.studies.uncertainty import (
    Uncertain,
    dropout_passes,
    entropy,
    log_likelihood,
    mc_predict,
    predictive_variance,
)


def linear(p, inputs=6, outputs=2):
    model = nn.Sequential(nn.Dropout(p), nn.Linear(inputs, outputs))
    return nn.initialise(model, seed=3)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_moments_of_a_linear_model_in_closed_form(p, rng):
    # y = sum w_i x_i m_i / (1 - p): mean w.x, variance p / (1 - p) sum (w_i x_i)^2
    model, x = linear(p), rng.standard_normal((3, 6)).astype(np.float32)
    copies, passes = 500, 8  # masks differ from row to row as they do from pass to pass
    found = dropout_passes(model, np.tile(x, (copies, 1)), passes, seed=1).astype(np.float64)
    found = found.reshape(copies * passes, 3, 2)
    w, b = (t.data.astype(np.float64) for t in model.parameters())
    mean, variance = x @ w.T + b, p / (1 - p) * (x**2) @ (w**2).T
    assert np.abs(found.mean(0) - mean).max() < 5 * np.sqrt(variance / len(found)).max()
    np.testing.assert_allclose(found.var(0), variance, rtol=0.25)
    assert abs(np.log(found.var(0) / variance).mean()) < 0.05


def test_passes_repeat_and_leave_the_model_as_it_was(rng):
    model, x = linear(0.5), rng.standard_normal((4, 6)).astype(np.float32)
    model.train()
    first, again = (dropout_passes(model, x, 3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (dropout_passes(model, x, 3, seed=6) != first).any()
    assert (first[0] != first[1]).any()
    assert all(module.training for module in model.modules())
    assert not model[0].always
    model.eval()
    np.testing.assert_array_equal(model(x).data, model(x).data)


def test_measures_by_definition(rng):
    p = rng.dirichlet(np.ones(4), (7, 5))
    found = Uncertain(p)
    for n in range(5):
        mean = [sum(p[t, n, k] for t in range(7)) / 7 for k in range(4)]
        h = -sum(q * math.log(q) for q in mean)
        each = [-sum(q * math.log(q) for q in p[t, n]) for t in range(7)]
        votes = [int(np.argmax(p[t, n])) for t in range(7)]
        assert found.predictive_entropy[n] == pytest.approx(h)
        assert found.mutual_information[n] == pytest.approx(h - sum(each) / 7)
        most = max(votes.count(k) for k in range(4))
        assert found.variation_ratio[n] == pytest.approx(1 - most / 7)
    np.testing.assert_allclose(found.variance, p.var(axis=0))
    assert entropy(np.array([1.0, 0.0])) == 0
    assert entropy(np.full(8, 1 / 8)) == pytest.approx(math.log(8))


def test_agreement_is_no_mutual_information():
    same = np.tile(np.array([[0.7, 0.3]]), (6, 1, 1))
    assert Uncertain(same).mutual_information == pytest.approx(0, abs=1e-12)
    split = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert Uncertain(split).mutual_information == pytest.approx(math.log(2))


def test_log_likelihood_by_definition(rng):
    predictions, targets, tau = rng.standard_normal((9, 3)), rng.standard_normal(3), 0.4
    for n in range(3):
        density = [
            math.sqrt(tau / (2 * math.pi)) * math.exp(-tau / 2 * (targets[n] - y) ** 2)
            for y in predictions[:, n]
        ]
        want = math.log(sum(density) / 9)
        assert log_likelihood(predictions, targets, tau)[n] == pytest.approx(want)


def test_predictive_variance_is_noise_and_what_passes_disagree_about(rng):
    predictions = rng.standard_normal((9, 3))
    for n in range(3):
        mean = sum(predictions[:, n]) / 9
        want = 1 / 0.4 + sum((y - mean) ** 2 for y in predictions[:, n]) / 9
        assert predictive_variance(predictions, 0.4)[n] == pytest.approx(want)


def test_without_dropout_there_is_nothing_to_average(rng):
    for model in (nn.Sequential(nn.Linear(6, 2)), linear(0.0)):
        with pytest.raises(InputError, match="needs a model with dropout"):
            mc_predict(model, np.zeros((1, 6), np.float32))


def test_accuracy_on_the_surest():
    right = np.array([True, True, False, False])
    kept = accuracy_kept(np.array([0.0, 0.1, 0.2, 0.3]), right)
    assert kept[0] == 1.0
    assert kept[-1] == 0.5
    assert KEPT[-1] == 1


def test_the_study():
    setup = Setup(data.read("digits"), data.read("digits", "test"), epochs=20)
    found = mc_dropout(setup, passes=8)
    arrays = found.arrays
    assert arrays["right"].mean() > 0.85
    wrong = ~arrays["right"]
    entropies = arrays["predictive_entropy"]
    assert entropies[wrong].mean() > 2 * entropies[~wrong].mean()
    assert (arrays["mutual_information"] > -1e-9).all()
    assert arrays["kept_predictive_entropy"][0] > arrays["right"].mean()
    assert study_figure(found).axes
