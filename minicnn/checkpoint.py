"""Checkpoints: what a long pass has found so far, so that an interrupted one goes on.

A checkpoint is one .npz file of arrays and a key, which says what the pass is about (network,
images, settings). It is written whole or not at all, and only read back under the same key.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import InputError
from minicnn.files import atomic_path, check_writable

__all__ = ["DAMAGE", "Checkpoint", "load_arrays", "save_arrays"]

KEY = "checkpoint"  # the entry that holds the key
DAMAGE = (  # what reading a file may raise in which bytes have changed
    OSError, ValueError, EOFError, KeyError, AttributeError, RuntimeError, MemoryError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


class Checkpoint:
    """Where a long pass keeps what it has found.

    Parameters
    ----------
    path : path-like or None
        The file; None keeps nothing.
    key : mapping
        What the pass is about: numbers, texts and lists of these.
    seconds : float
        Least time between two writings.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scan.npz"
    >>> Checkpoint(path, {"layer": "conv1"}).write({"seen": np.array(32)})
    >>> int(Checkpoint(path, {"layer": "conv1"}).read()["seen"])
    32
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, key: Mapping[str, Any], seconds: float = 10.0
    ) -> None:
        self.path = None if path is None else check_writable(path)
        self.key = json.dumps(key, sort_keys=True)
        self.seconds = seconds
        self._written = time.monotonic()

    def read(self) -> dict[str, np.ndarray]:
        """What was found before; empty where nothing was.

        Raises
        ------
        InputError
            If the file belongs to another pass, or is no checkpoint.
        """
        if self.path is None or not self.path.exists():
            return {}
        try:
            arrays = load_arrays(self.path)
        except DAMAGE as error:
            raise InputError(
                f"{self.path} is not a checkpoint ({error}). Remove it, or name another file."
            ) from None
        key = str(arrays.pop(KEY, ""))
        if key != self.key:
            raise InputError(
                f"{self.path} holds the state of another run: other images, network or settings"
                f"{self._differing(key)}. Remove it, or name another file."
            )
        return arrays

    def _differing(self, key: str) -> str:
        """In what another key differs, in brackets."""
        try:
            own, other = json.loads(self.key), dict(json.loads(key))
        except (ValueError, TypeError):
            return ""
        names = _other_names(own, other)
        return f" (in {', '.join(names)})"

    def write(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what was found so far."""
        if self.path is not None:
            save_arrays(self.path, {**arrays, KEY: np.array(self.key)})
        self._written = time.monotonic()

    def offer(self, arrays: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Keep what was found so far if the last writing is a while ago."""
        if self.path is not None and time.monotonic() - self._written >= self.seconds:
            self.write(arrays())

    def remove(self) -> None:
        """Forget it: the pass is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _other_names(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of what differs between two keys; in mappings, of what differs in them."""
    found = []
    for name in {**own, **other}:
        one, two = own.get(name, ...), other.get(name, ...)
        if isinstance(one, dict) and isinstance(two, dict):
            found += [f"{name}: {part}" for part in _other_names(one, two)]
        elif one != two:
            found.append(name)
    return found


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to an .npz file, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    with atomic_path(path) as temporary, Path(temporary).open("wb") as file:
        named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
        np.savez_compressed(file, **named)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file. One of `DAMAGE` is raised where it is none, or is damaged."""
    with Path(path).open("rb") as raw:
        file = np.load(raw, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array, not several by name")
        with file:
            return {name: file[name] for name in file.files}
