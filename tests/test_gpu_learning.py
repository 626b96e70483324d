"""Training on a card: optimisers, modules, states that go on elsewhere, and the command."""

from dataclasses import replace

import numpy as np
import pytest
from test_gpu_cli import run

import minicnn
from minicnn import data, nn, studies
from minicnn.kernels import reference
from minicnn.kernels.gpu import learning
from minicnn.studies.dead_units import dead_units
from minicnn.studies.transfer import transfer


def small():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def test_a_card_learns_what_the_cpu_learns(cupy, tmp_path):
    train, test = data.read("digits").subset(slice(0, 256)), data.read("digits", "test")
    test = test.subset(slice(0, 64))
    host, card = small(), small().to("cuda")
    assert str(card.device) == "cuda:0"
    recipe = nn.Recipe(epochs=1, batch=128, rate=0.05, clip=1.0, seed=3)
    on_host = nn.fit(host, train, test, recipe)
    state = tmp_path / "state.npz"
    on_card = nn.fit(card, train, test, recipe, checkpoint=state)
    assert abs(on_host.last.loss - on_card.last.loss) < 1e-3 * on_host.last.loss
    assert abs(on_host.last.valid_loss - on_card.last.valid_loss) < 1e-3
    for name, array in host.state_dict().items():
        got = card.state_dict()[name].get()
        np.testing.assert_allclose(got, array, atol=1e-6 + 2e-3 * np.abs(array).max(), err_msg=name)
    again = small()  # a card's state is no card's own
    history = nn.fit(again, train, test, recipe, checkpoint=state)
    assert history.last.loss == on_card.last.loss
    net = card.network((1, 8, 8))
    net.save(tmp_path / "net.onnx")
    x = test.images[:5].astype(np.float32)
    np.testing.assert_allclose(minicnn.load(tmp_path / "net.onnx")(x), net(x), atol=1e-4)
    assert str(card.to("cpu").device) == "cpu"


def test_the_command(cupy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def few(name, part, size):
        return data.read(name, part).subset(slice(0, 128))

    monkeypatch.setattr("minicnn.cli.train.read", few)
    said = run("train", "lenet", "--data", "digits", "--epochs", "1", "--batch", "64",
               "--device", "cuda:0")  # fmt: skip
    assert "test accuracy" in said
    assert (tmp_path / "lenet.onnx").exists()


# Optimisers, run on the CPU from the card's source, against the reference

SGD = [
    {"rate": 0.1}, {"rate": 0.1, "decay": 0.01}, {"rate": 0.1, "momentum": 0.9},
    {"rate": 0.1, "momentum": 0.9, "dampening": 0.1, "decay": 0.01},
    {"rate": 0.1, "momentum": 0.9, "nesterov": True},
]  # fmt: skip
ADAM = [
    {}, {"rate": 0.01, "decay": 0.1}, {"rate": 0.01, "betas": (0.8, 0.99), "epsilon": 1e-3},
    {"rate": np.float64(0.01), "decay": 0.1, "decoupled": True},
]  # fmt: skip
PLACES = {  # which part of arrays (8, 131) is learnt
    "one number": np.s_[:1, :1], "aligned": np.s_[4:], "crooked": np.s_[1:], "few": np.s_[4, :3],
    "every second": np.s_[:, ::2], "columns": np.s_[:, 1:9],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_optimisers_in_place(cupy, rng, place, dtype):
    tolerance = {"rtol": 2e-6, "atol": 1e-7} if dtype == np.float32 else {"rtol": 1e-13}
    gradients = rng.standard_normal((3, 8, 131)).astype(dtype)
    start = [rng.standard_normal((8, 131)).astype(dtype), *np.zeros((2, 8, 131), dtype)]
    for settings in (*SGD, *ADAM):
        host, card = [a.copy() for a in start], [cupy.array(a) for a in start]
        name, states = ("sgd", int("momentum" in settings)) if settings in SGD else ("adam", 2)
        for step, gradient in enumerate(gradients, 1):
            more = (step,) if name == "adam" else ()
            for module, arrays, given in (
                (reference, host, gradient),
                (learning, card, cupy.array(gradient)),
            ):
                w, *rest = (a[place] for a in arrays[: 1 + states])
                getattr(module, name)(w, given[place], *rest, *more, **settings)
        for got, wanted in zip(card, host):  # the rest of each array stays as it was
            np.testing.assert_allclose(got.get(), wanted, **tolerance, err_msg=str(settings))


def test_adam_keeps_the_digits_of_its_settings(cupy, rng):
    gradient = rng.standard_normal(50).astype(np.float32)
    w, mean, square = (cupy.array(np.zeros(50, np.float32)) for _ in range(3))
    learning.adam(w, cupy.array(gradient), mean, square, 1)
    np.testing.assert_allclose(mean.get(), 0.1 * gradient.astype(float), rtol=3e-7)
    np.testing.assert_allclose(square.get(), 0.001 * gradient.astype(float) ** 2, rtol=3e-7)


def test_turned_filters_and_nan_are_learnt_as_the_reference_has_it(cupy, rng):
    w, gradient = rng.standard_normal((2, 4, 3, 3, 2)).transpose(0, 4, 1, 2, 3)
    gradient[0, 0, 0, 0] = np.nan
    there = cupy.array(np.ascontiguousarray(w.transpose(1, 2, 3, 0))).transpose(3, 0, 1, 2)
    learning.sgd(there, cupy.array(gradient), rate=0.1)
    reference.sgd(w, gradient, rate=0.1)
    np.testing.assert_allclose(there.get(), w, rtol=1e-13)
    straight = cupy.array(np.zeros(w.shape))
    learning.sgd(straight, cupy.array(gradient), rate=0.1)
    np.testing.assert_allclose(straight.get(), -0.1 * gradient, rtol=1e-13)


def test_studies_learn_on_a_card(cupy):
    train, test = data.read("digits").balanced(12, 0), data.read("digits", "test").balanced(3, 0)
    setup = studies.Setup(train, test, epochs=1, device="cuda:0")
    host = replace(setup, device="cpu")
    losses = [dead_units(one, rates=(0.02,)).arrays["train_loss"] for one in (setup, host)]
    np.testing.assert_allclose(*losses, rtol=2e-3)
    found = transfer(setup, repeats=1, sizes=(1,), steps=2)
    np.testing.assert_allclose(
        found.arrays["accuracy"], transfer(host, 1, (1,), 2).arrays["accuracy"], atol=0.15
    )


def test_states_travel_between_devices(cupy):
    host, card = small(), small().to("cuda:0")
    changed = {name: array + 1 for name, array in host.state_dict().items()}
    card.load_state_dict(changed)
    other = small().to("cuda:0")
    other.load_state_dict(card.state_dict())
    host.load_state_dict(other.state_dict())
    for name, array in host.state_dict().items():
        np.testing.assert_array_equal(array, changed[name])


def test_early_stopping_restores_on_a_card(cupy):
    train = data.read("digits").balanced(6, 0)
    learned, held = train.split(0.5, 0)
    recipe = nn.Recipe(epochs=3, batch=8, rate=0.5, patience=1)
    model = small().to("cuda:0")
    history = nn.fit(model, learned, held, recipe)
    assert history.restored
    best = history.epochs[history.best - 1]
    assert abs(nn.evaluate(model, held).loss - best.valid_loss) < 1e-3
