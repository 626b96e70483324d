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
    try:
        from minicnn.cli.app import app
        from minicnn.kernels.notices import announced
    except (KeyboardInterrupt, ImportError) as error:  # imports take a second
        if isinstance(error, ImportError) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    notice = _Notice()
    code: str | int | None = 0
    told = False
    with warnings.catch_warnings(), announced(notice):
        warnings.showwarning = lambda message, *_, **__: print(f"Note: {message}.", file=sys.stderr)
        try:
            app()
        except KeyboardInterrupt:
            code = 130
        except SystemExit as end:  # how the application ends, also after Ctrl-C
            code, told = end.code, not _is_by_ctrl_c(end)
        except (MiniCNNError, MemoryError, OSError) as error:
            if debug:
                raise
            notice.end()
            print(f"Error: {_in_words(error)}", file=sys.stderr)
            sys.exit(2)
        finally:
            notice.end()
    if code == 130 and not told:  # by now whatever was interrupted is closed, progress bars too
        print("Interrupted.", file=sys.stderr)
    sys.exit(code)


def _is_by_ctrl_c(end: SystemExit) -> bool:
    """Whether Ctrl-C ended the application by itself; a command that caught it has said its own."""
    cause = end.__context__ and end.__context__.__cause__
    return isinstance(cause, KeyboardInterrupt)


class _Notice:
    """Says once, on a terminal, that kernels are being compiled, and names each as it comes."""

    def __init__(self) -> None:
        self.told = False

    def __call__(self, name: str) -> None:
        if not sys.stderr.isatty():
            return
        if not self.told:
            print("Compiling kernels for this processor (once; kept for later runs):", end="",
                  file=sys.stderr)  # fmt: skip
            self.told = True
        print(f" {name}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Finish the line."""
        if self.told:
            print(file=sys.stderr)
        self.told = False


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "This needs more memory than there is; give a smaller photo, or fewer at a time."
    if isinstance(error, OSError):
        what = f"{error.filename} cannot be opened" if error.filename else "Cannot print"
        return f"{what}: {error.strerror or error}."
    return str(error)
