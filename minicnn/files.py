"""Writing files so that nothing half-written is ever left behind.

The bytes go to a temporary name in the same folder; only when all of them are there is it renamed
to the name asked for, in one step of the file system.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicnn.errors import OutputError

__all__ = ["atomic_path", "check_writable"]


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Make sure that a file can be written at `path`, before any long work starts.

    Parameters
    ----------
    path : path-like
        Where the file is to stand. Its folder must exist.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, or `path` is a folder.
    """
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: it is a folder. Give a file name in it.")
    if not folder.is_dir():
        raise OutputError(
            f"Cannot write {path}: the folder {folder} does not exist. Create it or choose another."
        )
    if not os.access(folder, os.W_OK):
        raise OutputError(f"Cannot write {path}: no permission to write in {folder}.")
    return path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` if all went well.

    Parameters
    ----------
    path : path-like
        The final file.

    Yields
    ------
    pathlib.Path
        A temporary path in the same folder, with the same suffix.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = check_writable(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
