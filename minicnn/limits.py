"""The memory budget: what a file may make this program reserve.

A few bytes of a file can ask for petabytes. Whoever makes an array of a size that a file says
checks it first:

    check_bytes(n, "the weights of x.onnx")

The budget is a quarter of the machine's memory, or what MINICNN_MAX_BYTES says: a number of bytes,
also with a suffix K, M or G (powers of 1024), such as 4G.
"""

from __future__ import annotations

import os
import re

from minicnn.errors import InputError, ModelFileError

__all__ = ["budget", "check_bytes", "machine_bytes", "shown_bytes"]

VARIABLE = "MINICNN_MAX_BYTES"
UNKNOWN_MACHINE = 8 * 2**30  # where the system does not tell how much memory there is


def machine_bytes() -> int:
    """Bytes of memory that this machine has; 8 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX, or a name that it does not know
        return UNKNOWN_MACHINE


def budget() -> int:
    """Bytes that a file may ask for.

    Raises
    ------
    InputError
        If MINICNN_MAX_BYTES is not a number of bytes.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return machine_bytes() // 4
    found = re.fullmatch(r"([1-9][0-9]{0,17})([KMG]?)", text, re.ASCII | re.IGNORECASE)
    if not found:
        raise InputError(
            f"{VARIABLE}={text!r} is not a number of bytes. Give one such as 500000000, 800M or 4G."
        )
    return int(found[1]) * 1024 ** " KMG".index(found[2].upper() or " ")


def check_bytes(n: int, what: str) -> None:
    """Refuse what needs more memory than the budget, before it is made.

    Parameters
    ----------
    n : int
        How many bytes it needs.
    what : str
        What needs them, for the error.

    Raises
    ------
    ModelFileError
        If that is more than the budget.
    """
    most = budget()
    if n > most:
        raise ModelFileError(
            f"{what} would take {shown_bytes(n)} of memory, more than the budget of "
            f"{shown_bytes(most)}. If that is meant, set {VARIABLE}, for example to "
            f"{-(-n // 2**30)}G."
        )


def shown_bytes(n: int) -> str:
    """A number of bytes for people.

    Examples
    --------
    >>> shown_bytes(553_434_354), shown_bytes(12)
    ('527.8 MiB', '12 bytes')
    """
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n >= 1024**power:
            return f"{n / 1024**power:,.1f} {unit}" if n < 1024**6 else f"{n // 2**30:,} GiB"
    return f"{n} bytes"
