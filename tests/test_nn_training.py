"""Training: learns, goes on from its state bit for bit, and stops early."""

from __future__ import annotations

import errno
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from training_cases import (
    EVERYTHING,
    RECIPE,
    TRAIN,
    VALID,
    Stop,
    Stopping,
    assert_same,
    bytes_of,
    columns,
    network,
    one_thread,  # noqa: F401  (a fixture for every test here)
    sample,
)

from minicnn import checkpoint, kernels, nn
from minicnn import functional as F
from minicnn.data import Augment, Batches, read
from minicnn.errors import (
    InputError,
    MiniCNNError,
    OutputError,
    ShapeError,
    UnknownNameError,
)
from minicnn.tensor import Tensor

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
    before, again, told = bytes_of(state), network(), []
    second = nn.fit(again, TRAIN, VALID, EVERYTHING, checkpoint=state, report=told.append)
    assert not told
    assert bytes_of(state) == before
    assert_same(model.state_dict(), again.state_dict())
    np.testing.assert_array_equal(first.column("seconds"), second.column("seconds"))
    assert (second.best, second.restored) == (first.best, first.restored)
    with pytest.raises(InputError, match="in model"):  # one that started elsewhere
        nn.fit(network(seed=9), TRAIN, VALID, EVERYTHING, checkpoint=state)


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


def test_pairs_of_arrays_are_learned_as_the_same_data_set_is():
    train = read("digits")
    recipe, models = nn.Recipe(epochs=1, batch=32, rate=0.05), []
    for source in (train, (train.array(), train.labels)):
        model = nn.initialise(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
        nn.fit(model, source, None, recipe)
        models.append(model)
    for a, b in zip(*(m.state_dict().values() for m in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_cannot_be_learned_from_is_named():
    model = nn.Linear(2, 2)
    with pytest.raises(InputError, match="pair"):
        nn.fit(model, np.zeros((3, 2), np.float32))
    with pytest.raises(ShapeError, match="3 samples need as many targets"):
        nn.fit(model, (np.zeros((3, 2), np.float32), np.zeros(2, int)))
    with pytest.raises(UnknownNameError, match="Did you mean adam"):
        nn.Recipe(optimiser="adamm")


def test_a_state_of_other_arrays_is_refused(tmp_path, rng):
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 2, 40)
    recipe, state = nn.Recipe(epochs=1, batch=10), tmp_path / "state.npz"
    for pair, refused in (((x, y), False), ((x, 1 - y), True), ((x[::-1], y), True)):
        model = nn.initialise(nn.Sequential(nn.Linear(5, 2)))
        if not refused:
            nn.fit(model, pair, pair, recipe, checkpoint=state)  # float64 is brought to float32
            continue
        with pytest.raises(InputError, match="in data"):
            nn.fit(model, pair, (x, y), recipe, checkpoint=state)
    with pytest.raises(InputError, match="augment"):
        nn.fit(model, (x, y), None, nn.Recipe(augment=Augment(flip=True)))
    with pytest.raises(ShapeError, match="arrays"):
        nn.fit(model, (3, 4))


def test_scores_with_axes_of_length_one_are_learned_too(rng):
    model = nn.initialise(nn.Sequential(nn.Conv2d(1, 3, 3), nn.GlobalAvgPool2d()))
    history = nn.fit(model, TRAIN, VALID, nn.Recipe(epochs=1, batch=16))
    assert np.isfinite(history.last.valid_loss)
    assert "epoch 1/1, step 6/6" in str(told(TRAIN))


def told(data):
    lines = []
    model = nn.initialise(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))
    nn.fit(model, data, None, nn.Recipe(epochs=1, batch=16), report=lambda p: lines.append(str(p)))
    return lines[-1]
