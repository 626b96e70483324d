"""Getting model files: from an address, out of a source archive, or from the user's own disk.

The file is written under a temporary name in the model folder, compared with the catalogue's size
and SHA-256, and only then given its own name. What goes wrong in between leaves nothing behind.

    an address          base address + file name, by pooch. There is no base address by itself, as
                        the Model Zoo's hosting has changed more than once; MINICNN_MODELS_URL and
                        `--from` give one.
    a source archive    a member of it; see `sdist`
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pooch import HTTPDownloader

from minicnn.data.catalogue import (
    MODELS_URL,
    Entry,
    Found,
    catalogue,
    folder,
    located,
    recognise,
    sha256_of,
)
from minicnn.data.sdist import take_member
from minicnn.errors import InputError, ModelFileError, OutputError
from minicnn.files import atomic_path

__all__ = ["add", "address_of", "get"]

CHUNK = 1 << 16

Report = Callable[[int], None]  # is told how many bytes have come so far


def address_of(entry: Entry, base: str | None = None) -> str | None:
    """The address of an entry's file; None if it comes out of a source archive.

    Parameters
    ----------
    entry : Entry
        What is wanted.
    base : str, optional
        An address to which the file's name is added, or that of the file itself, which ends in
        .onnx. By default MINICNN_MODELS_URL says.

    Raises
    ------
    InputError
        If there is no source, or the address is none of HTTP.
    """
    base = base or os.environ.get(MODELS_URL)
    if not base:
        if entry.sdist is None:
            raise InputError(
                f"It is not known where {entry} can be fetched: the Model Zoo's hosting changes. "
                f"Give an address with --from or {MODELS_URL}, or put the file into {folder()}."
            )
        return None
    if not base.startswith(("http://", "https://")):
        raise InputError(
            f"The address {base!r} does not begin with https:// or http://. For a file on disk "
            f"there is `minicnn models add FILE`."
        )
    return base if base.endswith(".onnx") else f"{base.rstrip('/')}/{entry.file}"


def get(entry: Entry, base: str | None = None, report: Report | None = None) -> Path:
    """Fetch an entry's file into the model folder, unless it is there.

    Parameters
    ----------
    entry : Entry
        What is wanted.
    base : str, optional
        See `address_of`.
    report : callable, optional
        Told how many bytes have come, where an address is read.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ModelFileError
        If it cannot be fetched, or what came is something else.
    OutputError
        If it cannot be written.
    """
    if (there := located(entry)) is not None:
        return there
    address = address_of(entry, base)
    with atomic_path(_free_place(entry.file)) as temporary:
        if address is not None:
            _from_address(entry, address, temporary, report)
        elif entry.sdist is not None:
            take_member(entry.sdist, entry.bytes, temporary)
        _verify(entry, temporary)
    return folder() / entry.file


def add(path: str | os.PathLike[str]) -> Found:
    """Copy a model file into the model folder.

    Parameters
    ----------
    path : path-like
        A file; one that the catalogue does not know keeps its own name.

    Returns
    -------
    Found
        The file in the folder, and its entry if it was recognised.

    Raises
    ------
    OutputError
        If there is another file of that name.
    InputError
        If a file that the catalogue does not know bears the name of one that it does.
    """
    path = Path(path)
    entry = recognise(path)
    if entry is not None:
        if (there := located(entry)) is not None:
            return Found(there, entry)
        name = entry.file
    else:
        name = f"{path.stem}.onnx"
        taken = {"mnist"}.union(*((known.name, known.family) for known in catalogue()))
        if path.stem.lower() in taken:
            raise InputError(
                f"{path} is not the network that the catalogue calls {path.stem}: its SHA-256 is "
                f"another. Rename it, or get that file again if it may be damaged."
            )
        there = folder() / name
        if there.is_file() and filecmp.cmp(path, there, shallow=False):
            return Found(there)
    with atomic_path(_free_place(name)) as temporary:
        shutil.copyfile(path, temporary)
        if entry is not None:
            _verify(entry, temporary)
    return Found(folder() / name, entry)


def _free_place(name: str) -> Path:
    """A file to be in the model folder, which is made if need be; nothing is overwritten."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The model folder {folder()} cannot be made: {error.strerror or error}. Set "
            f"MINICNN_MODELS to another."
        ) from None
    place = folder() / name
    if place.exists():
        raise OutputError(
            f"{place} is there already and is another file, or a damaged one. Remove it or rename "
            f"it first."
        )
    return place


def _verify(entry: Entry, path: Path) -> None:
    """Refuse a file that is not the entry's."""
    size = path.stat().st_size
    if size != entry.bytes:
        wrong = f"{size:,} bytes came, but it has {entry.bytes:,}"
    elif sha256_of(path) != entry.sha256:
        wrong = "its SHA-256 is another than the catalogue's"
    else:
        return
    raise ModelFileError(
        f"What was fetched is not {entry.name}: {wrong}. Nothing of it was kept. Try again, or "
        f"another source."
    )


class _Progress:
    """What pooch reports to: tells how much is there, and stops a file that grows too large."""

    total = 0

    def __init__(self, entry: Entry, place: Path, report: Report | None) -> None:
        self.entry, self.place, self.report = entry, place, report

    def update(self, _: int) -> None:
        size = self.place.stat().st_size  # pooch counts whole chunks, of which some are smaller
        if size > self.entry.bytes:
            raise ModelFileError(
                f"What was fetched is not {self.entry.name}: it is larger than "
                f"{self.entry.bytes:,} bytes. Nothing of it was kept. Check the address."
            )
        if self.report is not None:
            self.report(size)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def _from_address(entry: Entry, address: str, place: Path, report: Report | None) -> None:
    from requests import RequestException  # takes long to import

    download = HTTPDownloader(progressbar=_Progress(entry, place, report), chunk_size=CHUNK)
    try:
        download(address, str(place), None)
    except (RequestException, ValueError) as error:
        raise ModelFileError(
            f"{entry.name} cannot be fetched from {address}: {error}. Check the address and the "
            f"network connection, then try again."
        ) from None
