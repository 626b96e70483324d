"""Every CUDA source compiles for current cards; registers and spills are printed.

NVRTC compiles without a driver or a card. It comes with the extras cuda12 and cuda13:

    pip install -e ".[test,cuda13]" && pytest tests/test_gpu_compiles.py -s
"""

import re

import numpy as np
import pytest
from standin.variants import FILES, variants

from minicnn.kernels.gpu.code import OPTIONS, SOURCES, kernel_names, source

ARCHITECTURES = ("75", "80", "90", "100")
WHOLE = "90"  # for which every variant is compiled; for the others float32, one way to read


@pytest.fixture(scope="module")
def nvrtc():
    try:
        from cupy_backends.cuda.libs import nvrtc as found

        found.getVersion()
    except Exception as error:  # CuPy missing, or its toolkit
        pytest.skip(f"needs CuPy with NVRTC (pip install minicnn[cuda13]): {error}")
    return found


def compiled(nvrtc, text, architecture):
    """What the compiler says; fails if it refuses."""
    program = nvrtc.createProgram(text, "kernels.cu", (), ())
    options = (*OPTIONS, "-ftz=true", f"-arch=sm_{architecture}", "-Xptxas=-v")  # as CuPy does
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    return nvrtc.getProgramLog(program)


def facts_of(log):
    """Name, bytes spilled and registers of each kernel, from what the assembler says."""
    for piece in log.split("Compiling entry function '")[1:]:
        spilled = sum(map(int, re.findall(r"(\d+) bytes spill stores", piece)))
        yield piece.partition("'")[0], spilled, int(re.search(r"Used (\d+) registers", piece)[1])


def chosen(file, architecture):
    """The variants that are compiled for an architecture, in pieces of about the same work."""
    found = variants(file)
    if architecture != WHOLE:
        alike = [c for _, c in found if c.get("VECTOR", 0) == c.get("ALIGNED", 0)]
        found = [(t, c) for t, c in found if t == np.float32 and ("VECTOR" not in c or c in alike)]
    return [found[i : i + 8] for i in range(0, len(found), 8)]


@pytest.mark.parametrize(
    ("file", "architecture", "piece"),
    [(f, a, i) for f in FILES for a in ARCHITECTURES for i in range(len(chosen(f, a)))],
)
def test_compiles(nvrtc, file, architecture, piece):
    for dtype, constants in chosen(file, architecture)[piece]:
        log = compiled(nvrtc, source(file, dtype, constants), architecture)
        facts = list(facts_of(log))
        assert {name for name, _, _ in facts} == set(kernel_names(file))
        for name, spilled, registers in facts:
            shown = " ".join(f"{k}={v}" for k, v in constants.items())
            print(f"sm_{architecture} {name} {np.dtype(dtype)} {shown}: {registers} registers, "
                  f"{spilled} bytes spilled")  # fmt: skip
            if dtype == np.float32:
                assert spilled == 0, f"{name} {shown} spills {spilled} bytes"


def test_every_source_has_its_variants():
    assert set(FILES) == {path.stem for path in SOURCES.glob("*.cu")}
