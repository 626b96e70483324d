"""The data set on disk: a folder of parts `part-00000.npz`, `part-00001.npz`, ...

A part holds 1,024 samples as bytes, without loss (the last one may hold fewer), and says which
seed and world they are of. It is written whole or not at all, so an interrupted writing goes on
with the first part that is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from minicnn.checkpoint import DAMAGE, load_arrays, save_arrays
from minicnn.data.rectangles.dataset import SIZE, made, tones
from minicnn.data.rectangles.scene import World
from minicnn.errors import InputError, OutputError
from minicnn.progress import Track, silent

__all__ = ["read", "write"]

PART = 1024  # samples of a file
LAYOUT = "minicnn rectangles 1"  # name and version of what is in a file


def write(
    folder: str | os.PathLike[str],
    count: int,
    seed: int = 0,
    first: int = 0,
    track: Track = silent,
    world: World | None = None,
    workers: int | None = None,
) -> None:
    """Make samples and keep them; parts that are there already are not made again.

    Parameters
    ----------
    folder : path-like
        Where the parts are to stand; it is made if need be, in a folder that exists.
    count, seed, first, track, world, workers
        As for `generate`.

    Raises
    ------
    InputError
        If a number is out of its range, or the folder holds other samples or a damaged part.
    OutputError
        If the folder cannot be written.
    """
    folder, world = Path(folder), world or World()
    if count < 1 or first < 0 or seed < 0:
        raise InputError(
            f"{count} samples from number {first} on of seed {seed}: give at least 1 sample, and "
            f"numbers of 0 or more."
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {folder}: {error.strerror}. Choose another."
        ) from None
    starts = range(0, count, PART)
    for start in track(starts, f"parts of {PART} samples", len(starts)):
        path, size = _part(folder, start // PART), min(PART, count - start)
        about = _about(seed, first, world)
        if path.exists() and len(_read_part(path, about)[1]) >= size:
            continue
        levels = made(size, seed, first + start, silent, world, workers)
        save_arrays(path, {"about": np.array(about), "levels": levels})


def read(folder: str | os.PathLike[str], count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the samples that `write` kept.

    Parameters
    ----------
    folder : path-like
        Where the parts stand.
    count : int, optional
        How many, from the first on; by default all.

    Returns
    -------
    x : numpy.ndarray of float32, shape (count, 2, 64, 64)
    y : numpy.ndarray of float32, shape (count, 1, 64, 64)
        As `generate` makes them, bit for bit.

    Raises
    ------
    InputError
        If there are none or fewer, or a part is damaged, missing or of another data set.
    """
    folder = Path(folder)
    read_parts: list[np.ndarray] = []
    have = 0
    for levels in _parts(folder):
        read_parts.append(levels)
        have += len(levels)
        if count is not None and have >= count:
            break
    if have == 0 or (count is not None and not 1 <= count <= have):
        raise InputError(
            f"{folder} holds {have} samples of rectangles, not {count or 'any'}. Make them with "
            f"minicnn.data.rectangles.write."
        )
    return tones(np.concatenate(read_parts)[:count])


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.npz"


def _about(seed: int, first: int, world: World) -> str:
    """What samples these are."""
    about = {"layout": LAYOUT, "seed": seed, "first": first, "world": asdict(world)}
    return json.dumps(about, sort_keys=True)


def _parts(folder: Path) -> Iterator[np.ndarray]:
    """The levels of one part after the other."""
    names = sorted(path.name for path in folder.glob("part-*.npz"))
    about = None
    for number in range(len(names)):
        path = _part(folder, number)
        if path.name not in names:
            raise InputError(f"{path} is missing. Write the data set again: it makes only that.")
        found, levels = _read_part(path, about)
        about = about or found
        if len(levels) < PART and number + 1 < len(names):
            raise InputError(
                f"{path} holds {len(levels)} samples of {PART}, and others follow. Write the data "
                f"set again: it makes only that part."
            )
        yield levels


def _read_part(path: Path, about: str | None) -> tuple[str, np.ndarray]:
    """One part, checked: what it is about and its levels."""
    try:
        arrays = load_arrays(path)
        found, levels = str(arrays["about"]), arrays["levels"]
    except DAMAGE as error:
        raise InputError(
            f"{path} is damaged or no part of a data set of rectangles ({error}). Remove it and "
            f"write the data set again: it makes only that part."
        ) from None
    if levels.dtype != np.uint8 or levels.shape[1:] != (3, SIZE, SIZE) or levels.size == 0:
        raise InputError(
            f"{path} holds an array {levels.dtype} {levels.shape}; needed is uint8 "
            f"(n, 3, {SIZE}, {SIZE}). Remove it and write the data set again."
        )
    if LAYOUT not in found or (about is not None and found != about):
        raise InputError(
            f"{path} holds other samples: {found}; wanted are {about or LAYOUT}. Choose another "
            f"folder, or the same seed, first number and world."
        )
    return found, levels
