"""Who wants to know that a kernel has to be compiled: the command line tells its user once."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["announce", "compiling"]

_listeners: list[Callable[[str], None]] = []


def announce(listener: Callable[[str], None]) -> None:
    """Call `listener` with a kernel's name whenever one is about to be compiled."""
    _listeners.append(listener)


def compiling(name: str) -> None:
    """Tell everybody."""
    for listener in _listeners:
        listener(name)
