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
from minicnn.errors import InputError, OutputError
from minicnn.files import check_writable
from minicnn.network import Network


@app.command("export", short_help="Write a network, or a reversed one, as ONNX.")
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
        str | None,
        typer.Option(help="With --photo: the backward rule, by name or letter code; desalinet."),
    ] = None,
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
    if out.suffix.lower() != ".onnx":
        raise OutputError(f"Cannot write a network to {out}: the name must end in .onnx.")
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise OutputError(f"{out} is the file to read; give another name to write to.")
    if photo is None and rule is not None:
        raise InputError("--rule belongs to --photo: a network is reversed for an image.")
    network = _simpler(open_model(model, preprocess), fold_bn, drop_softmax)
    if photo is not None:
        warn_if_assumed(network)
        x, _ = open_photo(photo, network)
        rule = rule or "desalinet"
        network = network.record(x, rules=[rule]).reverse(at=layer or network.logits, rule=rule)
    elif layer is not None:
        network = network.cut(outputs=layer)
    network.save(out)
    print(repr(network).strip("<>"))
    print(f"{out.stat().st_size:,} bytes: {shown_path(out)}")
    if photo is not None:
        print("Its input p is the signal that is sent back, such as minicnn.seeds.logit(tape).p:")
        print(f"  onnxruntime.InferenceSession({out.name!r}).run(None, {{'p': p}})")


def _simpler(network: Network, fold_bn: bool, drop_softmax: bool) -> Network:
    """What was asked for done, or said to change nothing."""
    for wanted, what, change in (
        (fold_bn, "no batch norm to fold", Network.fold_bn),
        (drop_softmax, "no softmax to drop", Network.drop_softmax),
    ):
        if wanted:
            before, network = network, change(network)
            if len(network.nodes) == len(before.nodes):
                print(f"Note: {network.name} has {what}.")
    return network
