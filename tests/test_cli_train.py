"""minicnn train as users run it: files written, going on, and what it says to bad input."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import minicnn
from minicnn import nn
from minicnn.checkpoint import Checkpoint
from minicnn.cli.app import app
from minicnn.data import read
from minicnn.errors import InputError, MiniCNNError, OutputError, ShapeError
from minicnn.nn import training

WORDS = ["--data", "digits", "--batch", "64", "--augment", "shift=1", "--epochs"]


def run(*words):
    return CliRunner().invoke(app, ["train", "lenet", *WORDS, *words])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_writes_network_curves_and_numbers(folder):
    done = run("2")
    assert done.exit_code == 0, done.output
    net = minicnn.load(folder / "lenet.onnx")
    said = float(re.search(r"test accuracy ([\d.]+)%", done.output)[1]) / 100
    test = read("digits", "test")
    assert nn.evaluate(net, test).score == pytest.approx(said, abs=5e-5)
    assert json.loads(net.metadata["minicnn.labels"]) == [str(i) for i in range(10)]
    assert "minicnn" in net.metadata["minicnn.training"]
    assert net.preprocess.mean == test.mean
    with (folder / "lenet.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == [1, 2]
    assert (folder / "lenet.png").stat().st_size > 10_000


def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(folder, monkeypatch):
    assert run("3", "--out", "whole.onnx").exit_code == 0
    step, count = training._Run.step, []

    def interrupted(self, *given):
        count.append(1)
        if len(count) == 30:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(training._Run, "step", interrupted)
    stopped = run("3", "--out", "parts.onnx")
    assert stopped.exit_code == 130
    assert "--resume" in stopped.output + (stopped.stderr or "")
    assert not (folder / "parts.onnx").exists()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert run("3", "--out", "parts.onnx", "--resume").exit_code == 0
    whole, parts = (np.load(f"{n}.state.npz") for n in ("whole", "parts"))
    names = [n for n in whole.files if "seconds" not in n and n != "checkpoint"]
    assert names
    for name in names:
        np.testing.assert_array_equal(whole[name], parts[name])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1", "--resume"], "no state"),
        (["1", "--augment", "twist=3"], "twist"),
        (["1", "--optimiser", "sdg"], "sgd"),
        (["1", "--schedule", "cosin"], "cosine"),
        (["1", "--data", "nowhere"], "no data"),
        (["1", "--out", "net.pt"], ".onnx"),
        (["1", "--init", "he"], "he_normal"),
        (["1", "--patience", "2", "--held", "1.5"], "share"),
        (["1", "--rate", "-1"], "rate"),
        (["1", "--held", "-0.3"], "--held -0.3"),
        (["1", "--held", "nan"], "--held nan"),
    ],
)
def test_bad_input_gets_one_clear_error_and_writes_nothing(folder, words, said):
    done = run(*words)
    assert done.exit_code != 0
    assert isinstance(done.exception, MiniCNNError)
    assert said in str(done.exception)
    assert list(folder.iterdir()) == []


def test_the_state_of_another_run_is_neither_used_nor_lost(folder):
    assert run("1").exit_code == 0
    before = (folder / "lenet.state.npz").read_bytes()
    again, other = run("1"), run("1", "--resume", "--seed", "5")
    drawn = run("1", "--resume", "--init", "orthogonal")
    assert isinstance(drawn.exception, InputError)
    assert isinstance(again.exception, InputError)
    assert "--resume" in str(again.exception)
    assert isinstance(other.exception, InputError)
    assert (folder / "lenet.state.npz").read_bytes() == before


def test_patience_holds_samples_out(folder):
    done = run("6", "--patience", "1", "--rate", "0.2")
    assert done.exit_code == 0, done.output
    assert "held out" in done.output
    assert re.search(r"Stopped after epoch \d: .*; the weights of epoch \d are kept", done.output)
    done = run("2", "--patience", "5", "--out", "patient.onnx")
    assert "All 2 epochs were done" in done.output


def test_images_that_do_not_fit_are_refused_before_an_epoch(folder):
    done = CliRunner().invoke(app, ["train", "vgg", "--data", "digits", "--epochs", "1"])
    assert isinstance(done.exception, ShapeError)
    assert "vgg does not take images of 1x8x8: MaxPool" in str(done.exception)
    train, test = read("digits"), read("digits", "test")
    test = replace(test, images=test.images[:, :, 1:])
    with pytest.raises(ShapeError, match=re.escape("(1, 7, 8), which the model does not take")):
        nn.fit(nn.build("lenet", (1, 8, 8), 10), train, test, checkpoint=folder / "state.npz")
    other = replace(train, classes=train.classes[::-1])
    with pytest.raises(InputError, match="classes differ"):
        nn.fit(nn.build("lenet", (1, 8, 8), 10), train, other)
    wide = nn.build("resnet20", (1, 8, 8), 10)  # whose mean of all pixels takes any size
    training.check_held(wide, train, replace(train, images=train.images.repeat(2, 2)))
    assert list(folder.iterdir()) == []


def test_a_full_disk_says_how_to_go_on(folder, monkeypatch):
    write = Checkpoint.write

    def full(self, arrays):
        if folder.joinpath("lenet.state.npz").exists():
            raise OutputError("Cannot write lenet.state.npz: No space left on device.")
        write(self, arrays)

    monkeypatch.setattr(Checkpoint, "write", full)
    monkeypatch.setattr("sys.argv", ["minicnn", "train", "lenet", *WORDS, "3"])
    done = run("3")
    assert isinstance(done.exception, OutputError)
    assert "No space left" in str(done.exception)
    assert str(done.exception).endswith("--epochs 3 --resume")
