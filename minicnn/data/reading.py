"""Reading data sets: what a folder, a file or a name means.

a folder with MNIST's or Fashion-MNIST's four IDX files
a folder with CIFAR-10's binary files, its parent, or the archive itself
a folder with one subfolder of images a class, or train/CLASS and test/CLASS
digits                                   1,797 digits of 8x8 that scikit-learn carries
mnist, fashion-mnist, cifar-10           fetched from OpenML by scikit-learn, kept in its cache
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.cifar import find_cifar, read_cifar
from minicnn.data.datasets import Dataset, fitted
from minicnn.data.idx import find_idx, read_idx
from minicnn.errors import InputError, nearest

__all__ = ["NAMES", "read"]

MNIST = ((0.1307,), (0.3081,))
FASHION = ((0.2860,), (0.3530,))
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
           "ankle boot")  # fmt: skip
TEN = tuple(str(i) for i in range(10))
OPENML = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST", "cifar-10": "CIFAR_10"}
NAMES = ("digits", *OPENML)


def read(where: str | os.PathLike[str], split: str = "train", size: int | None = None) -> Dataset:
    """A data set's split.

    Parameters
    ----------
    where : path-like or str
        A folder, an archive, or one of `NAMES`.
    split : {"train", "test"}
        Sets that come in one piece are split by a fixed seed, a fifth of each class for testing.
    size : int, optional
        Side to which the images of folders are brought; by default the smallest of them.

    Raises
    ------
    InputError
        If there is no such data, or its files are missing, damaged or do not fit each other.

    Examples
    --------
    >>> read("digits")
    <Dataset digits: 1,438 images 1x8x8, 10 classes>
    """
    if split not in ("train", "test"):
        raise InputError(f"split={split!r}: a split is 'train' or 'test'.")
    path, name = Path(where), str(where).lower()
    if not path.exists():
        if name == "digits":
            return _digits(split)
        if name in OPENML:
            return _fetched(name, split)
        raise InputError(
            f"There is no data at {path}: give a folder, or one of {', '.join(NAMES)}. "
            f"{nearest(name, NAMES)}"
        )
    cifar = find_cifar(path)
    if cifar is not None:
        images, labels, classes = read_cifar(cifar, split)
        return Dataset(images, labels, classes, "CIFAR-10", *CIFAR)
    if path.is_dir():
        files = find_idx(path, split)
        if files is not None:
            return _idx(path, *files)
        from minicnn.data.class_folders import read_folders  # which needs Pillow

        return read_folders(path, split, size)
    raise InputError(f"{path} is a file; a data set is a folder, or CIFAR-10's archive.")


def _idx(folder: Path, images_file: Path, labels_file: Path) -> Dataset:
    """MNIST, or Fashion-MNIST where the folder is called so."""
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise InputError(
            f"{images_file} holds {len(images):,} images, {labels_file.name} {len(labels):,} "
            f"labels: they do not belong together."
        )
    fashion = "fashion" in folder.resolve().name.lower()
    name, classes = ("Fashion-MNIST", CLOTHES) if fashion else ("MNIST", TEN)
    facts = FASHION if fashion else MNIST
    return Dataset(images[:, None], labels.astype(np.int64), classes, name, *facts)


def _digits(split: str) -> Dataset:
    """Pixels 0 to 16 as 0..1."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images[:, None] / 16).astype(np.float32)
    whole = Dataset(images, found.target.astype(np.int64), TEN, "digits", *fitted(images))
    return whole.split(0.2, 0)[split == "test"]


def _fetched(name: str, split: str) -> Dataset:
    """From OpenML: 70,000 images of MNIST's kind or 60,000 of CIFAR's, the test images last."""
    from sklearn.datasets import fetch_openml

    try:
        found: Any = fetch_openml(OPENML[name], version=1, as_frame=False, parser="auto")
    except Exception as error:  # whatever the network or the site may raise
        raise InputError(
            f"{name} cannot be fetched from OpenML ({error}). Get its files another way and give "
            f"their folder, or try digits, which needs no network."
        ) from None
    pixels = np.asarray(found.data, np.uint8)
    labels = np.asarray(found.target).astype(np.int64)
    shape, first = ((3, 32, 32), 50_000) if name == "cifar-10" else ((1, 28, 28), 60_000)
    rows = slice(None, first) if split == "train" else slice(first, None)
    images = pixels.reshape(-1, *shape)[rows]
    from minicnn.data.cifar import CLASSES

    classes, facts, title = {
        "mnist": (TEN, MNIST, "MNIST"),
        "fashion-mnist": (CLOTHES, FASHION, "Fashion-MNIST"),
        "cifar-10": (CLASSES, CIFAR, "CIFAR-10"),
    }[name]
    return Dataset(images, labels[rows], classes, title, *facts)
