"""A progress bar on the terminal: what is done, how fast, and how long the rest may take."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["bar"]

T = TypeVar("T")


def bar(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Give the items, with a bar on standard error where that is a terminal.

    Parameters
    ----------
    items : iterable
        What is gone through.
    what : str
        Name of the items, such as "images".
    total : int
        How many there are.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as shown:
        yield from shown.track(items, total=total, description=what)
