"""`minicnn show`: a network's blocks, one line each, and its graph as a file for Graphviz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import Model, app, open_model, shown_path
from minicnn.errors import printable
from minicnn.files import atomic_path


@app.command("show", short_help="The blocks of a network, one line each.")
def command(
    model: Model,
    dot: Annotated[
        Path | None, typer.Option("--dot", help="Also write the graph here, for Graphviz.")
    ] = None,
) -> None:
    """List a network's blocks: name, kind, settings, output shape, parameters, FLOPs."""
    network = open_model(model)
    print(network.summary())
    if network.modules:
        print("\nmodules of the source, which are names of layers too:")
        print("  " + printable(", ".join(network.modules)))
    if dot is not None:
        with atomic_path(dot) as temporary:
            temporary.write_text(network.to_dot(), encoding="utf-8")
        print(f"graph: {shown_path(dot)}; drawn by: dot -Tsvg {dot.name} -o {dot.stem}.svg")
