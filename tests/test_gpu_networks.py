"""Networks on a card, by CuPy's stand-in: runs, rules, graphs, and what crosses to the host."""

import re

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, functional, kernels, landscape, nn, seeds
from minicnn.errors import DeviceError, InputError
from minicnn.kernels import devices
from minicnn.kernels.devices import no_transfers
from minicnn.planning import captured

RULES = ("salinet", "deconvnet", "desalinet")


@pytest.fixture
def pair(cupy):
    """The bundled network on both devices."""
    net = minicnn.load("mnist")
    return net, net.to("cuda")


def test_a_second_card(cupy, pair, digits, monkeypatch):
    """Whoever makes it CuPy's current one computes there; who does not is told."""
    if not hasattr(cupy, "copies"):
        pytest.skip("there may be one card only")
    monkeypatch.setattr(cupy.cuda.runtime, "count", 2)
    net, labels = pair[0], np.array([1, 2])
    second = net.to("cuda:1", hosted=True)
    with pytest.raises(DeviceError, match=r"with cupy.cuda.Device\(1\)"):
        second(digits)
    with devices.current("cuda:1"):
        host, tape = net.record(digits[:1]), second.record(digits[:1])
        for _ in range(3):
            close(second(digits), net(digits))
            close(tape.backward(seeds.logit(tape)), host.backward(seeds.logit(host)), 1e-4)
    plane, line = [landscape.random_direction(net, 0)], landscape.axis("0:1:2")
    there = landscape.surface(second, digits, labels, plane, line)  # its workers choose the card
    here = landscape.surface(net, digits, labels, plane, line)
    np.testing.assert_allclose(there.loss, here.loss, rtol=1e-4)
    assert cupy.cuda.runtime.getDevice() == 0


def test_graphs_give_their_memory_back(cupy, pair, digits, monkeypatch):
    """Beyond a share of the card's memory those that ran longest ago do, and capture anew later."""
    net, card = pair
    one, two = (cupy.array(digits[:n]) for n in (1, 2))
    monkeypatch.setattr(captured, "SHARE", 0.0)
    for _ in range(3):
        close(card(one).get(), net(digits[:1]))
    assert "launched as one" in str(card.explain_plan(one))
    for _ in range(3):
        close(card(two).get(), net(digits))
    assert "run 2 with" in str(card.explain_plan(one))
    assert "launched as one" in str(card.explain_plan(two))
    for _ in range(3):
        close(card(one).get(), net(digits[:1]))
    assert "launched as one" in str(card.explain_plan(one))


def test_plans_that_take_turns_stop_capturing(cupy, pair, digits, monkeypatch):
    _, card = pair
    made, capture = [], captured.capture
    monkeypatch.setattr(captured, "capture", lambda *work: made.append(1) or capture(*work))
    monkeypatch.setattr(captured, "SHARE", 0.0)
    for _ in range(16):
        for n in (1, 2):
            card(cupy.array(digits[:n]))
    assert len(made) <= 8


def test_graphs_give_way_where_there_is_no_memory(cupy, pair, digits, monkeypatch):
    net, card = pair
    one, two = (cupy.array(digits[:n]) for n in (1, 2))
    for _ in range(3):
        card(one)
    failures, capture = [MemoryError("full")], captured.capture

    def captured_later(*work):
        if failures:
            raise failures.pop()
        return capture(*work)

    monkeypatch.setattr(captured, "capture", captured_later)
    for _ in range(3):
        close(card(two).get(), net(digits))
    assert "launched as one" in str(card.explain_plan(two))
    assert "launched as one" not in str(card.explain_plan(one))
    close(card(one).get(), net(digits[:1]))
    failures += [MemoryError("full")] * 2
    for _ in range(12):  # full again: later it is tried again
        close(card(one).get(), net(digits[:1]))
    assert not failures
    assert "launched as one" in str(card.explain_plan(one))


def test_what_is_not_captured_says_why(cupy, rng):
    class Largest(nn.Module):
        def forward(self, x):
            return functional.amax(functional.relu(x), (2, 3))

    card = Largest().network((1, 9, 9)).to("cuda")
    text = str(card.explain_plan(cupy.array(np.zeros((1, 1, 9, 9), np.float32))))
    assert re.search(r"launched kernel by kernel, for Max at \S+ may copy", text)


def test_padding_and_resizing_are_captured(cupy, rng):
    """As style networks have them, and forwards and back."""

    class Drawing(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(3, 8, 3)
            self.last = nn.Conv2d(8, 3, 3)

        def forward(self, x):
            x = functional.relu(self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect")))
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            return self.last(functional.gelu(functional.pad(x, (1, 1, 1, 1), mode="reflect")))

    net = nn.initialise(Drawing()).network((3, 8, 8))
    card = net.to("cuda")
    for _ in range(4):
        x = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
        there, host = card.record(cupy.array(x)), net.record(x)
        close(there.output.get(), host.output)
        p = rng.standard_normal(host.output.shape).astype(np.float32)
        close(there.backward(cupy.array(p)).get(), host.backward(p), 1e-4)
    x = cupy.array(x)
    for _ in range(3):  # a record keeps more than a run, and is a plan of its own
        card(x)
    assert "launched as one" in str(card.explain_plan(x))
    back = there.reverse()
    for _ in range(3):
        back(cupy.array(p))
    assert "launched as one" in str(back.explain_plan(cupy.array(p)))


@pytest.fixture
def digits(rng):
    return rng.random((2, 1, 28, 28)).astype(np.float32)


def close(got, wanted, tolerance=2e-5):
    np.testing.assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max())


def test_a_run_and_its_graph(cupy, pair, digits):
    """The first run goes kernel by kernel, the second captures, the third replays."""
    net, card = pair
    for scale in (1, 0.5, 2, -1):
        x = digits * np.float32(scale)
        close(card(cupy.array(x)).get(), net(x))
        text = str(card.explain_plan(cupy.array(digits)))
        says = "run 2 with" if scale == 1 else "captured as a CUDA graph: launched as one"
        assert says in text
    assert "Conv + ReLU" in text
    assert "implicit" in text or "winograd" in text


@pytest.mark.parametrize("rule", RULES)
def test_rules(cupy, pair, digits, rule):
    net, card = pair
    host, tape = net.record(digits[:1]), card.record(cupy.array(digits[:1]))
    for _ in range(3):
        got = tape.backward(seeds.logit(tape), rule)
        close(got.get(), host.backward(seeds.logit(host), rule), 1e-4)


def test_all_rules_as_one_batch(cupy, pair, digits):
    net, card = pair
    for _ in range(3):
        host, tape = net.record(digits[:1]), card.record(cupy.array(digits[:1]))
        got = tape.compare(seeds.logit(tape), RULES)
        wanted = host.compare(seeds.logit(host), RULES)
        assert got.keys() == wanted.keys()
        for name, values in got.items():
            close(values.get(), wanted[name], 1e-4)


def test_what_is_kept_is_kept(cupy, pair, digits):
    """A graph's memory is used again; what a tape holds is not in it."""
    _, card = pair
    tapes = [card.record(cupy.array(digits[:1] * np.float32(s))) for s in (1, 2, 3, 4)]
    values = [tape.output.get() for tape in tapes]
    signals = [tape.backward(seeds.logit(tape)).get() for tape in tapes]
    for tape, value, signal in zip(tapes, values, signals):
        np.testing.assert_array_equal(tape.output.get(), value)
        np.testing.assert_array_equal(tape.backward(seeds.logit(tape)).get(), signal)


def test_nothing_crosses_to_the_host_unasked(cupy, pair, digits):
    _, card = pair
    x = cupy.array(digits)
    tape = card.record(x[:1])
    tape.compare(seeds.logit(tape), RULES)  # packs, draws and compiles
    with no_transfers():
        for _ in range(3):
            card(x)
            tape = card.record(x[:1])
            tape.backward(seeds.logit(tape), "desalinet")
            tape.compare(seeds.logit(tape), RULES)
        with pytest.raises(DeviceError, match="to the host"):
            kernels.to_host(x)
        with pytest.raises(DeviceError, match="to cuda:0"):
            kernels.to_device(digits, "cuda")


def test_a_hosted_network_takes_and_gives_numpy(cupy, pair, digits):
    net, _ = pair
    hosted = net.to("cuda", hosted=True)
    for _ in range(3):
        y = hosted(digits)
        assert isinstance(y, np.ndarray)
        close(y, net(digits))
    tape, host = hosted.record(digits[:1]), net.record(digits[:1])
    assert isinstance(tape.output, np.ndarray)
    assert isinstance(tape["conv1"], np.ndarray)
    signal = tape.backward(seeds.logit(tape), "desalinet")
    assert isinstance(signal, np.ndarray)
    close(signal, host.backward(seeds.logit(host), "desalinet"), 1e-4)
    maps = tape.compare([seeds.logit(tape), seeds.max_unit(tape, "conv1")], RULES)
    assert all(isinstance(m, np.ndarray) for found in maps.values() for m in found)
    back = tape.reverse()
    p = np.zeros((1, 10), np.float32)
    assert isinstance(back(p), np.ndarray)
    close(hosted.to("cpu")(digits), net(digits), 1e-7)


def test_devices_do_not_mix(cupy, pair, digits):
    net, card = pair
    with pytest.raises(DeviceError, match=r"on cpu.*on cuda:0.*hosted=True"):
        card(digits)
    with pytest.raises(DeviceError, match=r"on cuda:0.*on cpu"):
        net(cupy.array(digits))
    with pytest.raises(DeviceError, match="Multiply got operands on cuda:0 and cpu"):
        Tensor([1.0], device="cuda") * np.ones(1, np.float32)


def test_learning(cupy, pair, digits):
    """Tensors, parameters and an optimiser on a card follow those on the CPU."""
    from minicnn import functional as F
    from minicnn import nn

    def trained(net, device):
        net = net.to(device) if device != "cpu" else net.to("cuda").to("cpu")
        optimiser = nn.SGD(net.parameters(), rate=0.05, momentum=0.9)
        x = Tensor(digits, device=device)
        for _ in range(3):
            loss = F.cross_entropy(net.drop_softmax()(x), np.array([3, 7]))
            loss.backward()
            optimiser.step()
        return {n: kernels.to_host(a) for n, a in net.state_dict().items()}, loss.item()

    host, loss = trained(pair[0], "cpu")
    card, loss_there = trained(pair[0], "cuda")
    assert abs(loss - loss_there) < 1e-4 * abs(loss)
    for name, array in host.items():
        close(card[name], array, 1e-4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_frozen_parameters_do_not_step(cupy, device):
    net = minicnn.load("mnist").to("cuda").to(device)
    optimiser = nn.SGD(net.parameters(), rate=0.1)
    net.freeze()
    for tensor in optimiser.parameters.values():
        tensor.grad = Tensor(tensor.data)
    with pytest.raises(InputError, match=r"parameter 0 is frozen.*parameters\(\)"):
        optimiser.step()
    assert optimiser.steps == 0
    net.parameters()
    optimiser.step()


def test_equal_windows_tie_on_a_card_too(cupy, pair):
    """Digits are flat around: their maps agree with float64 only if ties are broken alike."""
    net, card = pair
    x = np.zeros((1, 1, 28, 28), np.float32)
    x[:, :, 8:20, 12:16] = 1
    host = net.astype(np.float64).record(x.astype(np.float64))
    for _ in range(3):
        tape = card.record(cupy.array(x))
        close(tape.backward(seeds.logit(tape)).get(), host.backward(seeds.logit(host)), 1e-5)


def test_elementwise_blocks_keep_channels_last(cupy, rng):
    from minicnn import nn

    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sigmoid(), nn.Tanh(), nn.Conv2d(8, 4, 3))
    net = model.network((3, 9, 9))
    card, x = net.to("cuda"), rng.standard_normal((2, 3, 9, 9)).astype(np.float32)
    for _ in range(3):
        values = card.values({"image": cupy.array(x)}, ["1", "2", "3"])
        close(values["3"].get(), net(x))
    assert values["2"].strides[1] == 4


def test_landscapes(cupy, rng):
    """Points, directions and curvature of a network on a card are those of the CPU."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                          nn.Linear(144, 3))  # fmt: skip
    net = nn.initialise(model).network((1, 8, 8))
    x, labels = rng.standard_normal((5, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 5)
    found = []
    for own in (net, net.to("cuda:0", hosted=True)):
        plane = [landscape.random_direction(own, seed) for seed in (0, 1)]
        assert all(isinstance(d, np.ndarray) for d in plane[0].values())
        grid = landscape.axis("-1:1:3"), landscape.axis("0:1:2")
        surface = landscape.surface(own, x, labels, plane, *grid)
        curved = landscape.curvature(own, x, labels, plane[:1], landscape.axis("0:1:2"))
        found.append((surface.loss, curved.highest, surface.accuracy))
    for here, there in zip(*found):
        np.testing.assert_allclose(there, here, rtol=1e-3)


@pytest.mark.parametrize("first", ["derive", "train"])
def test_what_shares_arrays_sees_them_change(cupy, digits, first):
    """Weights that a related network learns are not read from filters packed before."""
    net = minicnn.load("mnist").apart()
    net = net.derived(arrays={n: a.copy() for n, a in net.arrays.items()}).freeze().to("cuda:0")
    x = cupy.array(digits[:2])
    net(x)  # packs filters before anything is derived
    head = net.drop_softmax()
    learner, other = (head, net) if first == "derive" else (net, head)
    before = other(x).get()
    for tensor in learner.parameters():
        tensor.data[...] *= np.float32(0.5)
    host = {name: array.get() for name, array in net.arrays.items()}
    fresh = minicnn.load("mnist").derived(arrays=host)
    fresh = fresh if other is net else fresh.drop_softmax()
    found = other(x).get()
    np.testing.assert_allclose(found, fresh(digits[:2]), atol=1e-4)
    assert np.abs(found - before).max() > 1e-3
    net.freeze()
    np.testing.assert_allclose(other(x).get(), fresh(digits[:2]), atol=1e-4)


def test_numbers_and_empty_shapes_stay_small(cupy):
    x = cupy.array(np.ones((2, 3), np.float32))
    assert devices.full(x, (), 2.0).shape == ()
    assert devices.given(2.0, np.float32, x).shape == ()
    assert devices.as_array(x, np.dtype("f8")).dtype == np.float64
