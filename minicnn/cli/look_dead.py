"""`minicnn look dead`: channels that are zero everywhere, in every image of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicnn import figures
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Folder,
    Kernels,
    Model,
    Out,
    PreprocessName,
    Save,
    Threads,
    Unseeded,
    check_device,
    check_outputs,
    keeping,
    named_after,
    open_images,
    open_model,
    report_skipped,
    serving,
    shown_path,
    warn_if_assumed,
)
from minicnn.cli.look import look
from minicnn.cli.progress import bar
from minicnn.drawing import table
from minicnn.look import DeadFilters, LayerLife, dead_filters


@look.command("dead", short_help="Channels that never answer, over a folder of images.")
def command(
    context: typer.Context,
    model: Model,
    images: Folder,
    layers: Annotated[
        str | None, typer.Option(help="Names with commas between. Default: every ReLU.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images at a time. Default: as memory allows.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Where an interrupted scan is kept. Default: beside the figure."),
    ] = None,
    out: Out = None,
    save: Save = None,
    preprocess: PreprocessName = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Report the channels that are zero everywhere, layer by layer.

    Images that cannot be read are left out and listed; the exit code is 1 then. An interrupted
    scan goes on where it stopped.
    """
    context.with_resource(serving(kernel, threads))
    check_device(device)
    check_outputs(out, save)
    network = open_model(model, preprocess, device)
    folder, network = open_images(images, network)
    out = out or named_after(network.name, Path(images).resolve().name, "dead")
    check_outputs(out, save)
    warn_if_assumed(network)
    unfinished = checkpoint or out.with_suffix(".part.npz")
    names = None if layers is None else [n.strip() for n in layers.split(",") if n.strip()]
    with keeping(unfinished):
        found = dead_filters(network, folder, names, bar, unfinished, batch)
    title = f"{network.name}: channels that are zero everywhere"
    figures.save(figures.dead_figure(found, title), out)
    if save is not None:
        save_arrays(save, _arrays(found))
    unfinished.unlink(missing_ok=True)
    print(_described(found))
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")
    report_skipped(folder)


def _arrays(found: DeadFilters) -> dict[str, object]:
    fields = ("highest", "lowest", "active", "share", "dead")
    arrays = {f"{one.layer} {name}": getattr(one, name) for one in found.layers for name in fields}
    return {"images": found.images, **arrays}


def _described(found: DeadFilters) -> str:
    header = ["layer", "block", "channels", "dead", "share", "rare", "not zero", "which are dead"]
    rows = [_row(one) for one in found.layers]
    dead, total = sum(len(o.dead) for o in found.layers), sum(len(o.active) for o in found.layers)
    rows.append(["total", "", f"{total}", f"{dead}", f"{dead / total:.1%}", "", "", ""])
    return (
        f"{found.images:,} images\n{table(header, rows, right=range(2, 7))}\n"
        "dead: zero at every place of every image. rare: not dead, but zero everywhere in more "
        "than 99% of\nthe images. not zero: share of the layer's values."
    )


def _row(one: LayerLife) -> list[str]:
    shown = ", ".join(map(str, one.dead[:8])) + (", ..." if len(one.dead) > 8 else "")
    total = len(one.active)
    return [
        one.layer,
        one.kind,
        f"{total}",
        f"{len(one.dead)}",
        f"{len(one.dead) / total:.1%}",
        f"{len(one.rare())}",
        f"{float(np.mean(one.share)):.1%}",
        shown,
    ]
