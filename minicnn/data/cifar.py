"""CIFAR-10 in its binary form: a folder of six files, or the archive that holds them.

    each image: 1 byte of label, then 1024 bytes of red, of green, of blue, row by row

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from minicnn.errors import InputError

__all__ = ["find_cifar", "read_cifar"]

FOLDER, ARCHIVE = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
FILES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
ROW = 1 + 3 * 32 * 32
IMAGES = 10_000  # of a file
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


def read_cifar(place: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and labels (N) int64, 0 to 9.

    Raises
    ------
    InputError
        If a file is missing, cut, too long, or holds a label above 9.
    """
    read = _from_folder if place.is_dir() else _from_archive
    try:
        files = read(place, FILES[split])
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{place} cannot be read as CIFAR-10: {error}. Get it again.") from None
    for name in FILES[split]:
        if name not in files:
            raise InputError(
                f"{place} lacks {name}: CIFAR-10's binary version has six files. Get it again."
            )
    table = np.concatenate([_rows(place / name, files[name]) for name in FILES[split]])
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0].astype(np.int64)


def _from_folder(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def _from_archive(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Files of the archive, read in one pass; nothing is unpacked to disk."""
    files = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            file = archive.extractfile(member) if name in names and member.isfile() else None
            if file is not None:
                files[name] = file.read(IMAGES * ROW + 1)
    return files


def _rows(path: Path, raw: bytes) -> np.ndarray:
    length = IMAGES * ROW
    if len(raw) != length:
        there = f"{min(len(raw), length):,} bytes{' and more' * (len(raw) > length)}"
        raise InputError(
            f"{path} holds {there}; {length:,} are needed: {IMAGES:,} "
            f"images of {ROW} bytes (label and 3x32x32 pixels). It is cut, or another file; get it "
            f"again."
        )
    table = np.frombuffer(raw, np.uint8).reshape(-1, ROW)
    if table[:, 0].max() > 9:
        row = int(np.argmax(table[:, 0] > 9))
        raise InputError(f"{path}: image {row} has label {table[row, 0]}; labels are 0 to 9.")
    return table
