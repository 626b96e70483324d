"""What tests share: where real networks and photos may lie, and seeded random arrays."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import minicnn
from minicnn.errors import DeviceError

collect_ignore = ["torch_twin.py", "zennit_twin.py"]  # helpers that need torch, and no tests
collect_ignore_glob = ["standin/*"]

settings.register_profile("minicnn", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("minicnn")


def pytest_sessionstart(session):
    """Test processes share the cores: each has one thread, unless a test asks for more."""
    if hasattr(session.config, "workerinput"):
        minicnn.set_threads(1)


SHARED = Path(
    os.environ.get("MINICNN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


def shared(name: str) -> Path:
    """A file of the shared test data, or a skipped test that says what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name} of the shared test data (set MINICNN_TEST_DATA to its folder)")
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@contextmanager
def on_cpu():
    """Within this context CuPy is its stand-in: GPU kernels compiled for the CPU."""
    from standin import compiling, cupy_module

    if compiling.COMPILER is None:
        pytest.skip("needs a C++ compiler (g++ or clang++), to run CUDA sources on the CPU")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cupy_module)
        patch.setitem(sys.modules, "cupyx.scipy.special", cupy_module.special)
        yield cupy_module


@pytest.fixture(params=["stand-in", pytest.param("card", marks=pytest.mark.gpu)])
def cupy(request):
    """CuPy's stand-in, as strict as CuPy is; with `pytest -n 0 -m gpu` CuPy itself, on a card."""
    if request.param == "stand-in":
        with on_cpu() as module:
            yield module
        return
    from minicnn.kernels import devices

    try:
        yield devices.cuda()
    except DeviceError as error:
        pytest.skip(str(error))
