"""Nearest neighbours: against all distances, in a stream, and from the command line."""

import itertools
import shutil

import numpy as np
import pytest
from conftest import shared
from PIL import Image
from test_look_embedding import digit_folder
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn.checkpoint import Checkpoint
from minicnn.cli.app import app
from minicnn.data import Images, bundled_digits, photo
from minicnn.errors import InputError, MiniCNNError, ShapeError
from minicnn.look import features, nearest_images, neighbours


@pytest.fixture(scope="module")
def net():
    return minicnn.load("mnist")


def slow(x, q, metric):
    """All distances, by the definition."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    if metric == "euclidean":
        return np.array([np.sqrt(((row - q) ** 2).sum()) for row in x])
    return np.array([1 - row @ q / np.sqrt((row @ row) * (q @ q)) for row in x])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_the_least_of_all_distances(rng, metric):
    x, queries = rng.normal(size=(50, 8)), rng.normal(size=(3, 8))
    found = neighbours(x, queries, 5, metric)
    for q, indices, distances in zip(queries, found.indices, found.distances):
        every = slow(x, q, metric)
        np.testing.assert_array_equal(indices, every.argsort()[:5])
        np.testing.assert_allclose(distances, np.sort(every)[:5], rtol=1e-9)


def test_a_cosine_to_nothing_is_one():
    found = neighbours(np.array([[0.0, 0], [2, 0]]), np.array([[1.0, 0]]), 2, "cosine")
    assert found.indices.tolist() == [[1, 0]]
    assert found.distances.tolist() == [[0, 1]]


def test_neighbours_say_what_is_wrong():
    x = np.eye(4)
    with pytest.raises(InputError, match="1 to 4"):
        neighbours(x, x, 5)
    with pytest.raises(InputError, match="euclidean or cosine"):
        neighbours(x, x, 2, "city block")
    with pytest.raises(ShapeError, match="same D"):
        neighbours(x, x[:, :3], 2)
    with pytest.raises(InputError, match="finite"):
        neighbours(x * np.nan, x, 2)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_stream_finds_what_all_features_at_once_do(net, tmp_path, metric):
    images = Images(digit_folder(tmp_path, 40))
    x = np.concatenate([photo(path, net.preprocess) for path in bundled_digits()[:2]])
    layers = ["pool2", "image"]
    found = nearest_images(net, images, x, layers, 7, metric, leave_out=[3])
    values = features(net, images, layers).values
    wanted = features(net, Images(x), layers).values
    kept = np.delete(np.arange(40), 3)
    for name in layers:
        all_at_once = neighbours(values[name][kept], wanted[name], 7, metric)
        np.testing.assert_array_equal(found[name].indices, kept[all_at_once.indices])
        np.testing.assert_allclose(found[name].distances, all_at_once.distances, rtol=1e-6)


def test_a_scan_that_was_interrupted_goes_on(net, tmp_path, monkeypatch):
    images = Images(digit_folder(tmp_path / "digits", 50))
    x, state = photo("digit_7", net.preprocess), tmp_path / "state.npz"
    whole = nearest_images(net, images, x, ["pool2"], 4)
    monkeypatch.setattr(Checkpoint, "offer", lambda self, arrays: self.write(arrays()))

    def broken(items, what, total):
        yield from itertools.islice(items, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest_images(net, images, x, ["pool2"], 4, track=broken, checkpoint=state)
    assert state.exists()
    seen = []

    def counted(items, what, total):
        for item in items:
            seen.append(int(item[0][0]))
            yield item

    again = nearest_images(net, images, x, ["pool2"], 4, track=counted, checkpoint=state)
    assert seen == [32, 48]
    np.testing.assert_array_equal(again["pool2"].indices, whole["pool2"].indices)
    np.testing.assert_array_equal(again["pool2"].distances, whole["pool2"].distances)
    assert not state.exists()


def test_figure(rng, tmp_path):
    def near(count):
        return [
            figures.Near(rng.uniform(size=(8, 8, 3)), f"label {i}", 0.1 * i) for i in range(count)
        ]

    rows = {"nearest at pool5": near(4), "nearest in pixel space": near(3)}
    figure = figures.neighbours_figure(rng.uniform(size=(8, 8, 3)), "query", rows, "Title")
    figures.save(figure, tmp_path / "a.png", dpi=60)
    with pytest.raises(InputError, match="nothing to draw"):
        figures.neighbours_figure(rng.uniform(size=(8, 8, 3)), "query", {"a": []}, "Title")


# Command line


def typed(*words, code=0):
    words = ["look", "neighbours", *map(str, words)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 20)
    text = typed("mnist", "digit_7", "digits", "--layer", "pool2", "-k", 3, "--save", "a.npz")
    assert "does not count" not in text
    assert text.count("image (pixels)") == 3
    name = "mnist_digit_7_neighbours_digits_pool2.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "digits", name]
    with np.load("a.npz") as file:
        assert (np.diff(file["distances pool2"]) >= 0).all()
        assert [name[-7:] for name in file["names pool2"]] == [
            f"{i:03}.png" for i in [int(n[-7:-4]) for n in file["names pool2"]]
        ]


def test_the_query_does_not_count_and_bad_images_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 12)
    (tmp_path / "digits" / "class0" / "bad.png").write_bytes(b"?")
    query = tmp_path / "digits" / "class1" / "003.png"
    shutil.copy(query, tmp_path / "digits" / "class0" / "twin.png")
    text = typed("mnist", query, "digits", "-k", 2, "--out", "a.svg", "--metric", "cosine", code=1)
    assert "does not count" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("scores", "image"))]
    assert rows[0][-1] == "class0/twin.png"
    assert not any(row[-1] == "class1/003.png" for row in rows)
    assert "Left out 1 of 14" in text


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["-k", "7"], "1 to 6"),
        (["--metric", "l1"], "euclidean or cosine"),
        (["--layer", "pol2"], "pool2"),
        (["--out", "a"], "suffix"),
        (["--device", "tpu"], "cpu"),
    ],
)
def test_bad_commands(tmp_path, monkeypatch, words, match):
    monkeypatch.chdir(tmp_path)
    digit_folder(tmp_path / "digits", 6)
    with pytest.raises(MiniCNNError, match=match):
        typed("mnist", "digit_2", "digits", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.slow
def test_the_same_photo_somewhat_changed_is_nearest(tmp_path):
    net = minicnn.load(shared("models/squeezenet1.1.onnx"))
    paths = sorted(shared("photos").glob("imagenet_0*.jpg"))
    with Image.open(paths[3]) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    x = photo(tmp_path / "mirrored.png", net.preprocess)
    found = nearest_images(net, Images(paths), x, [net.logits], 3)
    assert paths[found[net.logits].indices[0, 0]] == paths[3]
