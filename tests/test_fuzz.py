"""Mutated files are read or refused: a short run of the fuzzer of benchmarks/fuzz.py.

`python benchmarks/fuzz.py --count 100000 --seed N` is the long one; its results are recorded there.
"""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from onnx_graphs import small_classifier, written

import minicnn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def fuzzer():
    """The fuzzer's modules, and its start files."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        fuzz, mutations = import_module("fuzz"), import_module("mutations")
        yield fuzz, mutations, mutations.start_files()
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_start_files_are_mostly_read(fuzzer, tmp_path):
    fuzz, _, files = fuzzer
    assert len(files) > 300
    for data in files[:2]:
        (tmp_path / "model.onnx").write_bytes(data)
        assert fuzz.attempt(tmp_path / "model.onnx") == ("loaded", "")


def test_a_file_of_a_seed_is_always_the_same(fuzzer):
    _, mutations, files = fuzzer
    made = [[mutations.mutated(files, np.random.default_rng([3, i])) for i in range(30)]
            for _ in range(2)]  # fmt: skip
    assert made[0] == made[1]
    assert len({data for data, _ in made[0]}) > 20


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("x"), "crash"),
        (MemoryError(), "budget"),
        (minicnn.errors.InputError("x"), "refused"),
    ],
)
def test_errors_are_told_apart(error, kind, fuzzer, monkeypatch, tmp_path):
    def fail(path):
        raise error

    monkeypatch.setattr(minicnn, "load", fail)
    assert fuzzer[0].attempt(written(small_classifier(), tmp_path))[0] == kind


def test_mutated_files_are_read_or_refused(fuzzer):
    fuzz, _, files = fuzzer
    found = list(fuzz.fuzz(range(400), seed=2026, files=files))
    assert sorted(outcome.index for outcome in found) == list(range(400))
    wrong = [outcome for outcome in found if outcome.kind not in ("loaded", "refused")]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(outcome.kind == "loaded" for outcome in found) > 40
