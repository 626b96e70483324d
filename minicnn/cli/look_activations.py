"""`minicnn look activations`: what each layer makes of one photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicnn import figures
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Kernels,
    Model,
    Out,
    Photo,
    PreprocessName,
    Save,
    Threads,
    Unseeded,
    check_device,
    check_outputs,
    named_after,
    open_model,
    open_photo,
    serving,
    shown_path,
    warn_if_assumed,
)
from minicnn.cli.look import look
from minicnn.cli.look_filters import numbers
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.look import LayerMaps, activations


@look.command("activations", short_help="The maps of several layers for one photo.")
def command(
    context: typer.Context,
    model: Model,
    photo: Photo,
    layers: Annotated[
        str | None,
        typer.Option(help="Names with commas between, or how many to pick evenly. Default: 8."),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            help="How many channels of each layer, the strongest first; or which: 3,17,20-23 "
            "(one alone: 3-3)."
        ),
    ] = "16",
    out: Out = None,
    save: Save = None,
    preprocess: PreprocessName = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Draw signed maps, a row a layer, with the input and its channels on top."""
    context.with_resource(serving(kernel, threads))
    check_device(device)
    which = numbers(channels, "--channels") or []
    chosen = which[0] if channels.strip().isdecimal() else which
    if out is not None:
        check_outputs(out, save)
    network = open_model(model, preprocess, device)
    out = out or named_after(network.name, Path(photo).stem, "activations")
    check_outputs(out, save)
    warn_if_assumed(network)
    x, seen = open_photo(photo, network)
    found = activations(network, x, layer_names(layers), chosen)
    inside = network.channels_first(x)
    title = f"{network.name}: what each layer makes of {Path(photo).name}"
    order = network.preprocess.order if network.preprocess else "RGB"
    names = ["blue", "green", "red"] if order == "BGR" and inside.shape[1] == 3 else None
    figures.save(figures.activations_figure(seen, inside, found, title, names), out)
    if save is not None:
        save_arrays(save, {"input": x, **_arrays(found)})
    print(_table(found))
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")


def layer_names(text: str | None) -> int | list[str] | None:
    """Names of layers, or how many, from what was typed.

    Examples
    --------
    >>> layer_names("relu1, relu2"), layer_names("4")
    (['relu1', 'relu2'], 4)
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return int(text)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("--layers names no layer: give names, or how many.")
    return names


def _arrays(found: list[LayerMaps]) -> dict[str, object]:
    return {f"{row.layer} maps": row.maps for row in found} | {
        f"{row.layer} channels": row.channels for row in found
    }


def _table(found: list[LayerMaps]) -> str:
    header = ["layer", "block", "output", "min", "max", "mean", "zero", "positive"]
    rows = [
        [
            row.layer,
            row.kind,
            "x".join(map(str, row.shape)),
            f"{row.low:.3g}",
            f"{row.high:.3g}",
            f"{row.mean:.3g}",
            f"{row.zero:.1%}",
            f"{row.positive:.1%}",
        ]
        for row in found
    ]
    return table(header, rows, right=range(2, 8))
