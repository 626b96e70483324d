"""From Python functions to machine code, kept on disk.

A kernel is written as a function of int64 arguments, `f(worker, item, x, y, ...)`: addresses and
sizes. `@kernel` compiles it, when first asked for, to a C function

    void (worker, item, address of the other arguments as a block of int64)

so that `team` can call any kernel alike, from a list. What was compiled is kept in
MINICNN_CACHE, or else the user's cache folder, under a name that holds a digest of all kernel
sources: Numba itself looks only at the file of the function compiled, not at those that it calls.
Where no folder can be written, the code is compiled anew in each process.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from minicnn.kernels.cpu import vector
from minicnn.kernels.notices import compiling

__all__ = [
    "Kernel",
    "arguments",
    "call_kernel",
    "inline",
    "jitted",
    "kept",
    "kernel",
    "variant",
    "within",
]

_BARE: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "boundscheck": False,
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True,  # only other kernels call them
}  # fmt: skip

inline = numba.njit(**_BARE)
"""For functions that kernels call."""

within = numba.njit(forceinline=True, **_BARE)
"""For those that become part of their caller, which then knows what its arguments are."""


class Kernel:
    """A kernel that is compiled when its address is first asked for.

    Parameters
    ----------
    function : callable
        Of worker, item, and int64 arguments.
    """

    _lock = threading.RLock()

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.name = function.__name__
        self.arguments = list(inspect.signature(function).parameters)[2:]
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<Kernel {self.name}({', '.join(self.arguments)})>"

    def ordered(self, arguments: Mapping[str, Any]) -> list[Any]:
        """Arguments by name in the order in which the kernel takes them."""
        if arguments.keys() != set(self.arguments):
            wrong = sorted(arguments.keys() ^ set(self.arguments))
            raise TypeError(f"{self.name}: arguments missing or unknown: {', '.join(wrong)}")
        return [arguments[name] for name in self.arguments]

    @cached_property
    def address(self) -> int:
        """Where the machine code is; compiles it or reads it from disk."""
        with self._lock:
            if "address" in self.__dict__:
                return int(self.__dict__["address"])
            self._compiled = self._compile()
            return int(self._compiled.address)

    def _compile(self) -> Any:
        count, inner = len(self.arguments), inline(self.function)

        def entry(worker, item, block):
            inner(worker, item, *arguments(block, count))

        signature = types.void(types.int64, types.int64, types.int64)
        compiled: Any = CFunc(entry, (signature.args, signature.return_type), {}, {"nogil": True})
        compiled._cache = kept(self.function)
        compile_anew = compiled._compile_uncached

        def told() -> Any:
            compiling(self.name)
            return compile_anew()

        compiled._compile_uncached = told
        compiled.compile()
        return compiled


def jitted(function: Callable[..., Any]) -> Any:
    """A function of arrays, compiled by Numba for each kind of arguments and kept on disk."""
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    dispatcher._cache = kept(function)
    return dispatcher


def kernel(function: Callable[..., None]) -> Kernel:
    """Make a kernel of a function `f(worker, item, ...)` of int64 arguments."""
    return Kernel(function)


def variant(*constants: int) -> Callable[[Callable[..., None]], Kernel]:
    """Make a kernel of a function whose code depends on some constants, named after them."""

    def make(function: Callable[..., None]) -> Kernel:
        function.__name__ = "_".join([function.__name__, *map(str, constants)])
        function.__qualname__ = function.__name__  # the name under which code is kept on disk
        return Kernel(function)

    return make


@intrinsic(prefer_literal=True)
def arguments(typingctx: Any, block: Any, count: Any) -> Any:
    """A block of int64 numbers as a tuple."""
    number = count.literal_value

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        values = [
            vector.read(b, b.add(args[0], vector.constant(8 * i)), vector.I64, 8)
            for i in range(number)
        ]
        return ctx.make_tuple(b, sig.return_type, values)

    return types.UniTuple(types.int64, number)(block, count), generate


@intrinsic
def call_kernel(typingctx: Any, address: Any, worker: Any, item: Any, block: Any) -> Any:
    """Call a compiled kernel by its address."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [vector.I64] * 3)
        b.call(b.inttoptr(args[0], kind.as_pointer()), args[1:])
        return ctx.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


# Keeping code on disk


@cache
def sources() -> str:
    """A digest of all kernel sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def folder() -> Path | None:
    """Where code is kept: the first folder of these that can be written, or None."""
    wanted = os.environ.get("MINICNN_CACHE")
    if sys.platform == "win32":
        own = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        own = Path.home() / "Library" / "Caches"
    else:
        own = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    candidates = [Path(wanted)] if wanted else []
    for place in [*candidates, own / "minicnn"]:
        path = place / f"kernels-{sources()}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                return path
        except OSError:
            continue
    return None


class _Locator:
    """Tells Numba to keep code in our folder, valid for as long as no kernel source changes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ensure_cache_path(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._path)

    def get_source_stamp(self) -> str:
        return sources()

    def get_disambiguator(self) -> str:
        return ""

    @classmethod
    def from_function(cls, py_func: Any, py_file: Any) -> _Locator | None:
        path = folder()
        return cls(path) if path is not None else None


class _OurFolder(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Kept(FunctionCache):
    """Numba's cache of one function, in our folder."""

    _impl_class = _OurFolder

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (sig, codegen.magic_tuple())  # the folder's name stands for all source code


def kept(function: Callable[..., None]) -> Any:
    """A Numba cache for a function; one that keeps nothing where no folder can be written."""
    return NullCache() if folder() is None else _Kept(function)
