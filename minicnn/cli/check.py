"""`minicnn check`: what an ONNX file is and whether it runs, without reading its weights."""

from __future__ import annotations

from typing import Annotated

import typer

from minicnn.cli.app import app
from minicnn.data.catalogue import find
from minicnn.onnx import check


@app.command("check", short_help="What a file is, and whether it runs.")
def command(
    model: Annotated[str, typer.Argument(help="An ONNX file, or a network's name.")],
) -> None:
    """Say what a file is: inputs, operators, what is not read, FLOPs, how photos go in.

    Exit code 1 where it cannot be run.
    """
    report = check(find(model).path)
    print(report)
    if not report.runs:
        raise typer.Exit(1)
