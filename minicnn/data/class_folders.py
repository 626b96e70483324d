"""Folders of images as a data set: the name of an image's folder is its class.

folder/CLASS/*.png                      split by a fixed seed, a fifth of each class for testing
folder/train/CLASS/*, folder/test/CLASS/*        (test may be called val or valid)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.data.datasets import Dataset, fitted, halved
from minicnn.data.photo import open_photo
from minicnn.errors import InputError

__all__ = ["read_folders"]

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
SPLITS = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}


def read_folders(folder: Path, split: str, size: int | None = None) -> Dataset:
    """Images of a split, all of one size; grey where every image of the set is.

    Parameters
    ----------
    folder : pathlib.Path
        Where the classes' folders are.
    split : {"train", "test"}
        Which part.
    size : int, optional
        The short side becomes this long, and the square in the middle is taken. May be left out
        where all images have one size already.

    Raises
    ------
    InputError
        If there are no classes with images, sizes differ and none is given, or a split's classes,
        sizes or colours are not the other's.
    ImageError
        If an image cannot be read.
    """
    name, own = folder.resolve().name, {of: _child(folder, names) for of, names in SPLITS.items()}
    if own["train"] is None:
        classes = _classes(folder)
        images, labels = _read(folder, classes, size)
        return halved(images[:, : _channels(images)], labels, tuple(classes), name, split)
    classes = _classes(own["train"])
    images, labels = _read(own["train"], classes, size)
    images = images[:, : _channels(images)]
    learned = Dataset(images, labels, tuple(classes), name, *fitted(images))
    if split == "train":
        return learned
    if own["test"] is None:
        raise InputError(f"{folder} has a folder train, but none of {', '.join(SPLITS['test'])}.")
    if _classes(own["test"]) != classes:
        differ = sorted(set(_classes(own["test"])) ^ set(classes))
        raise InputError(
            f"{own['test']} and {own['train']} must have the same classes; {', '.join(differ)} "
            f"is in one only."
        )
    images, labels = _read(own["test"], classes, size)
    channels = learned.images.shape[1]
    if images.shape[2:] != learned.images.shape[2:] or channels < _channels(images):
        raise InputError(
            f"Images in {own['test']} are {_described(images)}, those in {own['train']} "
            f"{_described(learned.images)}: they must be alike. Give a size, or convert them."
        )
    return replace(learned, images=images[:, :channels], labels=labels)


def _child(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _classes(folder: Path) -> list[str]:
    """Names of the subfolders that hold images, in order."""
    found = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and _files(path)]
    if len(found) < 2:
        raise InputError(
            f"{folder} is no data set: it holds neither MNIST's nor CIFAR-10's files, nor two or "
            f"more subfolders of images named by class."
        )
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)


def _read(folder: Path, classes: list[str], size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All images of a folder, (N, 3, H, W) uint8, and their labels."""
    pictures: list[np.ndarray] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        for file in _files(folder / name):
            picture = np.asarray(_squared(open_photo(file), size))  # (H, W, 3)
            if pictures and picture.shape != pictures[0].shape:
                raise InputError(
                    f"{file} has {picture.shape[1]}x{picture.shape[0]} pixels, others "
                    f"{pictures[0].shape[1]}x{pictures[0].shape[0]}: give a size to bring all to "
                    f"(size=32, --size 32)."
                )
            pictures.append(picture)
            labels.append(label)
    images = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
    return images, np.array(labels, np.int64)


def _channels(images: np.ndarray) -> int:
    """1 where every image is grey, else 3."""
    return 1 if (images == images[:, :1]).all() else 3


def _described(images: np.ndarray) -> str:
    grey = "grey" if _channels(images) == 1 else "coloured"
    return f"{grey}, {images.shape[3]}x{images.shape[2]} pixels"


def _squared(picture: Image.Image, size: int | None) -> Image.Image:
    """Short side to `size`, then the square in the middle."""
    if size is None:
        return picture
    width, height = picture.size
    factor = size / min(width, height)
    wide, high = max(size, round(width * factor)), max(size, round(height * factor))
    left, top = (wide - size) // 2, (high - size) // 2
    resized = picture.resize((wide, high), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))
