"""CIFAR-10 in its binary form: a folder of six files, or the archive that holds them.

    each image: 1 byte of label, then 1024 bytes of red, of green, of blue, row by row

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn.errors import InputError

__all__ = ["find_cifar", "read_cifar"]

FOLDER, ARCHIVE, NAMES = "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "batches.meta.txt"
FILES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
ROW = 1 + 3 * 32 * 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
           "truck")  # fmt: skip


def find_cifar(path: Path) -> Path | None:
    """The folder or archive of CIFAR-10 at a path or just below; None where there is none."""
    for place in (path, path / FOLDER):
        known = (*FILES["train"], *FILES["test"])
        if place.is_dir() and any((place / name).is_file() for name in known):
            return place
    if path.is_file() and path.name.endswith((".tar.gz", ".tgz", ".tar")):
        return path
    return path / ARCHIVE if (path / ARCHIVE).is_file() else None


def read_cifar(place: Path, split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Images (N, 3, 32, 32) uint8, labels (N) int64, and the classes' names.

    Raises
    ------
    InputError
        If a file is missing, truncated, or holds a label above 9.
    """
    rows, classes = [], CLASSES
    if place.is_dir():
        rows = [_rows(place / name, (place / name).read_bytes) for name in FILES[split]
                if _exists(place / name)]  # fmt: skip
    else:
        try:
            with tarfile.open(place) as archive:
                for name in FILES[split]:
                    rows.append(_rows(Path(f"{place}:{name}"), _member(archive, place, name)))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(
                f"{place} cannot be read as an archive of CIFAR-10: {error}."
            ) from None
    table = np.concatenate(rows)
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0].astype(np.int64), classes


def _exists(path: Path) -> bool:
    if not path.is_file():
        raise InputError(f"{path.parent} lacks {path.name}: CIFAR-10 has six files. Get it again.")
    return True


def _member(archive: tarfile.TarFile, place: Path, name: str) -> Callable[[], bytes]:
    """How to read one file of the archive; nothing is unpacked."""
    for member in archive.getmembers():
        if Path(member.name).name == name and member.isfile():
            file = archive.extractfile(member)
            assert file is not None
            return file.read
    raise InputError(f"{place} holds no {name}: is it CIFAR-10's binary version?")


def _rows(path: Path, read: Callable[[], bytes]) -> np.ndarray:
    raw = read()
    if not raw or len(raw) % ROW:
        raise InputError(
            f"{path} holds {len(raw):,} bytes, not a multiple of {ROW} (label and 3x32x32 pixels "
            f"an image): it is truncated or another file."
        )
    table = np.frombuffer(raw, np.uint8).reshape(-1, ROW)
    if table[:, 0].max() > 9:
        row = int(np.argmax(table[:, 0] > 9))
        raise InputError(f"{path}: image {row} has label {table[row, 0]}; labels are 0 to 9.")
    return table
