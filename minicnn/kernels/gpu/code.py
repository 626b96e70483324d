"""CUDA sources, compiled when first used, and launched by the names of their parameters.

A kernel is compiled for a number type T and for constants, which become macros:

    kernel = Kernel("gates", "relu")
    kernel(grid, block, dtype, {"ALIGNED": 1}, x=x, y=y, ...)

What a parameter is called and of which type it is, is read from the source itself, so that source
and call cannot disagree silently. Compiled code is kept by CuPy, in memory and on disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import DeviceError
from minicnn.kernels.devices import module_of, on_gpu

__all__ = ["SOURCES", "Kernel", "blocks_of", "kernel_names", "parameters", "source"]

SOURCES = Path(__file__).with_name("sources")
OPTIONS = ("-std=c++17",)  # CuPy adds -ftz=true: numbers below 1.2e-38 count as zero
MOST_BLOCKS = (1 << 31) - 1, (1 << 16) - 1, (1 << 16) - 1  # along x, y, z
NUMBERS = {"float32": "float", "float64": "double"}
TYPES = {"int": np.int32, "long long": np.int64, "float": np.float32, "double": np.float64}

Constants = Mapping[str, int]


@cache
def _text(file: str) -> str:
    """A source with what it includes from here, each file once."""
    seen: set[str] = set()

    def read(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = (SOURCES / name).read_text()
        return re.sub(r'^#include "(\S+)"$', lambda found: read(found[1]), text, flags=re.M)

    return read(f"{file}.cu")


def source(file: str, dtype: Any = np.float32, constants: Constants | None = None) -> str:
    """The whole text that is compiled."""
    macros = {"T": NUMBERS[str(np.dtype(dtype))], **(constants or {})}
    head = "".join(f"#define {name} {value}\n" for name, value in macros.items())
    return head + _text(file)


@cache
def kernel_names(file: str) -> list[str]:
    """Names of the kernels in a file."""
    return re.findall(r"__global__[^;{]*?void\s+(\w+)\s*\(", _text(file))


@cache
def parameters(file: str, name: str) -> list[tuple[str, str]]:
    """Type and name of each parameter of a kernel; "*" for the type of addresses."""
    text = _text(file)
    macros = dict(re.findall(r"#define (\w+_PARAMETERS)((?:[^\n]*\\\n)*[^\n]*)", text))
    found = re.search(rf"__global__[^;{{]*?void\s+{name}\s*\(([^)]*)\)", text)
    if found is None:
        raise ValueError(f"{file}.cu has no kernel {name}")
    listed = re.sub(r"\w+_PARAMETERS", lambda use: macros[use[0]].replace("\\\n", " "), found[1])
    result = []
    for one in listed.split(","):
        kind, own = re.fullmatch(r"\s*(.*?[\s*])(\w+)\s*", one, re.S).groups()  # type: ignore[union-attr]
        result.append(("*" if "*" in kind else kind.replace("const ", "").strip(), own))
    return result


@cache
def _module(cupy: Any, file: str, dtype: str, constants: tuple[tuple[str, int], ...]) -> Any:
    return cupy.RawModule(code=source(file, dtype, dict(constants)), options=OPTIONS)


@cache
def _function(
    cupy: Any, file: str, name: str, dtype: str, constants: tuple[tuple[str, int], ...]
) -> Any:
    return _module(cupy, file, dtype, constants).get_function(name)


def blocks_of(count: int, size: int) -> int:
    """How many blocks of a size hold so many items."""
    return -(-count // size)


class Kernel:
    """A kernel of a CUDA source.

    Parameters
    ----------
    file : str
        The source's name, without ".cu".
    name : str
        The function's.
    """

    def __init__(self, file: str, name: str) -> None:
        self.file, self.name = file, name

    def __repr__(self) -> str:
        return f"<CUDA kernel {self.name} of {self.file}.cu>"

    def __call__(
        self,
        grid: tuple[int, ...],
        block: int,
        dtype: Any,
        constants: Constants | None = None,
        **arguments: Any,
    ) -> None:
        """Launch it on the current stream of the card that the arrays are on.

        Parameters
        ----------
        grid : tuple of int
            Blocks along x, y, z; nothing is launched where one is 0.
        block : int
            Threads a block.
        dtype : dtype
            What T is: float32 or float64.
        constants : mapping, optional
            Macros.
        **arguments
            By name; None for an address that is not there.

        Raises
        ------
        DeviceError
            If the grid is larger than a card's, or a number too large for its parameter.
        """
        listed = parameters(self.file, self.name)
        if arguments.keys() != {name for _, name in listed}:
            wrong = sorted(arguments.keys() ^ {name for _, name in listed})
            raise TypeError(f"{self.name}: arguments missing or unknown: {', '.join(wrong)}")
        if 0 in grid:
            return
        if any(blocks > most for blocks, most in zip(grid, MOST_BLOCKS, strict=False)):
            raise DeviceError(
                f"The kernel {self.name} would need {' x '.join(map(str, grid))} blocks; a card "
                f"has at most {' x '.join(map(str, MOST_BLOCKS))}. Give it less at once."
            )
        first = next(a for a in arguments.values() if on_gpu(a))
        cupy = module_of(first)
        packed = tuple(sorted((constants or {}).items()))
        function = _function(cupy, self.file, self.name, str(np.dtype(dtype)), packed)
        number = np.dtype(dtype).type
        values = tuple(_argument(kind, name, arguments[name], number) for kind, name in listed)
        with first.device:
            function((*grid, 1, 1)[:3], (block, 1, 1), values)


def _argument(kind: str, name: str, value: Any, number: Any) -> Any:
    if kind == "*":
        if value is None:
            return np.uint64(0)
        if not on_gpu(value):
            raise TypeError(f"{name} needs an array on the card; got {type(value).__name__}")
        return value
    try:
        return number(value) if kind == "T" else TYPES[kind](value)
    except OverflowError as error:
        raise DeviceError(
            f"{name} is {value}, too large for the kernel's 32 bits. Give it less at once."
        ) from error
