"""`minicnn export`: a network, a piece of one, or a reversed one, written as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import (
    Model,
    PreprocessName,
    app,
    open_model,
    open_photo,
    shown_path,
    warn_if_assumed,
)
from minicnn.errors import InputError
from minicnn.files import check_writable


@app.command("export")
def command(
    model: Model,
    out: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    layer: Annotated[
        str | None, typer.Option(help="Up to this layer only; with --photo, back from it.")
    ] = None,
    photo: Annotated[
        str | None,
        typer.Option(help="Write the network reversed for this photo: its masks and switches."),
    ] = None,
    rule: Annotated[
        str, typer.Option(help="With --photo: the backward rule, by name or letter code.")
    ] = "desalinet",
    fold_bn: Annotated[
        bool, typer.Option("--fold-bn", help="Fold batch norms into the layers before them.")
    ] = False,
    drop_softmax: Annotated[
        bool, typer.Option("--drop-softmax", help="End at the class scores.")
    ] = False,
    preprocess: PreprocessName = None,
) -> None:
    """Write a network as ONNX, checked by ONNX's own checker; any runtime executes it."""
    check_writable(out)
    if photo is None and rule != "desalinet":
        raise InputError("--rule belongs to --photo: a network is reversed for an image.")
    network = open_model(model, preprocess)
    network = network.fold_bn() if fold_bn else network
    network = network.drop_softmax() if drop_softmax else network
    if photo is not None:
        warn_if_assumed(network)
        x, _ = open_photo(photo, network)
        network = network.record(x, rules=[rule]).reverse(at=layer or network.logits, rule=rule)
    elif layer is not None:
        network = network.cut(outputs=layer)
    network.save(out)
    print(repr(network).strip("<>"))
    print(f"{out.stat().st_size:,} bytes: {shown_path(out)}")
