"""Every CUDA source compiles for current cards; registers and spills are printed.

NVRTC compiles without a driver or a card. It comes with the extras cuda12 and cuda13:

    pip install -e ".[test,cuda13]" && pytest tests/test_gpu_compiles.py -s
"""

import re

import numpy as np
import pytest

from minicnn.kernels.gpu.code import OPTIONS, SOURCES, kernel_names, source

ARCHITECTURES = ("75", "80", "90", "100")
TILES = [
    {"TRANSPOSED": t, "VECTOR": v, "ALIGNED": a, "ROWS": rows, "COLUMNS": 64, "BLOCKS": blocks}
    for t in (0, 1)
    for rows, blocks in ((128, 3), (64, 6))
    for v, a in ((1, 1), (0, 0))
]
PLAIN = [{"ALIGNED": 1}, {"ALIGNED": 0}]
VARIANTS = {  # the constants that launches pass, by file
    "batch": PLAIN,
    "ceilings": [{}],
    "convolution": TILES,
    "dense": [{"ROWS": rows} for rows in (1, 2, 4, 8)],
    "depthwise": [{"TRANSPOSED": t, **plain} for t in (0, 1) for plain in PLAIN],
    "end": PLAIN,
    "filters": [{"BLOCKS": 6, **plain} for plain in PLAIN],
    "gates": PLAIN,
    "learning": [{"ALIGNED": 0}, {"ALIGNED": 1}],
    "normalise": PLAIN,
    "parts": PLAIN,
    "pooling": PLAIN,
    "winograd": [{"MADE": 2}, {"MADE": 4}],
}


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
    options = (*OPTIONS, f"-arch=sm_{architecture}", "-Xptxas=-v")
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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", VARIANTS)
def test_compiles(nvrtc, file, architecture):
    for constants in VARIANTS[file]:
        first = constants is VARIANTS[file][0]
        for dtype in (np.float32, np.float64)[: 1 + (first and architecture == "90")]:
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
    assert set(VARIANTS) == {path.stem for path in SOURCES.glob("*.cu")}
