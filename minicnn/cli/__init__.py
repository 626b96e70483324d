"""The command line: one small file a command; each parses, calls a chapter, shows the result."""

from __future__ import annotations

import sys
import warnings

from minicnn.errors import MiniCNNError

__all__ = ["main"]


def main() -> None:
    """Entry point: errors for people become one paragraph and exit code 2.

    --debug may stand anywhere; with it the traceback is shown.
    """
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    from minicnn.cli.app import app

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}.", file=sys.stderr)
        try:
            app()
        except (MiniCNNError, MemoryError, OSError) as error:
            if debug:
                raise
            print(f"Error: {_in_words(error)}", file=sys.stderr)
            sys.exit(2)


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "This needs more memory than there is; give a smaller photo."
    if isinstance(error, OSError):
        what = f"{error.filename} cannot be opened" if error.filename else "Cannot print"
        return f"{what}: {error.strerror or error}."
    return str(error)
