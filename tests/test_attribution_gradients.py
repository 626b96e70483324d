"""Gradient attributions on nets small enough for pencil and paper, and against slow definitions."""

import warnings

import numpy as np
import pytest
from onnx_graphs import (
    fire_network,
    graph,
    node,
    noise,
    small_classifier,
    small_map_network,
    written,
)

import minicnn
from minicnn import attribution as A
from minicnn import functional as F
from minicnn.attribution import method as base
from minicnn.attribution.affine import affine_values, split
from minicnn.attribution.baseline import baseline_of
from minicnn.attribution.integrated import CompletenessWarning, quadrature
from minicnn.attribution.methods import accepted, method, names_of
from minicnn.attribution.reduction import reduce
from minicnn.attribution.smooth import STREAM
from minicnn.blocks import Conv, Flatten, Linear, ReLU, Transpose
from minicnn.errors import InputError, ShapeError, UnitError, UnknownNameError
from minicnn.functional import window
from minicnn.graph import Node
from minicnn.network import Network
from minicnn.preprocess import Preprocess
from minicnn.rules import SALINET, Rule


def tiny():
    """x (1, 2, 2) -> (2x, -x) -> ReLU -> two scores; without biases.

    Class 0 is 2 max(x, 0) + max(-x, 0) / 2 summed, class 1 is -2 max(x, 0) + max(-x, 0) summed.
    """
    nodes = [
        Node("conv", Conv(window(1, 1, 0, 1)), ("x", "w")),
        Node("relu", ReLU(), ("conv",)),
        Node("flat", Flatten(), ("relu",)),
        Node("scores", Linear(), ("flat", "v")),
    ]
    w = np.array([2.0, -1.0]).reshape(2, 1, 1, 1)
    v = np.repeat([[1.0, 0.5], [-1.0, 1.0]], 4, axis=1)
    return Network("tiny", {"x": (None, 1, 2, 2)}, nodes, ["scores"], {"w": w, "v": v})


MINE = [
    "saliency", "gradxinput", "ig", "smoothgrad", "smoothgrad-squared", "guided", "salinet",
    "deconvnet", "desalinet", "gradcam", "guided-gradcam",
]  # fmt: skip
X = np.array([1.0, 2, 3, -1]).reshape(1, 1, 2, 2)


@pytest.fixture(scope="module")
def mnist():
    net = minicnn.load("mnist")
    x = [minicnn.data.photo(f"digit_{digit}", net.preprocess) for digit in (7, 4, 2)]
    return net, np.concatenate(x)


@pytest.fixture
def classifier(tmp_path):
    """A random classifier of colour images, and three images."""
    return minicnn.load(written(small_classifier(), tmp_path)), noise(3, 3, 16, 16, seed=9)


def flat(values):
    return values.reshape(-1).tolist()


# By hand


@pytest.mark.parametrize(
    ("made", "target", "expected"),
    [
        (A.Saliency, 0, [2, 2, 2, -0.5]),
        (A.Saliency, 1, [-2, -2, -2, -1]),
        (A.GradientTimesInput, 0, [2, 4, 6, 0.5]),  # sums to the score 12.5: there is no bias
        (A.IntegratedGradients, 0, [2, 4, 6, 0.5]),
        (A.GuidedBackprop, 0, [2, 2, 2, -0.5]),
        (A.GuidedBackprop, 1, [0, 0, 0, -1]),
        (A.DeSaliNet, 1, [0, 0, 0, -1]),
        (A.DeConvNet, 0, [1.5, 1.5, 1.5, 1.5]),
        (A.DeConvNet, 1, [-1, -1, -1, -1]),
        (A.GradCAM, 1, [0, 0, 0, 1]),  # weights -1 and 1 of the maps 2 max(x, 0) and max(-x, 0)
        (A.GuidedGradCAM, 1, [0, 0, 0, -1]),
    ],
)
def test_on_paper(made, target, expected):
    assert flat(made(tiny()).attribute(X, target)) == pytest.approx(expected)


def test_grad_cam_without_its_relu():
    assert flat(A.GradCAM(tiny(), relu=False).attribute(X, 1)) == pytest.approx([-2, -4, -6, 1])


def test_integrated_gradients_from_another_baseline():
    """From 1 to -1 half the way has slope 2, half -1/2: -2 (2 - 1/2) / 2 = -3/2."""
    found = A.IntegratedGradients(tiny(), baseline=1.0, steps=10).measure(X, 0)
    assert flat(found.values) == pytest.approx([0, 2, 4, -1.5])
    assert found.gap[0] < 1e-12
    assert (found.score[0], found.start[0]) == (12.5, 8.0)


def test_reductions_on_paper():
    values = np.array([1.0, -3, 0, 2, 2, 0]).reshape(1, 3, 1, 2)  # pixels (1, 0, 2) and (-3, 2, 0)
    expected = {
        "sum": [3, -1], "mean": [1, -1 / 3], "max_abs": [2, 3], "abs_sum": [3, 5],
        "norm": [5**0.5, 13**0.5], "positive": [3, 2], "negative": [0, 3],
    }  # fmt: skip
    for how, numbers in expected.items():
        found = reduce(values, how)
        assert found.shape == (1, 1, 2)
        assert flat(found) == pytest.approx(numbers)


# Slow definitions


@pytest.mark.parametrize("rule", ["gauss-legendre", "riemann", "trapezoid"])
def test_integrated_gradients_are_the_mean_gradient_on_the_way(mnist, rule):
    net, x = mnist
    expected = np.zeros(x[:1].shape)
    for place, weight in zip(*quadrature(rule, 7), strict=True):
        at = (0.5 + np.float32(place) * (x[:1] - 0.5)).astype(np.float32)
        expected += weight * A.Saliency(net).attribute(at, 3) * (x[:1] - 0.5)
    found = A.IntegratedGradients(net, baseline=0.5, steps=7, rule=rule).attribute(x[:1], 3)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("rule", "nodes", "degree"),
    [("gauss-legendre", 3, 5), ("trapezoid", 5, 1), ("riemann", 5, 0)],
)
def test_quadratures_integrate_what_they_should(rule, nodes, degree):
    places, weights = quadrature(rule, nodes)
    for power in range(degree + 1):
        assert weights @ places**power == pytest.approx(1 / (power + 1), abs=1e-12)


def test_the_papers_riemann_sum_takes_the_right_ends():
    places, weights = quadrature("riemann", 4)
    assert places.tolist() == [0.25, 0.5, 0.75, 1]
    assert weights.tolist() == [0.25] * 4


def test_smoothgrad_is_the_mean_of_noisy_gradients(classifier):
    net, x = classifier
    z = [
        np.random.default_rng([5, j, STREAM]).standard_normal(x[0].shape, np.float32)
        for j in range(4)
    ]
    target = int(net(x[:1]).argmax())
    spread = np.float32(0.1 * float(x[0].max() - x[0].min()))
    noisy = [A.Saliency(net).attribute((x[0] + spread * one)[None], target)[0] for one in z]
    smooth = A.SmoothGrad(net, samples=4, noise=0.1, seed=5)
    np.testing.assert_allclose(smooth.attribute(x[:1])[0], np.mean(noisy, 0), atol=1e-6)
    squared = A.SmoothGrad(net, samples=4, noise=0.1, seed=5, square=True).attribute(x[:1])[0]
    np.testing.assert_allclose(squared, np.mean(np.square(noisy), 0), atol=1e-6)


def test_smoothgrad_over_integrated_gradients(classifier):
    net, x = classifier
    inner = A.IntegratedGradients(net, steps=4)
    without = A.SmoothGrad(net, samples=1, noise=0.0, inner=inner).attribute(x, 1)
    np.testing.assert_array_equal(without, inner.attribute(x, 1))


def test_grad_cam_by_its_formula(classifier):
    net, x = classifier
    cam = A.GradCAM(net, layer="pool1")
    tape = net.record(x, keep=["pool1"])
    p = base.one_hot(tape["scores"], [(2,)] * 3)
    slopes = tape.backward(p, at="scores", wrt="pool1")
    for i in range(3):
        small = sum(slopes[i, k].mean() * tape["pool1"][i, k] for k in range(4))
        expected = stretched(np.maximum(small, 0), 16)
        for channel in cam.attribute(x, 2)[i]:
            np.testing.assert_allclose(channel, expected, atol=1e-6)


def stretched(small, size):
    """Bilinear, pixel centres kept, borders repeated: torch's align_corners=False."""
    places = np.clip((np.arange(size) + 0.5) * len(small) / size - 0.5, 0, len(small) - 1)
    low = np.minimum(places.astype(int), len(small) - 2)
    part = places - low
    rows = small[low] * (1 - part)[:, None] + small[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


# Completeness


@pytest.mark.parametrize("baseline", [0.0, "black", "grey", "white"])
def test_integrated_gradients_sum_to_the_scores_rise(mnist, baseline):
    net, x = mnist
    found = A.IntegratedGradients(net, baseline, steps=200).measure(x, [7, 4, 2])
    score, start = (net.cut(outputs="scores")(v) for v in (x, baseline_of(net, baseline, x).copy()))
    for i, digit in enumerate((7, 4, 2)):
        rise = score[i, digit] - start[i, digit]
        assert found.gap[i] == pytest.approx(abs(found.values[i].sum() - rise), abs=1e-3)
        assert found.relative[i] < 0.01


def test_steps_are_doubled_until_the_tolerance_is_met(mnist):
    net, x = mnist
    loose = A.IntegratedGradients(net, "white", steps=2, rule="riemann", tolerance=0.05)
    found = loose.measure(x)
    assert (found.relative <= 0.05).all()
    assert (found.steps > 2).all()
    assert all(steps in (4, 8, 16, 32, 64, 128, 256, 512, 1024) for steps in found.steps)
    exact = A.IntegratedGradients(net, "white", steps=int(found.steps[1]), rule="riemann")
    np.testing.assert_array_equal(exact.attribute(x[1:2]), found.values[1:2])
    np.testing.assert_array_equal(exact.completeness(x[1:2]), found.relative[1:2])


def test_a_tolerance_out_of_reach_is_told(mnist):
    net, x = mnist
    hard = A.IntegratedGradients(net, steps=4, tolerance=1e-9, most_steps=8)
    with pytest.warns(CompletenessWarning, match="with 8 steps"):
        hard.attribute(x[:1])


def test_no_rise_and_no_gap_is_complete(mnist):
    net, x = mnist
    found = A.IntegratedGradients(net, baseline=x[:1], steps=2).measure(x[:1])
    assert found.relative.tolist() == [0.0]
    assert not found.values.any()


# The affine beginning


def test_the_affine_beginning_ends_where_the_first_relu_reads(mnist, tmp_path):
    net, _ = mnist
    assert affine_values(net) == ["conv1"]
    assert split(net.cut(outputs="scores"), "scores", SALINET).at == "conv1"
    fire = minicnn.load(written(fire_network(), tmp_path))
    assert affine_values(fire) == ["a", "b"]
    assert split(fire, "y", SALINET).at == "x"  # two branches leave the input: no single value
    assert split(fire, "y", SALINET).head is None


def test_batch_norm_and_padding_belong_to_the_beginning(tmp_path):
    nodes = [
        node("Pad", ["x", "pads"], ["padded"]),
        node("Conv", ["padded", "w"], ["conv"]),
        node("BatchNormalization", ["conv", "g", "b", "m", "v"], ["norm"]),
        node("Relu", ["norm"], ["relu"]),
        node("GlobalAveragePool", ["relu"], ["pool"]),
        node("Flatten", ["pool"], ["y"]),
    ]
    arrays = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": noise(4, 3, 3, 3), "g": noise(4, seed=1),
        "b": noise(4, seed=2), "m": noise(4, seed=3), "v": np.ones(4, np.float32),
    }  # fmt: skip
    net = minicnn.load(written(graph(nodes, {"x": ("N", 3, 8, 8)}, arrays), tmp_path))
    assert split(net, "y", SALINET).at == "norm"
    x = noise(2, 3, 8, 8, seed=5)
    plain = split(net, "y", Rule("plain", {}, unmatched="transpose"))  # not structural: no head
    assert plain.head is None
    a = A.IntegratedGradients(net, baseline="mean", steps=9)
    b = A.IntegratedGradients(
        net, baseline="mean", steps=9, backward_rule=Rule("plain", {}, unmatched="transpose")
    )
    np.testing.assert_allclose(a.attribute(x, 2), b.attribute(x, 2), atol=1e-6)
    np.testing.assert_allclose(a.completeness(x, 2), b.completeness(x, 2), atol=1e-5)


def test_a_linear_network_needs_no_steps():
    nodes = [Node("y", Linear(), ("x", "w"))]
    w = np.array([[1.0, -2, 3]])
    net = Network("linear", {"x": (None, 3)}, nodes, ["y"], {"w": w})
    x = np.array([[1.0, 1, 2]])
    assert flat(A.IntegratedGradients(net, steps=1).attribute(x, 0)) == pytest.approx([1, -2, 6])


# Batches, chunks, seeds


@pytest.mark.parametrize("name", [*MINE, "TFF"])
def test_every_method_takes_batches_and_repeats(mnist, name):
    net, x = mnist
    options = {"steps": 6} if name == "ig" else {"samples": 4} if "smooth" in name else {}
    options = {key: value for key, value in options.items() if key in accepted(name)}
    made = method(name, net, **options)
    together = made.attribute(x, [7, "4", (2,)])
    assert together.shape == x.shape
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert together.any()
    for i, target in enumerate([7, 4, 2]):
        np.testing.assert_array_equal(made.attribute(x[i : i + 1], target), together[i : i + 1])
    assert reduce(together, made.reduction, net).shape == (3, 28, 28)
    assert net.name in repr(made)


@pytest.mark.parametrize("name", ["saliency", "ig", "smoothgrad", "gradcam", "guided-gradcam"])
def test_what_is_computed_at_once_changes_nothing(classifier, monkeypatch, name):
    net, x = classifier
    whole = method(name, net).attribute(x)
    monkeypatch.setattr(base, "BUDGET", 1)  # one image at a time
    assert len(base.chunks(net, x.shape)) == 3
    parts = method(name, net).attribute(x)
    # sums over steps are products of matrices, which round by how many there are at once
    near = 1e-6 * np.abs(whole).max() if name == "ig" else 0
    np.testing.assert_allclose(parts, whole, rtol=0, atol=near)


def test_a_network_for_batches_of_one_gets_single_images(tmp_path):
    model = small_classifier()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    free = minicnn.load(written(model, tmp_path))
    fixed = free.derived(inputs={"x": (1, 3, 16, 16)})
    x = noise(2, 3, 16, 16, seed=9)
    assert base.images_at_once(fixed, x.shape) == 1
    for name in ("ig", "smoothgrad"):
        found, expected = (method(name, net).attribute(x[:1]) for net in (fixed, free))
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    with pytest.raises(ShapeError, match=r"\(1, 3, 16, 16\)"):
        A.Saliency(fixed).attribute(x)


def test_smoothgrad_is_seeded(classifier):
    net, x = classifier
    once, again, other = (
        A.SmoothGrad(net, samples=3, seed=seed).attribute(x[:1]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert method("smoothgrad", net, seed=1).seed == 1


def test_the_input_is_left_alone(classifier):
    net, x = classifier
    before = x.copy()
    for name in MINE:
        method(name, net).attribute(x)
    np.testing.assert_array_equal(x, before)


def test_progress_is_told(classifier):
    net, x = classifier
    told = []

    def track(items, what, total):
        told.append((what, total))
        yield from items

    for name in ("saliency", "ig", "smoothgrad"):
        made = method(name, net)
        made.track = track
        made.attribute(x[:1])
    assert [what for what, _ in told] == ["saliency", "integrated gradients", "SmoothGrad"]


# Targets


def test_targets_by_name_number_and_strength(mnist):
    net, x = mnist
    saliency = A.Saliency(net)
    expected = saliency.attribute(x, [7, 4, 2])
    for target in (None, "predicted", ["7", 4, None], [(7,), "4", np.int64(2)]):
        np.testing.assert_array_equal(saliency.attribute(x, target), expected)


def test_units_of_a_layer_and_of_a_map(tmp_path):
    net = minicnn.load(written(small_map_network(), tmp_path))
    x = noise(1, 3, 16, 16, seed=4)
    found = A.Saliency(net).attribute(x, (1, 5, 7))
    tape = net.record(x)
    expected = tape.backward(minicnn.seeds.unit(tape, "relu1", (1, 5, 7)))
    np.testing.assert_array_equal(found, expected)
    channel = A.Saliency(net).attribute(x, 1)  # its strongest place
    expected = tape.backward(minicnn.seeds.parse(tape, "relu1", "1"))
    np.testing.assert_array_equal(channel, expected)


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (10, UnitError, "Target 10 does not exist.*0 to 9"),
        (-1, UnitError, "does not exist"),
        ((1, 2), UnitError, "does not exist"),
        ("eleven", UnitError, "no class 'eleven'"),
        (1.5, UnitError, "class or a unit"),
        ([1, 2], InputError, "2 targets for 3 images"),
    ],
)
@pytest.mark.parametrize("made", [A.Saliency, A.IntegratedGradients, A.SmoothGrad, A.GradCAM])
def test_targets_that_there_are_not(mnist, made, target, error, words):
    net, x = mnist
    with pytest.raises(error, match=words):
        made(net).attribute(x, target)


# Layouts, baselines


def test_images_with_channels_last():
    how = Preprocess(size=4, crop=4, layout="NHWC")
    nodes = [
        Node("first", Transpose((0, 3, 1, 2)), ("x",)),
        Node("conv", Conv(window(3, 1, 1, 1)), ("first", "w")),
        Node("relu", ReLU(), ("conv",)),
        Node("flat", Flatten(), ("relu",)),
        Node("scores", Linear(), ("flat", "v")),
    ]
    arrays = {"w": noise(2, 3, 3, 3), "v": noise(5, 40, seed=1)}
    last = Network("last", {"x": (None, 4, 5, 3)}, nodes, ["scores"], arrays, how)
    first = last.cut("first", "scores")
    x = noise(2, 4, 5, 3, seed=2)
    turned = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    for made in (A.Saliency, A.IntegratedGradients, A.GradCAM, A.GuidedGradCAM):
        found = made(last).attribute(x, 3)
        expected = made(first).attribute(turned, 3)
        np.testing.assert_allclose(found.transpose(0, 3, 1, 2), expected, atol=1e-5)
        assert reduce(found, "sum", last).shape == (2, 4, 5)
    black = baseline_of(last, "black", x)
    np.testing.assert_allclose(black[0, 0, 0], -np.array(how.mean) / how.std, rtol=1e-6)


def test_baselines_are_colours_of_the_photo(mnist):
    how = Preprocess(mean=(103.9, 116.8, 123.7), std=(1, 1, 1), scale=255, order="BGR")
    net = minicnn.load("mnist").derived(preprocess=how)
    x = np.zeros((2, 3, 4, 4), np.float32)
    for name, pixel in {"black": 0, "grey": 127.5, "white": 255}.items():
        found = baseline_of(net, name, x)
        assert found.shape == x.shape
        np.testing.assert_allclose(found[1, :, 2, 3], pixel - np.array(how.mean), rtol=1e-6)
    photos = noise(2, 3, 4, 4)
    means = baseline_of(net, "mean", photos)
    np.testing.assert_allclose(means[1, 2], photos[1, 2].mean(), rtol=1e-5)
    assert (baseline_of(net, 0.25, x) == 0.25).all()


# What there is not


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rule": "simpson"}, "no way 'simpson' to integrate"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 1, "rule": "trapezoid"}, "needs 2 or more"),
        ({"tolerance": 0}, "tolerance=0"),
        ({"steps": 2.5}, "a whole number"),
    ],
)
def test_settings_of_integrated_gradients(mnist, settings, words):
    with pytest.raises(InputError, match=words):
        A.IntegratedGradients(mnist[0], **settings)


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        ("blakc", "Did you mean black"),
        (np.zeros((3, 5)), "does not fit"),
        (np.nan, "NaN"),
    ],
)
def test_baselines_that_do_not_do(mnist, baseline, words):
    net, x = mnist
    with pytest.raises(InputError, match=words):
        A.IntegratedGradients(net, baseline).attribute(x)


def test_a_colour_needs_the_preprocessing(mnist):
    net, x = mnist
    vectors = np.zeros((1, 3), np.float32)
    with pytest.raises(InputError, match="colour of images"):
        baseline_of(net, "mean", vectors)
    with pytest.raises(InputError, match="preprocess="):
        baseline_of(net.derived(preprocess=None), "black", x)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"samples": 0}, "samples=0"), ({"noise": -1}, "noise=-1"), ({"seed": -1}, "seed")],
)
def test_settings_of_smoothgrad(mnist, settings, words):
    with pytest.raises(InputError, match=words):
        A.SmoothGrad(mnist[0], **settings)


def test_what_smoothgrad_averages_explains_the_same(mnist):
    net, _ = mnist
    with pytest.raises(InputError, match="one value"):
        A.SmoothGrad(net, inner=A.Saliency(net, at="relu3"), at="scores")
    assert A.SmoothGrad(net, inner=A.Saliency(net, at="relu3")).at == "relu3"


def test_layers_of_grad_cam(mnist):
    net, x = mnist
    assert A.GradCAM(net).layer == "relu4"
    assert A.GradCAM(net, at="relu3").layer == "conv3"
    with pytest.raises(UnknownNameError, match="Did you mean"):
        A.GradCAM(net, layer="relu44")
    with pytest.raises(InputError, match="such as relu4"):
        A.GradCAM(net, layer="probabilities")
    with pytest.raises(ShapeError, match="such as relu4"):
        A.GradCAM(net, layer="flat").attribute(x)
    linear = Network("flat", {"x": (None, 3)}, [Node("y", Linear(), ("x", "w"))], ["y"],
                     {"w": np.ones((2, 3))})  # fmt: skip
    with pytest.raises(InputError, match="reads images"):
        A.GradCAM(linear)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x: x[:0], InputError, "no image"),
        (lambda x: x.astype(np.float64), InputError, "float64"),
        (lambda x: x[0], ShapeError, "needs"),
        (lambda x: x * np.inf, InputError, "NaN|infinity"),
        (lambda x: x.tolist(), InputError, "array"),
    ],
)
@pytest.mark.parametrize("name", ["saliency", "ig", "smoothgrad", "gradcam"])
def test_inputs_that_do_not_do(mnist, name, change, error, words):
    net, x = mnist
    with warnings.catch_warnings(action="ignore"), pytest.raises(error, match=words):
        method(name, net).attribute(change(x + 1))


def test_methods_by_name(mnist):
    net, _ = mnist
    assert isinstance(method("IG", net, steps=3), A.IntegratedGradients)
    assert method("ttf", net).rule.code == "TTF"
    assert names_of("ig, saliency,ig,TFF") == ["ig", "saliency", "TFF"]
    with pytest.raises(UnknownNameError, match="Did you mean saliency"):
        method("salience", net)
    with pytest.raises(InputError, match=r"has no setting 'samples'.*steps"):
        method("ig", net, samples=3)
    with pytest.raises(InputError, match="It has none"):
        method("guided", net, samples=3)
    with pytest.raises(InputError, match="No method"):
        names_of(" , ")
    with pytest.raises(InputError, match="no reduction 'maxabs'"):
        reduce(np.zeros((1, 1, 2, 2)), "maxabs")
    with pytest.raises(ShapeError, match="need images"):
        reduce(np.zeros((1, 2)), "sum")


def test_guided_backprop_transposes_lrn_and_desalinet_skips_it(tmp_path):
    net = minicnn.load(written(small_classifier(lrn=True), tmp_path))
    x = noise(1, 3, 16, 16, seed=9)
    guided, desalinet = (made(net).attribute(x, 1) for made in (A.GuidedBackprop, A.DeSaliNet))
    assert not np.allclose(guided, desalinet)
    tape = net.record(x)
    p = base.one_hot(tape["scores"], [(1,)])
    np.testing.assert_array_equal(guided, tape.backward(p, "TTTF", at="scores"))


def test_bilinear_is_torchs(rng):
    small = rng.standard_normal((1, 1, 3, 3)).astype(np.float32)
    found = F.interpolate(small, (7, 7), mode="bilinear")[0, 0]
    np.testing.assert_allclose(found, stretched(small[0, 0], 7), atol=1e-6)
