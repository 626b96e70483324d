"""The catalogue: networks known by name, and the folder in which their files are found.

`bundled/catalogue.json` holds the classification networks of the ONNX Model Zoo, one a line:

    name, title         "squeezenet1.1-7": the Zoo's file name, which ends in the opset
    opset, bytes        of the file
    sha256              of the file: what it is recognised by, whatever it is called
    input, shape        name and shape of the input; null where the file leaves a side open
    output              name of the output
    features            names of the values to cut at for features of a photo
    preprocess          a preset's name, or the fields of a `Preprocess`
    probably            true where the Zoo does not state the preprocessing and it is a guess
    labels              names of the classes, if they are not ImageNet's
    sdist               of which package's source archive the file is a member, if of one

Files lie in the folder that MINICNN_MODELS names, else in the user's cache folder. Nothing is
noted down about them: what lies there is looked at when it is asked for. Only files of a size that
the catalogue knows are hashed.

Source: the Model Zoo's manifest, and its pages for preprocessing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pooch

from minicnn.data.bundled import bundled_models, bundled_path
from minicnn.errors import ModelFileError, UnknownNameError, nearest
from minicnn.limits import shown_bytes
from minicnn.preprocess import Preprocess

__all__ = [
    "Entry",
    "Found",
    "Sdist",
    "catalogue",
    "find",
    "first_located",
    "folder",
    "inventory",
    "located",
    "named",
    "recognise",
    "sha256_of",
    "wanted",
]

MODELS = "MINICNN_MODELS"
MODELS_URL = "MINICNN_MODELS_URL"


@dataclass(frozen=True)
class Sdist:
    """A source archive of the package index, and the member of it that is a model file."""

    package: str
    version: str
    sha256: str
    bytes: int
    member: str


@dataclass(frozen=True)
class Entry:
    """What is known of a network; the fields are those of the file's lines."""

    name: str
    title: str
    opset: int
    bytes: int
    sha256: str
    input: str
    shape: tuple[int | None, ...]
    output: str
    preprocess: Preprocess | str
    features: tuple[str, ...] = ()
    probably: bool = False
    labels: tuple[str, ...] | None = None
    sdist: Sdist | None = None

    @property
    def family(self) -> str:
        """The name without the opset, which stands for all versions."""
        return self.name.removesuffix(f"-{self.opset}")

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{self.name}.onnx"

    @property
    def fetchable(self) -> bool:
        """Whether there is a source that needs no further word."""
        return self.sdist is not None or bool(os.environ.get(MODELS_URL))

    def __str__(self) -> str:
        return f"{self.name} ({self.title}, {shown_bytes(self.bytes)})"


@dataclass(frozen=True)
class Found:
    """A model file, and its entry if the catalogue knows it."""

    path: Path
    entry: Entry | None = None


@cache
def catalogue() -> tuple[Entry, ...]:
    """All entries, by family and opset.

    Examples
    --------
    >>> entry, = (entry for entry in catalogue() if entry.name == "squeezenet1.1-7")
    >>> entry.family, entry.shape, entry.preprocess
    ('squeezenet1.1', (1, 3, 224, 224), 'imagenet')
    """
    text = resources.files("minicnn.data").joinpath("bundled/catalogue.json")
    return tuple(_entry(fields) for fields in json.loads(text.read_text(encoding="utf-8")))


def _entry(fields: dict[str, Any]) -> Entry:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    if isinstance(how := values["preprocess"], dict):
        values["preprocess"] = Preprocess.from_json(json.dumps(how))
    if "sdist" in values:
        values["sdist"] = Sdist(**values["sdist"])
    return Entry(**values)


def named(name: str) -> list[Entry]:
    """The entry of that name, or those of that family, the newest opset first."""
    name = name.lower()
    found = [entry for entry in catalogue() if name in (entry.name, entry.family)]
    return sorted(found, key=lambda entry: -entry.opset)


def folder() -> Path:
    """The folder of model files; it need not exist yet."""
    own = os.environ.get(MODELS)
    return Path(own) if own else Path(pooch.os_cache("minicnn")) / "models"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recognise(path: str | os.PathLike[str]) -> Entry | None:
    """The entry that a file is, by its bytes; None if the catalogue does not know them."""
    size = Path(path).stat().st_size
    fitting = [entry for entry in catalogue() if entry.bytes == size]
    digest = sha256_of(path) if fitting else ""
    return next((entry for entry in fitting if entry.sha256 == digest), None)


def located(entry: Entry) -> Path | None:
    """Where an entry's file lies in the model folder, under whatever name; None if nowhere."""
    fitting = [path for path in _files() if path.stat().st_size == entry.bytes]
    fitting.sort(key=lambda path: path.name != entry.file)  # the likeliest first
    return next((path for path in fitting if sha256_of(path) == entry.sha256), None)


def inventory() -> list[Found]:
    """What is in the model folder: the files recognised, and other ONNX files by their names."""
    found = [Found(path, recognise(path)) for path in _files()]
    return [one for one in found if one.entry is not None or one.path.suffix == ".onnx"]


def _files() -> Iterator[Path]:
    """The files in the model folder; one that begins with a dot is still being written."""
    if folder().is_dir():
        for path in sorted(folder().iterdir()):
            if path.is_file() and not path.name.startswith("."):
                yield path


def find(name: str) -> Found:
    """The file of a model given by path or by name; nothing is fetched.

    Parameters
    ----------
    name : str
        A path; "mnist", "lenet" or "cifar10", which are bundled; a name of the catalogue, without
        its opset the newest that is there; or the name of a file of one's own in the model folder.

    Returns
    -------
    Found
        A path that looks like a file's is given back even if there is none.

    Raises
    ------
    ModelFileError
        If the catalogue knows the network but its file is not there; how to get it is said.
    UnknownNameError
        If there is neither a file nor a network of that name.
    """
    path = bundled_path(name)
    if path.is_file():
        return Found(path, recognise(path))
    if path.exists() or path.name != name:
        return Found(path)
    entries = named(name)
    if (there := first_located(entries)) is not None:
        return there
    if entries:
        raise ModelFileError(_how_to_get(wanted(entries)))
    for place in (folder() / name, folder() / f"{name}.onnx"):
        if place.is_file():
            return Found(place, recognise(place))
    if path.suffix.lower() == ".onnx":
        return Found(path)
    known = [own.stem for own in bundled_models()]
    known += [*dict.fromkeys(entry.family for entry in catalogue())]
    known += [own.path.stem for own in inventory()]
    raise UnknownNameError(
        f"There is no file {name}, and no network of that name. {nearest(name, known)} "
        f"`minicnn models` lists them."
    )


def first_located(entries: list[Entry]) -> Found | None:
    """Of a family, the newest that is in the model folder."""
    for entry in entries:
        if (path := located(entry)) is not None:
            return Found(path, entry)
    return None


def wanted(entries: list[Entry], base: str | None = None) -> Entry:
    """Of a family, the one that an address ends in, else the newest that can be fetched."""
    if base is not None:
        return next((entry for entry in entries if base.endswith(f"/{entry.file}")), entries[0])
    return next((entry for entry in entries if entry.fetchable), entries[0])


def _how_to_get(entry: Entry) -> str:
    command = f"minicnn models get {entry.name}"
    if entry.fetchable:
        how = f"Get it with `{command}`."
    else:
        how = f"`{command} --from ADDRESS` fetches it, if you know an address that has it."
    return (
        f"{entry} is not in the model folder {folder()}. {how} If you have its file, `minicnn "
        f"models add FILE` puts it there, whatever it is called; or give its path as the model."
    )
