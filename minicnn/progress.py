"""Progress of long work: whoever loops says what it does; whoever calls decides how to show it.

A function that loops takes `track`, a callable that wraps an iterable:

    for batch in track(batches, "images", total):
        ...

By default nothing is shown. The command line passes one that draws a bar on the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["Track", "silent"]

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable of `total` items, named by what they are, e.g. "images"."""

    def __call__(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """Give the items one by one."""


def silent(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Show nothing."""
    yield from items
