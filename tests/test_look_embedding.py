"""Features and embeddings: against slow definitions, by hand, on real data, and from the CLI."""

import gzip
import itertools
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import shared
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn.checkpoint import Checkpoint
from minicnn.cli.app import app
from minicnn.data import Images, bundled_digits, photo
from minicnn.errors import ImageError, InputError, MiniCNNError, ShapeError, UnknownNameError
from minicnn.figures.embedding_images import _placed
from minicnn.look import aligned, embed, features, grid_cells, neighbour_accuracy, some
from minicnn.look.embedding import Embedding

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def net():
    return minicnn.load("mnist")


@pytest.fixture(scope="module")
def blobs():
    """Three clouds of 20 points in 60 dimensions, far apart, and their labels."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (3, 60))
    points = np.concatenate([centre + rng.normal(0, 1, (20, 60)) for centre in centres])
    return points.astype(np.float32), ["a"] * 20 + ["b"] * 20 + ["c"] * 20


def digit_folder(path, count=5, labels=2):
    """Bundled digits, again and again with some noise, in subfolders."""
    rng = np.random.default_rng(0)
    for i, digit in zip(range(count), itertools.cycle(bundled_digits())):
        pixels = np.asarray(Image.open(digit).convert("L"), int)
        noisy = np.clip(pixels + rng.integers(-20, 20, pixels.shape), 0, 255).astype(np.uint8)
        (path / f"class{i % labels}").mkdir(exist_ok=True, parents=True)
        Image.fromarray(noisy).save(path / f"class{i % labels}" / f"{i:03}.png")
    return path


# Features


def test_features_are_the_values_of_each_image_alone(net):
    images = Images(bundled_digits())
    found = features(net, images, ["image", "pool1", "scores"])
    means = features(net, images, ["image", "pool1", "scores"], pool="mean")
    for i in range(len(images)):
        x = photo(images.path(i), net.preprocess)
        values = net.values({"image": x}, ["pool1", "scores"])
        np.testing.assert_array_equal(found.values["image"][i], x.ravel())
        np.testing.assert_array_equal(means.values["image"][i], x.ravel())  # input: never pooled
        np.testing.assert_allclose(
            found.values["pool1"][i], values["pool1"].ravel(), rtol=1e-4, atol=1e-5
        )
        slow = [np.mean(plane) for plane in values["pool1"][0]]
        np.testing.assert_allclose(means.values["pool1"][i], slow, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            found.values["scores"][i], values["scores"][0], rtol=1e-4, atol=1e-4
        )
    assert all(values.dtype == np.float32 for values in found.values.values())


def test_images_that_cannot_be_read_are_left_out_everywhere(net, tmp_path):
    digit_folder(tmp_path, 20)
    (tmp_path / "class0" / "004.png").write_bytes(b"no image")
    images = Images(tmp_path)
    found = features(net, images, ["pool2", "scores"])
    assert len(found) == 19 == len(found.labels) == len(found.values["pool2"])
    assert list(images.skipped) == [images.names.index("class0/004.png")]
    assert "class0/004.png" not in found.names
    assert [images.names[i] for i in found.indices] == found.names
    assert found.labels == [name.split("/")[0] for name in found.names]


def test_a_pass_that_was_interrupted_goes_on_to_the_same_features(net, tmp_path, monkeypatch):
    digit_folder(tmp_path / "images", 50)
    (tmp_path / "images" / "class0" / "002.png").write_bytes(b"")
    state = tmp_path / "state.npz"
    whole = features(net, Images(tmp_path / "images"), ["pool2", "scores"])
    monkeypatch.setattr(Checkpoint, "offer", lambda self, arrays: self.write(arrays()))

    def broken(items, what, total):
        yield from itertools.islice(items, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features(
            net, Images(tmp_path / "images"), ["pool2", "scores"], track=broken, checkpoint=state
        )
    seen = []

    def counted(items, what, total):
        for item in items:
            seen.append(item[0])
            yield item

    images = Images(tmp_path / "images")
    again = features(net, images, ["pool2", "scores"], track=counted, checkpoint=state)
    assert seen[0][0] == 32
    assert len(images.skipped) == 1
    for name in whole.values:
        np.testing.assert_array_equal(again.values[name], whole.values[name])
    np.testing.assert_array_equal(again.indices, whole.indices)
    with pytest.raises(InputError, match="another run"):
        features(net, images, "pool2", checkpoint=state)


def test_features_say_what_is_wrong(net, monkeypatch, tmp_path):
    images = Images(bundled_digits())
    with pytest.raises(UnknownNameError, match="pool2"):
        features(net, images, "pol2")
    with pytest.raises(InputError, match="none or mean"):
        features(net, images, "pool2", pool="max")
    with pytest.raises(InputError, match="No layer"):
        features(net, images, [])
    monkeypatch.setattr(sys.modules["minicnn.look.features"], "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="--pool mean") as error:
        features(net, images, "pool2")
    assert "3,136 numbers" in str(error.value)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="None of the 1 images"):
        features(net, Images(tmp_path), "scores")


def test_images_of_several_sizes_need_pooling(tmp_path):
    net = minicnn.load(shared("models/alexnet_features.onnx")).derived(preprocess=None)
    rng = np.random.default_rng(0)
    sides = (64, 96)
    for side in sides:
        pixels = rng.integers(0, 255, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{side}.png")
    how = minicnn.preprocess.Preprocess(size=None, crop=None)
    net = net.derived(preprocess=how)
    first = net.layers[0]
    with pytest.raises(ShapeError, match="--pool mean"):
        features(net, Images(tmp_path), first)
    assert features(net, Images(tmp_path), first, pool="mean").values[first].shape[0] == 2


def test_some_are_chosen_by_the_seed(tmp_path):
    images = Images(digit_folder(tmp_path, 20))
    one, same, other = (some(images, 7, seed) for seed in (1, 1, 2))
    assert one.names == same.names != other.names
    assert len(one) == 7
    assert one.labels == [path.split("/")[-2] for path in one.names]
    assert some(images, 99) is images
    with pytest.raises(InputError, match="1 or more"):
        some(images, 0)


# Embeddings


def test_pca_is_the_singular_value_decomposition(rng):
    x = rng.normal(size=(30, 7)) * np.arange(1, 8)
    found = embed(x, "pca", dim=3)
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.points), np.abs(u * s)[:, :3], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.explained, (s**2 / (s**2).sum())[:3], rtol=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
def test_tsne_keeps_clouds_apart_and_repeats_bit_for_bit(blobs, dim):
    points, labels = blobs
    one, same = (embed(points, perplexity=8, dim=dim, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.points, same.points)
    assert one.points.shape == (60, dim)
    assert one.divergence == same.divergence > 0
    # in three dimensions the rounding of the machine decides where its few points come to lie
    assert neighbour_accuracy(one.points, labels) >= {2: 1, 3: 0.6}[dim]


@pytest.mark.parametrize(
    ("number", "perplexity", "words"),
    [(60, 30, "91 images; there are 60.* 19 or less"), (3, 1, '"pca"'), (60, 0.5, "1 or more")],
)
def test_too_few_images_for_the_perplexity(blobs, number, perplexity, words):
    with pytest.raises(InputError, match=words):
        embed(blobs[0][:number], perplexity=perplexity)


def test_the_perplexity_that_the_error_names_will_do(blobs):
    assert embed(blobs[0][:20], perplexity=6).points.shape == (20, 2)
    with pytest.raises(InputError, match="6 or less"):
        embed(blobs[0][:20], perplexity=7)


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (np.ones((9, 4)), {}, "are the same"),
        (np.full((9, 4), np.nan), {}, "9 of 9 images hold NaN"),
        (np.eye(9)[:, :1], {}, "at least 2 numbers"),
        (np.eye(2), {}, "more than 2 images"),
        (np.eye(9), {"dim": 4}, "2 or 3"),
        (np.eye(9), {"method": "umap"}, "tsne or pca"),
        (np.ones((9, 4, 4)), {}, "one row an image"),
    ],
)
def test_what_cannot_be_embedded(x, options, words):
    with pytest.raises(InputError, match=words):
        embed(x, **{"method": "pca", **options})


def test_neighbour_accuracy_is_that_of_a_slow_classifier(rng):
    x, labels = rng.normal(size=(40, 3)), [str(i) for i in rng.integers(0, 3, 40)]
    right = 0
    for i in range(40):
        order = sorted(
            (j for j in range(40) if j != i), key=lambda j: float(((x[i] - x[j]) ** 2).sum())
        )
        near = [labels[j] for j in order[:5]]
        votes = [near.count(label) for label in near]
        right += near[votes.index(max(votes))] == labels[i]
    assert neighbour_accuracy(x, labels) == right / 40
    mixed = [*labels, "", ""]
    assert neighbour_accuracy(np.concatenate([x, x[:2]]), mixed) == right / 40


def test_neighbour_accuracy_where_there_is_nothing_to_tell_apart():
    x = np.eye(3)
    assert neighbour_accuracy(x, ["", "", ""]) is None
    assert neighbour_accuracy(x, ["a", "a", "a"]) is None
    assert neighbour_accuracy(x, ["a", "b", "c"]) is None


# Layout


def test_aligned_undoes_a_rotation(rng):
    points = rng.normal(size=(20, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = aligned(points @ turn + 5, points)
    np.testing.assert_allclose(found, points - points.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 9, 10, 97])
def test_a_grid_is_filled_without_overlap(rng, number):
    cells, (rows, columns) = grid_cells(rng.normal(size=(number, 2)))
    assert len({tuple(cell) for cell in cells}) == number
    assert rows * columns - number < columns  # but for the end of the last row
    assert cells.min() >= 0
    assert (cells < [rows, columns]).all()
    assert {tuple(cell) for cell in cells} == {divmod(i, columns) for i in range(number)}


def test_the_grid_is_the_best_of_all_assignments(rng):
    points = rng.uniform(size=(6, 2))
    points[:2] = [[0, 0], [1, 1]]  # they span the unit square
    cells, (rows, columns) = grid_cells(points)

    def cost(order):
        spots = np.array([divmod(i, columns) for i in order])
        centres = np.stack([(spots[:, 1] + 0.5) / columns, 1 - (spots[:, 0] + 0.5) / rows], 1)
        return ((points - centres) ** 2).sum()

    best = min(itertools.permutations(range(6)), key=cost)
    np.testing.assert_array_equal(cells, [divmod(i, columns) for i in best])


# Figures


def shown(figure, path):
    figures.save(figure, path, dpi=60)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), int)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    return pixels


@pytest.mark.parametrize("classes", [0, 3, 12, 40])
@pytest.mark.parametrize("dim", [2, 3])
def test_scatter(rng, tmp_path, classes, dim):
    points = rng.normal(size=(80, dim)).astype(np.float32)
    labels = [f"class {i % classes}" if classes else "" for i in range(80)]
    both = {"conv1": Embedding(points, "tsne"), "conv2": Embedding(points, "pca", np.ones(dim) / 4)}
    figure = figures.embedding_figure(both, labels, "Title", {"conv1": "caption"})
    shown(figure, tmp_path / "a.png")
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert len(names) == {0: 0, 3: 3, 12: 12, 40: 21}[classes]
    if classes == 12:
        assert names[:3] == ["class 0", "class 1", "class 2"]  # and class 10 comes after class 9


def test_images_do_not_hide_one_another(rng, tmp_path):
    points = rng.normal(size=(60, 2)).astype(np.float32)
    found = {"a": Embedding(points, "tsne")}
    red = [np.full((9, 9, 3), [1.0, 0, 0], np.float32)] * 60
    figure = figures.embedding_images_figure(found, red, [""] * 60, "Title")
    canvas = figure.axes[0].images[0].get_array()
    _, side, places = _placed(points)
    assert places.mean() >= 0.98
    covered = int(np.asarray(canvas[:, :, 1] == 0).sum())
    assert covered == places.sum() * (side - 2) ** 2  # each whole, in its white frame
    shown(figure, tmp_path / "a.png")


def test_grid_figure_shows_each_image_once(rng, tmp_path):
    points = rng.normal(size=(10, 2)).astype(np.float32)
    greys = [np.full((4, 4, 3), i / 10, np.float32) for i in range(10)]
    labels = list("aabbbaabba")
    figure = figures.embedding_grid_figure({"a": Embedding(points, "pca")}, greys, labels, "T")
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    cells, (_, columns) = grid_cells(points)
    side = canvas.shape[1] // columns
    for i, (row, column) in enumerate(cells):
        middle = canvas[row * side + side // 2, column * side + side // 2]
        np.testing.assert_allclose(middle, i / 10, atol=0.003)
    shown(figure, tmp_path / "a.png")


def test_figures_say_what_is_wrong(rng):
    flat = {"a": Embedding(rng.normal(size=(4, 2)), "pca")}
    deep = {"a": Embedding(rng.normal(size=(4, 3)), "pca")}
    pictures = [np.zeros((2, 2, 3))] * 4
    with pytest.raises(InputError, match="no layer"):
        figures.embedding_figure({}, [], "T")
    with pytest.raises(InputError, match="3 labels for 4 points"):
        figures.embedding_figure(flat, ["a"] * 3, "T")
    with pytest.raises(InputError, match="--dim 2"):
        figures.embedding_grid_figure(deep, pictures, ["a"] * 4, "T")
    with pytest.raises(InputError, match="3 pictures"):
        figures.embedding_images_figure(flat, pictures[:3], ["a"] * 4, "T")


def test_thumbnails_are_the_middle_square():
    picture = np.zeros((10, 30, 3))
    picture[:, 10:20] = 1
    assert figures.thumbnail(picture, 5).min() == 1
    assert figures.thumbnail(picture, 20).shape == (20, 20, 3)


# Command line


def typed(*words, code=0):
    result = CliRunner().invoke(app, ["look", "embed", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("show", ["scatter", "images", "grid"])
def test_command(tmp_path, monkeypatch, show):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 24)
    text = typed("mnist", "digits", "--layer", "pool2,scores", "--perplexity", 5, "--show", show,
                 "--save", "a.npz")  # fmt: skip
    assert "24 images, 2 labels" in text
    name = f"mnist_digits_pool2_scores_tsne_{show}.png"
    assert name in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "digits", name]
    with np.load("a.npz") as file:
        assert file["points scores"].shape == (24, 2)
        assert file["features pool2"].shape == (24, 3136)
        assert list(file["labels"][:2]) == ["class0", "class0"]
        assert file["names"][0].endswith("000.png")


def test_command_leaves_out_what_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 12)
    (tmp_path / "digits" / "class0" / "bad.png").write_bytes(b"?")
    text = typed("mnist", "digits", "--method", "pca", "--dim", 3, "--out", "a.pdf", code=1)
    assert "12 images" in text
    assert "Left out 1 of 13 images" in text
    assert "bad.png" in text


def test_command_takes_labels_from_names_and_some_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 12)
    text = typed("mnist", "digits", "--method", "pca", "--label-pattern", r"(\d)\.png",
                 "--most", 8, "--pool", "mean", "--out", "a.png")  # fmt: skip
    assert "8 images" in text
    assert "means of channels" in text


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--perplexity", "30"], "91 images; there are 6"),
        (["--method", "umap"], "tsne or pca"),
        (["--dim", "4"], "2 or 3"),
        (["--show", "film"], "scatter, images or grid"),
        (["--show", "grid", "--dim", "3"], "--dim 2"),
        (["--layer", "pol2"], "pool2"),
        (["--device", "gpu"], "is no device"),
        (["--out", "a.xyz"], "png"),
        (["--out", "no/a.png"], "no"),
        (["--label-pattern", "("], "label pattern"),
        (["--pool", "max", "--perplexity", "1"], "none or mean"),
    ],
)
def test_bad_commands_say_one_thing_and_write_nothing(tmp_path, monkeypatch, words, match):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 6)
    with pytest.raises(MiniCNNError, match=match) as error:
        typed("mnist", "digits", *words)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


# Real data


def test_classes_come_apart_layer_by_layer(net):
    def read(name, offset):
        with gzip.open(shared(f"mnist/t10k-{name}-ubyte.gz")) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    x = read("images-idx3", 16).reshape(-1, 1, 28, 28)[:500].astype(np.float32) / 255
    labels = [str(label) for label in read("labels-idx1", 8)[:500]]
    found = features(net, Images(x, labels), ["image", "pool1", "pool2", "scores"])
    shares = [neighbour_accuracy(values, found.labels) for values in found.values.values()]
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < 0.95 < shares[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swiss_roll", "digits_layers"])
def test_the_examples_run(tmp_path, monkeypatch, name):
    path = tmp_path / f"{name}.png"
    monkeypatch.setattr("sys.argv", [name, "--out", str(path)])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert path.stat().st_size < 200_000
