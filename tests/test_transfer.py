"""Transfer: pretrained networks as modules, and the study of halves."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import data, nn
from minicnn.errors import InputError, UnknownNameError
from minicnn.figures import study_figure
from minicnn.studies import Setup
from minicnn.studies.transfer import WAYS, halves, recycled, transfer
from minicnn.tensor import Tensor


@pytest.fixture
def net():
    return minicnn.load("mnist").drop_softmax()


def test_a_pretrained_module_computes_what_the_network_does(net, rng):
    module = nn.Pretrained(net)
    x = rng.random((3, 1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(module(Tensor(x)).data, net(x), rtol=1e-4, atol=1e-4)
    again = module.network((1, 28, 28))
    np.testing.assert_allclose(again(x), net(x), rtol=1e-4, atol=1e-4)
    assert sorted(module.named_parameters()) == sorted(net.params)
    module.named_parameters()["conv1.weight"].data[...] = 0
    assert (net.params["conv1.weight"] != 0).any()


def test_frozen_parameters_do_not_learn(net):
    digits = data.read("digits")
    x = np.zeros((64, 1, 28, 28), np.float32)
    x[:, :, 10:18, 10:18] = digits.array(slice(0, 64))
    features = nn.Pretrained(net.cut(outputs="pool2"), frozen=["conv1", "conv2.weight"])
    model = nn.Sequential(features, nn.Flatten(), nn.Linear(64 * 49, 10))
    before = {name: array.copy() for name, array in model.state_dict().items()}

    class Source:
        def __len__(self):
            return 1

        def epoch(self, number):
            yield x, digits.labels[:64]

    nn.fit(model, Source(), None, nn.Recipe(epochs=2, rate=0.01))
    moved = {n for n, a in model.state_dict().items() if (a != before[n]).any()}
    frozen = {"0.conv1.weight", "0.conv1.bias", "0.conv2.weight"}
    assert moved == set(before) - frozen
    held = nn.Pretrained(net, frozen=True)
    assert not any(tensor.requires_grad for tensor in held.parameters())
    assert all(tensor.requires_grad for tensor in held.requires_grad().parameters())


def test_what_cannot_be_wrapped(net):
    with pytest.raises(UnknownNameError, match="conv9"):
        nn.Pretrained(net, frozen=["conv9"])
    two = net.cut(outputs=["pool1", "pool2"])
    with pytest.raises(InputError, match="2 outputs"):
        nn.Pretrained(two)


def test_halves_share_no_class():
    first, second = halves(data.read("digits"))
    assert first.classes == ("0", "1", "2", "3", "4")
    assert second.classes == ("5", "6", "7", "8", "9")
    assert set(second.labels) == set(range(5))
    assert len(first) + len(second) == 1438


def test_the_study():
    setup = Setup(data.read("digits"), data.read("digits", "test"), epochs=5)
    found = transfer(setup, repeats=2, sizes=(1, 20), steps=40)
    accuracy = found.arrays["accuracy"]
    assert accuracy.shape == (len(WAYS), 2, 2)
    assert (accuracy > 0.2).all()
    means = dict(zip(WAYS, accuracy.mean(axis=2), strict=True))
    few, test = (halves(one)[1] for one in (setup.train, setup.test))
    assert accuracy[0, 1, 1] == recycled(None, few.balanced(20, 1), test)
    for way in WAYS:
        assert means[way][1] > max(means[way][0] + 0.05, 0.8), way
    assert study_figure(found).axes


def test_any_network_can_be_recycled(net):
    digits = data.read("digits")
    far = np.zeros((len(digits), 1, 28, 28), np.uint8)
    far[:, :, 6:22, 6:22] = (255 * digits.images).astype(np.uint8).repeat(2, 2).repeat(2, 3)
    large = data.Dataset(far, digits.labels, digits.classes, "large", (0.0,), (1.0,))
    few, test = large.balanced(5, seed=0), large.subset(slice(0, 200))
    assert recycled(net.cut(outputs="pool2"), few, test) > recycled(None, few, test)


def test_transfer_needs_classes_to_split():
    digits = data.read("digits")
    few = digits.subset(digits.labels < 3)
    few = data.Dataset(few.images, few.labels, ("0", "1", "2"), "few", few.mean, few.std)
    with pytest.raises(InputError, match="needs 4"):
        transfer(Setup(few, few))
