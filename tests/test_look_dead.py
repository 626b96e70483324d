"""Dead filters: counted over all images at once, by slow definition, and across interruptions."""

import numpy as np
import pytest
from conftest import shared
from onnx_graphs import graph, node, noise, small_classifier, written
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn.cli.app import app
from minicnn.data import Images
from minicnn.errors import ImageError, InputError, UnknownNameError
from minicnn.look import dead_filters
from minicnn.onnx import load

DEAD = (1, 3)


def network_with_dead(folder):
    """Six filters; a large negative bias keeps two of them silent, another nearly so."""
    bias = np.array([0, -1e6, 0.1, -1e6, -2.9, 0], np.float32)
    nodes = [
        node("Conv", ["x", "w", "b"], ["conv"]),
        node("Relu", ["conv"], ["relu"]),
        node("GlobalAveragePool", ["relu"], ["mean"]),
        node("Flatten", ["mean"], ["y"]),
    ]
    arrays = {"w": noise(6, 3, 3, 3) / 3, "b": bias}
    return load(written(graph(nodes, {"x": ("N", 3, 8, 8)}, arrays), folder))


def test_by_definition(tmp_path):
    network, x = network_with_dead(tmp_path), noise(50, 3, 8, 8)
    report = dead_filters(network, Images(x), batch=7)
    (layer,) = report.layers
    a = network.values({"x": x}, ["relu"])["relu"]
    assert (layer.layer, layer.images, report.images) == ("relu", 50, 50)
    np.testing.assert_allclose(layer.highest, a.max(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(layer.lowest, a.min(axis=(0, 2, 3)))
    np.testing.assert_array_equal(layer.active, (a > 0).any(axis=(2, 3)).sum(axis=0))
    np.testing.assert_allclose(layer.share, (a > 0).mean(axis=(0, 2, 3)))
    assert tuple(layer.dead) == DEAD
    assert tuple(layer.rare(0.9)) == (4,)
    assert len(layer.rare(0)) == 0


def test_signed_layers_and_vectors_can_be_named(tmp_path):
    network = network_with_dead(tmp_path)
    conv, y = dead_filters(network, Images(noise(9, 3, 8, 8)), ["conv", "y"]).layers
    assert len(conv.dead) == 0
    assert (conv.lowest < 0).all()
    assert set(DEAD) <= set(y.dead)


@pytest.mark.parametrize("batch", [1, 4, 50])
def test_batches_do_not_matter(tmp_path, batch):
    network, images = network_with_dead(tmp_path), Images(noise(50, 3, 8, 8))
    one = dead_filters(network, images, batch=batch).layers[0]
    other = dead_filters(network, images).layers[0]
    np.testing.assert_array_equal(one.active, other.active)
    np.testing.assert_allclose(one.highest, other.highest, rtol=1e-5)


def interrupted(after):
    """A progress that stops as Ctrl-C would."""

    def track(items, what, total):
        for i, item in enumerate(items):
            if i == after:
                raise KeyboardInterrupt
            yield item

    return track


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_goes_on_where_it_stopped(tmp_path, after):
    network, images = network_with_dead(tmp_path), Images(noise(50, 3, 8, 8))
    whole = dead_filters(network, images, batch=8).layers[0]
    file = tmp_path / "part.npz"
    with pytest.raises(KeyboardInterrupt):
        dead_filters(network, images, track=interrupted(after), checkpoint=file, batch=8)
    assert file.exists()
    seen = []

    def counted(items, what, total):
        for item in items:
            seen.append(item)
            yield item

    rest = dead_filters(network, images, track=counted, checkpoint=file, batch=8).layers[0]
    assert len(seen) == 7 - max(after - 1, 0)  # the batch under way is done again
    for name in ("highest", "lowest", "active", "share"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name))
    assert rest.images == 50
    again = dead_filters(network, images, track=interrupted(0), checkpoint=file, batch=8)
    np.testing.assert_array_equal(again.layers[0].active, whole.active)
    with pytest.raises(InputError, match="another run"):
        dead_filters(network, images, ["conv"], checkpoint=file, batch=8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five photos, two of them unreadable, and a network."""
    monkeypatch.chdir(tmp_path)
    written(small_classifier(), tmp_path, "net.onnx")
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(photos / f"{i}.png")
    (photos / "1.png").write_bytes(b"no picture")
    (photos / "4.png").write_bytes((photos / "3.png").read_bytes()[:400])
    return tmp_path


def test_unreadable_images_are_left_out(folder):
    network = load(folder / "net.onnx")
    report = dead_filters(network, Images(folder / "photos"), batch=1)
    assert report.images == 3
    assert sorted(report.skipped) == [1, 4]
    file = folder / "part.npz"
    with pytest.raises(KeyboardInterrupt):
        dead_filters(network, Images(folder / "photos"), None, interrupted(2), file, 1)
    again = dead_filters(network, Images(folder / "photos"), None, checkpoint=file, batch=1)
    assert sorted(again.skipped) == [1, 4]
    assert again.images == 3
    for one, other in zip(again.layers, report.layers, strict=True):
        np.testing.assert_array_equal(one.highest, other.highest)


def test_errors(tmp_path, folder):
    network = network_with_dead(tmp_path)
    with pytest.raises(UnknownNameError, match="no layer 'relu7'"):
        dead_filters(network, Images(noise(2, 3, 8, 8)), ["relu7"])
    with pytest.raises(InputError, match="name one"):
        dead_filters(network, Images(noise(2, 3, 8, 8)), [])
    linear = graph([node("Conv", ["x", "w"], ["y"])], {"x": (1, 3, 8, 8)}, {"w": noise(2, 3, 3, 3)})
    with pytest.raises(InputError, match="no ReLU"):
        dead_filters(load(written(linear, tmp_path, "linear.onnx")), Images(noise(2, 3, 8, 8)))
    broken = [folder / "photos" / "1.png", folder / "photos" / "4.png"]
    with pytest.raises(ImageError, match="None of the 2 images"):
        dead_filters(load(folder / "net.onnx"), Images(broken))


def test_networks_that_take_one_image_at_a_time(tmp_path):
    nodes = [node("Conv", ["x", "w"], ["conv"]), node("Relu", ["conv"], ["y"])]
    network = load(written(graph(nodes, {"x": (1, 3, 8, 8)}, {"w": noise(2, 3, 3, 3)}), tmp_path))
    assert dead_filters(network, Images(noise(5, 3, 8, 8))).images == 5


def test_residual_network():
    network = minicnn.load(shared("models/li2018_resnet56.onnx"))
    photos = Images([shared(f"photos/{name}") for name in ("cat_dog.png", "imagenet_00_243.jpg")])
    report = dead_filters(network, photos)
    assert len(report.layers) == 55
    dead = {layer.layer: len(layer.dead) for layer in report.layers}
    assert dead["/layer2/layer2.7/Relu_output_0"] == 32  # a block that gave up its branch
    assert len(figures.dead_figure(report, "residual").axes) == 3


# Command line


def typed(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_command(folder):
    result = typed("look", "dead", "net.onnx", "photos", "--save", "dead.npz", "--preprocess",
                   "imagenet")  # fmt: skip
    assert result.exit_code == 1  # two images were left out
    assert "3 images" in result.output
    assert "Left out 2 of 5 images" in result.output
    assert [p.name for p in folder.glob("*.png")] == ["net_photos_dead.png"]
    assert not list(folder.glob("*.part.npz"))
    with np.load("dead.npz") as file:
        assert file["relu1 active"].shape == (4,)
        assert int(file["images"]) == 3


def test_command_without_trouble(folder):
    for name in ("1.png", "4.png"):
        (folder / "photos" / name).unlink()
    result = typed("look", "dead", "net.onnx", "photos", "--layers", "relu2", "--out", "d.pdf")
    assert result.exit_code == 0
    rows = [line.split()[:3] for line in result.output.splitlines() if line.startswith("relu")]
    assert rows == [["relu2", "ReLU", "6"]]
    assert (folder / "d.pdf").stat().st_size > 1000


@pytest.mark.parametrize("words", [["--layers", "conv9"], ["--out", "d.txt"], ["--device", "tpu"]])
def test_command_refuses_before_it_writes(folder, words):
    before = sorted(folder.iterdir())
    with pytest.raises(minicnn.errors.MiniCNNError):
        typed("look", "dead", "net.onnx", "photos", *words)
    assert sorted(folder.iterdir()) == before


def test_empty_folder(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match="no images in"):
        typed("look", "dead", "net.onnx", "empty")
