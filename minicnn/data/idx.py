"""IDX: MNIST's and Fashion-MNIST's file form, plain or compressed with gzip.

    bytes 0-1: 0; byte 2: type (8: unsigned bytes); byte 3: axes; then a big-endian int32 an axis;
    then the numbers.

Source: yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from minicnn.errors import InputError

__all__ = ["find_idx", "read_idx"]

PREFIXES = {"train": "train", "test": "t10k"}


def find_idx(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files of images and labels of a split, or None where the folder is no MNIST.

    Raises
    ------
    InputError
        If only some of the files are there.
    """
    known = {
        f"{prefix}-{kind}-ubyte": _first(folder, f"{prefix}-{kind}-ubyte")
        for prefix in PREFIXES.values()
        for kind in ("images-idx3", "labels-idx1")
    }
    if not any(known.values()):
        return None
    found = []
    for name, path in known.items():
        if not name.startswith(PREFIXES[split]):
            continue
        if path is None:
            raise InputError(f"{folder} lacks {name} (or {name}.gz), the {split} split's.")
        found.append(path)
    return found[0], found[1]


def _first(folder: Path, name: str) -> Path | None:
    plain = name.replace("-idx", ".idx")
    for candidate in (name, f"{name}.gz", plain, f"{plain}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The numbers of an IDX file of unsigned bytes, uint8, with so many axes.

    Raises
    ------
    InputError
        If the file is damaged, of another type or another number of axes, too short or too long.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read ({error}): it may be damaged, get it again."
        ) from None
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or raw[3] != axes:
        raise InputError(
            f"{path} does not start as an IDX file of bytes with {axes} axes does: it has "
            f"{raw[:4].hex(' ')}, not 00 00 08 0{axes}. Is it another file under this name?"
        )
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, 4 + 4 * axes, 4))
    have = len(raw) - 4 - 4 * axes  # below 0 where the header itself is cut
    if have != math.prod(shape):
        raise InputError(
            f"{path} says that it holds {' x '.join(map(str, shape))} bytes; it holds "
            f"{max(have, 0):,}. "
            f"It is truncated or damaged: get it again."
        )
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
