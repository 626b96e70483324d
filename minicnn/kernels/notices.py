"""Who wants to know that a kernel has to be compiled: the command line tells its user once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["announced", "compiling"]

_listeners: list[Callable[[str], None]] = []


@contextmanager
def announced(listener: Callable[[str], None]) -> Iterator[None]:
    """Within this context, call `listener` with the name of each kernel about to be compiled."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def compiling(name: str) -> None:
    """Tell everybody."""
    for listener in list(_listeners):
        listener(name)
