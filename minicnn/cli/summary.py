"""`minicnn summary`: a network's blocks, one line each; the names that --layer takes."""

from __future__ import annotations

from minicnn.cli.app import Model, app, open_model


@app.command("summary")
def command(model: Model) -> None:
    """List a network's blocks: name, kind, settings, output shape, parameters, FLOPs."""
    print(open_model(model).summary())
