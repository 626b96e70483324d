"""Optimisers: every step against the definition by hand and against torch, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import functional as F
from minicnn import nn
from minicnn.errors import InputError
from minicnn.tensor import Tensor

STEPS = 6

SGD_SETTINGS = [
    {},
    {"decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "decay": 0.05},
    {"momentum": 0.8, "dampening": 0.3},
    {"momentum": 0.8, "dampening": 0.3, "decay": 0.02},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "decay": 0.05},
]
ADAM_SETTINGS = [
    {},
    {"decay": 0.1},
    {"betas": (0.5, 0.9)},
    {"betas": (0.0, 0.99), "epsilon": 1e-4},
    {"betas": (0.8, 0.95), "epsilon": 1e-3, "decay": 0.3},
]
CASES = [
    *((nn.SGD, settings) for settings in SGD_SETTINGS),
    *((nn.Adam, settings) for settings in ADAM_SETTINGS),
    *((nn.AdamW, settings) for settings in ADAM_SETTINGS),
]


def start(seed=0, shapes=((3, 4), (5,), (2, 3, 2, 2))):
    """Weights, and gradients of every step, float32."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    gradients = [
        [rng.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(STEPS)
    ]
    return weights, gradients


def moved(kind, weights, gradients, factors=None, **settings):
    """The weights after all steps."""
    tensors = [Tensor(w.copy(), requires_grad=True) for w in weights]
    optimiser = kind(tensors, **settings)
    for number, step in enumerate(gradients):
        for tensor, gradient in zip(tensors, step, strict=True):
            tensor.grad = Tensor(gradient.copy())
        optimiser.step(1.0 if factors is None else factors[number])
    return [tensor.data for tensor in tensors]


def by_hand(kind, w, gradients, rates, **settings):
    """The definition on one weight, float64, as torch's documentation writes it."""
    w, decay = w.astype(np.float64), settings.get("decay", 0.0)
    momentum, dampening = settings.get("momentum", 0.0), settings.get("dampening", 0.0)
    first, second = settings.get("betas", (0.9, 0.999))
    velocity, m, v = None, np.zeros_like(w), np.zeros_like(w)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        g = g.astype(np.float64)
        if kind is nn.AdamW:
            w = w - rate * decay * w
        else:
            g = g + decay * w
        if kind is nn.SGD:
            if momentum:
                velocity = g if velocity is None else momentum * velocity + (1 - dampening) * g
                g = g + momentum * velocity if settings.get("nesterov") else velocity
            w = w - rate * g
        else:
            m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
            root = np.sqrt(v / (1 - second**t)) + settings.get("epsilon", 1e-8)
            w = w - rate * m / (1 - first**t) / root
    return w


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_steps_are_the_definition(kind, settings):
    weights, gradients = start()
    factors = [1.0, 0.5, 2.0, 0.0, 1.0, 0.25]
    found = moved(kind, weights, gradients, factors, rate=0.03, **settings)
    for i, (w, y) in enumerate(zip(weights, found, strict=True)):
        each = [step[i] for step in gradients]
        expected = by_hand(kind, w, each, [0.03 * f for f in factors], **settings)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_steps_are_torchs(kind, settings):
    torch = pytest.importorskip("torch")
    names = {"decay": "weight_decay", "epsilon": "eps", "rate": "lr"}
    weights, gradients = start(1)
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    own = {"rate": 0.02, "decay": 0.0, **settings}  # torch's AdamW decays by default
    optimiser = getattr(torch.optim, kind.__name__)(
        tensors, **{names.get(name, name): value for name, value in own.items()}
    )
    for step in gradients:
        for tensor, gradient in zip(tensors, step, strict=True):
            tensor.grad = torch.tensor(gradient)
        optimiser.step()
    for y, tensor in zip(moved(kind, weights, gradients, **own), tensors, strict=True):
        np.testing.assert_allclose(y, tensor.detach().numpy(), atol=1e-6)


def test_two_steps_worked_out_on_paper():
    """SGD: 1 - 0.1 x 2 = 0.8.  Adam: the first step is the rate, whatever the gradient."""
    for kind, after in ((nn.SGD, 0.8), (nn.Adam, 0.9), (nn.AdamW, 0.9)):
        w = Tensor([1.0], requires_grad=True)
        optimiser = kind([w], rate=0.1)
        (w * w).sum().backward()
        optimiser.step()
        assert w.data[0] == pytest.approx(after, abs=1e-6)


@given(
    size=st.integers(1, 70),
    rate=st.floats(1e-4, 1.0),
    momentum=st.floats(0.0, 0.99),
    decay=st.floats(0.0, 0.5),
    nesterov=st.booleans(),
)
def test_any_size_and_setting_of_sgd(size, rate, momentum, decay, nesterov):
    weights, gradients = start(2, ((size,),))
    settings = {"momentum": momentum, "decay": decay, "nesterov": nesterov and momentum > 0}
    (y,) = moved(nn.SGD, weights, gradients, rate=rate, **settings)
    expected = by_hand(nn.SGD, weights[0], [g for (g,) in gradients], [rate] * STEPS, **settings)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam, nn.AdamW])
def test_vectors_decay_only_if_asked(kind):
    weights = [np.ones((2, 2), np.float32), np.ones(3, np.float32)]
    zeros = [[np.zeros_like(w) for w in weights]]
    matrix, vector = moved(kind, weights, zeros, rate=0.1, decay=0.5, decay_vectors=False)
    assert (matrix < 1).all()
    np.testing.assert_array_equal(vector, 1)
    _, vector = moved(kind, weights, zeros, rate=0.1, decay=0.5)
    assert (vector < 1).all()


@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam])
def test_memory_orders_and_double_precision(kind):
    """Gradients in any order of memory; float64 weights stay float64."""
    weights, gradients = start(3, ((4, 6),))
    settings = {"momentum": 0.9} if kind is nn.SGD else {}
    (expected,) = moved(kind, weights, gradients, rate=0.1, **settings)
    w = Tensor(weights[0].copy(), requires_grad=True)
    double = Tensor(weights[0].astype(np.float64), requires_grad=True)
    optimiser = kind([w, double], rate=0.1, **settings)
    for (gradient,) in gradients:
        w.grad = Tensor(np.asfortranarray(gradient))
        double.grad = Tensor(gradient.astype(np.float64))
        optimiser.step()
    np.testing.assert_array_equal(w.data, expected)
    assert double.data.dtype == np.float64
    np.testing.assert_allclose(double.data, expected, atol=1e-6)


def test_weights_in_another_order_of_memory_are_moved_too():
    first = Tensor(np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)), True)
    gradient = np.arange(6.0, dtype=np.float32).reshape(2, 3) ** 2
    before, optimiser = first.data.copy(), nn.SGD([first], rate=0.5, momentum=0.9)
    first.grad = Tensor(gradient)
    optimiser.step()
    np.testing.assert_allclose(first.data, before - 0.5 * gradient)


def test_only_what_learns_and_has_a_gradient_is_moved():
    learns, rests, frozen = (Tensor([1.0], requires_grad=r) for r in (True, True, False))
    optimiser = nn.SGD({"a": learns, "b": rests, "c": frozen}, rate=0.1, decay=0.1)
    assert list(optimiser.parameters) == ["a", "b"]
    (learns * frozen).sum().backward()
    optimiser.step()
    assert learns.data[0] < 1
    assert rests.data[0] == frozen.data[0] == 1
    assert repr(optimiser) == "<SGD of 2 parameters, rate 0.1>"


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (nn.SGD, {"rate": 0.0}, "rate"),
        (nn.SGD, {"rate": -1.0}, "rate"),
        (nn.SGD, {"rate": float("nan")}, "rate"),
        (nn.SGD, {"rate": float("inf")}, "rate"),
        (nn.Adam, {"decay": -0.1}, "decay"),
        (nn.Adam, {"decay": float("nan")}, "decay"),
        (nn.SGD, {"nesterov": True}, "Nesterov"),
        (nn.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov"),
        (nn.SGD, {"momentum": -0.5}, "momentum"),
        (nn.Adam, {"betas": (1.0, 0.9)}, "betas"),
        (nn.AdamW, {"betas": (0.9, -0.1)}, "betas"),
        (nn.Adam, {"epsilon": -1.0}, "epsilon"),
    ],
)
def test_settings_that_make_no_sense(kind, settings, said):
    with pytest.raises(InputError, match=said):
        kind([Tensor([1.0], requires_grad=True)], **settings)


def test_nothing_to_learn():
    with pytest.raises(InputError, match="none"):
        nn.SGD([Tensor([1.0])])
    with pytest.raises(InputError, match="none"):
        nn.Adam(nn.Linear(2, 2).requires_grad(False).named_parameters())


@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam, nn.AdamW])
def test_an_optimiser_goes_on_from_its_state(kind):
    weights, gradients = start(4)
    settings = {"momentum": 0.9, "dampening": 0.5} if kind is nn.SGD else {}
    whole = moved(kind, weights, gradients, rate=0.05, **settings)
    tensors = [Tensor(w.copy(), requires_grad=True) for w in weights]
    optimiser = kind(tensors, rate=0.05, **settings)
    for number, step in enumerate(gradients):
        if number == 3:
            state = {name: array.copy() for name, array in optimiser.state_dict().items()}
            optimiser = kind(tensors, rate=0.05, **settings)
            optimiser.load_state_dict(state)
            assert optimiser.steps == 3
        for tensor, gradient in zip(tensors, step, strict=True):
            tensor.grad = Tensor(gradient)
        optimiser.step()
    for tensor, y in zip(tensors, whole, strict=True):
        np.testing.assert_array_equal(tensor.data, y)


def test_the_state_of_another_optimiser_changes_nothing():
    weights, gradients = start(5)
    tensors = [Tensor(w, requires_grad=True) for w in weights]
    optimiser = nn.Adam(tensors)
    for tensor, gradient in zip(tensors, gradients[0], strict=True):
        tensor.grad = Tensor(gradient)
    optimiser.step()
    before = {name: array.copy() for name, array in optimiser.state_dict().items()}
    lacking = {name: np.zeros_like(array) for name, array in before.items() if name != "square/2"}
    others = [
        nn.SGD(tensors, momentum=0.9).state_dict(),
        nn.Adam(tensors[:2]).state_dict(),
        nn.Adam([*tensors, Tensor([1.0], requires_grad=True)]).state_dict(),
        {**before, "mean/0": np.zeros(3)},
        lacking,
    ]
    for other in others:
        with pytest.raises(InputError, match="not the state of this Adam"):
            optimiser.load_state_dict(other)
        for name, array in optimiser.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_clipping_is_torchs():
    torch = pytest.importorskip("torch")
    weights, gradients = start(6)
    for most in (0.5, 3.0, 1e3):
        tensors = [Tensor(w, requires_grad=True) for w in weights]
        twins = [torch.tensor(w, requires_grad=True) for w in weights]
        for tensor, twin, gradient in zip(tensors, twins, gradients[0], strict=True):
            tensor.grad, twin.grad = Tensor(gradient.copy()), torch.tensor(gradient)
        norm = nn.clip_gradients(tensors, most)
        expected = torch.nn.utils.clip_grad_norm_(twins, most)
        assert norm == pytest.approx(float(expected), rel=1e-6)
        for tensor, twin in zip(tensors, twins, strict=True):
            np.testing.assert_allclose(tensor.grad.data, twin.grad.numpy(), rtol=3e-6)


@given(st.floats(0.01, 100.0), st.integers(0, 99))
def test_clipping_keeps_the_direction_and_bounds_the_norm(most, seed):
    weights, (gradients, *_) = start(seed)
    tensors = [Tensor(w, requires_grad=True) for w in weights]
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = Tensor(gradient.copy())
    norm = nn.clip_gradients(iter(tensors), most)
    assert norm == pytest.approx(np.linalg.norm(np.concatenate([g.ravel() for g in gradients])))
    factor = min(1.0, most / norm)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(tensor.grad.data, factor * gradient, rtol=1e-6)
    assert nn.gradient_norm(tensors) <= most * (1 + 1e-6) or norm <= most


def test_clipping_gradients_that_backward_made():
    """A sum's gradient is one number everywhere, and two terms have the same: each scaled once."""
    a, b = (Tensor(np.zeros((2, 8), np.float32), requires_grad=True) for _ in range(2))
    idle = Tensor([1.0], requires_grad=True)
    (a + b).sum().backward()
    assert nn.clip_gradients([a, b, idle], 1.0) == pytest.approx(np.sqrt(32))
    for tensor in (a, b):
        np.testing.assert_allclose(tensor.grad.data, 1 / np.sqrt(32), rtol=1e-6)
    assert idle.grad is None


@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam, nn.AdamW])
def test_a_bowl_is_descended(kind):
    w = Tensor(np.array([3.0, -2.0], np.float32), requires_grad=True)
    optimiser = kind([w], rate=0.1)
    for _ in range(300):
        ((w - np.array([1.0, 0.5], np.float32)) ** 2).sum().backward()
        optimiser.step()
    np.testing.assert_allclose(w.data, [1.0, 0.5], atol=1e-2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
def test_label_smoothing_is_its_definition_and_torchs(smoothing, rng):
    scores = rng.standard_normal((7, 5)).astype(np.float32) * 4
    labels = rng.integers(0, 5, 7)
    x = Tensor(scores, requires_grad=True)
    loss = F.cross_entropy(x, labels, label_smoothing=smoothing)
    loss.backward()
    log_p = scores - np.log(np.exp(scores.astype(np.float64)).sum(1, keepdims=True))
    targets = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    assert loss.item() == pytest.approx(-(targets * log_p).sum(1).mean(), rel=1e-6)
    np.testing.assert_allclose(x.grad.data, (np.exp(log_p) - targets) / 7, atol=1e-7)
    objective = nn.Classification(smoothing)
    assert objective.loss(Tensor(scores), labels).item() == loss.item()
    torch = pytest.importorskip("torch")
    twin = torch.tensor(scores, requires_grad=True)
    torch.nn.functional.cross_entropy(
        twin, torch.tensor(labels), label_smoothing=smoothing
    ).backward()
    np.testing.assert_allclose(x.grad.data, twin.grad.numpy(), atol=1e-7)


def test_label_smoothing_is_a_share():
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="label_smoothing"):
            F.cross_entropy(Tensor([[1.0, 2.0]]), [0], label_smoothing=share)


@pytest.mark.parametrize(("theirs", "ours"), [("lr", "rate"), ("weight_decay", "decay")])
def test_torchs_settings_are_told_apart(theirs, ours):
    w = Tensor(np.ones(3, np.float32), requires_grad=True)
    with pytest.raises(TypeError, match=f"AdamW has no {theirs}: here it is {ours}"):
        nn.AdamW([w], **{theirs: 0.1})
