"""The command line: one small file a command; each parses, calls a chapter, shows the result."""

from __future__ import annotations

import sys
import warnings

from minicnn.errors import MiniCNNError

__all__ = ["main"]


def main() -> None:
    """Entry point: errors for people become one paragraph and exit code 2."""
    from minicnn.cli.app import app

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}.", file=sys.stderr)
        try:
            app()
        except (MiniCNNError, MemoryError) as error:
            if "--debug" in sys.argv:
                raise
            short = isinstance(error, MemoryError)
            text = "This needs more memory than there is; give a smaller photo." if short else error
            print(f"Error: {text}", file=sys.stderr)
            sys.exit(2)
