"""What the package carries is what it says it is: accuracies of the files on test images."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import nn
from minicnn.blocks import BatchNorm
from minicnn.data import bundled_model, bundled_models, bundled_pictures, read


def test_every_bundled_network_says_what_it_is():
    assert [path.stem for path in bundled_models()] == ["cifar10", "lenet", "mnist"]
    for path in bundled_models():
        net = minicnn.load(path)
        assert len(net.labels) == 10
        assert re.match(r"0\.\d{4} on ", net.metadata["minicnn.accuracy"])
        assert "--seed" in net.metadata["minicnn.training"]
        assert not any(isinstance(node.block, BatchNorm) for node in net.nodes)
        assert path.stat().st_size < 6e6


def test_the_pictures_are_what_their_names_say():
    net = minicnn.load("cifar10")
    assert len(bundled_pictures()) >= 5
    for path in bundled_pictures():
        scores = net(minicnn.data.photo(path, net.preprocess))
        assert net.class_name(int(scores.argmax())) == path.stem.removeprefix("cifar_")


def measured(name, data):
    net = minicnn.load(bundled_model(name))
    share = nn.evaluate(net, read(data, "test")).score
    said = float(net.metadata["minicnn.accuracy"].split()[0])
    assert share == pytest.approx(said, abs=3e-4)  # rounding moves a picture or two
    return share


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "lenet"])
def test_digits_are_read_right_in_992_of_1000(name):
    assert measured(name, shared("mnist")) >= 0.992


@pytest.mark.slow
def test_cifar_pictures_are_named_right_in_9_of_10():
    folder = Path(os.environ.get("MINICNN_CIFAR10", "cifar-10-batches-bin"))
    if not folder.exists():
        pytest.skip(f"needs CIFAR-10 in {folder}; MINICNN_CIFAR10 names its folder")
    assert measured("cifar10", folder) >= 0.90
    assert np.isfinite(minicnn.load("cifar10").params["fc.weight"]).all()
