"""A catalogue of small networks that stands in for the real one, and a folder to try it in.

A test module takes the fixture by `folder = small_catalogue.folder`.
"""

import hashlib
import io
import tarfile

import pytest
from onnx_graphs import small_classifier
from PIL import Image
from typer.testing import CliRunner

from minicnn.cli import models as command
from minicnn.cli.app import app
from minicnn.data import catalogue, fetching


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def archive(members):
    """A source archive with these members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(f"parcel-1.0/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def variant(byte):
    """A small classifier whose file differs in one byte of its name from the other variants."""
    model = small_classifier()
    model.graph.name = f"variant {byte}"
    return model.SerializeToString()


FILES = {"tiny-7": variant("a"), "tiny-9": variant("b"), "tiny-12": variant("c")}
GOOD = FILES["tiny-9"]
PARCEL = archive({"setup.py": b"", "docs/boxed.onnx": variant("d")})
BOXED = catalogue.Sdist("parcel", "1.0", sha256(PARCEL), len(PARCEL), "docs/boxed.onnx")


def entry(name, data, **more):
    facts = {"preprocess": "caffe", "input": "x", "shape": (1, 3, 16, 16), "output": "p"}
    opset = int(name.rpartition("-")[2])
    return catalogue.Entry(name, "Tiny", opset, len(data), sha256(data), **{**facts, **more})


ENTRIES = (
    *(entry(name, data) for name, data in FILES.items()),
    entry("boxed-7", variant("d"), sdist=BOXED, probably=True, labels=("yes", "no")),
)
TINY = {one.name: one for one in ENTRIES}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A catalogue of small networks, an empty model folder, and a working folder with a photo."""
    for module in (catalogue, fetching, command):
        monkeypatch.setattr(module, "catalogue", lambda: ENTRIES)
    monkeypatch.setenv("MINICNN_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("MINICNN_MODELS_URL", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    Image.new("RGB", (20, 20), "red").save("photo.png")
    return tmp_path / "models"


def put(folder, name, data):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def names(folder):
    """All that is in a folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def typed(*words):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output
