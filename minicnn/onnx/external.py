"""Bytes of files: where a tensor's numbers lie on disk, and whether a file may send us there.

A model may keep its weights in another file of its folder ("external data"), named by a relative
path with offset and length. A hostile one names what it likes: so nothing outside that folder is
read, no link is followed, and a file that changed since it was checked is not read either.

Source: ONNX's page on external data; its advisories of 2026 on links and paths.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from onnx import TensorProto

from minicnn.errors import ModelFileError

__all__ = ["OnDisk", "external", "identity"]


@dataclass(frozen=True)
class OnDisk:
    """Bytes of a file: where a tensor's numbers lie.

    `field` says how they are packed: as "raw_data" or another field of TensorProto. `known` is what
    `identity` said of the file when it was checked, so that nothing is read from another one.
    """

    path: Path
    offset: int
    length: int
    known: tuple[int, ...]
    field: str = "raw_data"

    def open(self) -> io.FileIO:
        """The file, standing at the first byte."""
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        flags |= getattr(os, "O_NONBLOCK", 0)  # do not wait for a pipe put in its place
        file = io.FileIO(os.open(self.path, flags))
        if identity(os.fstat(file.fileno())) != self.known:
            file.close()
            raise OSError("the file changed while it was read")
        file.seek(self.offset)
        return file


def identity(facts: os.stat_result) -> tuple[int, ...]:
    """What tells a file from another one, or from itself after a change."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def external(tensor: TensorProto, needed: int, model: Path, where: str) -> OnDisk:
    """Where numbers lie that a file says are in another file beside it.

    Parameters
    ----------
    tensor : onnx.TensorProto
        With the entries location, and perhaps offset and length.
    needed : int
        How many bytes its shape and type need: what is read where no length is given.
    model : pathlib.Path
        The model's file.
    where : str
        Its name, for errors.

    Raises
    ------
    ModelFileError
        If that file is not there, is a link, or lies outside the model's folder, or if the numbers
        lie outside it.
    """
    name = f"{where}: {tensor.name or 'a constant'}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    as_path = PureWindowsPath(location)  # takes both kinds of slash
    if not location or "\0" in location or as_path.anchor or ".." in as_path.parts:
        raise ModelFileError(
            f"{name} lies in the file {location!r}; minicnn reads only files in the model's folder."
        )
    numbers = [entries.get("offset", "0"), entries.get("length", "")]
    if any(n and not (n.isascii() and n.isdecimal() and len(n) < 19) for n in numbers):
        raise ModelFileError(f"{name}: its offset and length {numbers} must be numbers from 0 on.")
    path = model.parent / location
    try:
        known = identity(_plain(path, model.parent))
    except FileNotFoundError:
        raise ModelFileError(
            f"{name} lies in {location}, which is missing. The two files belong together: put "
            f"{location} into the folder of {where} ({model.parent})."
        ) from None
    except OSError as error:
        raise ModelFileError(
            f"{name} lies in {location}, which is not read: {error.strerror or error}."
        ) from None
    offset = int(numbers[0] or 0)
    length = int(numbers[1]) if numbers[1] else needed
    size = known[2]
    if offset + length > size:
        raise ModelFileError(
            f"{name} needs the bytes {offset:,} to {offset + length:,} of {location}, which has "
            f"{size:,}. That file is cut off, or belongs to another model."
        )
    return OnDisk(path, offset, length, known)


def _plain(path: Path, folder: Path) -> os.stat_result:
    """Facts of a file that is itself: no link of either kind to what lies elsewhere."""
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode) or not path.resolve().is_relative_to(folder.resolve()):
        raise OSError("it is a link. Put the file itself there")
    if not stat.S_ISREG(facts.st_mode):
        raise OSError("it is not a file")
    if facts.st_nlink > 1:
        raise OSError("it has a second name on this disk (a hard link). Put a copy there")
    return facts
