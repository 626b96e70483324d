"""Kernels of your own, from a Python file.

    from minicnn.kernels import Entry

    def rows(x, w, b, window, groups):      # (N, C, H, W), (O, C/groups, *kernel), (O,) or None
        ...
        return y                            # (N, O, *out)

    KERNELS = [Entry("conv2d", "rows", rows)]

A plain function in KERNELS stands for a conv2d kernel of its name. What other blocks' kernels are
called with stands in `registry.Entry`; examples/own_kernel.py is a worked exercise.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from pathlib import Path

from minicnn.errors import InputError
from minicnn.kernels.registry import Entry, entries

__all__ = ["explained", "load_kernels"]

FORM = 'KERNELS = [Entry("conv2d", "mine", mine)]'


def load_kernels(path: str | os.PathLike[str], block: str) -> list[Entry]:
    """The kernels for a block in a Python file; the file is run.

    Raises
    ------
    InputError
        If there is no such file, it fails, or it has no kernels for the block.
    """
    path = Path(path)
    if not path.is_file() or path.suffix != ".py":
        what = "is no Python file (.py)" if path.exists() else "does not exist"
        raise InputError(f"The kernel file {path} {what}. Give one that says {FORM}.")
    name = f"minicnn_kernels_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # of a .py file there is one
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"The kernel file {path} fails: {explained(error, path)}.") from error
    listed = getattr(module, "KERNELS", None)
    if not isinstance(listed, list | tuple) or not listed:
        raise InputError(f"The kernel file {path} has no list of kernels: it needs {FORM}.")
    found = [_entry(item, path) for item in listed]
    serving = [entry for entry in found if entry.block == block]
    if not serving:
        blocks = ", ".join(dict.fromkeys(entry.block for entry in found))
        raise InputError(f"The kernel file {path} has kernels for {blocks}, none for {block}.")
    taken = {entry.name for entry in entries(block)}
    for entry in serving:
        if entry.name in taken:
            raise InputError(
                f"There is another kernel {entry.name!r} for {block}; give yours in {path} a name "
                "of its own."
            )
        taken.add(entry.name)
    return serving


def _entry(item: object, path: Path) -> Entry:
    if isinstance(item, Entry):
        return item
    if callable(item):
        return Entry("conv2d", getattr(item, "__name__", "mine"), item)
    raise InputError(f"KERNELS in {path} holds {item!r}, which is no Entry and no function.")


def explained(error: BaseException, path: str | os.PathLike[str] | None = None) -> str:
    """An error in one line, with the last line of the file that was being run."""
    text = " ".join(str(error).split())
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    shown = shown if len(shown) <= 200 else shown[:197] + "..."
    if path is None:
        return shown
    here = Path(path).resolve()
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == here
    ]
    return f"{shown} ({Path(path).name}, line {lines[-1]})" if lines else shown
