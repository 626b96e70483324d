"""Saving figures: never half-written."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minicnn.errors import OutputError
from minicnn.files import atomic_path

__all__ = ["check_format", "save"]


def check_format(path: str | os.PathLike[str]) -> None:
    """Make sure that a picture can have this file name.

    Raises
    ------
    OutputError
        If the suffix is not one of a picture.
    """
    suffix = Path(path).suffix.lstrip(".").lower()
    known = FigureCanvasAgg.get_supported_filetypes()
    if suffix not in known:
        raise OutputError(
            f"Cannot write {os.fspath(path)}: "
            + (f".{suffix} is not a kind of picture" if suffix else "the name has no suffix")
            + ". Use .png, .pdf or .svg."
        )


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure as PNG, PDF or SVG.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    check_format(path)
    suffix = Path(path).suffix.lower()
    dated = {".pdf": "CreationDate", ".svg": "Date"}.get(suffix)  # would differ from run to run
    metadata = {dated: None} if dated else None
    with atomic_path(path) as temporary, rc_context({"svg.hashsalt": "minicnn"}):
        figure.savefig(temporary, dpi=dpi, bbox_inches="tight", pad_inches=0.08, metadata=metadata)
