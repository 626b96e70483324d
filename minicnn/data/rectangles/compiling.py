"""Machine code for the simulator: compiled by Numba at the first call, and kept on disk.

    inner      a function that only other compiled functions call
    compiled   one that Python calls

Numba looks at the file of the function that it compiles, not at the files of those that it calls.
The code is therefore kept under a name that holds a digest of all sources of this folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import numba

from minicnn.kernels.cpu.compiled import jitted

__all__ = ["compiled", "inner"]

Function = TypeVar("Function", bound=Callable[..., Any])


def inner(function: Function) -> Function:
    """Make a function ready to be called by compiled ones; it becomes part of their code."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    ready: Function = numba.njit(nogil=True, error_model="numpy", **options)(function)
    return ready


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers when it is first called; it frees the GIL."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        return _dispatcher(function)(*arguments)

    return call  # type: ignore[return-value]


@cache
def _dispatcher(function: Callable[..., Any]) -> Any:
    function.__qualname__ = f"{function.__name__}_{_sources()}"  # the name of the file on disk
    return jitted(function)


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
