"""Streams of images: in order, a batch ahead, without what cannot be read; pictures of them."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import data, nn
from minicnn.cli.app import open_images
from minicnn.data import Images, bundled_digits, bundled_path, photo, picture
from minicnn.data.images import unprocessed
from minicnn.errors import ImageError, InputError
from minicnn.preprocess import Preprocess

PLAIN = Preprocess(None, None, (0.0,) * 3, (1.0,) * 3)


def paint(path, size=(4, 5), value=0):
    pixels = np.full((*size, 3), value, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    for value, name in enumerate(["dog/a.png", "cat/c.png", "cat/b.png", "dog/deep/x.png"]):
        paint(tmp_path / name, value=10 * value)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("junk")
    return tmp_path


def test_a_folder_in_the_order_of_its_names(folder):
    images = Images(folder)
    assert images.names == ["cat/b.png", "cat/c.png", "dog/a.png", "dog/deep/x.png"]
    assert images.labels == ["cat", "cat", "dog", "dog/deep"]
    assert len(images) == 4
    assert repr(images).startswith("<Images: 4 in ")
    (one,) = images.batches(PLAIN)
    assert one.indices.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(one.x[:, 0, 0, 0] * 255, [20, 10, 0, 30])
    np.testing.assert_array_equal(one.x[2:3], photo(folder / "dog/a.png", PLAIN))
    np.testing.assert_array_equal(images.picture(1, PLAIN), picture(folder / "cat/c.png", PLAIN))


def test_a_list_of_files_keeps_its_order(folder):
    images = Images([folder / "dog/a.png", folder / "cat/b.png"], labels=["one", "two"])
    assert images.labels == ["one", "two"]
    assert [one.indices.tolist() for one in images.batches(PLAIN, size=1)] == [[0], [1]]
    assert Images([folder / "dog/a.png"]).labels == [""]


def test_labels_from_a_pattern(folder):
    assert Images(folder, pattern=r"/(.)\.png").labels == ["b", "c", "a", "x"]
    assert Images(folder, pattern=r"(cat)").labels == ["cat", "cat", "", ""]
    for pattern in ("(", "cat"):
        with pytest.raises(InputError, match="one group"):
            Images(folder, pattern=pattern)
    with pytest.raises(InputError, match="3 labels for 4 images"):
        Images(folder, labels=["a"] * 3)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("start", [0, 1, 4])
def test_batches_from_anywhere(size, start):
    x = np.arange(10, dtype=np.float32).reshape(5, 1, 1, 2)
    batches = list(Images(x).batches(None, size, start))
    assert np.concatenate([one.indices for one in batches]).tolist() == list(range(start, 5))
    np.testing.assert_array_equal(np.concatenate([one.x for one in batches]), x[start:])
    assert max(len(one.x) for one in batches) <= size


def test_sizes_that_differ_split_a_batch(tmp_path):
    for name, size in [("a", (4, 4)), ("b", (4, 4)), ("c", (5, 4)), ("d", (4, 4)), ("e", (4, 4))]:
        paint(tmp_path / f"{name}.png", size)
    batches = list(Images(tmp_path).batches(PLAIN, 4))
    assert [one.indices.tolist() for one in batches] == [[0, 1], [2], [3], [4]]


def test_what_cannot_be_read_is_left_out_with_its_reason(folder):
    (folder / "cat/bad.png").write_text("junk")
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(noise).save(folder / "zz.png")
    (folder / "zz.png").write_bytes((folder / "zz.png").read_bytes()[:400])
    images = Images(folder)
    found = np.concatenate([one.indices for one in images.batches(PLAIN, 2)])
    assert found.tolist() == [0, 2, 3, 4]
    assert sorted(images.skipped) == [1, 5]
    assert "bad.png is not an image" in images.skipped[1]
    assert "cut off" in images.skipped[5]
    list(images.batches(PLAIN, 2))
    assert len(images.skipped) == 2  # a second pass does not count them twice


def test_only_bad_images_give_no_batch(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.png").write_text("junk")
    images = Images(tmp_path)
    assert list(images.batches(PLAIN, 2)) == []
    assert len(images.skipped) == 5


def test_at_most_two_batches_are_decoded_ahead(monkeypatch):
    images = Images(np.zeros((100, 1, 1, 1), np.float32))
    read, done = images.read, []
    monkeypatch.setattr(images, "read", lambda i, how: (done.append(i), read(i, how))[1])
    stream = images.batches(None, 5)
    next(stream)
    time.sleep(0.1)
    assert len(done) <= 15
    before = threading.active_count()
    stream.close()
    assert threading.active_count() < before  # the thread that decodes has ended
    time.sleep(0.05)
    assert len(done) <= 15


def test_sources_that_are_none(tmp_path):
    with pytest.raises(ImageError, match="There is no folder"):
        Images(tmp_path / "nosuch")
    with pytest.raises(ImageError, match="There are no images in"):
        Images(tmp_path)
    paint(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is a file"):
        Images(tmp_path / "a.png")
    with pytest.raises(ImageError, match="list is empty"):
        Images([])


def test_fingerprints_tell_images_apart(folder, tmp_path):
    first = Images(folder).fingerprint()
    assert Images(folder).fingerprint() == first
    assert Images([folder / name for name in Images(folder).names]).fingerprint() != first
    paint(folder / "cat/more.png")
    assert Images(folder).fingerprint() != first
    a, b = np.zeros((2, 1, 2, 2), np.float32), np.ones((2, 1, 2, 2), np.float32)
    assert Images(a).fingerprint() != Images(b).fingerprint()


@pytest.mark.parametrize(
    "how",
    [
        Preprocess(),
        Preprocess(mean=(103.9, 116.8, 123.7), std=(1.0,) * 3, scale=255.0, order="BGR"),
        Preprocess(layout="NHWC"),
        Preprocess(layout="NHWC", order="BGR"),
    ],
)
def test_unprocessed_is_what_the_network_saw(how):
    path = bundled_path("china")
    np.testing.assert_allclose(unprocessed(photo(path, how), how), picture(path, how), atol=2e-6)


def test_unprocessed_grey_is_grey():
    how = Preprocess(None, None, (0.1307,), (0.3081,))
    path = bundled_digits()[0]
    seen = unprocessed(photo(path, how), how)
    assert seen.shape == (28, 28, 3)
    np.testing.assert_allclose(seen, picture(path, how), atol=1e-6)


def test_arrays_are_pictures_too():
    x = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(Images(x).picture(1, None), x[1].transpose(1, 2, 0))
    assert Images(x).names == ["0", "1"]


def test_pictures_of_a_data_set_whose_network_says_nothing(tmp_path, monkeypatch, capsys):
    """Normalised by the set's own numbers, and shown by the same."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    network = nn.initialise(model).network((1, 8, 8))
    found, own = open_images("digits", network)
    assert "the data set's own mean" in capsys.readouterr().out
    assert own.preprocess == found.how
    test = data.read("digits", "test")
    for row in (0, 7):
        picture = found.picture(row, None)[..., 0]
        np.testing.assert_allclose(picture, test.images[row, 0], atol=1e-5)
    lenet = minicnn.load("lenet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("a/b.png")
    assert open_images("a", lenet)[1] is lenet
    assert not capsys.readouterr().out
