"""Units: the strongest responses against a full sort, resumed bit for bit; patches and maps."""

import sys

import numpy as np
import pytest
from conftest import shared
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import minicnn
import minicnn.cli.look_unit
from minicnn import figures
from minicnn import functional as F
from minicnn.blocks import Add, Conv, ReLU
from minicnn.cli.app import app
from minicnn.data import Images
from minicnn.errors import ImageError, InputError, ShapeError, UnitError
from minicnn.graph import Node
from minicnn.look import (
    Strongest,
    best_patches,
    receptive_fields,
    strongest,
    unit_map,
    unit_patches,
)
from minicnn.network import Network
from minicnn.preprocess import Preprocess

RAW = Preprocess(None, None, (0.0,), (1.0,))


@pytest.fixture(scope="module")
def net():
    return minicnn.load("mnist")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty handwritten digits as files."""
    where = tmp_path_factory.mktemp("digits")
    for i, digit in enumerate(load_digits().images[:40]):
        pixels = Image.fromarray((digit * 255 / 16).astype(np.uint8))
        pixels.resize((28, 28), Image.Resampling.BILINEAR).save(where / f"digit_{i:02}.png")
    return where


@pytest.fixture
def spoiled(folder, tmp_path):
    """The same with two files that are no images."""
    where = tmp_path / "spoiled"
    where.mkdir()
    for path in folder.iterdir():
        (where / path.name).symlink_to(path)
    (where / "digit_05b.png").write_text("junk")
    (where / "digit_30b.png").write_bytes(next(folder.iterdir()).read_bytes()[:150])
    return where


def identity(channels=1):
    """A network whose output is its input."""
    return Network(
        "same", {"x": (None, channels, None, None)}, [Node("y", ReLU(), ("x",))], ["y"],
        preprocess=RAW,
    )  # fmt: skip


def by_sorting(values, k, once):
    """The definition: all candidates of (N, C, P) in the order found, sorted stably."""
    images, channels = values.shape[:2]
    result = []
    for c in range(channels):
        own = [
            (-values[n, c, p], n, p)
            for n in range(images)
            for p in ([values[n, c].argmax()] if once else np.argsort(-values[n, c], kind="stable"))
        ]
        result.append([(n, p, -v) for v, n, p in sorted(own, key=lambda one: one[0])[:k]])
    return result


def same(a, b):
    for name, array in a.arrays().items():
        np.testing.assert_array_equal(array, b.arrays()[name])


# The search


@given(
    st.integers(1, 7), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.booleans(),
    st.integers(1, 9), st.integers(0, 10**6),
)  # fmt: skip
def test_the_best_are_those_of_a_sort(images, channels, side, k, once, batch, seed):
    """Few different values, so that many are equal."""
    shape = (images, channels, side, side + 1)
    x = np.random.default_rng(seed).integers(0, 4, shape).astype(np.float32)
    found = strongest(identity(channels), "y", Images(x), k=k, once=once, batch=batch)
    expected = by_sorting(x.reshape(images, channels, -1), k, once)
    for c in range(channels):
        listed = [(n, p[0] * (side + 1) + p[1], v) for n, p, v in found.of(c)]
        assert listed == expected[c]
    assert (found.images == -1).sum() == channels * max(0, k - len(expected[0]))


@pytest.mark.parametrize("layer", ["pool1", "scores", "image"])
def test_layers_of_all_kinds(net, folder, layer):
    images = Images(folder)
    found = strongest(net, layer, images, k=5)
    x = np.concatenate([one.x for one in images.batches(net.preprocess)])
    y = net.values({"image": x}, [layer])[layer]
    maps = y.reshape(*y.shape[:2], -1)
    order = np.argsort(-maps.max(axis=2).T, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.images, order)
    assert found.places.shape == (y.shape[1], 5, y.ndim - 2)
    for image, place, value in found.of(0):
        assert value == y[(image, 0, *place)]


def test_batches_and_choices_change_nothing(net, folder):
    images = Images(folder)
    one = strongest(net, "pool2", images, k=4)
    same(one, strongest(net, "pool2", images, k=4, batch=7))
    some = strongest(net, "pool2", images, k=4, channels=[9, 2])
    assert some.of(2) == one.of(2)
    assert some.channels.tolist() == [9, 2]
    with pytest.raises(UnitError, match="was not watched"):
        some.of(3)


def test_images_of_different_sizes(tmp_path):
    generator = np.random.default_rng(0)
    sizes = [(5, 4), (5, 4), (3, 9), (7, 7), (5, 4)]
    for i, size in enumerate(sizes):
        Image.fromarray(generator.integers(0, 256, size, np.uint8)).save(tmp_path / f"{i}.png")
    found = strongest(identity(), "y", Images(tmp_path), k=5)
    for image, place, value in found.of(0):
        pixels = np.asarray(Image.open(tmp_path / f"{image}.png"))
        assert pixels[place] == pixels.max() == round(value * 255)


def test_images_that_do_not_fit_are_left_out(tmp_path):
    arrays = {"w": np.ones((1, 1, 5, 5), np.float32)}
    nodes = [Node("y", Conv(F.window(5, 1, 0, 1)), ("x", "w"))]
    net = Network("five", {"x": (None, 1, None, None)}, nodes, ["y"], arrays, RAW)
    for name, side in [("a", 6), ("b", 3), ("c", 7)]:
        Image.fromarray(np.full((side, side), 9, np.uint8)).save(tmp_path / f"{name}.png")
    images = Images(tmp_path)
    assert [image for image, _, _ in strongest(net, "y", images).of(0)] == [0, 2]
    assert images.skipped[1].startswith("b.png: At y (Conv)")
    (tmp_path / "a.png").unlink()
    with pytest.raises(ShapeError, match="At y"):
        strongest(net, "y", Images(tmp_path))


def test_double_precision(net, folder):
    found = strongest(net.astype(np.float64), "conv3", Images(folder), k=2)
    assert found.values.dtype == np.float64


def test_a_network_that_takes_one_image_at_a_time():
    fixed = Network("one", {"x": (1, 1, 2, 2)}, [Node("y", ReLU(), ("x",))], ["y"], preprocess=RAW)
    x = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)
    assert strongest(fixed, "y", Images(x), k=1).of(0) == [(2, (1, 1), 11.0)]


def test_vgg16_finds_what_a_sort_finds():
    net = minicnn.load(shared("models/vgg16_features.onnx"))
    folder = shared("photos/cat_dog.png").parent
    images = Images(sorted(folder.glob("*.jpg"))[:5])
    found = strongest(net, "pool5", images, k=3, batch=2)
    x = np.concatenate([one.x for one in images.batches(net.preprocess)])
    y = net.values({"image": x}, ["pool5"])["pool5"]
    order = np.argsort(-y.max(axis=(2, 3)).T, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(found.images, order)


# Interruptions


def interrupting(after):
    """A progress bar that is stopped with Ctrl-C."""

    def track(items, what, total):
        for number, item in enumerate(items):
            if number == after:
                raise KeyboardInterrupt
            yield item

    return track


@pytest.mark.parametrize("once", [True, False])
def test_an_interrupted_search_goes_on_bit_for_bit(net, spoiled, tmp_path, once):
    path = tmp_path / "part.npz"
    whole = Images(spoiled)
    expected = strongest(net, "conv4", whole, k=6, once=once)
    for after in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            strongest(
                net, "conv4", Images(spoiled), k=6, once=once, batch=5, checkpoint=path,
                track=interrupting(after),
            )  # fmt: skip
    with np.load(path) as file:
        assert file["seen"] == 15  # three of five; the bad file is the sixth
        assert file["left_out"].tolist() == [6]
    images = Images(spoiled)
    same(strongest(net, "conv4", images, k=6, once=once, batch=16, checkpoint=path), expected)
    assert images.skipped == whole.skipped
    assert len(images.skipped) == 2


def test_a_search_that_is_done_reads_nothing_again(net, folder, tmp_path):
    path = tmp_path / "part.npz"
    expected = strongest(net, "conv4", Images(folder), checkpoint=path)
    images = Images(folder)
    images.read = None
    same(strongest(net, "conv4", images, checkpoint=path), expected)


def test_a_checkpoint_of_another_search_is_refused(net, folder, tmp_path):
    path = tmp_path / "part.npz"
    strongest(net, "conv4", Images(folder), checkpoint=path)
    for changes in ({"k": 3}, {"once": False}, {"channels": [1]}):
        with pytest.raises(InputError, match="another run"):
            strongest(net, "conv4", Images(folder), checkpoint=path, **changes)
    with pytest.raises(InputError, match="another run"):
        strongest(net, "conv3", Images(folder), checkpoint=path)


# Errors


def test_searches_that_make_no_sense(net, folder, tmp_path):
    images = Images(folder)
    with pytest.raises(UnitError, match="Channel 64 does not exist"):
        strongest(net, "pool2", images, channels=[3, 64])
    with pytest.raises(UnitError, match="No channel is asked for"):
        strongest(net, "pool2", images, channels=[])
    with pytest.raises(InputError, match="1 or more"):
        strongest(net, "pool2", images, k=0)
    with pytest.raises(ShapeError, match="image has shape"):
        strongest(net, "pool2", Images(np.zeros((2, 3, 28, 28), np.float32)))
    two = Network("two", {"a": (None, 3), "b": (None, 3)}, [Node("y", Add(), ("a", "b"))], ["y"])
    with pytest.raises(InputError, match="2 inputs"):
        strongest(two, "y", images)
    (tmp_path / "a.png").write_text("junk")
    with pytest.raises(ImageError, match="Not one of 1 images"):
        strongest(net, "pool2", Images(tmp_path))


# Patches and maps


@pytest.mark.parametrize("rule", ["deconvnet", "desalinet"])
def test_patches_are_cut_from_image_and_picture(net, folder, rule):
    images = Images(folder)
    found = strongest(net, "pool1", images, k=3)
    field = receptive_fields(net)["pool1"]
    for patch, (image, place, value) in zip(
        unit_patches(net, "pool1", 5, found, images, rule), found.of(5), strict=True
    ):
        assert (patch.image, patch.place, patch.value) == (image, place, value)
        top, left, bottom, right = patch.box
        assert patch.box == field.box(place)
        whole = images.picture(image, net.preprocess)
        np.testing.assert_array_equal(patch.picture, whole[top:bottom, left:right])
        tape = net.record(images.read(image, net.preprocess))
        p = np.zeros_like(tape["pool1"])
        p[(0, 5, *place)] = value
        backward = tape.backward(p, rule, at="pool1")[0]
        np.testing.assert_allclose(
            patch.backward, backward[:, top:bottom, left:right], atol=1e-5 * np.abs(backward).max()
        )
        backward[:, top:bottom, left:right] = 0
        assert np.abs(backward).max() <= 1e-5 * np.abs(patch.backward).max()
    with pytest.raises(UnitError, match="of pool1, not of pool2"):
        unit_patches(net, "pool2", 5, found, images)


def test_class_scores_see_the_whole_image(net, folder):
    images = Images(folder)
    found = strongest(net, "scores", images, k=2)
    patches = unit_patches(net, "scores", 3, found, images, "desalinet")
    assert [patch.box for patch in patches] == [(0, 0, 28, 28)] * 2
    assert [patch.place for patch in patches] == [()] * 2


def test_the_best_patch_of_each_channel(net, folder):
    images = Images(folder)
    found = strongest(net, "pool1", images, k=2)
    pictures = best_patches(net, found, images)
    assert len(pictures) == 32
    first = unit_patches(net, "pool1", 7, found, images)[0]
    np.testing.assert_array_equal(pictures[7], first.picture)


def test_a_map_is_drawn_at_the_centres_of_its_fields():
    """Unit (i, j) of a 2x2 mean with stride 2 is centred at pixel (2i + 1/2, 2j + 1/2)."""
    window = F.window(2, 2, 0, 1)
    arrays = {"w": np.full((1, 1, 2, 2), 0.25, np.float32)}
    nodes = [Node("y", Conv(window), ("x", "w"))]
    net = Network("mean", {"x": (None, 1, 6, 8)}, nodes, ["y"], arrays, RAW)
    x = np.random.default_rng(0).standard_normal((1, 1, 6, 8)).astype(np.float32)
    found = unit_map(net, x, "y", 0)
    assert (found.values.shape, found.resized.shape) == ((3, 4), (6, 8))
    v = found.values
    np.testing.assert_allclose(found.resized[0, 0], v[0, 0], rtol=1e-5)  # beyond the first centre
    expected = 0.75 * (0.25 * v[0, 1] + 0.75 * v[0, 2]) + 0.25 * (0.25 * v[1, 1] + 0.75 * v[1, 2])
    np.testing.assert_allclose(found.resized[1, 4], expected, rtol=1e-4)
    with pytest.raises(UnitError, match="channels 0 to 0"):
        unit_map(net, x, "y", 1)


def test_a_vector_has_no_map(net):
    x = np.zeros((1, 1, 28, 28), np.float32)
    with pytest.raises(UnitError, match="no maps"):
        unit_map(net, x, "scores", 1)


# Figures


def test_blocks_are_squares_of_tiles(net, folder):
    images = Images(folder)
    found = strongest(net, "pool2", images, k=9)
    listed = {c: unit_patches(net, "pool2", c, found, images) for c in (1, 2, 3)}
    figure = figures.units_figure(listed, "title")
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 6
    sizes = {axis.images[0].get_array().shape for axis in shown}
    assert sizes == {(3 * 144 + 2 * 6, 3 * 144 + 2 * 6, 3)}
    with pytest.raises(InputError, match="no patches"):
        figures.units_figure({}, "title")


def test_silent_units_are_called_so():
    x = np.zeros((3, 1, 4, 4), np.float32)
    images = Images(x)
    found = strongest(identity(), "y", images, k=2)
    patches = unit_patches(identity(), "y", 0, found, images)
    figure = figures.units_figure({0: patches}, "title")
    assert "silent" in figure.axes[1].get_xlabel() + figure.axes[1].xaxis.get_label().get_text()


# The command line


@pytest.fixture
def typed(tmp_path, monkeypatch):
    where = tmp_path / "work"
    where.mkdir()
    monkeypatch.chdir(where)

    def run(*words):
        result = CliRunner().invoke(app, ["look", *map(str, words)])
        known = result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output if known else str(result.exception)

    return run, where


def test_a_search_from_the_command_line(typed, spoiled):
    run, where = typed
    code, text = run("unit", "mnist", "pool2:3,17", spoiled, "--best", 4, "--save", "a.npz")
    assert code == 1  # two files cannot be read
    assert "Left out 2 of 42 images" in text
    assert text.count("digit_") >= 8
    assert {path.name for path in where.iterdir()} == {"mnist_pool2_3-17_spoiled.png", "a.npz"}
    with np.load(where / "a.npz") as file:
        assert file["images"].shape == (2, 4)
        top, left, bottom, right = file["box 17 0"]
        assert file["patch 17 0"].shape == (bottom - top, right - left, 3)
        assert file["backward 17 0"].shape == (1, bottom - top, right - left)


def test_all_channels_from_the_command_line(typed, folder):
    run, where = typed
    code, text = run(
        "unit", "mnist", "pool1", folder, "--all-channels", "--out", "b.png", "--save", "b.npz"
    )
    assert code == 0, text
    with np.load(where / "b.npz") as file:
        assert file["images"].shape == (32, 9)
    with Image.open(where / "b.png") as image:
        assert min(image.size) > 200


def test_ctrl_c_and_again(typed, folder, monkeypatch, capsys):
    run, where = typed
    words = ["unit", "mnist", "pool1:2", folder, "--batch", 8, "--out", "c.png", "--save", "c.npz"]
    assert run(*words)[0] == 0
    expected = dict(np.load(where / "c.npz"))
    (where / "c.png").unlink()
    monkeypatch.setattr(minicnn.cli.look_unit, "bar", interrupting(2))
    monkeypatch.setattr(sys, "argv", ["minicnn", "look", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        minicnn.cli.main()
    assert end.value.code == 130
    said = capsys.readouterr().err
    assert said.strip().splitlines()[-1].startswith("Interrupted.")
    assert "Traceback" not in said
    assert (where / "c.png.part.npz").exists()
    monkeypatch.undo()
    monkeypatch.chdir(where)
    assert run(*words)[0] == 0
    assert not (where / "c.png.part.npz").exists()
    for name, array in np.load(where / "c.npz").items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_map_from_the_command_line(typed):
    run, where = typed
    code, text = run("map", "mnist", "digit_4", "relu3:5", "--save", "m.npz")
    assert code == 0, text
    assert (where / "mnist_digit_4_relu3_5.png").exists()
    with np.load(where / "m.npz") as file:
        assert file["resized"].shape == (28, 28)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unit", "mnist", "pool9:1", "FOLDER"], "no layer 'pool9'"),
        (["unit", "mnist", "pool2:64", "FOLDER"], "0 to 63"),
        (["unit", "mnist", "pool2:64", "FOLDER", "--all-channels"], "0 to 63"),
        (["unit", "mnist", "pool2", "FOLDER"], "Which channels"),
        (["unit", "mnist", "pool2:a", "FOLDER"], "numbers of channels"),
        (["unit", "mnist", "pool2:1", "nosuch"], "no folder nosuch"),
        (["unit", "mnist", "pool2:1", "FOLDER", "--rule", "nosuch"], "no rule"),
        (["unit", "mnist", "pool2:1", "FOLDER", "--display", "nosuch"], "no display"),
        (["unit", "mnist", "pool2:1", "FOLDER", "--device", "gpu"], "is no device"),
        (["unit", "mnist", "pool2:1", "FOLDER", "--out", "nosuch/a.png"], "does not exist"),
        (["unit", "mnist", "pool2:1", "FOLDER", "--checkpoint", "nosuch/a.npz"], "does not exist"),
        (["map", "mnist", "digit_4", "pool2:1,2"], "one channel"),
        (["map", "mnist", "digit_4", "scores:1"], "no maps"),
        (["map", "mnist", "digit_4", "pool2:64"], "0 to 63"),
    ],
)
def test_bad_words(typed, folder, words, said):
    run, where = typed
    code, text = run(*[folder if word == "FOLDER" else word for word in words])
    assert code != 0
    assert said in text
    assert "\n" not in text.strip()
    assert not list(where.iterdir())


def test_results_are_arrays_that_can_be_saved():
    found = Strongest("y", np.array([4]), np.array([[2, -1]]), np.zeros((1, 2, 0), int),
                      np.array([[1.5, -np.inf]]))  # fmt: skip
    assert found.of(4) == [(2, (), 1.5)]
    assert set(found.arrays()) == {"layer", "channels", "images", "places", "values"}
