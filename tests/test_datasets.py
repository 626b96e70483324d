"""Data sets: read from every form, split, normalised; and damaged files refused with one error."""

from __future__ import annotations

import gzip
import io
import tarfile
from importlib.util import find_spec
from urllib.error import URLError

import numpy as np
import pytest
from conftest import shared
from PIL import Image

from minicnn.data import Batches, Dataset, read
from minicnn.data.cifar import FILES, ROW
from minicnn.errors import ImageError, InputError, MiniCNNError, ShapeError
from minicnn.preprocess import Preprocess


def made(count=60, channels=3, size=4, classes=3, seed=0):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    labels = np.arange(count) % classes
    names = tuple("abcdefgh"[:classes])
    return Dataset(images, labels, names, "made", (0.5,) * channels, (0.25,) * channels)


# Datasets


def test_array_is_normalised_by_definition_and_channels_last():
    data = made()
    x = data.array(slice(3, 9))
    np.testing.assert_allclose(x, (data.images[3:9] / 255.0 - 0.5) / 0.25, atol=1e-6)
    assert x.dtype == np.float32
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous


def test_split_is_stratified_repeatable_and_complete():
    data = made(90)
    rest, held = data.split(0.2, seed=1)
    assert (np.bincount(held.labels), np.bincount(rest.labels)) == (
        pytest.approx([6, 6, 6]),
        pytest.approx([24, 24, 24]),
    )
    again = data.split(0.2, seed=1)[1]
    np.testing.assert_array_equal(again.images, held.images)
    both = np.concatenate([rest.images, held.images]).reshape(90, -1)
    np.testing.assert_array_equal(
        np.unique(both, axis=0), np.unique(data.images.reshape(90, -1), axis=0)
    )
    assert (data.split(0.2, seed=2)[1].images != held.images).any()


def test_balanced_takes_the_same_number_of_each_class():
    data = made(90)
    assert np.bincount(data.balanced(4, seed=0).labels).tolist() == [4, 4, 4]
    with pytest.raises(InputError, match="has 30 images of a; 31"):
        data.balanced(31, seed=0)


def test_prepared_is_what_the_network_reads():
    data = made()
    how = Preprocess(size=4, crop=4, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), scale=255.0,
                     order="BGR")  # fmt: skip
    each = [np.array(v).reshape(3, 1, 1) for v in (how.mean, how.std)]
    want = (data.images[:, ::-1] - each[0]) / each[1]
    np.testing.assert_allclose(data.prepared(how).array(), want, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="reads 1 channels"):
        data.prepared(Preprocess(mean=(0.0,), std=(1.0,)))


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"images": np.zeros((2, 4, 4), np.uint8)}, ShapeError, "images are"),
        ({"images": np.zeros((2, 3, 4, 4), np.int64)}, ShapeError, "uint8 or float32"),
        ({"labels": np.zeros(59, np.int64)}, ShapeError, "60 images need as many"),
        ({"labels": np.zeros(60)}, ShapeError, "integer labels"),
        ({"labels": np.arange(60)}, InputError, "0 to 59"),
        ({"labels": np.full(60, -1)}, InputError, "from -1"),
        ({"mean": (0.5,)}, InputError, "need 3 numbers"),
    ],
)
def test_what_does_not_fit_is_refused(changes, kind, said):
    own = {**made().__dict__, **changes}
    with pytest.raises(kind, match=said):
        Dataset(**own)


def test_batches_give_every_image_once_and_the_same_again():
    data = made(50)
    batches = Batches(data, 8, seed=3)
    assert len(batches) == 6
    first, again, second = (list(batches.epoch(n)) for n in (0, 0, 1))
    for (x, y), (u, v) in zip(first, again, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)
    seen = np.concatenate([x for x, _ in first]).reshape(48, -1)
    assert len(np.unique(seen, axis=0)) == 48
    assert (first[0][0] != second[0][0]).any()
    labels = np.concatenate([y for _, y in first])
    order = np.random.default_rng([3, 0]).permutation(50)[:48]
    np.testing.assert_array_equal(labels, data.labels[order])
    assert len(Batches(data, 500)) == 1
    every = list(Batches(data, 8, seed=3, drop_last=False).epoch(0))
    assert [len(y) for _, y in every] == [8] * 6 + [2]
    assert len(Batches(data, 8, drop_last=False)) == 7
    np.testing.assert_array_equal(every[0][0], first[0][0])
    for wrong in ({"size": 0}, {"seed": -1}):
        with pytest.raises(InputError):
            Batches(data, **wrong)


# MNIST's files


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    draw = np.random.default_rng(0)
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = draw.integers(0, 256, (count, 28, 28))
        labels = np.arange(count) % 10
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_idx_plain_or_compressed(mnist):
    train, test = read(mnist), read(mnist, "test")
    assert (len(train), len(test), train.images.shape[1:]) == (20, 10, (1, 28, 28))
    draw = np.random.default_rng(0)
    np.testing.assert_array_equal(train.images[:, 0], draw.integers(0, 256, (20, 28, 28)))
    assert train.labels.tolist() == list(range(10)) * 2


def test_real_mnist():
    train, test = read(shared("mnist")), read(shared("mnist"), "test")
    assert (len(train), len(test)) == (60_000, 10_000)
    pixels = np.bincount(train.images.ravel(), minlength=256) / train.images.size
    mean = pixels @ (np.arange(256) / 255)
    std = np.sqrt(pixels @ (np.arange(256) / 255 - mean) ** 2)
    assert (mean, std) == pytest.approx((train.mean[0], train.std[0]), abs=1e-4)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("train-labels-idx1-ubyte", None, "lacks train-labels"),
        ("train-images-idx3-ubyte.gz", lambda b: b[:200], "damaged"),
        ("train-images-idx3-ubyte.gz", lambda b: gzip.compress(gzip.decompress(b)[:-1]), "trunc"),
        ("train-labels-idx1-ubyte", lambda b: b[:-3], "truncated"),
        ("train-labels-idx1-ubyte", lambda b: b + b"1", "truncated or damaged"),
        ("train-labels-idx1-ubyte", lambda b: idx(np.arange(19) % 10), "19 labels"),
        ("train-labels-idx1-ubyte", lambda b: idx(np.arange(20)), "image 10 has label 10"),
        ("train-labels-idx1-ubyte", lambda b: idx(np.zeros((20, 1))), "1 axes"),
        ("train-labels-idx1-ubyte", lambda b: b"hello world", "68 65"),
        ("train-labels-idx1-ubyte", lambda b: b"", "IDX"),
        ("train-labels-idx1-ubyte", lambda b: b[:6], "holds 0"),
        ("train-labels-idx1-ubyte", lambda b: b[:4] + b"\xff" * 4 + b[8:], "4294967295 bytes"),
        ("train-images-idx3-ubyte.gz", lambda b: idx(np.zeros((20, 28, 0))), "images of 0x28"),
    ],
)
def test_damaged_idx_files_get_one_error_that_names_them(mnist, name, change, said):
    file = mnist / name
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(InputError, match=said):
        read(mnist)
    assert len(read(mnist, "test")) == 10


# CIFAR-10's files


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.data.cifar.IMAGES", 4)
    draw = np.random.default_rng(1)
    for name in (*FILES["train"], *FILES["test"]):
        table = draw.integers(0, 256, (4, ROW), dtype=np.uint8)
        table[:, 0] %= 10
        (tmp_path / name).write_bytes(table.tobytes())
    return tmp_path


def archived(folder, out):
    with tarfile.open(out, "w:gz") as archive:
        for file in sorted(folder.glob("*.bin")):
            archive.add(file, f"cifar-10-batches-bin/{file.name}")
    return out


def test_cifar_from_folder_parent_and_archive(cifar, tmp_path_factory):
    train = read(cifar)
    raw = np.frombuffer((cifar / "data_batch_2.bin").read_bytes(), np.uint8).reshape(4, ROW)
    np.testing.assert_array_equal(train.images[5].ravel(), raw[1, 1:])
    assert train.labels[5] == raw[1, 0]
    assert train.images.shape == (20, 3, 32, 32)
    other = tmp_path_factory.mktemp("parent")
    cifar_archive = archived(cifar, other / "cifar-10-binary.tar.gz")
    for place in (other, cifar_archive):
        for split in ("train", "test"):
            np.testing.assert_array_equal(read(place, split).images, read(cifar, split).images)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("data_batch_3.bin", None, "lacks data_batch_3"),
        ("data_batch_3.bin", lambda b: b[:-1], "12,291 bytes; 12,292 are needed"),
        ("data_batch_3.bin", lambda b: b[:-ROW], "4 images of 3073 bytes"),
        ("data_batch_3.bin", lambda b: b"", "holds 0 bytes"),
        ("data_batch_3.bin", lambda b: b + b, "12,292 bytes and more"),
        ("data_batch_3.bin", lambda b: b"\x0a" + b[1:], "image 0 has label 10"),
    ],
)
def test_damaged_cifar_files_get_one_error_that_names_them(cifar, name, change, said):
    file = cifar / name
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(InputError, match=said):
        read(cifar)


def test_damaged_archives(cifar, tmp_path):
    archive = archived(cifar, tmp_path / "a.tar.gz")
    whole = archive.read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    (tmp_path / "changed.tar.gz").write_bytes(whole[:middle] + bytes(99) + whole[middle + 99 :])
    (tmp_path / "text.tar.gz").write_bytes(b"no archive")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as other:
        other.addfile(tarfile.TarInfo("readme"), io.BytesIO())
    for name in ("cut", "changed", "text", "other"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / f"{name}.tar.gz")


def test_links_in_an_archive_are_not_followed(cifar, tmp_path):
    with tarfile.open(tmp_path / "links.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(cifar / "test_batch.bin")
        archive.addfile(link)
    with pytest.raises(InputError, match="lacks test_batch"):
        read(tmp_path / "links.tar.gz", "test")


# Folders of images


def folders(where, classes=("cat", "dog"), count=5, size=(6, 6), mode="RGB", seed=0):
    draw = np.random.default_rng(seed)
    for name in classes:
        (where / name).mkdir(parents=True)
        for i in range(count):
            shape = (*size, 3) if mode == "RGB" else size
            pixels = draw.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(where / name / f"{i}.png")
    return where


def test_a_folder_a_class_is_split_for_good(tmp_path):
    folders(tmp_path / "pets")
    train, test = read(tmp_path / "pets"), read(tmp_path / "pets", "test")
    assert (len(train), len(test), train.classes) == (8, 2, ("cat", "dog"))
    first = np.asarray(Image.open(tmp_path / "pets/cat/0.png")).transpose(2, 0, 1)
    assert any((image == first).all() for image in (*train.images, *test.images))
    unit = train.images / 255
    assert train.mean == test.mean == pytest.approx(unit.mean(axis=(0, 2, 3)))
    assert train.std == test.std == pytest.approx(unit.std(axis=(0, 2, 3)))


def test_folders_of_splits_share_normalisation(tmp_path):
    folders(tmp_path / "train", mode="L")
    folders(tmp_path / "val", mode="L", count=2, seed=1)
    train, test = read(tmp_path), read(tmp_path, "test")
    assert train.images.shape == (10, 1, 6, 6)
    assert (len(test), test.mean, test.std) == (4, train.mean, train.std)
    assert train.mean[0] == pytest.approx(train.images.mean() / 255)


@pytest.mark.parametrize("changes", [{"mode": "RGB"}, {"size": (6, 7)}])
def test_images_for_testing_are_like_those_for_training(tmp_path, changes):
    folders(tmp_path / "train", mode="L")
    folders(tmp_path / "test", **{"mode": "L", **changes})
    with pytest.raises(InputError, match="grey, 6x6 pixels: they must be alike"):
        read(tmp_path, "test")


def test_images_of_one_size_keep_it(tmp_path):
    folders(tmp_path / "train", size=(6, 9))
    folders(tmp_path / "test", size=(6, 9))
    assert read(tmp_path, "test").images.shape == (10, 3, 6, 9)
    assert read(tmp_path, "test", size=4).images.shape == (10, 3, 4, 4)


def test_images_of_several_sizes_need_one(tmp_path):
    folders(tmp_path / "cats", ("a", "b"), size=(6, 9))
    folders(tmp_path / "cats", ("c",), size=(12, 8))
    with pytest.raises(InputError, match="give a size"):
        read(tmp_path / "cats")
    assert read(tmp_path / "cats", size=5).images.shape == (12, 3, 5, 5)


def test_folders_that_are_no_data_set(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no data set"):
        read(tmp_path)
    folders(tmp_path / "train")
    folders(tmp_path / "test", ("cat", "cow"))
    with pytest.raises(InputError, match="cow, dog"):
        read(tmp_path, "test")
    (tmp_path / "train/cat/0.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"0\.png"):
        read(tmp_path)


# Names


def test_names(monkeypatch, tmp_path):
    assert (len(read("digits")), len(read("digits", "test"))) == (1438, 359)
    assert read("digits").images.max() == 1
    x = read("digits").array()
    assert (x.mean(), x.std()) == pytest.approx((0, 1), abs=1e-5)
    assert read("digits", size=8).images.shape == (1438, 1, 8, 8)
    for size in (0, 16):
        with pytest.raises(InputError, match=f"size={size}"):
            read("digits", size=size)
    for where, split in (("digit", "train"), (tmp_path / "x", "train"), ("digits", "valid")):
        with pytest.raises(MiniCNNError):
            read(where, split)
    with pytest.raises(InputError, match="digits"):
        read("digit")


def test_openml_through_scikit_learn(monkeypatch, tmp_path):
    class Found:
        data = np.tile((np.arange(70_000) % 256).astype(np.uint8)[:, None], (1, 784))
        target = np.array([str(i % 10) for i in range(70_000)])

    asked = []

    def fetch(name, **how):
        asked.append((name, how))
        return Found

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    train, test = read("mnist"), read("Fashion-MNIST", "test", home=tmp_path)
    assert [name for name, _ in asked] == ["mnist_784", "Fashion-MNIST"]
    assert [how["data_home"] for _, how in asked] == [None, str(tmp_path)]
    assert all(how["parser"] == "pandas" or not find_spec("pandas") for _, how in asked)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert test.images[0, 0, 0, 0] == 60_000 % 256
    assert (test.labels[3], test.classes[3], train.classes[3]) == (3, "dress", "3")
    with pytest.raises(InputError, match="not of 60,000 images 3x32x32"):
        read("cifar-10")


@pytest.mark.filterwarnings("ignore:A network error occurred")
def test_openml_that_cannot_be_reached(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", unreachable)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda _: None)
    with pytest.raises(InputError, match=r"cannot be fetched from OpenML .*no network"):
        read("cifar-10", home=tmp_path)
