"""Training: learns, goes on from its state bit for bit, stops early, and fails with one error."""

from __future__ import annotations

import errno
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from minicnn import checkpoint, kernels, nn
from minicnn import functional as F
from minicnn.data import Augment, Batches, Dataset, read
from minicnn.errors import (
    InputError,
    MiniCNNError,
    OutputError,
    ShapeError,
    TrainingError,
    UnknownNameError,
)
from minicnn.kernels.cpu import team
from minicnn.tensor import Tensor

RECIPE = nn.Recipe(4, 16, optimiser="adam", rate=0.01, schedule="cosine", decay=1e-3)
EVERYTHING = replace(
    RECIPE, augment=Augment(shift=1, rotate=10, flip=True), patience=3, clip=1.0, smoothing=0.1,
    seed=5,
)  # fmt: skip


class Stop(Exception):
    """What a user's Ctrl-C, or a power cut, is here."""


class Stopping:
    """Raises at a step, counted from the start of the run."""

    def __init__(self, at):
        self.left = at

    def __call__(self, progress):
        self.left -= 1
        if self.left == 0:
            raise Stop


def sample(count=96, seed=0, classes=3, side=6):
    """Small images whose class is which third is bright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.uniform(0, 0.5, (count, 1, side, side)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[:, label * side // 3 : (label + 1) * side // 3] += 0.4
    names = tuple("abcdef"[:classes])
    return Dataset(images, labels, names, "bars", (0.35,), (0.25,))


def network(seed=0, width=4, dropout=0.3):
    return nn.initialise(
        nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Dropout(dropout), nn.Flatten(), nn.Linear(36 * width, 3),
        ),
        seed=seed,
    )  # fmt: skip


TRAIN, VALID = sample(), sample(30, seed=1)


def columns(history):
    """All but the clock."""
    names = [name for name in nn.History().arrays() if not name.endswith("seconds")]
    return {name: history.arrays()[name] for name in names}


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def bytes_of(path):
    return path.read_bytes()


@pytest.fixture(autouse=True)
def one_thread():
    """Steps are short here, and the machine's cores may be busy; no bit depends on it."""
    before = team.threads()
    kernels.set_threads(1)
    yield
    kernels.set_threads(before)


# Learning


def test_digits_are_learned():
    train, test = read("digits"), read("digits", "test")
    model = nn.initialise(nn.LeNet((1, 8, 8), 10, maps=(8, 16), units=64), seed=0)
    history = nn.fit(model, train, test, nn.Recipe(epochs=8, batch=32, rate=0.05))
    assert history.last.valid_score >= 0.97
    assert nn.evaluate(model, test).score == history.last.valid_score
    assert history.last.loss < history.epochs[0].loss / 5
    assert not any(module.training for module in model.modules())


def test_the_loop_is_its_definition():
    """One epoch by hand: loss, backward, clipping, step at the schedule's rate; means of it all."""
    recipe = nn.Recipe(
        epochs=2, batch=32, rate=0.2, clip=0.5, smoothing=0.2, schedule="step", seed=3
    )
    model, twin = network(dropout=0.0), network(dropout=0.0)
    history = nn.fit(model, TRAIN, VALID, recipe)
    batches = Batches(TRAIN, 32, None, 3)
    weights = twin.named_parameters()
    optimiser = nn.SGD(weights, 0.2, 0.9, decay=5e-4, nesterov=True, decay_vectors=False)
    for number in range(2):
        losses, scores = [], []
        twin.train()
        for step, (x, y) in enumerate(batches.epoch(number)):
            outputs = twin(Tensor(x))
            loss = F.cross_entropy(outputs, y, label_smoothing=0.2)
            loss.backward()
            nn.clip_gradients(weights.values(), 0.5)
            factor = nn.Steps()(3 * number + step, 6)
            optimiser.step(factor)
            losses.append(loss.item())
            scores.append((outputs.data.argmax(1) == y).mean())
        epoch = history.epochs[number]
        assert epoch.number == number + 1
        assert epoch.loss == pytest.approx(np.mean(losses), rel=1e-6)
        assert epoch.score == pytest.approx(np.mean(scores), rel=1e-6)
        assert epoch.rate == pytest.approx(0.2 * factor)
    assert_same(model.state_dict(), twin.state_dict())
    held = nn.evaluate(twin.eval(), VALID)
    assert (history.last.valid_loss, history.last.valid_score) == (held.loss, held.score)


def test_progress_is_reported_after_every_step():
    told, ends = [], []
    model = network()
    recipe = replace(RECIPE, epochs=2)
    nn.fit(model, TRAIN, VALID, recipe, report=told.append,
           on_epoch=lambda m, e: ends.append((m is model, m.training, e.number)))  # fmt: skip
    assert [(p.epoch, p.step) for p in told] == [(e, s) for e in (1, 2) for s in range(1, 7)]
    assert all((p.epochs, p.steps) == (2, 6) and p.images_per_second > 0 for p in told)
    assert [p.rate for p in told] == [0.01 * nn.Cosine()(t, 12) for t in range(12)]
    assert ends == [(True, False, 1), (True, False, 2)]


def test_what_is_held_out_is_only_looked_at():
    with_it, without = network(), network()
    one, two = nn.fit(with_it, TRAIN, VALID, RECIPE), nn.fit(without, TRAIN, None, RECIPE)
    assert_same(with_it.state_dict(), without.state_dict())
    np.testing.assert_array_equal(one.column("loss"), two.column("loss"))
    assert np.isnan(two.column("valid_loss")).all()
    assert two.best == 0


def test_a_seed_repeats_and_another_does_not():
    states = []
    for seed in (5, 5, 6):
        model = network()
        nn.fit(model, TRAIN, VALID, replace(EVERYTHING, epochs=2, seed=seed))
        states.append(model.state_dict())
    assert_same(states[0], states[1])
    assert (states[0]["5.weight"] != states[2]["5.weight"]).any()


def test_the_number_of_threads_changes_no_bit():
    try:
        kernels.set_threads(2)
    except InputError:
        pytest.skip("there is one thread only")
    states, big = [], sample(64, side=18)  # large enough to be shared out
    for number in (2, 1):
        kernels.set_threads(number)
        model = nn.initialise(nn.ResNet((1, 18, 18), 3, depth=8))
        nn.fit(model, big, None, nn.Recipe(epochs=2, batch=32, augment=Augment(shift=1)))
        states.append(model.state_dict())
    assert_same(*states)


def test_two_trainings_in_turn_do_not_disturb_each_other():
    """Each model's epochs are run between the other's, from its state."""
    alone = [network(seed) for seed in (1, 2)]
    for model, seed in zip(alone, (1, 2), strict=True):
        nn.fit(model, TRAIN, None, replace(EVERYTHING, patience=None, epochs=2, seed=seed))
    first, second, done = network(1), network(2), []

    def between(progress):
        if progress.step == 3 and not done:  # a whole training in the middle of another's epoch
            done.append(True)
            nn.fit(second, TRAIN, None, replace(EVERYTHING, patience=None, epochs=2, seed=2))

    nn.fit(first, TRAIN, None, replace(EVERYTHING, patience=None, epochs=2, seed=1), report=between)
    assert done
    assert_same(alone[0].state_dict(), first.state_dict())
    assert_same(alone[1].state_dict(), second.state_dict())


def test_a_gradient_from_elsewhere_moves_nothing():
    """A parameter that the loss does not reach keeps what it is, whatever grad it came with."""

    class Half(nn.Module):
        def __init__(self):
            self.used, self.unused = network(), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    model = Half()
    before = model.unused.weight.data.copy()
    (model.unused(np.ones((2, 3), np.float32)) ** 2).sum().backward()
    assert model.unused.weight.grad is not None
    nn.fit(model, TRAIN, None, replace(RECIPE, epochs=1))
    np.testing.assert_array_equal(model.unused.weight.data, before)


def test_regression_from_a_source():
    class Line:
        def __len__(self):
            return 20

        def epoch(self, number):
            rng = np.random.default_rng(number)
            for _ in range(len(self)):
                x = rng.standard_normal((16, 2)).astype(np.float32)
                yield x, x @ np.array([[2.0], [-1.0]], np.float32) + 0.5

    model = nn.Linear(2, 1)
    held = next(Line().epoch(99))
    recipe = nn.Recipe(epochs=3, rate=0.1, momentum=0.0, decay=0.0)
    history = nn.fit(model, Line(), held, recipe, objective=nn.Regression())
    np.testing.assert_allclose(model.weight.data, [[2, -1]], atol=1e-2)
    assert history.score == "root mean squared error"
    assert history.last.valid_score < 0.02


# Going on


@pytest.mark.parametrize("recipe", [EVERYTHING, replace(EVERYTHING, optimiser="sgd", rate=0.1)])
@pytest.mark.parametrize("at", [1, 9, 17])
def test_a_killed_training_goes_on_to_the_same_bits(recipe, at, tmp_path):
    whole, parts, states = network(), network(), [tmp_path / "whole.npz", tmp_path / "parts.npz"]
    expected = nn.fit(whole, TRAIN, VALID, recipe, checkpoint=states[0])
    with pytest.raises(Stop):
        nn.fit(parts, TRAIN, VALID, recipe, checkpoint=states[1], report=Stopping(at))
    assert states[1].exists() == (at > 6)
    again = network()  # as a new process has it
    history = nn.fit(again, TRAIN, VALID, recipe, checkpoint=states[1])
    assert_same(whole.state_dict(), again.state_dict())
    assert_same(columns(expected), columns(history))
    assert (expected.best, expected.restored) == (history.best, history.restored)
    one, two = (checkpoint.np.load(path) for path in states)
    for name in one.files:
        if not name.endswith("seconds"):
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_training_that_is_done_is_not_done_again(tmp_path):
    model, state = network(), tmp_path / "state.npz"
    first = nn.fit(model, TRAIN, VALID, EVERYTHING, checkpoint=state)
    before, again, told = bytes_of(state), network(seed=9), []
    second = nn.fit(again, TRAIN, VALID, EVERYTHING, checkpoint=state, report=told.append)
    assert not told
    assert bytes_of(state) == before
    assert_same(model.state_dict(), again.state_dict())
    np.testing.assert_array_equal(first.column("seconds"), second.column("seconds"))
    assert (second.best, second.restored) == (first.best, first.restored)


def test_functions_and_sources_of_ones_own_go_on_too(tmp_path):
    """What has only an address in memory for a name is another object in another process."""

    class Own:
        def __len__(self):
            return 2

        def epoch(self, number):
            return iter(list(Batches(TRAIN, 16, seed=number).epoch(0))[:2])

    def given():
        return Own(), replace(RECIPE, schedule=lambda step, total: 1 - step / total)

    state, whole, parts = tmp_path / "state.npz", network(), network()
    source, recipe = given()
    nn.fit(whole, source, VALID, recipe)
    with pytest.raises(Stop):
        nn.fit(parts, source, VALID, recipe, checkpoint=state, report=Stopping(5))
    source, recipe = given()
    again = network()
    nn.fit(again, source, VALID, recipe, checkpoint=state)
    assert_same(whole.state_dict(), again.state_dict())


class Stateful(nn.Module):
    """A residual block or a plain one: the same arrays."""

    def __init__(self, skip):
        self.skip = skip
        self.conv, self.flatten, self.fc = nn.Conv2d(1, 1, 3, 1, 1), nn.Flatten(), nn.Linear(36, 3)

    def forward(self, x):
        y = self.conv(x)
        return self.fc(self.flatten(x + y if self.skip else y))


def other_pixels():
    images = TRAIN.images.copy()
    images[7, 0, 3, 3] = 0.5
    return replace(TRAIN, images=images)


OTHERS = {
    "width": {"model": network(width=5)},
    "skips": {"model": Stateful(False), "own": Stateful(True)},
    "dropout": {"model": network(dropout=0.4)},
    "frozen": {"model": nn.Sequential(network()[0].requires_grad(False), *network().layers[1:])},
    "seed": {"recipe": replace(EVERYTHING, seed=6)},
    "optimiser": {"recipe": replace(EVERYTHING, optimiser="adamw")},
    "schedule": {"recipe": replace(EVERYTHING, schedule=nn.Cosine(floor=0.1))},
    "augment": {"recipe": replace(EVERYTHING, augment=Augment(shift=1, rotate=11, flip=True))},
    "objective": {"objective": nn.Classification(0.3)},
    "pixels": {"train": other_pixels()},
    "labels": {"train": replace(TRAIN, labels=TRAIN.labels[::-1].copy())},
    "normalisation": {"train": replace(TRAIN, mean=(0.4,))},
    "another source": {"train": Batches(TRAIN, 24)},
}


@pytest.mark.parametrize("what", OTHERS)
def test_the_state_of_another_training_is_neither_used_nor_lost(what, tmp_path):
    state, other = tmp_path / "state.npz", dict(OTHERS[what])
    own = other.pop("own", network())
    model = other.pop("model", network())
    nn.fit(own, TRAIN, VALID, replace(EVERYTHING, epochs=1), checkpoint=state)
    before, weights = bytes_of(state), {n: a.copy() for n, a in model.state_dict().items()}
    train, recipe = other.pop("train", TRAIN), replace(other.pop("recipe", EVERYTHING), epochs=1)
    with pytest.raises(InputError, match=r"state\.npz.*(another|other).*\(in "):
        nn.fit(model, train, VALID, recipe, checkpoint=state, **other)
    assert bytes_of(state) == before
    assert_same(model.state_dict(), weights)
    assert list(tmp_path.iterdir()) == [state]


def test_a_damaged_state_is_one_clear_error_and_stays(tmp_path):
    state = tmp_path / "state.npz"
    recipe = replace(EVERYTHING, epochs=1)
    nn.fit(network(), TRAIN, VALID, recipe, checkpoint=state)
    good = bytes_of(state)
    rng = np.random.default_rng(0)
    damaged = {
        "empty": b"", "text": b"epoch,loss\n1,0.3\n", "garbage": rng.bytes(5000),
        "array": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'",
        **{f"cut at {n}": good[:n] for n in (1, 100, len(good) // 2, len(good) - 1)},
    }  # fmt: skip
    for number in range(120):  # bytes turned anywhere
        broken = bytearray(good)
        for at in rng.integers(len(good), size=3):
            broken[at] ^= int(rng.integers(1, 256))
        damaged[f"turned {number}"] = bytes(broken)
    refused = []
    for what, content in damaged.items():
        state.write_bytes(content)
        model = network(seed=4)
        weights = {n: a.copy() for n, a in model.state_dict().items()}
        try:
            nn.fit(model, TRAIN, VALID, recipe, checkpoint=state)
        except InputError as error:
            refused.append(str(error))
            assert_same(model.state_dict(), weights)
        else:  # a byte that nobody reads
            assert what.startswith("turned"), what
        assert bytes_of(state) == content, what
    assert all("state.npz" in said for said in refused)
    assert len(refused) > len(damaged) * 0.8


def test_a_state_with_a_part_missing_is_refused(tmp_path):
    state = tmp_path / "state.npz"
    nn.fit(network(), TRAIN, VALID, replace(EVERYTHING, epochs=1), checkpoint=state)
    arrays = dict(np.load(state))
    for name in ("history/loss", "best", "model/5.weight", "optimiser/mean/0.weight"):
        np.savez(state, **{key: array for key, array in arrays.items() if key != name})
        before = bytes_of(state)
        with pytest.raises(MiniCNNError):
            nn.fit(network(), TRAIN, VALID, replace(EVERYTHING, epochs=1), checkpoint=state)
        assert bytes_of(state) == before


def test_a_state_holds_plain_arrays_alone(tmp_path):
    state = tmp_path / "state.npz"
    nn.fit(network(), TRAIN, VALID, replace(EVERYTHING, epochs=1), checkpoint=state)
    with np.load(state, allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "iufU" for name in file.files)
    with zipfile.ZipFile(state) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())


def test_a_full_disk_leaves_the_last_good_state(tmp_path, monkeypatch):
    state, whole = tmp_path / "state.npz", network()
    nn.fit(whole, TRAIN, VALID, EVERYTHING)
    write, calls, good = np.savez_compressed, [], []

    def full(file, **arrays):
        calls.append(1)
        if len(calls) == 3:
            good.append(bytes_of(state))
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, **arrays)

    monkeypatch.setattr(checkpoint.np, "savez_compressed", full)
    with pytest.raises(OutputError, match="No space left"):
        nn.fit(network(), TRAIN, VALID, EVERYTHING, checkpoint=state)
    assert bytes_of(state) == good[0]
    assert list(tmp_path.iterdir()) == [state]
    monkeypatch.undo()
    again = network()
    history = nn.fit(again, TRAIN, VALID, EVERYTHING, checkpoint=state)
    assert len(history.epochs) == 4
    assert_same(whole.state_dict(), again.state_dict())


def test_a_state_that_cannot_be_written_is_said_before_the_work(tmp_path):
    told = []
    for path in (tmp_path / "nowhere" / "state.npz", tmp_path):
        with pytest.raises(OutputError):
            nn.fit(network(), TRAIN, VALID, RECIPE, checkpoint=path, report=told.append)
    assert not told


# Early stopping


def test_early_stopping_restores_the_best_weights(tmp_path):
    """Labels without meaning: what is held out gets worse as they are learned by heart."""
    rng = np.random.default_rng(0)
    noise = replace(TRAIN, labels=rng.integers(0, 3, len(TRAIN)))
    recipe = nn.Recipe(epochs=30, batch=16, optimiser="adam", rate=0.02, patience=3)
    model, seen = network(width=8, dropout=0.0), []

    def keep(model, epoch):
        seen.append({name: array.copy() for name, array in model.state_dict().items()})

    history = nn.fit(model, noise, VALID, recipe, on_epoch=keep, checkpoint=tmp_path / "s.npz")
    held = history.column("valid_loss")
    assert len(held) < 30
    assert history.best == held.argmin() + 1 == len(held) - 3
    assert history.restored
    assert_same(model.state_dict(), seen[history.best - 1])
    assert nn.evaluate(model, VALID).loss == held.min()
    again = network(width=8, dropout=0.0)  # the state knows that it stopped
    assert len(nn.fit(again, noise, VALID, recipe, checkpoint=tmp_path / "s.npz").epochs) == len(
        held
    )
    assert_same(model.state_dict(), again.state_dict())


def test_without_patience_the_last_weights_stay():
    seen = []
    model = network()
    history = nn.fit(model, TRAIN, VALID, RECIPE,
                     on_epoch=lambda m, e: seen.append(m[5].weight.data.copy()))  # fmt: skip
    assert not history.restored
    assert history.best == history.column("valid_loss").argmin() + 1
    np.testing.assert_array_equal(model[5].weight.data, seen[-1])


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
