"""Compiles CUDA C++ for the CPU: the stand-in for CuPy's RawModule and RawKernel."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from minicnn.kernels.gpu.code import SOURCES, parameters
from standin import variants

HERE = Path(__file__).parent
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
CACHE = Path(tempfile.gettempdir()) / f"minicnn-cuda-on-cpu-{os.getuid()}"


def _file_of(name):
    for path in sorted(SOURCES.glob("*.cu")):
        if re.search(rf"__global__[^;{{]*?void\s+{name}\s*\(", path.read_text()):
            return path.stem
    raise AssertionError(f"no source has the kernel {name}")


def _entry(name, number):
    """A C function that calls a kernel with arguments given by their addresses."""
    listed = parameters(_file_of(name), name)
    kinds = {"*": "void*", "T": number}
    values = []
    for i, (kind, _) in enumerate(listed):
        plain = kinds.get(kind, kind)
        cast = f"*({plain}*)a[{i}]"
        values.append(f"Any{{{cast}}}" if kind == "*" else cast)
    return f"static void call_{name}(void** a) {{ {name}({', '.join(values)}); }}\n"


class RawModule:
    """Some CUDA C++ as a shared library."""

    def __init__(self, *, code, options=()):
        number = re.search(r"#define T (\w+)", code)[1]
        names = re.findall(r"__global__[^;{]*?void\s+(\w+)\s*\(", code)
        head = re.match(r"(#define \w+ \w+\n)+", code)[0]
        variants.check(_file_of(names[0]), dict(re.findall(r"#define (\w+) (\w+)", head)))
        # addresses convert to whatever kind of pointer the kernel takes
        any_pointer = "struct Any { void* p; template <class P> operator P*() const "
        any_pointer += "{ return (P*)p; } };\n"
        parts = [(HERE / "shim.h").read_text(), code, any_pointer]
        for name in names:
            parts.append(_entry(name, number))
            parts.append(
                f'extern "C" int run_{name}(void** a, const int* grid, int block, int barriers) '
                f"{{ return run_grid(call_{name}, a, grid, block, barriers); }}\n"
            )
        waiting = ["__syncthreads", *_helpers_that_wait(code)]
        self.barriers = {
            name: any(f"{one}(" in _body(code, name) for one in waiting) for name in names
        }
        self.library = ctypes.CDLL(str(_compiled("".join(parts))))

    def get_function(self, name):
        return RawKernel(name, self.library[f"run_{name}"], self.barriers[name])


def _helpers_that_wait(code):
    """Names of device functions that have a barrier."""
    pieces = re.split(r"__device__|__global__", code)[1:]
    waiting = [piece for piece in pieces if "__syncthreads" in piece]
    return [re.search(r"(\w+)\s*\(", piece)[1] for piece in waiting]


def _body(code, name):
    """The text from a kernel's name to the next function."""
    start = re.search(rf"void\s+{name}\s*\(", code).start()
    return re.split(r"__device__|__global__", code[start:])[0]


def _compiled(text):
    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, made = Path(folder) / "code.cpp", Path(folder) / "code.so"
            source.write_text(text)
            command = [
                COMPILER, "-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-w",
                "-fPIC", "-shared", str(source), "-o", str(made),
            ]  # fmt: skip
            subprocess.run(command, check=True)
            made.rename(path)
    return path


class RawKernel:
    """A kernel of a module; called as CuPy's is."""

    def __init__(self, name, function, barriers):
        self.name, self.function, self.barriers = name, function, barriers

    def __call__(self, grid, block, args, shared_mem=0):
        from standin import cupy_module as cupy

        assert len(grid) == 3
        assert block[1:] == (1, 1)
        assert 1 <= block[0] <= 1024
        assert all(1 <= n <= 65535 for n in grid[1:])
        assert 1 <= grid[0] < 2**31
        cards = {a.device.id for a in args if isinstance(a, cupy.ndarray)}
        assert cards == {cupy.cuda.runtime.getDevice()}, f"{self.name}: arrays lie on {cards}"
        held = [np.asarray(a.data.ptr if isinstance(a, cupy.ndarray) else a) for a in args]
        pointers = (ctypes.c_void_p * len(held))(*(a.ctypes.data for a in held))
        sizes = (ctypes.c_int * 3)(*grid)

        blocks = cupy.blocks_of(list(args))
        guarded = [block.guarded for block in blocks]
        memory = [array._host for array in args if isinstance(array, cupy.ndarray)]

        def run(_needed=(held, memory)):  # whose addresses stand in `pointers`
            if self.function(pointers, sizes, block[0], int(self.barriers)):
                raise AssertionError(f"{self.name}: threads left while others wait at a barrier")
            for each in guarded:
                each.check(self.name)

        run()
        cupy.note(run, blocks)
