"""Errors for people: each says what was given, what is needed and what to try.

Everything minicnn raises on bad input is a `MiniCNNError`; the command line turns it into one
paragraph and exit code 2. `nearest` finds the names a user may have meant; `printable` makes what
files call things safe for a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DeviceError",
    "ImageError",
    "InputError",
    "MiniCNNError",
    "ModelFileError",
    "NotDifferentiableError",
    "OutputError",
    "RuleError",
    "ShapeError",
    "TrainingError",
    "UnitError",
    "UnknownNameError",
    "UnsupportedOperatorError",
    "nearest",
    "printable",
]


LONGEST = 3000  # characters of a message


class MiniCNNError(Exception):
    """Base of every error that minicnn raises on purpose."""

    def __str__(self) -> str:
        """The message, safe to print whatever names a file put into it."""
        text = printable(super().__str__())
        return (
            text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
        )


class ModelFileError(MiniCNNError):
    """A model file is missing, empty, truncated, not ONNX, or inconsistent."""


class UnsupportedOperatorError(ModelFileError):
    """A model uses operators that minicnn does not read; all of them are listed."""


class ShapeError(MiniCNNError):
    """An array does not have the shape that a block or a network needs."""


class InputError(MiniCNNError):
    """An input has the wrong dtype, holds NaN or infinity, or an option makes no sense."""


class ImageError(MiniCNNError):
    """A photo cannot be read: missing, not an image, truncated, or a decompression bomb."""


class OutputError(MiniCNNError):
    """A result cannot be written where the user asked for it."""


class UnknownNameError(MiniCNNError):
    """A layer, parameter, rule or preset of that name does not exist."""


class UnitError(MiniCNNError):
    """A unit, channel or class lies outside the layer it was asked of."""


class RuleError(MiniCNNError):
    """A rule cannot reverse a block, or a tape did not keep what the rule needs."""


class NotDifferentiableError(MiniCNNError):
    """A gradient was asked for where there is none."""


class DeviceError(MiniCNNError):
    """A device that cannot be used, or a copy to or from one that was forbidden."""


class TrainingError(MiniCNNError):
    """A training cannot go on: its numbers are no longer finite, or its state is another's."""


def printable(text: str, lines: bool = False) -> str:
    r"""A text in which what cannot be seen, such as a terminal's commands, is spelled out.

    Parameters
    ----------
    text : str
        Perhaps a name out of a file, which may hold anything.
    lines : bool
        Whether it may go over several lines.

    Returns
    -------
    str

    Examples
    --------
    >>> print(printable("conv\x1b[2J"))
    conv\x1b[2J
    """
    return "".join(c if c.isprintable() or (lines and c == "\n") else ascii(c)[1:-1] for c in text)


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """Say which known names are nearest to a name that is not known.

    Parameters
    ----------
    name : str
        What the user typed.
    known : iterable of str
        The names that exist.
    most : int
        How many to offer.

    Returns
    -------
    str
        A sentence such as "Did you mean conv1 or conv2?"; where nothing is near, what there is.

    Examples
    --------
    >>> nearest("cnv1", ["conv1", "pool1"])
    'Did you mean conv1?'
    """
    known = list(known)
    lowered = {item.lower(): item for item in reversed(known)}
    close = [lowered[item] for item in difflib.get_close_matches(name.lower(), lowered, most, 0.5)]
    if not close:
        close = [item for item in known if name and name.lower() in item.lower()][:most]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    most = len(known) if len(known) <= 12 else 8
    shown = ", ".join(known[:most])
    more = f", ... ({len(known)} in all)" if len(known) > most else ""
    return f"There are: {shown}{more}." if known else "There are none."
