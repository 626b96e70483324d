"""Reading data sets: what a folder, a file or a name means.

a folder with MNIST's or Fashion-MNIST's four IDX files
a folder with CIFAR-10's binary files, its parent, or the archive itself
a folder with one subfolder of images a class, or train/CLASS and test/CLASS
digits                                   1,797 digits of 8x8 that scikit-learn carries
mnist, fashion-mnist, cifar-10           fetched from OpenML by scikit-learn, kept in its cache
"""

from __future__ import annotations

import math
import os
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.cifar import CLASSES as CIFAR_CLASSES
from minicnn.data.cifar import find_cifar, read_cifar
from minicnn.data.datasets import Dataset, halved
from minicnn.data.idx import find_idx, read_idx
from minicnn.errors import InputError, nearest

__all__ = ["NAMES", "read"]

MNIST = ((0.1307,), (0.3081,))  # mean and standard deviation of a channel
FASHION = ((0.2860,), (0.3530,))
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
           "ankle boot")  # fmt: skip
TEN = tuple(str(i) for i in range(10))
# names at OpenML, shape of an image, images for training and testing, what a Dataset says of them
OPENML: dict[str, tuple[Any, ...]] = {
    "mnist": ("mnist_784", (1, 28, 28), 60_000, 10_000, TEN, "MNIST", *MNIST),
    "fashion-mnist": (
        "Fashion-MNIST", (1, 28, 28), 60_000, 10_000, CLOTHES, "Fashion-MNIST", *FASHION,
    ),
    "cifar-10": ("CIFAR_10", (3, 32, 32), 50_000, 10_000, CIFAR_CLASSES, "CIFAR-10", *CIFAR),
}  # fmt: skip
NAMES = ("digits", *OPENML)


def read(
    where: str | os.PathLike[str],
    split: str = "train",
    size: int | None = None,
    home: str | os.PathLike[str] | None = None,
) -> Dataset:
    """A data set's split.

    Parameters
    ----------
    where : path-like or str
        A folder, an archive, or one of `NAMES`; what exists under a name goes before the name.
    split : {"train", "test"}
        Which part. Sets that come in one piece (digits, and folders of classes without train and
        test) are split by seed 0, a fifth of each class for testing.
    size : int, optional
        Side to which the images of folders are brought; needed where they have several sizes.
    home : path-like, optional
        Where fetched data is kept; by default where scikit-learn does (`SCIKIT_LEARN_DATA`).

    Returns
    -------
    Dataset
        MNIST's, Fashion-MNIST's and CIFAR-10's have their known mean and std, others those of their
        training split.

    Raises
    ------
    InputError
        If there is no such data, its files are missing, damaged or do not fit each other, or it
        cannot be fetched.
    ImageError
        If an image of a folder cannot be read.

    Examples
    --------
    >>> read("digits")
    <Dataset digits: 1,438 images 1x8x8, 10 classes>
    """
    if split not in ("train", "test"):
        raise InputError(f"split={split!r}: a split is 'train' or 'test'.")
    if size is not None and size < 1:
        raise InputError(f"size={size}: images have a side of 1 pixel or more.")
    path, name = Path(where), str(where).lower()
    if path.exists():
        return _found(path, split, size)
    if name == "digits":
        return _sized(_digits(split), size)
    if name in OPENML:
        return _sized(_fetched(name, split, home), size)
    raise InputError(
        f"There is no data at {path}: give a folder, or one of {', '.join(NAMES)}. "
        f"{nearest(name, NAMES)}"
    )


def _found(path: Path, split: str, size: int | None) -> Dataset:
    """What is in a folder or an archive."""
    cifar = find_cifar(path)
    if cifar is not None:
        return _sized(Dataset(*read_cifar(cifar, split), CIFAR_CLASSES, "CIFAR-10", *CIFAR), size)
    if not path.is_dir():
        raise InputError(f"{path} is a file; a data set is a folder, or CIFAR-10's archive.")
    files = find_idx(path, split)
    if files is not None:
        return _sized(_idx(path, *files), size)
    from minicnn.data.class_folders import read_folders  # which needs Pillow

    return read_folders(path, split, size)


def _sized(data: Dataset, size: int | None) -> Dataset:
    """The same, where its size is the one asked for."""
    height, width = data.images.shape[2:]
    if size is not None and (height, width) != (size, size):
        raise InputError(
            f"size={size}: images of {data.name} are {width}x{height} and stay so; only folders "
            f"of images are brought to a size. Leave it out."
        )
    return data


def _idx(folder: Path, images_file: Path, labels_file: Path) -> Dataset:
    """MNIST, or Fashion-MNIST where the folder is called so."""
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels) or images.size == 0:
        raise InputError(
            f"{images_file} holds {len(images):,} images of {images.shape[2]}x{images.shape[1]}, "
            f"{labels_file.name} {len(labels):,} labels: there must be a label an image."
        )
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise InputError(f"{labels_file}: image {row} has label {labels[row]}; labels are 0 to 9.")
    fashion = "fashion" in folder.resolve().name.lower()
    name, classes = ("Fashion-MNIST", CLOTHES) if fashion else ("MNIST", TEN)
    facts = FASHION if fashion else MNIST
    return Dataset(images[:, None], labels.astype(np.int64), classes, name, *facts)


def _digits(split: str) -> Dataset:
    """Pixels 0 to 16 as 0..1."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images[:, None] / 16).astype(np.float32)
    return halved(images, found.target.astype(np.int64), TEN, "digits", split)


def _fetched(name: str, split: str, home: str | os.PathLike[str] | None) -> Dataset:
    """From OpenML: 70,000 images of MNIST's kind or 60,000 of CIFAR's, the test images last."""
    from sklearn.datasets import fetch_openml

    asked, shape, train, test, *facts = OPENML[name]
    parser = "pandas" if find_spec("pandas") else "liac-arff"  # slower, but always there
    try:
        found: Any = fetch_openml(
            asked,
            version=1,
            as_frame=False,
            parser=parser,
            data_home=None if home is None else str(home),
        )
    except (OSError, EOFError, ValueError, HTTPException) as error:
        raise InputError(
            f"{name} cannot be fetched from OpenML ({error}). Get its files another way and give "
            f"their folder, or try digits, which needs no network."
        ) from None
    if found.data.shape != (train + test, math.prod(shape)):
        raise InputError(
            f"{name} from OpenML is a table of {found.data.shape}, not of {train + test:,} images "
            f"{'x'.join(map(str, shape))}. Get its files another way and give their folder."
        )
    rows = slice(None, train) if split == "train" else slice(train, None)
    images = found.data[rows].astype(np.uint8).reshape(-1, *shape)
    return Dataset(images, np.asarray(found.target)[rows].astype(np.int64), *facts)
