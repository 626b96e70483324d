"""What a review of the attribution methods found, held fast."""

import gc
import weakref

import numpy as np
import pytest

import minicnn
from minicnn import blocks as B
from minicnn import figures
from minicnn.attribution import (
    LRP,
    RISE,
    ExcitationBackprop,
    GradCAM,
    IntegratedGradients,
    Occlusion,
    Saliency,
    SmoothGrad,
)
from minicnn.attribution.conservation import conservation
from minicnn.attribution.forgetting import randomised
from minicnn.attribution.methods import METHODS, method
from minicnn.errors import InputError, UnitError
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.network import Network

PLAIN = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))


@pytest.fixture
def mnist():
    return minicnn.load("mnist")


@pytest.fixture
def seven(mnist):
    return minicnn.data.photo("digit_7", mnist.preprocess)


def small(rng, *tail, arrays=None, output="y"):
    """A convolution and a ReLU "r" of four maps of 6x6, and what comes after them."""
    nodes = [Node("c", B.Conv(PLAIN), ("x", "w")), Node("r", B.ReLU(), ("c",)), *tail]
    own = {"w": rng.standard_normal((4, 3, 3, 3)), **(arrays or {})}
    own = {name: np.asarray(a, np.float32) for name, a in own.items()}
    typical = {"x": (1, 3, 6, 6)}
    return Network("small", {"x": (None, 3, 6, 6)}, nodes, [output], own, typical=typical).freeze()


def test_grad_cam_takes_maps_before_they_are_turned(rng):
    tail = [
        Node("t", B.Transpose((0, 2, 3, 1)), ("r",)),
        Node("f", B.Flatten(), ("t",)),
        Node("y", B.Linear(), ("f", "m")),
    ]
    network = small(rng, *tail, arrays={"m": rng.standard_normal((5, 144))})
    assert GradCAM(network).layer == "r"


def test_a_network_of_one_output_is_not_softmaxed_by_rise(rng):
    tail = [
        Node("f", B.Flatten(), ("r",)),
        Node("s", B.Linear(), ("f", "m")),
        Node("y", B.Sigmoid(), ("s",)),
    ]
    network = small(rng, *tail, arrays={"m": 0.1 * rng.standard_normal((1, 144))})
    x = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    values = RISE(network, count=64, cells=3).attribute(x, 0)
    assert not np.array_equal(values[0], values[1])


def test_a_silent_class_conserves_nothing_and_says_so(rng):
    tail = [Node("f", B.Flatten(), ("r",)), Node("l", B.Linear(), ("f", "m")),
            Node("y", B.ReLU(), ("l",))]  # fmt: skip
    network = small(rng, *tail, arrays={"m": -np.abs(rng.standard_normal((2, 144)))})
    x = rng.standard_normal((1, 3, 6, 6)).astype(np.float32)
    found = conservation(LRP(network, "epsilon"), x, 0)
    assert "silent" in str(found)
    with pytest.raises(InputError, match="score is 0"):
        figures.conservation_figure([found], "silent")


@pytest.mark.parametrize("name", [name for name in METHODS if name != "rise"])
def test_every_method_runs_on_the_bundled_network_by_its_defaults(mnist, seven, name):
    values = method(name, mnist).attribute(seven, "7")
    assert values.shape == seven.shape
    assert np.isfinite(values).all()
    assert values.any()


def test_reversed_networks_go_when_nobody_needs_them(mnist, seven):
    gc.collect()
    gc.disable()
    try:
        one = LRP(mnist, "flat")
        tape, top = one.recorded(seven)
        drawn = tape.reverse(one.at, one.rule)
        drawn(top)
        gone = weakref.ref(drawn)
        del drawn
        assert gone() is None
    finally:
        gc.enable()


def test_smoothgrad_averages_relevance_too(mnist, seven):
    for inner in (LRP(mnist), ExcitationBackprop(mnist)):
        assert SmoothGrad(mnist, samples=3, inner=inner).attribute(seven, 7).any()


def test_steps_may_be_many_and_a_gap_of_rounding_is_none(mnist):
    assert IntegratedGradients(mnist, steps=2000).steps == 2000
    flat = np.full((1, 1, 28, 28), 1e-4, np.float32)
    found = IntegratedGradients(mnist, tolerance=1e-9, baseline=0.0).measure(flat)
    assert found.steps[0] == 50
    deconvnet = IntegratedGradients(mnist, tolerance=0.01, backward_rule="deconvnet")
    assert deconvnet.measure(minicnn.data.photo("digit_7", mnist.preprocess), 7).steps[0] == 50


def test_targets_are_what_they_say(mnist, seven):
    saliency = Saliency(mnist)
    np.testing.assert_array_equal(
        saliency.attribute(seven, np.array(7)), saliency.attribute(seven, 7)
    )
    with pytest.raises(UnitError, match="class or a unit"):
        saliency.attribute(seven, True)
    with pytest.raises(UnitError, match="no class 'seven'"):
        Saliency(mnist, at="pool2").attribute(seven, "seven")


@pytest.mark.parametrize(
    "make",
    [
        lambda net: RISE(net, seed=-1),
        lambda net: LRP(net, "gamma", gamma=float("nan")),
        lambda net: RISE(net, count=8).attribute(np.zeros((0, 1, 28, 28), np.float32)),
        lambda net: Occlusion(net).attribute(np.zeros((0, 1, 28, 28), np.float32)),
        lambda net: GradCAM(net, layer="scores"),
    ],
)
def test_nonsense_is_one_clear_error(mnist, make):
    with pytest.raises(InputError):
        make(mnist)


def test_random_weights_are_not_those_of_the_same_seed(rng):
    w = np.random.default_rng([0, 0]).standard_normal((4, 3, 3, 3))
    network = small(rng, arrays={"w": w}, output="r")
    drawn = randomised(network, ["c"], seed=0).arrays["w"]
    assert abs(np.corrcoef(drawn.ravel(), w.ravel())[0, 1]) < 0.5


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_files_of_equal_figures_are_equal(tmp_path, mnist, seven, suffix):
    from minicnn import look

    paths = [tmp_path / f"{i}.{suffix}" for i in (1, 2)]
    for path in paths:
        figures.save(figures.filters_figure(look.filters(mnist), "filters"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
