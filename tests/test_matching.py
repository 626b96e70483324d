"""A data set as one network reads it: its pixels normalised, its classes found by their names."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import shared
from PIL import Image

import minicnn
from minicnn import data, nn
from minicnn.data import Dataset, images_for
from minicnn.data.matching import matched, normalised_for
from minicnn.errors import ImageError, InputError, ShapeError
from minicnn.landscape import samples_of
from minicnn.look import some
from minicnn.preprocess import Preprocess

NAMES = ("cat", "dog", "Fire_truck")
BGR = Preprocess(None, None, (10.0, 20.0, 30.0), (2.0, 3.0, 4.0), 255.0, "BGR")
ASSUMED = {"minicnn.preprocess.source": "assumed: ImageNet's mean and deviation"}


@pytest.fixture
def animals(rng):
    images = rng.integers(0, 256, (7, 3, 8, 8), np.uint8)
    labels = np.array([0, 1, 2, 2, 1, 0, 1])
    return Dataset(images, labels, NAMES, "animals", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def network(classes=3, channels=3, **fields):
    model = nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes)
    )
    return nn.initialise(model).network((channels, 8, 8)).derived(**fields)


def pixels(data):
    return data.images.astype(np.float32) / 255


def test_a_stated_normalisation_counts(animals):
    x, _ = samples_of(network(preprocess=BGR), animals)
    mean, std = (np.reshape(n, (3, 1, 1)) for n in (BGR.mean, BGR.std))
    wanted = (pixels(animals)[:, ::-1] * 255 - mean) / std
    np.testing.assert_allclose(x, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fields", [{}, {"preprocess": Preprocess(), "metadata": ASSUMED}])
def test_an_assumed_normalisation_gives_way_to_the_data_sets_own(animals, fields):
    model = network(**fields)
    mean, std = (np.reshape(n, (3, 1, 1)) for n in (animals.mean, animals.std))
    wanted = ((pixels(animals) - mean) / std).astype(np.float32)
    np.testing.assert_allclose(samples_of(model, animals)[0], wanted, atol=1e-5)
    np.testing.assert_allclose(nn.predict(model, animals), model(wanted), rtol=1e-4, atol=1e-5)
    by_hand = nn.evaluate(model, (wanted, animals.labels))
    assert nn.evaluate(model, animals).loss == pytest.approx(by_hand.loss, rel=1e-5)


def test_classes_are_found_by_their_names(animals):
    known = ("fire truck", "bird", "Dog", "cat")
    model = network(4, labels=known)
    found = matched(animals, model)
    np.testing.assert_array_equal(found.labels, [3, 2, 0, 0, 2, 3, 2])
    assert found.classes == known
    by_hand = nn.evaluate(model, (animals.array(), found.labels))
    assert nn.evaluate(model, animals) == by_hand
    np.testing.assert_array_equal(samples_of(model, animals)[1], found.labels)


def test_the_letters_of_a_name_come_first(animals):
    """Classes that differ in case alone, or share a name, are never mistaken for each other."""
    letters = replace(animals, classes=("a", "B", "b"))
    same = matched(letters, network(labels=("a", "B", "b")))
    np.testing.assert_array_equal(same.labels, animals.labels)
    turned = matched(letters, network(labels=("b", "a", "B")))
    np.testing.assert_array_equal(turned.labels, np.array([1, 2, 0])[animals.labels])
    twice = replace(animals, classes=("crane", "ox", "crane"))
    np.testing.assert_array_equal(
        matched(twice, network(labels=("crane", "ox", "crane"))).labels, animals.labels
    )
    loud = tuple(name.upper() for name in twice.classes)
    np.testing.assert_array_equal(matched(twice, network(labels=loud)).labels, animals.labels)
    for classes, known in (
        (("crane", "ox", "cow"), ("crane", "crane", "ox", "cow")),
        (("A", "b", "c"), ("a", "a ", "b", "c")),
        (("Ox", "ox", "cow"), ("OX", "cow", "b")),
        (("ox", "OX", "cow"), ("Ox", "cow", "oX")),
    ):
        with pytest.raises(InputError, match="more than one class"):
            matched(replace(animals, classes=classes), network(len(known), labels=known))


def test_scores_with_axes_of_length_one_and_scores_that_are_not_numbers(animals):
    maps = nn.initialise(nn.Sequential(nn.Conv2d(3, 3, 8))).network((3, 8, 8))
    result = nn.evaluate(maps, animals)
    assert np.isfinite(result.loss)
    broken = maps.derived(arrays={n: np.full_like(a, np.nan) for n, a in maps.arrays.items()})
    same = replace(animals, labels=np.zeros_like(animals.labels))
    with np.errstate(invalid="ignore"):
        assert nn.evaluate(broken, same).score == 0
    scores = np.array([[1, -np.inf], [np.inf, 0], [np.nan, 0], [0, 1]])
    found = nn.Classification().scores(scores, np.array([0, 0, 0, 1]))
    np.testing.assert_array_equal(found, [1, 0, 0, 1])  # a class may be ruled out


def test_other_classes_are_refused(animals):
    other = network(labels=("cat", "dog", "bird"))
    for judge in (samples_of, nn.evaluate):
        with pytest.raises(
            InputError, match=r"does not know Fire_truck .* it knows cat, dog, bird"
        ):
            judge(other, animals)
    with pytest.raises(InputError, match=r"3 classes .* gives 10 scores"):
        samples_of(network(10), animals)
    assert len(nn.predict(other, animals)) == 7  # which asks for no labels


def test_what_is_no_classifier_is_refused(animals):
    maps = nn.initialise(nn.Sequential(nn.Conv2d(3, 3, 3))).network((3, 8, 8))
    with pytest.raises(InputError, match="not one score a class"):
        matched(animals, maps)


def test_images_of_another_size_or_kind_are_refused(animals):
    with pytest.raises(ShapeError, match="images of 3x6x8"):
        matched(replace(animals, images=animals.images[:, :, :6]), network())
    grey = replace(animals, images=animals.images[:, :1], mean=(0.5,), std=(0.2,))
    with pytest.raises(ShapeError, match="images of 1x8x8"):
        matched(grey, network())
    with pytest.raises(InputError, match="reads 3 channels"):
        matched(grey, network(preprocess=BGR))


def test_images_of_a_data_set_and_of_a_folder(tmp_path, rng):
    """What `look` takes: a set's test images as the network reads them, or pictures."""
    own, test = network(10, 1), data.read("digits", "test")
    found = images_for("digits", own)
    assert len(found) == len(test)
    assert found.labels == [str(label) for label in test.labels]
    np.testing.assert_array_equal(found.array, normalised_for(test, own).array())
    few = some(found, 5, seed=1)
    rows = [int(name) for name in few.names]  # which they were
    np.testing.assert_array_equal(few.array, found.array[rows])
    with pytest.raises(InputError, match=r"labelled by their classes.*Leave it out"):
        images_for("digits", own, "_(.*)")
    with pytest.raises(ShapeError, match=r"digits has images of 1x8x8; lenet needs"):
        images_for("digits", minicnn.load("lenet"))
    (tmp_path / "digits" / "3").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / "digits/3/a.png")
    pictures = images_for(tmp_path / "digits", own)  # a folder of that name is a folder
    assert (pictures.labels, pictures.names) == (["3"], ["3/a.png"])
    with pytest.raises(ImageError):
        images_for(tmp_path / "nowhere", own)


def test_images_of_mnist_files(tmp_path):
    files = shared("mnist")
    found = images_for(files, minicnn.load("lenet"))
    assert len(found) == 10_000
    assert set(found.labels) == {str(i) for i in range(10)}
