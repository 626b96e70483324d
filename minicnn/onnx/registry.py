"""The table of operators: which function reads which operator from which version on.

    @operator("Clip", since=11)
    def clip(node): ...

A file's opset version picks the newest entry that is not newer than the file. Only versions that
change what an operator means have an entry.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

__all__ = [
    "NEWEST_OPSET",
    "OLDEST_OPSET",
    "Converter",
    "find",
    "knows",
    "operator",
    "why_not",
]

Converter = Callable[..., Any]

OLDEST_OPSET, NEWEST_OPSET = 6, 28

_TABLE: dict[str, list[tuple[int, Converter]]] = {}


def operator(name: str, since: int = 1) -> Callable[[Converter], Converter]:
    """Enter a function as the reader of an operator from an opset version on."""

    def enter(function: Converter) -> Converter:
        _TABLE.setdefault(name, []).append((since, function))
        _TABLE[name].sort(key=lambda entry: entry[0])
        return function

    return enter


def find(name: str, domain: str, opset: int) -> Converter | None:
    """The reader of an operator at an opset version, or None."""
    if domain not in ("", "ai.onnx"):
        return None
    fitting = [function for since, function in _TABLE.get(name, []) if since <= opset]
    return fitting[-1] if fitting else None


def knows(name: str) -> bool:
    """Whether any version of an operator is read."""
    return name in _TABLE


def why_not(name: str, domain: str, opset: int) -> str:
    """What to say of an operator that is not read."""
    if domain not in ("", "ai.onnx"):
        return f"the domain {domain} is not part of ONNX proper"
    if name in _TABLE:
        return f"read from opset {_TABLE[name][0][0]} on, not at {opset}"
    close = difflib.get_close_matches(str(name), _TABLE, 1, cutoff=0.8)
    return f"did you mean {close[0]}?" if close else ""
