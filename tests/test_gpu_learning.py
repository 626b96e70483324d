"""Training on a card: modules, states that go on elsewhere, and the command."""

import numpy as np
from test_gpu_cli import run

import minicnn
from minicnn import data, nn


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
