"""Studies of training: signals against closed forms, tiny trainings against what must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from minicnn import data, figures, nn, studies
from minicnn.errors import InputError, UnknownNameError
from minicnn.studies import Findings, Setup, repeated
from minicnn.studies.augmentation import augmentation, changes, framed
from minicnn.studies.batch_norm import batch_norm
from minicnn.studies.curves import learn, measured, per_cent
from minicnn.studies.dead_units import dead_shares, dead_units
from minicnn.studies.dropout import dropout
from minicnn.studies.early_stopping import early_stopping
from minicnn.studies.overfitting import mislabelled, wide_net
from minicnn.studies.signals import NONLINEARITIES, diagonal, drawn, growth, signals, through
from minicnn.tensor import Tensor


@pytest.fixture(scope="module")
def setup() -> Setup:
    """Digits; few of them to test on."""
    test = data.read("digits", "test").balanced(10, 0)
    return Setup(data.read("digits"), test)


# Signals


def test_a_diagonal_net_gives_powers() -> None:
    w, layers = np.array([0.25, 0.5, 1.0, 2.0, -1.5]), np.arange(21)
    forward, backward = diagonal(w, 20)
    np.testing.assert_allclose(forward, w[:, None] ** layers, rtol=1e-6)
    np.testing.assert_allclose(backward, w[:, None] ** layers[::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("initialisation", "nonlinearity", "factor"),
    [
        ("He", "ReLU", 1.0),
        ("LeCun", "ReLU", np.sqrt(0.5)),
        ("LeCun", "linear", 1.0),
        ("Glorot", "linear", 1.0),
        ("orthogonal", "linear", 1.0),
        ("deviation 0.01", "linear", 0.01 * np.sqrt(512)),
        ("deviation 0.2", "ReLU", 0.2 * np.sqrt(512 / 2)),
    ],
)
def test_a_layer_multiplies_by_what_its_variance_says(
    initialisation: str, nonlinearity: str, factor: float, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((64, 512)).astype(np.float32)
    forward, backward = through(x, drawn(initialisation, 512, 512, 8, seed=1), nonlinearity)
    assert growth(forward) == pytest.approx(factor, rel=0.04)
    assert growth(backward[::-1]) == pytest.approx(factor, rel=0.04)


def test_glorot_keeps_small_signals_through_tanh(rng: np.random.Generator) -> None:
    x = (1e-3 * rng.standard_normal((64, 512))).astype(np.float32)  # where tanh is linear
    forward, backward = through(x, drawn("Glorot", 512, 512, 8, seed=1), "tanh")
    np.testing.assert_allclose(forward / 1e-3, 1, rtol=0.05)
    np.testing.assert_allclose(backward, 1, rtol=0.05)


def test_gradients_of_a_deep_net_against_the_definition(rng: np.random.Generator) -> None:
    x = rng.standard_normal((5, 6)).astype(np.float32)
    weights = drawn("LeCun", 6, 7, 3, seed=1)
    forward, backward = through(x, weights, "tanh", seed=4)
    h = [x.astype(np.float64)]
    for weight in weights:
        h.append(np.tanh(h[-1] @ weight.T))
    g = [np.random.default_rng([4, 1]).standard_normal(h[-1].shape)]
    for weight, y in zip(weights[:0:-1], h[:0:-1], strict=False):
        g.append((g[-1] * (1 - y**2)) @ weight)
    for found, slow in ((forward, h[1:]), (backward, g[::-1])):
        sizes = [np.sqrt((one**2).mean()) for one in slow]
        np.testing.assert_allclose(found, sizes, rtol=1e-5)


def test_growth_leaves_out_what_is_gone() -> None:
    np.testing.assert_allclose(growth(np.array([[1, 3, 9, 27], [8, 4, 0, 0]])), [3, 0.5])
    assert growth(np.array([1, 2, np.inf])) == pytest.approx(2)


def test_signals_of_all_nets(setup: Setup) -> None:
    found = signals(setup, depth=6, width=64)
    assert found.arrays["activations"].shape == found.arrays["gradients"].shape == (4, 6, 6)
    names = list(found.arrays["nonlinearities"])
    assert names == list(NONLINEARITIES)
    sigmoid = found.arrays["growth_backward"][names.index("sigmoid")]
    linear = found.arrays["growth_backward"][names.index("linear")]
    assert (sigmoid < 0.3 * linear).all()  # slopes of at most a quarter
    again = signals(setup, depth=6, width=64)
    np.testing.assert_array_equal(found.arrays["gradients"], again.arrays["gradients"])
    assert figures.study_figure(found).axes


def test_signals_refuses_epochs_and_names(setup: Setup) -> None:
    with pytest.raises(InputError, match="before training"):
        signals(replace(setup, epochs=3))
    with pytest.raises(InputError, match="2 layers"):
        signals(setup, depth=1)
    with pytest.raises(UnknownNameError, match="Did you mean He"):
        drawn("Hee", 2, 2, 2)
    with pytest.raises(UnknownNameError, match="tanh"):
        through(np.ones((1, 2), np.float32), drawn("He", 2, 2, 2), "tan")


# What studies share


def test_curves_are_those_of_evaluation(setup: Setup) -> None:
    train = setup.few(3)
    net = wide_net(setup.shape, 10, seed=0, dropout=0.5, units=16)
    before = nn.evaluate(net, train)
    found = learn(net, train, {"train": train, "test": setup.test}, nn.Recipe(epochs=2, batch=10))
    assert found["train_loss"].shape == (3,)
    assert found["train_loss"][0] == pytest.approx(before.loss)
    after = nn.evaluate(net, setup.test)
    assert found["test_loss"][-1] == after.loss
    assert found["test_accuracy"][-1] == after.score


def test_a_training_that_diverges_ends_in_nan(setup: Setup) -> None:
    train = setup.few(3)
    net = wide_net(setup.shape, 10, seed=0, units=16)
    recipe = nn.Recipe(epochs=3, batch=10, rate=1e30, decay=0, schedule="constant")
    found = learn(net, train, {"train": train}, recipe)
    assert np.isfinite(found["train_loss"][0])
    assert np.isnan(found["train_loss"][-1])
    assert per_cent(found["train_accuracy"][-1:]) == "diverged"


def test_a_stopped_study_goes_on(setup: Setup, tmp_path) -> None:
    kept = replace(setup, checkpoint=tmp_path / "study.npz", seed=5)
    calls: list[tuple[int, int]] = []

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append((i, seed))
        return {"x": np.array([i, seed, 0.5])}

    with pytest.raises(KeyboardInterrupt):
        repeated(kept, "some", ["a", "b"], 2, run)
    done, calls[:] = list(calls), []
    found = repeated(kept, "some", ["a", "b"], 2, run)
    assert done + calls == [(0, 5), (0, 6), (1, 5), (1, 6)]
    assert found["x"].shape == (2, 2, 3)
    np.testing.assert_array_equal(found["x"][1, 0], [1, 5, 0.5])
    with pytest.raises(InputError, match="another run"):
        repeated(replace(kept, seed=6), "some", ["a", "b"], 2, run)


def test_few_takes_as_many_as_there_are(setup: Setup) -> None:
    assert np.bincount(setup.few(7).labels).tolist() == [7] * 10
    assert len(set(np.bincount(setup.few(10**6).labels))) == 1
    lacking = replace(setup, train=setup.train.subset(np.flatnonzero(setup.train.labels > 0)))
    with pytest.raises(InputError, match="no training image"):
        lacking.few(2)


def test_measured_is_at_most_2000_and_the_same_again(setup: Setup) -> None:
    rows = np.arange(2500) % len(setup.test)
    many = replace(setup, test=setup.test.subset(rows))
    assert len(measured(many)) == 2000
    np.testing.assert_array_equal(measured(many).labels, measured(many).labels)
    assert measured(setup) is setup.test


def test_mislabelled_draws_labels_for_a_share(setup: Setup) -> None:
    changed = mislabelled(setup.train, 0.4, 1)
    differ = (changed.labels != setup.train.labels).mean()
    assert 0.3 < differ <= 0.4
    np.testing.assert_array_equal(mislabelled(setup.train, 0.0, 1).labels, setup.train.labels)


# The studies


def test_dropout_over_fits_less(setup: Setup) -> None:
    found = dropout(replace(setup, epochs=12), repeats=1)
    gap = (found.arrays["test_loss"] - found.arrays["train_loss"])[:, 0, -1]
    assert gap[0] > gap[1]
    last = found.arrays["train_accuracy"][:, 0, -1]
    assert last[0] > last[1]  # random labels are learned by heart without it
    assert found.arrays["test_loss"].shape == (2, 1, 13)
    assert figures.study_figure(found).axes


def test_early_stopping_restores_the_best_epoch(setup: Setup) -> None:
    found = early_stopping(replace(setup, epochs=12), repeats=1, patience=3)
    arrays, best, stop = found.arrays, int(found.arrays["best"][0]), int(found.arrays["stop"][0])
    assert best == 1 + arrays["held_loss"][0, 1 : stop + 1].argmin()
    assert stop == best + 3 < 12
    assert arrays["restored_loss"][0] == arrays["test_loss"][0, best]
    assert arrays["restored_accuracy"][0] == arrays["test_accuracy"][0, best]
    assert figures.study_figure(found).axes


def test_augmentation_fits_the_training_images_less(setup: Setup) -> None:
    few = setup.train.balanced(8, 0)  # less than the study would take: 5 and 8 a class are left
    found = augmentation(replace(setup, train=few, epochs=8), repeats=1)
    assert found.arrays["sizes"].tolist() == [5, 8]
    assert found.arrays["test_accuracy"].shape == (2, 2, 1, 9)
    final = found.arrays["train_loss"][:, :, 0, -1]
    assert (final[:, 0] < final[:, 1]).all()
    assert figures.study_figure(found).axes


def test_changes_suit_the_images() -> None:
    assert changes((3, 32, 32)).flip
    assert not changes((1, 28, 28)).flip


def test_framed_moves_every_image_whole(setup: Setup) -> None:
    moved = framed(setup.test, 2, 1)
    assert moved.images.shape == (100, 1, 12, 12)
    for own, image in zip(setup.test.images, moved.images, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image[0], (8, 8))
        assert (windows == own[0]).all(axis=(2, 3)).any()
        assert image.sum() == pytest.approx(own.sum())


def test_batch_norm_bears_a_larger_rate(setup: Setup) -> None:
    few = replace(setup, train=setup.train.balanced(40, 0), epochs=4)
    found = batch_norm(few, rates=(0.1,))
    assert found.arrays["trains"].tolist() == [[False], [True]]
    assert found.arrays["train_loss"].shape == (2, 1, 5)
    assert "none without batch norm, 0.1 with it" in found.notes[0]
    assert figures.study_figure(found).axes


def test_dead_shares_against_a_count(setup: Setup) -> None:
    net = nn.initialise(nn.LeNet(setup.shape), "he_normal", 3)
    net.conv1.bias.data[::2] = -100  # no patch outweighs it
    net.fc1.bias.data[:] = -20
    x = Tensor(setup.test.array())
    maps = net.relu1(net.conv1(x)).data
    alive = [bool((maps[:, c] > 0).any()) for c in range(16)]
    found = dead_shares(net, setup.test)
    assert list(found) == ["relu1", "relu2", "relu3"]
    assert found["relu1"] == 1 - np.mean(alive) >= 0.5
    hidden = net.flatten(net.pool2(net.relu2(net.conv2(net.pool1(net.relu1(net.conv1(x)))))))
    units = net.fc1(hidden).data
    assert found["relu3"] == pytest.approx(np.mean([(u <= 0).all() for u in units.T]))


def test_counting_dead_units_changes_nothing(setup: Setup) -> None:
    net = nn.initialise(nn.VGG(setup.shape, plan=(4, "M", 4)), "he_normal", 0)
    net.bn1_1.eval()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    dead_shares(net, setup.test)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert net.training
    assert net.bn2_1.training
    assert not net.bn1_1.training


def test_a_training_whose_patience_did_not_end_has_not_stopped(setup: Setup) -> None:
    found = early_stopping(replace(setup, epochs=2), repeats=1, patience=5)
    assert found.rows[0][2] == "not at all"


def test_a_rate_too_large_kills_units(setup: Setup) -> None:
    few = replace(setup, train=setup.train.balanced(20, 0), epochs=2)
    found = dead_units(few, rates=(0.003, 0.3))
    dead = found.arrays["dead"]
    assert dead.shape == (2, 3, 3)
    np.testing.assert_array_equal(dead[0, 0], dead[1, 0])  # they start alike
    assert np.nanmax(dead[1]) > dead[0].max() + 0.3
    assert figures.study_figure(found).axes


# By name


def test_registry_and_figures_name_the_same_studies() -> None:
    from minicnn.figures.studies import MODULES

    assert set(studies.STUDIES) == set(MODULES)
    with pytest.raises(UnknownNameError, match="Did you mean dropout"):
        studies.study("dropuot")
    with pytest.raises(UnknownNameError, match="No figure"):
        figures.study_figure(Findings("nothing", "", (), (), {}))


def _run(*arguments: str) -> tuple[int, str]:
    from minicnn.cli.app import app

    result = CliRunner().invoke(app, ["study", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_the_command_lists_the_studies() -> None:
    code, text = _run()
    assert code == 0
    for one in studies.STUDIES.values():
        assert one.name in text
        assert one.question in text


def test_the_command_writes_figure_and_arrays(tmp_path) -> None:
    out, save = tmp_path / "dead.png", tmp_path / "dead.npz"
    code, text = _run(
        "dead-units", "--epochs", "1", "--seed", "2", "--out", str(out), "--save", str(save)
    )
    assert code == 0
    assert "dead in relu3" in text
    assert str(out) in text
    assert out.read_bytes()[:4] == b"\x89PNG"
    with np.load(save) as arrays:
        assert arrays["dead"].shape == (3, 2, 3)
        assert list(arrays["layers"]) == ["relu1", "relu2", "relu3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dead.npz", "dead.png"]


def test_the_command_refuses_what_a_study_has_no_use_for(tmp_path) -> None:
    out = str(tmp_path / "x.png")
    with pytest.raises(InputError, match="leave --epochs out"):
        _run("signals", "--epochs", "3", "--out", out)
    with pytest.raises(InputError, match="leave --data out"):
        _run("dynamics", "--data", "digits", "--out", out)
    with pytest.raises(UnknownNameError, match="Did you mean signals"):
        _run("signal", "--out", out)
