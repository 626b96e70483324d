"""The package itself: its names come when they are asked for, and `import` does next to nothing."""

import subprocess
import sys

import pytest

import minicnn
from minicnn import _root


def run(code):
    words = [sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


def test_every_name_is_there():
    for name in minicnn.__all__:
        assert getattr(minicnn, name) is not None
    assert minicnn.tape.Tape is minicnn.Tape
    assert callable(minicnn.onnx.writer)
    assert set(minicnn.__all__) <= set(dir(minicnn))
    assert set(_root.__all__) < set(minicnn.__all__)  # two lists, for readers and type checkers
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = minicnn.lode


def test_import_brings_nothing_along():
    code = "import sys, minicnn; print('numpy' in sys.modules, 'numba' in sys.modules)"
    assert run(code).split() == ["False", "False"]


def test_threads_may_ask_at_once():
    code = """
import threading
import minicnn
names = ["Tensor", "Network", "Tape", "Rule", "Seed", "load", "grad", "devices", "using"]
barrier, failed = threading.Barrier(len(names)), []
def ask(name):
    barrier.wait()
    try:
        getattr(minicnn, name)
    except BaseException as error:
        failed.append((name, error))
threads = [threading.Thread(target=ask, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(failed)
"""
    assert run(code).strip() == "[]"
