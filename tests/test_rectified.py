"""RectGrad: against a slow definition, batches, thresholds."""

import numpy as np
import pytest

import minicnn
from minicnn.attribution.gradients import GradientTimesInput
from minicnn.attribution.rectified import RectGrad, rectified
from minicnn.blocks import Linear, RankGate, ReLU
from minicnn.errors import InputError, ShapeError
from minicnn.graph import Node
from minicnn.network import Network


def tiny(seed=0):
    """Two hidden layers of ten units each, without biases."""
    rng = np.random.default_rng(seed)
    arrays = {
        "w1": rng.standard_normal((10, 6)),
        "w2": rng.standard_normal((10, 10)),
        "w3": rng.standard_normal((3, 10)),
    }
    nodes = [
        Node("z1", Linear(), ("x", "w1")),
        Node("a1", ReLU(), ("z1",)),
        Node("z2", Linear(), ("a1", "w2")),
        Node("a2", ReLU(), ("z2",)),
        Node("scores", Linear(), ("a2", "w3")),
    ]
    return Network("tiny", {"x": (None, 6)}, nodes, ["scores"], arrays)


def gated(r, a, percentile):
    product = r * a
    tau = sorted(product)[round((len(product) - 1) * percentile / 100)]
    return np.where(product > tau, r, 0)


@pytest.mark.parametrize("percentile", [0, 50, 80, 98, 100])
def test_rectgrad_is_its_definition(percentile, rng):
    net = tiny()
    x = rng.standard_normal((4, 6))
    got = RectGrad(net, percentile).attribute(x, [0, 1, 2, 1])
    values = net.values({"x": x}, ["a1", "a2"])
    for n, target in enumerate([0, 1, 2, 1]):
        r = net.arrays["w3"][target]
        for w, a in (("w2", "a2"), ("w1", "a1")):
            r = gated(r, values[a][n], percentile) @ net.arrays[w]
        np.testing.assert_allclose(got[n], x[n] * r, atol=1e-12)


def test_nothing_passes_at_a_hundred_and_contributions_stay_at_zero(rng):
    net = tiny()
    x = rng.standard_normal((2, 6))
    assert not RectGrad(net, 100).attribute(x, 0).any()
    some = RectGrad(net, 60).attribute(x, 0)
    assert not np.allclose(some, GradientTimesInput(net).attribute(x, 0))


def test_one_tape_serves_gradients_and_rectified_gradients():
    net = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", net.preprocess)
    tape = net.record(x)
    seed = minicnn.seeds.logit(tape)
    found = tape.compare(seed, [rectified(80), "salinet", rectified(95)])
    for rule in (rectified(80), rectified(95)):
        np.testing.assert_allclose(
            found[rule.name], tape.backward(seed, rule), rtol=1e-5, atol=1e-6
        )
    method = RectGrad(net, 80)
    np.testing.assert_allclose(
        method.attribute(x), x * tape.backward(seed, rectified(80)), rtol=1e-5, atol=1e-6
    )


def test_the_reversed_network_can_be_written_and_run_elsewhere(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = minicnn.load("mnist")
    tape = net.record(minicnn.data.photo("digit_7", net.preprocess))
    seed = minicnn.seeds.logit(tape)
    back = tape.reverse(seed.at, rectified(90))
    back.save(tmp_path / "rectgrad.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "rectgrad.onnx")
    (there,) = session.run(None, {"p": seed.p})
    np.testing.assert_allclose(there, back(seed.p), rtol=1e-4, atol=1e-5)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="0 to 100"):
        rectified(101)
    with pytest.raises(InputError, match="0 to 100"):
        RankGate(-1)
    with pytest.raises(ShapeError, match="activations"):
        RankGate()(np.ones((2, 3)), np.ones((2, 4)))
