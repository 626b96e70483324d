"""Filters: which layer reads the image, filters in the colours of pixels, patches that please."""

import numpy as np
import pytest
from conftest import shared
from onnx_graphs import graph, ints, node, noise, small_classifier, written
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn.cli.app import app
from minicnn.cli.look_filters import numbers
from minicnn.errors import InputError, UnitError, UnknownNameError
from minicnn.look import best_patch, filters
from minicnn.preprocess import PRESETS, Preprocess

SIDE = 16


def loaded(model, folder, preprocess="imagenet"):
    return minicnn.load(written(model, folder), preprocess=preprocess)


def preprocessed(picture, how):
    """A picture (H, W, 3), RGB from 0 to 1, as a network's input."""
    x = picture[:, :, ::-1] if how.order == "BGR" else picture
    x = (x * how.scale - np.array(how.mean)) / np.array(how.std)
    return x.transpose(2, 0, 1)[None].astype(np.float32)


def answers_to_pixels(network, found, place=(5, 6)):
    """What the layer says at a place, and what its filters for pixels say of the pixels there."""
    picture = np.random.default_rng(1).random((SIDE, SIDE, 3))
    x = preprocessed(picture, network.preprocess)
    name = next(iter(network.inputs))
    said = network.values({name: x}, [found.layer])[found.layer][0, :, place[0], place[1]]
    kh, kw = found.pixels.shape[2:]
    top, left = place[0] - 1, place[1] - 1  # all layers here are padded by 1
    patch = picture[top : top + kh, left : left + kw].transpose(2, 0, 1)
    layer = next(n for n in network.nodes if n.name == found.layer)
    bias = network.arrays[layer.operands[2]] if len(layer.operands) > 2 else 0
    return said, np.tensordot(found.pixels, patch, 3) + found.black + bias


@pytest.mark.parametrize("how", ["imagenet", "caffe", "raw"])
def test_filters_act_on_pixels(tmp_path, how):
    network = loaded(small_classifier(), tmp_path, how)
    found = filters(network)
    assert found.layer == "conv1"
    assert found.colour
    assert found.weights.shape == found.pixels.shape == (4, 3, 3, 3)
    said, expected = answers_to_pixels(network, found)
    np.testing.assert_allclose(said, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_filters_divide_by_the_deviation_and_put_red_first(tmp_path):
    found = filters(loaded(small_classifier(), tmp_path, "imagenet"))
    std = np.array(PRESETS["imagenet"].std)[:, None, None]
    np.testing.assert_allclose(found.pixels, found.weights / std, rtol=1e-5)
    found = filters(loaded(small_classifier(), tmp_path, "caffe"))
    np.testing.assert_allclose(found.pixels, 255 * found.weights[:, ::-1], rtol=1e-4)


def normalising_network():
    """A colour change by a 1x1 convolution, batch norm and numbers; then pads and a convolution."""
    nodes = [
        node("Conv", ["x", "mix", "mix_b"], ["mixed"]),
        node("BatchNormalization", ["mixed", "s", "b", "m", "v"], ["normal"]),
        node("Mul", ["normal", "two"], ["doubled"]),
        node("Sub", ["one", "doubled"], ["turned"]),
        node("Pad", ["turned", "pads"], ["padded"], mode="reflect"),
        node("Conv", ["padded", "w"], ["conv"]),
        node("Relu", ["conv"], ["y"]),
    ]
    arrays = {
        "mix": noise(3, 3, 1, 1), "mix_b": noise(3), "s": noise(3, seed=1), "b": noise(3, seed=2),
        "m": noise(3, seed=3), "v": noise(3, seed=4) ** 2 + 1, "w": noise(5, 3, 3, 3, seed=5),
        "two": np.float32(2), "one": np.float32(1), "pads": ints(0, 0, 1, 1, 0, 0, 1, 1),
    }  # fmt: skip
    return graph(nodes, {"x": ("N", 3, SIDE, SIDE)}, arrays)


def test_first_layer_is_found_behind_normalising_blocks(tmp_path):
    network = loaded(normalising_network(), tmp_path)
    found = filters(network)
    assert found.layer == "conv"
    said, expected = answers_to_pixels(network, found)
    np.testing.assert_allclose(said, expected, rtol=1e-3, atol=1e-4)
    assert filters(network, "mixed").weights.shape == (3, 3, 1, 1)


def test_images_with_channels_last(tmp_path):
    nodes = [
        node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        node("Conv", ["first", "w"], ["y"], pads=[1] * 4),
    ]
    model = graph(nodes, {"x": (1, SIDE, SIDE, 3)}, {"w": noise(5, 3, 3, 3)})
    how = Preprocess(size=SIDE, crop=SIDE, layout="NHWC", order="BGR")
    found = filters(minicnn.load(written(model, tmp_path), preprocess=how))
    std = np.array(how.std)[:, None, None]
    np.testing.assert_allclose(found.pixels, (found.weights / std)[:, ::-1], rtol=1e-4, atol=1e-5)


def test_a_product_of_the_image_with_itself_is_no_change_of_colours(tmp_path):
    nodes = [node("Mul", ["x", "x"], ["square"]), node("Conv", ["square", "w"], ["y"])]
    network = loaded(graph(nodes, {"x": (1, 3, 8, 8)}, {"w": noise(2, 3, 3, 3)}), tmp_path)
    with pytest.raises(InputError, match="Name a layer, such as y"):
        filters(network)
    assert filters(network, "y").pixels is None


def test_linear_layers_are_shaped_like_the_map_they_read():
    network = minicnn.load("mnist")
    found = filters(network, "scores")
    assert found.weights.shape == (10, 64, 7, 7)
    x = minicnn.data.photo("digit_7", network.preprocess)
    values = network.values({"image": x}, ["pool2", "scores"])
    bias = network.arrays[network.nodes[-2].operands[2]]
    expected = np.tensordot(found.weights, values["pool2"][0], 3) + bias
    np.testing.assert_allclose(values["scores"][0], expected, rtol=1e-4, atol=1e-4)


def test_a_linear_classifier_of_pixels_shows_its_templates(tmp_path):
    nodes = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "w", "b"], ["y"], transB=1),
    ]
    model = graph(nodes, {"x": ("N", 3, 4, 4)}, {"w": noise(5, 48), "b": noise(5)})
    network = loaded(model, tmp_path, "caffe")
    found = filters(network)
    assert found.pixels.shape == (5, 3, 4, 4)
    picture = np.random.default_rng(0).random((4, 4, 3))
    said = network(preprocessed(picture, network.preprocess))[0] - noise(5)
    expected = np.tensordot(found.pixels, picture.transpose(2, 0, 1), 3) + found.black
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-2)


def test_weights_of_a_map_flattened_channels_last(tmp_path):
    nodes = [
        node("Conv", ["x", "w1"], ["map"]),
        node("Transpose", ["map"], ["last"], perm=[0, 2, 3, 1]),
        node("Reshape", ["last", "shape"], ["flat"]),
        node("MatMul", ["flat", "w2"], ["y"]),
    ]
    arrays = {"w1": noise(2, 3, 3, 3), "shape": ints(1, -1), "w2": noise(3 * 4 * 2, 5)}
    network = loaded(graph(nodes, {"x": (1, 3, 5, 6)}, arrays), tmp_path)
    found = filters(network, "y")
    assert found.weights.shape == (5, 2, 3, 4)
    x = noise(1, 3, 5, 6)
    values = network.values({"x": x}, ["map", "y"])
    expected = np.tensordot(found.weights, values["map"][0], 3)
    np.testing.assert_allclose(values["y"][0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("file", "layer", "shape"),
    [
        ("squeezenet1.1", "squeezenet0_conv0_fwd", (64, 3, 3, 3)),
        ("vgg16_features", "conv1_1", (64, 3, 3, 3)),
        ("alexnet_features", "conv1", (64, 3, 11, 11)),
        ("li2018_resnet56", "/conv1/Conv_output_0", (16, 3, 3, 3)),
        ("adain_encoder", "conv1_1", (64, 3, 3, 3)),
    ],
)
def test_real_networks(file, layer, shape):
    found = filters(minicnn.load(shared(f"models/{file}.onnx")))
    assert found.layer == layer
    assert found.pixels.shape == shape
    figures.filters_figure(found)


def test_a_generator_reads_no_image():
    network = minicnn.load(shared("models/dcgan_faces.onnx"))
    with pytest.raises(InputError, match="Name a layer, such as deconv0"):
        filters(network)
    assert filters(network, "deconv0").weights.ndim == 4


def test_filters_of_any_size_can_be_drawn(tmp_path):
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Conv", ["a", "v"], ["y"], group=2)]
    arrays = {"w": noise(300, 3, 1, 7), "v": noise(4, 150, 5, 1)}
    network = loaded(graph(nodes, {"x": (1, 3, SIDE, SIDE)}, arrays), tmp_path)
    first, second = filters(network), filters(network, "y")
    assert second.weights.shape == (4, 150, 5, 1)
    title = figures.filters_figure(first, patches=["pixels"])._suptitle.get_text()
    assert title == "a, 256 of 300 filters, 1×7"
    everything = figures.filters_figure(second, channels=range(150))
    figures.save(everything, tmp_path / "second.png")


# Patches


def test_best_patches_by_hand():
    w = np.array([[[3.0, -4.0], [0.0, 0.0]]])
    assert best_patch(w, "l2").value == 5
    np.testing.assert_array_equal(best_patch(w, "l2").x, w / 5)
    assert best_patch(w, "linf").value == 7
    np.testing.assert_array_equal(best_patch(w, "linf").x, [[[1, -1], [0, 0]]])
    assert best_patch(w, "pixels").value == 3
    np.testing.assert_array_equal(best_patch(w, "pixels").x, [[[1, 0], [0.5, 0.5]]])
    grey = Preprocess(mean=(0.5,), std=(0.25,))  # black is -2, white 2
    assert best_patch(w, "pixels", grey).value == 14
    assert best_patch(0 * w, "l2").value == 0


@pytest.mark.parametrize("norm", ["l2", "linf", "pixels"])
def test_no_other_patch_pleases_more(norm, rng):
    how = PRESETS["imagenet"] if norm == "pixels" else None
    w = rng.standard_normal((3, 4, 5))
    best = best_patch(w, norm, how)
    assert best.value == pytest.approx((w * best.x).sum())
    tried = rng.standard_normal((500, 3, 4, 5))
    if norm == "l2":
        tried /= np.sqrt((tried**2).sum(axis=(1, 2, 3), keepdims=True))
        assert np.linalg.norm(best.x) == pytest.approx(1)
    elif norm == "linf":
        tried /= np.abs(tried).max(axis=(1, 2, 3), keepdims=True)
    else:
        mean, std = (np.array(n)[:, None, None] for n in (how.mean, how.std))
        tried = (rng.random((500, 3, 4, 5)) - mean) / std
        pixels = best.x * std + mean
        assert pixels.min() >= -1e-12
        assert pixels.max() <= 1 + 1e-12
    assert (tried * w).sum(axis=(1, 2, 3)).max() <= best.value


def test_patch_of_pixels_reaches_what_the_layer_says(tmp_path):
    network = loaded(small_classifier(), tmp_path, "imagenet")
    found = filters(network)
    own = found.patches("pixels")
    direct = [best_patch(w, "pixels", network.preprocess) for w in found.weights]
    np.testing.assert_allclose(
        [p.value for p in own], [p.value for p in direct], rtol=1e-4, atol=1e-4
    )


def test_errors_of_filters_and_patches(tmp_path):
    network = minicnn.load("mnist")
    with pytest.raises(InputError, match=r"relu1 .* no 2-D filters"):
        filters(network, "relu1")
    with pytest.raises(UnknownNameError, match="Did you mean"):
        filters(network, "cnv1")
    with pytest.raises(InputError, match="does not read the image"):
        filters(network, "conv2").patches("pixels")
    with pytest.raises(InputError, match="no norm 'l1'"):
        best_patch(noise(1, 2, 2), "l1")
    with pytest.raises(InputError, match="16 channels"):
        best_patch(noise(16, 2, 2), "pixels", PRESETS["imagenet"])


# Figures


def test_figure_says_how_many_of_how_many():
    network = minicnn.load("mnist")
    title = figures.filters_figure(filters(network, "conv2"))._suptitle.get_text()
    assert title == "conv2, 16 of 32 filters, 16 channels, 3×3"
    figure = figures.filters_figure(
        filters(network), "first", "each", ["l2", "linf", "pixels"], rows=[3, 1]
    )
    assert figure._suptitle.get_text() == "first, 2 of 16 filters, 3×3"
    assert len(figure.axes) == 4


def test_shared_scale_has_zero_at_mid_grey(tmp_path):
    found = filters(loaded(small_classifier(), tmp_path))
    image = figures.filters_figure(found).axes[0].images[0].get_array()
    top = np.abs(found.pixels).max()
    np.testing.assert_allclose(image[0, 0], 0.5 + found.pixels[0, :, 0, 0] / (2 * top), atol=1e-6)
    each = figures.filters_figure(found, scale="each").axes[0].images[0].get_array()
    top = np.abs(found.pixels[0]).max()
    np.testing.assert_allclose(each[0, 0], 0.5 + found.pixels[0, :, 0, 0] / (2 * top), atol=1e-6)


def test_errors_of_figures():
    found = filters(minicnn.load("mnist"), "conv2")
    with pytest.raises(InputError, match="no scale 'log'"):
        figures.filters_figure(found, scale="log")
    with pytest.raises(UnitError, match="run from 0 to 31"):
        figures.filters_figure(found, rows=[32])
    with pytest.raises(UnitError, match="run from 0 to 15"):
        figures.filters_figure(found, channels=[16])


# Command line


def typed(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = typed("look", "filters", "mnist", "--patch", "l2,pixels", "--save", "f.npz")
    assert result.exit_code == 0
    assert "conv1 (Conv): 16 filters 1x3x3" in result.output
    with Image.open("mnist_conv1_filters.png") as image:
        assert min(image.size) > 200
    with np.load("f.npz") as file:
        assert file["weights"].shape == file["patch l2"].shape == (16, 1, 3, 3)
        np.testing.assert_allclose(
            file["value l2"], np.sqrt((file["pixels"] ** 2).sum(axis=(1, 2, 3))), rtol=1e-5
        )
    result = typed("look", "filters", "mnist", "--layer", "conv3", "--filters", "0-3,9",
                   "--channels", "1,2", "--out", "deep.svg")  # fmt: skip
    assert result.exit_code == 0
    assert (tmp_path / "deep.svg").stat().st_size > 1000


def test_numbers_and_ranges():
    assert numbers(None, "--filters") is None
    assert numbers(" 4, 0-2", "--filters") == [4, 0, 1, 2]
    for bad in ("", "a", "1-", "-1", "1,,2", "3-x", "5-2", "9" * 30):
        with pytest.raises(InputError, match="--filters"):
            numbers(bad, "--filters")
