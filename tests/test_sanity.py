"""Sanity checks: similarities by their definitions, layers that forget, and what the papers found.

Adebayo et al. 2018: as the network forgets, the gradient's map goes at once and that of guided
backprop stays for long. Nie et al. 2018: with random filters guided backprop shows the photo
whatever the class, and so does DeConvNet where there is max-pooling; the gradient is noise.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import shared
from PIL import Image
from scipy import ndimage, stats
from test_cli import look, maps, typed
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn.attribution import (
    GradCAM,
    GradientTimesInput,
    GuidedBackprop,
    RuleAttribution,
    Saliency,
    randomisation,
    randomised,
    weight_layers,
)
from minicnn.attribution.similarity import METRICS, pearson, similarities, spearman, ssim
from minicnn.blocks import (
    Add,
    BatchNorm,
    Conv,
    ConvTranspose,
    Flatten,
    Linear,
    MatMul,
    MaxPool,
    ReLU,
    Window,
)
from minicnn.cli.app import app
from minicnn.data import bundled_digits, photo
from minicnn.data.bundled import bundled_path
from minicnn.errors import InputError, MiniCNNError, ShapeError, UnknownNameError
from minicnn.figures.sanity import short_names
from minicnn.graph import Node
from minicnn.network import Network


@pytest.fixture(scope="module")
def digits():
    """The bundled network and all bundled digits as one batch."""
    network = minicnn.load("mnist")
    return network, np.concatenate([photo(path, network.preprocess) for path in bundled_digits()])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def window(kernel, stride=1, pad=0):
    return Window((kernel,) * 2, (stride,) * 2, (pad,) * 4, (1, 1))


def all_kinds():
    """One layer of each kind with weights, and a batch norm after the first."""
    nodes = [
        Node("conv", Conv(window(3, pad=1), groups=2), ("x", "w1", "b1")),
        Node("norm", BatchNorm(), ("conv", "gain", "shift", "mean", "variance")),
        Node("relu", ReLU(), ("norm",)),
        Node("up", ConvTranspose(window(3, pad=1)), ("relu", "w2")),
        Node("sum", Add(), ("up", "relu")),
        Node("flat", Flatten(), ("sum",)),
        Node("hidden", MatMul(), ("flat", "w3")),
        Node("scores", Linear(), ("hidden", "w4", "b4")),
    ]
    arrays = {
        "w1": noise(64, 8, 3, 3), "b1": noise(64), "gain": noise(64), "shift": noise(64),
        "mean": noise(64), "variance": noise(64) ** 2, "w2": noise(64, 64, 3, 3),
        "w3": noise(64 * 144, 40), "w4": noise(30, 40), "b4": noise(30),
    }  # fmt: skip
    return Network("kinds", {"x": (None, 16, 12, 12)}, nodes, ["scores"], arrays).freeze()


# Similarities, by their definitions


def slow_ranks(values):
    """Ranks from 1; equal values share the mean of their places."""
    return np.array([np.mean(np.flatnonzero(np.sort(values) == v) + 1) for v in values])


def test_spearman_is_pearson_of_ranks_and_equal_values_share_theirs():
    a, b = np.random.default_rng(1).integers(0, 6, (2, 60)).astype(float)
    expected = np.corrcoef(slow_ranks(a), slow_ranks(b))[0, 1]
    assert spearman(a, b) == pytest.approx(expected, abs=1e-12)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_ssim_by_its_definition():
    a, b = np.abs(noise(14, 15)).astype(float), np.abs(noise(14, 15, seed=1)).astype(float)
    x, y = a / a.max(), b / b.max()
    offsets = np.arange(-5, 6)
    bell = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    found = []
    for i in range(14 - 10):
        for j in range(15 - 10):
            p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mp, mq = (weights * p).sum(), (weights * q).sum()
            vp, vq = (weights * p * p).sum() - mp**2, (weights * q * q).sum() - mq**2
            both = (weights * p * q).sum() - mp * mq
            found.append((2 * mp * mq + 1e-4) * (2 * both + 9e-4)
                         / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))  # fmt: skip
    assert ssim(a, b) == pytest.approx(np.mean(found), abs=1e-9)


def test_a_map_is_like_itself_whatever_its_scale():
    values = noise(3, 20, 24)
    assert similarities(values, 3 * values) == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_the_opposite_map_has_the_same_magnitudes():
    values = noise(3, 20, 24)
    found = similarities(values, -values)
    assert found["rank"] == pytest.approx(-1)
    assert found["rank_abs"] == pytest.approx(1)


def test_signed_maps_sum_channels_and_absolute_ones_take_the_strongest():
    a, b = noise(3, 16, 16), noise(3, 16, 16, seed=1)
    found = similarities(a, b)
    assert found["rank"] == pytest.approx(spearman(a.sum(0), b.sum(0)))
    assert found["rank_abs"] == pytest.approx(spearman(abs(a).max(0), abs(b).max(0)))
    other = similarities(a, b, signed="mean", magnitude="norm")
    assert other["rank"] == pytest.approx(found["rank"])  # ranks of means are those of sums
    assert other["rank_abs"] == pytest.approx(
        spearman(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    )


def test_nothing_is_like_an_empty_map():
    assert all(np.isnan(v) for v in similarities(noise(1, 16, 16), np.zeros((1, 16, 16))).values())


def test_maps_that_cannot_be_compared_are_refused():
    with pytest.raises(ShapeError, match="one shape"):
        similarities(noise(1, 16, 16), noise(1, 16, 17))
    with pytest.raises(ShapeError, match="11x11"):
        similarities(noise(1, 10, 16), noise(1, 10, 16))


# Layers that forget


def test_layers_go_from_the_scores_down():
    assert weight_layers(all_kinds()) == ["scores", "hidden", "up", "conv"]
    assert weight_layers(all_kinds(), at="relu") == ["conv"]


@pytest.mark.parametrize(
    ("layer", "name", "fan_in"),
    [
        ("conv", "w1", 8 * 9),  # a group has 8 channels
        ("up", "w2", 64 * 9),
        ("hidden", "w3", 64 * 144),
        ("scores", "w4", 40),
    ],
)
def test_weights_are_drawn_as_before_training(layer, name, fan_in):
    weights = randomised(all_kinds(), layer).arrays[name]
    spread = np.sqrt(2 / fan_in)
    assert weights.dtype == np.float32
    assert weights.std() == pytest.approx(spread, rel=0.05)
    assert abs(weights.mean()) < 0.1 * spread
    assert 1.9 * spread < abs(weights).max() * 0.87962566 <= 2 * spread * (1 + 1e-6)


def test_biases_and_batch_norms_are_as_before_training():
    forgot = randomised(all_kinds(), ["conv", "scores"])
    for name, value in {"b1": 0, "b4": 0, "gain": 1, "shift": 0, "mean": 0, "variance": 1}.items():
        np.testing.assert_array_equal(forgot.arrays[name], value)


def test_only_the_layers_named_forget_and_the_given_network_stays():
    network = all_kinds()
    before = network.fingerprint()
    forgot = randomised(network, "hidden")
    assert [n for n in network.arrays if forgot.arrays[n] is not network.arrays[n]] == ["w3"]
    assert network.fingerprint() == before != forgot.fingerprint()
    assert not forgot.arrays["w3"].flags.writeable
    x = noise(2, 16, 12, 12)
    assert not np.allclose(forgot(x), network(x))


def test_a_network_in_training_stays_writable():
    network = all_kinds()
    network.parameters()  # thaws
    randomised(network, weight_layers(network))
    assert all(array.flags.writeable for array in network.params.values())


def test_what_a_layer_gets_depends_on_the_seed_and_on_nothing_else():
    network = all_kinds()
    alone, among = randomised(network, "up", 3), randomised(network, weight_layers(network), 3)
    np.testing.assert_array_equal(alone.arrays["w2"], among.arrays["w2"])
    assert not np.array_equal(alone.arrays["w2"], randomised(network, "up", 4).arrays["w2"])


def test_shuffled_weights_are_the_trained_ones_elsewhere():
    network = all_kinds()
    forgot = randomised(network, ["conv"], how="shuffle")
    for name in ("w1", "b1", "gain", "mean", "variance"):
        a, b = network.arrays[name], forgot.arrays[name]
        assert not np.array_equal(a, b)
        np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))


# Randomisation


def test_cascades_add_up_and_independent_steps_do_not(digits):
    network, x = digits
    cascade = randomisation(network, x[:2], Saliency, seed=5)
    single = randomisation(network, x[:2], Saliency, seed=5, mode="independent")
    assert cascade.layers == single.layers == ["scores", "conv4", "conv3", "conv2", "conv1"]
    for step, layer in enumerate(cascade.layers):
        for found, forgotten in ((cascade, cascade.layers[: step + 1]), (single, [layer])):
            method = Saliency(randomised(network, forgotten, 5))
            np.testing.assert_array_equal(found.maps[step], method.attribute(x[:2], found.targets))


def test_the_target_stays_that_of_the_trained_network(digits):
    network, x = digits
    found = randomisation(network, x, Saliency, layers=1)
    assert found.targets == [(int(score),) for score in network(x).argmax(1)]
    own = Saliency(randomised(network, weight_layers(network)))
    np.testing.assert_array_equal(found.maps[0], own.attribute(x, found.targets))
    assert not np.array_equal(found.maps[0], own.attribute(x))  # its own winners differ


def test_similarities_are_those_of_the_maps(digits):
    network, x = digits
    found = randomisation(network, x[:2], GradientTimesInput, layers=["conv3"])
    assert {values.shape for values in found.similarities.values()} == {(1, 2)}
    expected = similarities(found.original[1], found.maps[0, 1])
    assert {key: v[0, 1] for key, v in found.similarities.items()} == expected


def test_the_same_seed_gives_the_same_bits_alone_or_in_a_batch(digits):
    network, x = digits
    both = randomisation(network, x[:2], Saliency, layers=2, seed=1)
    again = randomisation(network, x[1:2], Saliency, layers=2, seed=1)
    np.testing.assert_array_equal(both.maps[:, 1:], again.maps)
    other = randomisation(network, x[1:2], Saliency, layers=2, seed=2)
    assert not np.array_equal(other.maps, again.maps)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (1, ["conv1"]),
        (2, ["scores", "conv1"]),
        (3, ["scores", "conv3", "conv1"]),
        (99, ["scores", "conv4", "conv3", "conv2", "conv1"]),
        (["conv1", "scores"], ["scores", "conv1"]),
    ],
)
def test_steps_are_spread_evenly_or_named(digits, layers, expected):
    network, x = digits
    assert randomisation(network, x[:1], Saliency, layers=layers).layers == expected


def test_progress_is_told(digits):
    network, x = digits
    told = []

    def track(items, what, total):
        told.append((what, total))
        yield from items

    randomisation(network, x[:1], Saliency, layers=2, track=track)
    assert told == [("layers", 2)]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"mode": "random"}, InputError, "cascading or independent"),
        ({"how": "zero"}, InputError, "initial or shuffle"),
        ({"layers": 0}, InputError, "1 or more"),
        ({"layers": []}, InputError, "No layer"),
        ({"layers": ["conv9"]}, UnknownNameError, "Did you mean conv4"),
        ({"layers": ["relu1"]}, UnknownNameError, "no weights"),
        ({"target": 10}, MiniCNNError, "0 to 9"),
    ],
)
def test_bad_input_is_told(digits, changes, error, words):
    network, x = digits
    with pytest.raises(error, match=words):
        randomisation(network, x[:1], Saliency, **changes)


def test_a_network_without_weights_has_nothing_to_forget():
    nodes = [Node("relu", ReLU(), ("x",)), Node("scores", Flatten(), ("relu",))]
    network = Network("bare", {"x": (None, 1, 12, 12)}, nodes, ["scores"])
    with pytest.raises(InputError, match="no weights"):
        randomisation(network, noise(1, 1, 12, 12), Saliency)


# Adebayo et al. 2018


def means(found):
    return {key: values.mean(axis=1) for key, values in found.similarities.items()}


def test_the_gradient_forgets_at_once_and_guided_backprop_does_not(digits):
    network, x = digits
    gradient, guided = (
        means(randomisation(network, x, method)) for method in (Saliency, GuidedBackprop)
    )
    assert (abs(gradient["rank"]) < 0.15).all()
    higher = slice(0, 3)  # scores, conv4, conv3
    assert (guided["rank"][higher] > 0.5).all()
    for metric in ("rank_abs", "ssim", "hog"):
        assert (guided[metric][higher] > gradient[metric][higher] + 0.1).all()
    assert guided["rank"][-1] < 0.5  # "not entirely invariant": footnote 5


def test_gradient_x_input_keeps_the_digit_and_loses_its_signs(digits):
    network, x = digits
    found = means(randomisation(network, x, GradientTimesInput))
    assert (found["rank_abs"] > 0.95).all()  # the digit is there because the input is
    assert (found["ssim"] > 0.4).all()
    assert (abs(found["rank"]) < 0.25).all()


@pytest.mark.slow
def test_on_squeezenet_signs_go_and_guided_backprop_stays():
    network = minicnn.load(shared("models/squeezenet1.1.onnx"))
    x = photo(shared("photos/cat_dog.png"), network.preprocess)
    steps = weight_layers(network)[:6]
    gradient, guided, cam = (
        means(randomisation(network, x, method, layers=steps))
        for method in (Saliency, GuidedBackprop, GradCAM)
    )
    assert (abs(gradient["rank"]) < 0.3).all()
    # of single draws of weights some happen to silence the class; most leave the picture alone
    assert np.median(guided["rank"]) > 0.7
    assert np.median(guided["rank_abs"]) > 0.7
    assert (abs(cam["rank"]) < 0.4).all()  # Grad-CAM passes the test
    signed, absolute = np.abs(gradient["rank"]), gradient["rank_abs"]
    assert np.median(absolute) > np.median(signed) + 0.15  # edges stay, signs do not


# Nie et al. 2018: random networks


def truncated_normal(rng, *shape):
    """Standard deviation 0.1, cut off at two of them, as in the authors' code."""
    values = rng.standard_normal(shape)
    while (outside := abs(values) > 2).any():
        values[outside] = rng.standard_normal(np.count_nonzero(outside))
    return (0.1 * values).astype(np.float32)


def random_network(side, first, pool=None, units=256):
    """A random layer (7x7 filters, or fully connected), ReLU, perhaps 9x9 max-pooling, two classes.

    The authors' network has 16 filters and 1,000 classes; more filters bring the limit nearer, and
    the other classes change nothing for these two.
    """
    rng = np.random.default_rng(0)
    flat = units * (side**2 if first == "conv" else 1)
    arrays = {"v": truncated_normal(rng, 2, flat)}
    if first == "conv":
        nodes = [Node("first", Conv(window(7, pad=3)), ("x", "w"))]
        arrays["w"] = truncated_normal(rng, units, 3, 7, 7)
    else:
        nodes = [Node("in", Flatten(), ("x",)), Node("first", Linear(), ("in", "w"))]
        arrays["w"] = truncated_normal(rng, units, 3 * side**2)
    nodes += [
        Node("relu", ReLU(), ("first",)),
        *([Node("pool", MaxPool(window(9, pad=4)), ("relu",))] if pool else []),
        Node("flat", Flatten(), ("pool" if pool else "relu",)),
        Node("scores", Linear(), ("flat", "v")),
    ]
    return Network("random", {"x": (None, 3, side, side)}, nodes, ["scores"], arrays).freeze()


def small_photo(side):
    """A bundled photo, with the authors' mean subtracted."""
    with Image.open(bundled_path("china")) as image:
        pixels = np.asarray(image.convert("RGB").resize((side, side)), np.float32)
    mean = np.array([123.68, 116.779, 103.939], np.float32)
    return np.ascontiguousarray((pixels - mean).transpose(2, 0, 1)[None])


def class_maps(network, x, rule, classes=(0, 1)):
    """What a rule shows for two classes; the mean of each channel says nothing and is taken off."""
    both = np.concatenate([x, x])
    found = RuleAttribution(network, rule).attribute(both, list(classes))
    return found - found.mean(axis=(2, 3), keepdims=True)


def test_guided_backprop_shows_the_photo_whatever_the_class():
    """Theorem 1."""
    x = small_photo(64)
    a, b = class_maps(random_network(64, "conv"), x, "desalinet")
    assert pearson(a, b) > 0.9
    assert min(pearson(a, x[0]), pearson(b, x[0])) > 0.85


def test_the_gradient_and_deconvnet_are_noise():
    """Theorem 2: each class has its own, and it has nothing to do with the photo."""
    x = small_photo(64)
    for rule in ("salinet", "deconvnet"):
        a, b = class_maps(random_network(64, "conv"), x, rule)
        assert abs(pearson(a, b)) < 0.1
        assert abs(pearson(a, x[0])) < 0.1


def test_max_pooling_lets_deconvnet_recover_the_photo():
    x = small_photo(64)
    details = x[0] - ndimage.uniform_filter(x[0], (0, 9, 9))  # at the scale of the pooling
    network = random_network(64, "conv", pool=True)
    for rule, like in (("deconvnet", 0.65), ("desalinet", 0.7)):
        a, b = class_maps(network, x, rule)
        assert pearson(a, b) > 0.8
        assert pearson(a, details) > like
    a, b = class_maps(network, x, "salinet")
    assert abs(pearson(a, b)) < 0.1
    assert abs(pearson(a, details)) < 0.1


def test_fully_connected_networks_do_not_recover_the_photo():
    x = small_photo(32)
    network = random_network(32, "linear", units=1000)
    for rule in ("salinet", "deconvnet", "desalinet"):
        a, _ = class_maps(network, x, rule)
        assert abs(pearson(a, x[0])) < 0.2


def test_more_filters_bring_guided_backprop_nearer_to_the_photo():
    x = small_photo(48)
    found = [
        pearson(class_maps(random_network(48, "conv", units=units), x, "desalinet")[0], x[0])
        for units in (4, 16, 64, 256)
    ]
    assert found == sorted(found)
    assert found[0] < 0.6 < 0.85 < found[-1]


@pytest.mark.parametrize(
    ("classes", "most"),
    [
        ((242, 282), 0.6),  # boxer and tiger cat, both in the photo
        ((242, 900), 0.1),  # boxer and water tower
    ],
)
def test_of_a_trained_network_too_guided_backprop_depends_less_on_the_class(classes, most):
    network = minicnn.load(shared("models/squeezenet1.1.onnx"))
    x = photo(shared("photos/cat_dog.png"), network.preprocess)
    ranks = {
        rule: spearman(*class_maps(network, x, rule, classes))
        for rule in ("salinet", "deconvnet", "desalinet")
    }
    assert abs(ranks["salinet"]) < most
    assert ranks["desalinet"] > 0.9
    assert ranks["deconvnet"] > 0.99


# Figures


def test_names_of_layers_are_short_and_stay_different():
    assert short_names(["net0_conv2_fwd", "net0_conv1_fwd"]) == ["conv2", "conv1"]
    assert short_names(["conv5_3", "conv5_2"]) == ["conv5_3", "conv5_2"]
    assert short_names(["net0_conv2_fwd"]) == ["net0_conv2_fwd"]
    paths = [
        "/l3/l3.0/conv1/Conv_output_0",
        "/l3/l3.0/cut/cut.0/Conv_output_0",
        "/fc/Gemm_output_0",
    ]
    assert short_names(paths) == ["l3.0/conv1", "l3.0/cut.0", "fc"]
    assert short_names(["/a/Conv_output_0", "/a/Gemm_output_0"]) == [
        "/a/Conv_output_0",
        "/a/Gemm_output_0",
    ]


def test_curves_have_a_panel_a_similarity_and_a_line_a_method(digits):
    network, x = digits
    found = [randomisation(network, x, method) for method in (Saliency, GuidedBackprop)]
    figure = figures.randomisation_curves(found, "title")
    assert [axis.get_title() for axis in figure.axes] == list(METRICS.values())
    for axis, key in zip(figure.axes, METRICS, strict=True):
        lines = axis.get_lines()[:2]
        for line, one in zip(lines, found, strict=True):
            np.testing.assert_allclose(line.get_ydata(), [1, *one.similarities[key].mean(1)])
        assert len({line.get_color() for line in lines}) == 2
        assert len({line.get_marker() for line in lines}) == 2
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == [
        "trained",
        *found[0].layers,
    ]


def test_pictures_have_a_row_a_method(digits):
    network, x = digits
    found = [
        randomisation(network, x[:1], method, layers=3, mode="independent")
        for method in (Saliency, GuidedBackprop)
    ]
    figure = figures.randomisation_pictures(np.zeros((28, 28, 3)), found, "title")
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown[:5]] == [
        "photo", "trained", "only\nscores", "only\nconv3", "only\nconv1"
    ]  # fmt: skip
    assert len(shown) == 1 + 2 * 4
    assert shown[2].get_xlabel().startswith(f"rank {found[0].similarities['rank'][0, 0]:.2f}")


def test_figures_of_different_layers_are_refused(digits):
    network, x = digits
    found = [randomisation(network, x[:1], Saliency, layers=n) for n in (1, 2)]
    for draw in (
        lambda: figures.randomisation_curves(found, ""),
        lambda: figures.randomisation_curves([], ""),
        lambda: figures.randomisation_pictures(np.zeros((28, 28, 3)), found, ""),
    ):
        with pytest.raises(InputError, match="same layers"):
            draw()


# The command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_curves_maps_and_numbers(folder):
    printed = typed(
        "sanity", "mnist", "digit_7", "--methods", "saliency,guided,gradcam", "--layers", 3,
        "--pictures", "maps.png", "--save", "all.npz", "--seed", 4,
    )  # fmt: skip
    look("mnist_digit_7_sanity.png")
    look("maps.png")
    saved = maps("all.npz")
    network = minicnn.load("mnist")
    found = randomisation(network, saved["image"], GuidedBackprop, layers=3, seed=4)
    np.testing.assert_array_equal(saved["guided maps"], found.maps)
    np.testing.assert_array_equal(saved["guided trained"], found.original)
    np.testing.assert_array_equal(saved["guided rank_abs"], found.similarities["rank_abs"])
    assert saved["layers"].tolist() == found.layers
    assert saved["target"].tolist() == [7]
    assert "class 7" in printed
    rows = [line.split() for line in printed.splitlines()]
    numbers = next(row for row in rows if row[:2] == ["guided", "scores"])[2:]
    assert numbers == [f"{found.similarities[key][0, 0]:.2f}" for key in METRICS]


def test_the_command_takes_names_modes_and_targets(folder):
    printed = typed(
        "sanity", "mnist", "digit_2", "--methods", "TTF", "--layers", "conv1,scores", "--mode",
        "independent", "--target", "3", "--weights", "shuffle", "--out", "c.svg",
    )  # fmt: skip
    assert "class 3" in printed
    assert "only" in printed
    assert (folder / "c.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--mode", "both"], "cascading or independent"),
        (["--weights", "none"], "initial or shuffle"),
        (["--layers", "conv11"], "Did you mean conv1"),
        (["--layers", "0"], "1 or more"),
        (["--methods", "salency"], "saliency"),
        (["--target", "12"], "0 to 9"),
        (["--device", "gpu"], "is no device"),
        (["--pictures", "maps.txt"], "maps.txt"),
        (["--save", "all.npy"], ".npz"),
    ],
)
def test_bad_options_are_one_error_and_leave_nothing(folder, words, needed):
    result = CliRunner().invoke(app, ["sanity", "mnist", "digit_7", *words])
    assert isinstance(result.exception, MiniCNNError)
    message = str(result.exception)
    assert needed in message
    assert "\n" not in message
    assert list(folder.iterdir()) == []
