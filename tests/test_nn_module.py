"""Module: paths, state, modes, sharing, `around`, and the graph that it becomes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from minicnn import functional as F
from minicnn import nn
from minicnn.errors import InputError, ShapeError, UnknownNameError
from minicnn.tensor import Tensor


class Block(nn.Module):
    """Everything that a module may hold."""

    def __init__(self):
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.branches = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)]
        self.pair = (nn.ReLU(), nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)))
        self.gain = Tensor(np.ones(1, np.float32), requires_grad=True)
        self.offset = np.zeros(1, np.float32)
        self.nothing = None

    def forward(self, x):
        x = self.norm(self.stem(x))
        x = self.pair[0](x + self.branches[0](x) * self.gain + self.branches[1](x))
        return self.pair[1](x)


NAMES = [
    "gain", "stem.weight", "stem.bias", "norm.weight", "norm.bias", "branches.0.weight",
    "branches.0.bias", "branches.1.weight", "branches.1.bias", "pair.1.2.weight", "pair.1.2.bias",
]  # fmt: skip


@pytest.fixture
def model():
    return nn.initialise(Block(), seed=1)


def random_images(count, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def copied(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


def assert_states_equal(one, two):
    assert list(one) == list(two)
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])


def test_paths_of_parameters_buffers_and_modules(model):
    assert list(model.named_parameters()) == NAMES
    assert list(model.named_buffers()) == ["offset", "norm.running_mean", "norm.running_var"]
    assert set(model.state_dict()) == {*NAMES, *model.named_buffers()}
    assert list(model.children()) == ["stem", "norm", "branches.0", "branches.1", "pair.0",
                                      "pair.1"]  # fmt: skip
    paths = [path for path, _ in model.named_modules()]
    assert paths == ["", *list(model.children())[:6], "pair.1.0", "pair.1.1", "pair.1.2"]
    assert model.size == sum(t.data.size for t in model.parameters()) == 412
    assert repr(model) == "<Block: 412 parameters>"


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_a_state_is_copied_in_and_gives_the_same_outputs(model):
    x, other = random_images(5, 1, 4, 4), nn.initialise(Block(), seed=2)
    assert (other.eval()(Tensor(x)).data != model.eval()(Tensor(x)).data).any()
    held = other.stem.weight
    other.load_state_dict(model.state_dict())
    assert other.stem.weight is held  # so that an optimiser's tensors are still the model's
    assert not np.shares_memory(held.data, model.stem.weight.data)
    assert_states_equal(other.state_dict(), model.state_dict())
    np.testing.assert_array_equal(other(Tensor(x)).data, model(Tensor(x)).data)


def test_a_state_that_does_not_fit_changes_nothing(model):
    before = copied(model)
    other = {name: array + 1 for name, array in before.items()}
    lacking = {name: array for name, array in other.items() if name != "pair.1.2.bias"}
    wrong = {**other, "pair.1.2.bias": np.zeros(4, np.float32)}
    for state, error, said in [
        (lacking, UnknownNameError, r"lacks 'pair\.1\.2\.bias'"),
        ({**other, "steam.weight": np.zeros(1)}, UnknownNameError, r"stem\.weight"),
        (wrong, ShapeError, r"\(4,\); Block needs \(3,\)"),
        ({}, UnknownNameError, "lacks"),
    ]:
        with pytest.raises(error, match=said):
            model.load_state_dict(state)
        assert_states_equal(copied(model), before)


def test_modes_reach_every_module(model):
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())
    assert Block.training  # the class's own value is not touched


def test_train_and_eval_differ_where_they_should(model):
    x = Tensor(random_images(6, 1, 4, 4))
    still = copied(model)
    model.eval()
    once, twice = model(x).data, model(x).data
    np.testing.assert_array_equal(once, twice)
    assert_states_equal(copied(model), still)
    model.train()
    assert (model(x).data != model(x).data).any()  # dropout goes on drawing
    assert (model.norm.running_mean != still["norm.running_mean"]).any()


def test_freezing_keeps_the_arrays_and_stops_their_learning(model):
    arrays = {name: t.data for name, t in model.named_parameters().items()}
    assert model.stem.requires_grad(False) is model.stem
    assert model.stem.requires_grad() is model.stem
    model.stem.requires_grad(False)
    assert [n for n, t in model.named_parameters().items() if not t.requires_grad] == NAMES[1:3]
    for name, tensor in model.named_parameters().items():
        assert tensor.data is arrays[name]
    optimiser = nn.SGD(model.named_parameters(), rate=0.1, decay=0.1)
    before = copied(model)
    F.cross_entropy(model(Tensor(random_images(4, 1, 4, 4))), [0, 1, 2, 0]).backward()
    optimiser.step()
    moved = {n for n, a in model.state_dict().items() if (a != before[n]).any()}
    assert moved == {"gain", *NAMES[3:], "norm.running_mean", "norm.running_var"}
    model.requires_grad(False)
    assert not any(t.requires_grad for t in model.parameters())


def test_reseeding_starts_every_stream_anew(model):
    double = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    ones = Tensor(np.ones((1, 400), np.float32))

    def masks(*seed):
        double.reseed(*seed)
        return double[0](ones).data, double[1](ones).data

    for again, first in zip(masks(3, 1), masks(3, 1), strict=True):
        np.testing.assert_array_equal(again, first)
    one, two = masks(3, 1)
    assert (one != two).any()  # two layers, two streams
    assert (masks(3, 2)[0] != one).any()
    assert (masks(4, 1)[0] != one).any()


class Shared(nn.Module):
    """One layer called twice, and one weight that two layers have."""

    def __init__(self):
        self.layer = nn.Linear(6, 6)
        self.again = self.layer
        self.act = nn.ReLU()
        self.tied = nn.Linear(6, 6, bias=False)
        self.tied.weight = self.layer.weight

    def forward(self, x):
        return self.tied(self.act(self.again(self.act(self.layer(x)))))


def test_what_is_shared_is_one_parameter_with_one_step():
    model, x = Shared(), Tensor(random_images(3, 6))
    assert list(model.named_parameters()) == ["layer.weight", "layer.bias"]
    assert model.size == 42
    optimiser = nn.SGD(model.named_parameters(), rate=0.1)
    before = model.layer.weight.data.copy()
    (model(x) ** 2).sum().backward()
    gradient = model.layer.weight.grad.data.copy()
    epsilon, direction = 1e-2, np.random.default_rng(5).standard_normal((6, 6)).astype(np.float32)
    ends = []
    for sign in (1, -1):
        model.layer.weight.data[...] = before + sign * epsilon * direction
        ends.append((model(x) ** 2).sum().item())
    model.layer.weight.data[...] = before
    slope = (ends[0] - ends[1]) / (2 * epsilon)
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=0.02)  # all three uses
    optimiser.step()
    np.testing.assert_allclose(model.layer.weight.data, before - 0.1 * gradient, rtol=1e-5)
    assert model.requires_grad().tied.weight is model.layer.weight


def test_what_is_shared_is_one_array_of_the_network():
    model, x = Shared().eval(), random_images(3, 6)
    network = model.network((6,))
    np.testing.assert_allclose(network(x), model(Tensor(x)).data, rtol=1e-5, atol=1e-6)
    assert len(set(network.layers)) == len(network.layers)
    assert set(network.arrays) == {"layer.weight", "layer.bias"}


def test_the_networks_layers_are_named_by_the_modules(model):
    network = model.network((1, 4, 4), name="block", labels=["a", "b", "c"])
    assert network.name == "block"
    for name in ("stem", "norm", "branches.0", "branches.1", "pair.0", "pair.1.1", "pair.1.2"):
        assert name in network.layers
    assert not any("Dropout" in name or name == "pair.1.0" for name in network.layers)
    assert network.class_name(2) == "c"
    assert model.training
    assert all(module.training for module in model.modules())


def test_the_networks_arrays_are_copies(model):
    network, x = model.network((1, 4, 4)), random_images(2, 1, 4, 4)
    before = network(x).copy()
    for array in model.state_dict().values():
        assert not any(np.shares_memory(array, own) for own in network.arrays.values())
        array[...] = 3
    np.testing.assert_array_equal(network(x), before)


def test_tracing_gives_every_module_its_own_mode_back(model):
    model.train()
    model.norm.training = False  # as when statistics are frozen for fine-tuning
    model.network((1, 4, 4))
    assert not model.norm.training
    assert model.stem.training
    with pytest.raises(ShapeError):
        model.network((2, 4, 4))
    assert not model.norm.training
    assert model.stem.training


def test_softmax_follows_if_asked(model):
    x = random_images(4, 1, 4, 4)
    scores = model.eval()(Tensor(x)).data
    y = model.network((1, 4, 4), softmax=True)(x)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    expected = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(y, expected / expected.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_around_sees_every_call_and_only_within():
    model, seen = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), []

    def watch(module, inputs):
        y = module.forward(*inputs)
        seen.append(type(module).__name__)
        return y * 2 if isinstance(module, nn.Linear) else y

    x = Tensor(random_images(2, 3))
    plain = model(x).data
    with nn.around(watch):
        np.testing.assert_allclose(model(x).data, 2 * plain, rtol=1e-6)
    assert seen == ["Linear", "ReLU", "Sequential"]
    model(x)
    assert len(seen) == 3
    with pytest.raises(ZeroDivisionError), nn.around(lambda module, inputs: 1 / 0):
        model(x)
    np.testing.assert_array_equal(model(x).data, plain)


def test_a_model_without_parameters_and_an_empty_one():
    assert nn.Sequential(nn.ReLU(), nn.Flatten()).size == 0
    x = random_images(2, 3, 4, 4)
    net = nn.Sequential(nn.ReLU(), nn.Sequential(), nn.Dropout(0.3), nn.Flatten()).network(
        (3, 4, 4)
    )
    np.testing.assert_array_equal(net(x), np.maximum(x, 0).reshape(2, -1))


def test_models_are_freed():
    """No cycle keeps what a training step made: memory does not wait for the collector."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    loss = F.cross_entropy(model(Tensor(random_images(2, 4))), [0, 1])
    loss.backward()
    held = [weakref.ref(module) for module in model.modules()]
    held += [weakref.ref(tensor) for tensor in (*model.parameters(), loss)]
    gc.disable()
    try:
        del model, loss
        assert [reference() for reference in held] == [None] * 6
    finally:
        gc.enable()


def test_modules_in_dicts_count_and_sequential_takes_modules_only():
    model = nn.Module()
    model.branches = {"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)}
    assert list(model.named_parameters()) == [
        "branches.a.weight", "branches.a.bias", "branches.b.weight", "branches.b.bias",
    ]  # fmt: skip
    with pytest.raises(InputError, match="number 0 is a list"):
        nn.Sequential([nn.Linear(8, 8)])


def test_a_model_lists_its_parts():
    lines = str(nn.build("lenet", (1, 28, 28), 10)).splitlines()
    assert lines[0] == "<LeNet: 215,370 parameters>"
    assert [line.split() for line in lines if "conv1" in line] == [["conv1", "Conv2d", "416"]]
    assert len(lines) == 12
    assert str(nn.ReLU()) == "<ReLU: 0 parameters>"


def test_names_of_torch_are_answered():
    with pytest.raises(AttributeError, match="a list or tuple of modules"):
        _ = nn.ModuleList
    with pytest.raises(AttributeError, match="Did you mean Linear"):
        _ = nn.Linera
    assert not hasattr(nn, "__wrapped__")


def test_zero_grad_forgets():
    layer = nn.Linear(2, 1)
    optimiser = nn.SGD(layer.named_parameters(), rate=0.1)
    for _ in range(2):
        layer(Tensor(np.ones((1, 2), np.float32))).sum().backward()
        assert layer.weight.grad.data.tolist() == [[1, 1]]
        optimiser.zero_grad()
        assert layer.weight.grad is None


def test_a_forward_that_looks_at_values_is_told_so():
    class Looking(nn.Module):
        def forward(self, x):
            return x * float(x.numpy().max())

    with pytest.raises(AttributeError, match="must not look at values"):
        Looking().network((3,))
