"""Training that cannot go on, settings that make no sense, histories as files: one error each."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from training_cases import (
    RECIPE,
    TRAIN,
    VALID,
    network,
    one_thread,  # noqa: F401  (a fixture for every test here)
    sample,
)

from minicnn import functional as F
from minicnn import nn
from minicnn.errors import (
    InputError,
    MiniCNNError,
    OutputError,
    ShapeError,
    TrainingError,
    UnknownNameError,
)

# Numbers that cease to be finite


class Power(nn.Module):
    """Overflows where its input is above some hundred."""

    def forward(self, x):
        return F.exp(x * 100.0)


def test_a_huge_rate_says_when_where_and_what_to_try(tmp_path):
    state = tmp_path / "state.npz"
    recipe = nn.Recipe(epochs=3, batch=16, rate=1e25, schedule="constant")
    with pytest.raises(TrainingError) as found:
        nn.fit(network(), TRAIN, VALID, recipe, checkpoint=state)
    said = str(found.value)
    assert re.search(r"step \d+ of epoch 1 .*rate 1e\+25", said)
    assert re.search(r"the (parameter|output of) \d|the loss alone", said)
    for remedy in ("smaller rate", "warm-up", "clip", "batch norm", "scale"):
        assert remedy in said
    assert not state.exists()


def test_an_image_that_is_no_number():
    images = TRAIN.images.copy()
    images[40, 0, 2, 2] = np.nan
    order = np.random.default_rng([0, 0]).permutation(96)
    step = int(np.flatnonzero(order == 40)[0]) // 16 + 1
    with pytest.raises(TrainingError, match=rf"nan at step {step} of epoch 1.*images themselves"):
        nn.fit(network(), replace(TRAIN, images=images), None, RECIPE)


@pytest.mark.parametrize("inner", [0, 1, 2])
def test_the_layer_that_overflows_is_named(inner):
    """Not the batch norm behind it, whose running statistics are spoilt by then."""
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)]
    layers.insert(inner + 1, nn.Sequential(Power()))
    model = nn.Sequential(*layers, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(TrainingError, match=rf"step 1 of epoch 1.*the output of {inner + 1}\.0\b"):
        nn.fit(model, TRAIN, None, RECIPE)


def test_a_sum_within_a_module_and_the_model_itself_have_names():
    class Sum(nn.Module):
        def __init__(self):
            self.flatten, self.fc = nn.Flatten(), nn.Linear(36, 3)

        def forward(self, x):
            y = self.fc(self.flatten(x))
            return y * 1e38 * 10.0

    with pytest.raises(TrainingError, match="the output of Sum"):
        nn.fit(Sum(), TRAIN, None, RECIPE)


def test_first_not_finite_by_itself():
    model, x = network(), TRAIN.array()
    assert nn.first_not_finite(model, x) is None
    model[0].weight.data[1, 0, 0, 0] = np.inf
    assert nn.first_not_finite(model, x) == "the parameter 0.weight"
    assert nn.first_not_finite(model, x * np.nan) == "the images themselves"
    model = network().eval()
    model[1].running_var[2] = np.nan
    assert nn.first_not_finite(model, x) == "the output of 1"


def overflowing_at_the_end(state=None, valid=VALID):
    """The last step of the second epoch moves the weights beyond all numbers."""
    recipe = nn.Recipe(
        epochs=3, batch=16, momentum=0, decay=0, rate=1.0,
        schedule=lambda step, total: 1e300 if step == 11 else 0.05,
    )  # fmt: skip
    with np.errstate(over="ignore"):
        nn.fit(network(), TRAIN, valid, recipe, checkpoint=state)


@pytest.mark.parametrize("valid", [VALID, None])
def test_weights_that_overflow_in_the_last_step_do_not_reach_the_state(valid, tmp_path):
    state = tmp_path / "state.npz"
    with pytest.raises(TrainingError, match=r"weights.*step 6 of epoch 2.*parameter 0\.weight"):
        overflowing_at_the_end(state, valid)
    arrays = np.load(state)
    assert len(arrays["history/loss"]) == 1
    assert all(np.isfinite(arrays[n]).all() for n in arrays.files if n.startswith("model/"))


@pytest.mark.parametrize(
    ("pixel", "kind", "said"),
    [
        (np.nan, InputError, "holds NaN"),
        (3e38, TrainingError, "held out became (nan|inf) after epoch 1"),
    ],
)
def test_samples_held_out_that_are_no_numbers_or_too_large(pixel, kind, said, tmp_path):
    x = VALID.array()
    x[3] = pixel
    with pytest.raises(kind, match=said):
        nn.fit(network(), TRAIN, (x, VALID.labels), RECIPE, checkpoint=tmp_path / "state.npz")
    assert not list(tmp_path.iterdir())


# Settings and data that make no sense


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "epochs"), ({"batch": 0}, "batch"), ({"batch": -3}, "batch"),
        ({"patience": 0}, "patience"), ({"clip": 0.0}, "clip"), ({"clip": -1.0}, "clip"),
        ({"clip": float("nan")}, "clip"), ({"seed": -1}, "seed"),
    ],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense(settings, said):
    with pytest.raises(InputError, match=said):
        nn.Recipe(**settings)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"rate": 0.0}, InputError, "rate"), ({"rate": float("nan")}, InputError, "rate"),
        ({"decay": -0.1}, InputError, "decay"), ({"smoothing": 1.5}, InputError, "smoothing"),
        ({"optimiser": "sgd", "momentum": -0.5}, InputError, "momentum"),
        ({"optimiser": "adma"}, UnknownNameError, "adam"),
        ({"schedule": "cosin"}, UnknownNameError, "cosine"),
    ],
)  # fmt: skip
def test_what_only_the_training_can_say(settings, kind, said):
    with pytest.raises(kind, match=said):
        nn.fit(network(), TRAIN, VALID, replace(RECIPE, **settings))


def test_data_that_do_not_fit():
    with pytest.raises(InputError, match="Early stopping needs"):
        nn.fit(network(), TRAIN, None, replace(RECIPE, patience=2))
    with pytest.raises(ShapeError):
        nn.fit(network(), replace(TRAIN, images=TRAIN.images[..., :5]), None, RECIPE)
    four = sample(classes=2)
    relabelled = replace(four, classes=("a", "b", "c", "d"), labels=four.labels + 2)
    with pytest.raises(MiniCNNError, match="3"):  # labels 2 and 3 for three scores
        nn.fit(network(), relabelled, None, RECIPE)

    class Nothing:
        def __len__(self):
            return 0

        def epoch(self, number):
            return iter(())

    with pytest.raises(InputError, match="fewer"):
        nn.fit(network(), Nothing(), None, RECIPE)
    frozen = network().requires_grad(False)
    with pytest.raises(InputError, match="require gradients"):
        nn.fit(frozen, TRAIN, None, RECIPE)


def test_labels_held_out_that_do_not_fit():
    x = VALID.array()
    for labels, kind in (
        (VALID.labels[:-1], ShapeError), (VALID.labels[:, None], ShapeError),
        (VALID.labels.astype(np.float32), ShapeError), (VALID.labels - 1, InputError),
        (VALID.labels + 1, InputError),
    ):  # fmt: skip
        with pytest.raises(kind):
            nn.evaluate(network(), (x, labels))
        with pytest.raises(kind):
            nn.Classification().scores(np.zeros((30, 3)), labels)


# The history as a file


def test_a_history_comes_back_from_its_file(tmp_path):
    history = nn.fit(network(), TRAIN, None, RECIPE)
    history.to_csv(tmp_path / "curves.csv")
    again = nn.History.from_csv(tmp_path / "curves.csv")
    for name, array in history.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    assert again.last.number == 4
    first = (tmp_path / "curves.csv").read_text().splitlines()[0]
    assert first == "number,loss,score,valid_loss,valid_score,rate,seconds"
    back = nn.History.from_arrays(history.arrays(), "accuracy")
    assert repr(back.epochs) == repr(history.epochs)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n\x00\xff",
        b"number,loss,score,valid_loss,valid_score,rate,seconds\n1,0.5,cat,0,0,0,0\n",
        b"number,loss,score,valid_loss,valid_score,rate,seconds\n1,0.5,0.9\n",
    ],
)  # fmt: skip
def test_a_file_that_holds_no_history(content, tmp_path):
    path = tmp_path / "curves.csv"
    with pytest.raises(InputError, match=r"curves\.csv"):
        nn.History.from_csv(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"curves\.csv"):
        nn.History.from_csv(path)


def test_a_history_that_cannot_be_written_leaves_the_old_file(tmp_path):
    history = nn.History([nn.Epoch(1, 0.5, 0.8, 0.6, 0.7, 0.1, 2.0)])
    with pytest.raises(OutputError):
        history.to_csv(tmp_path / "nowhere" / "curves.csv")
