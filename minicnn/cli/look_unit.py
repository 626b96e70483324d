"""`minicnn look unit` and `look map`: what excites a unit, and where in a photo it responds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Photo,
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
    open_photo,
    report_skipped,
    serving,
    shown_path,
    warn_if_assumed,
)
from minicnn.cli.look import look
from minicnn.cli.progress import bar
from minicnn.data import Images
from minicnn.drawing import table
from minicnn.errors import InputError, UnitError
from minicnn.look import (
    Strongest,
    UnitPatch,
    best_patches,
    receptive_fields,
    strongest,
    unit_map,
    unit_patches,
)
from minicnn.look.strongest import checked_channels
from minicnn.network import Network
from minicnn.rules import find

Units = Annotated[
    str,
    typer.Argument(
        metavar="LAYER:CHANNEL", help="A layer and channels of it: pool5:3 or pool5:3,17."
    ),
]


@look.command("unit", short_help="The patches that excite a unit most, over a folder.")
def unit_command(
    context: typer.Context,
    model: Model,
    units: Units,
    images: Folder,
    best: Annotated[int, typer.Option(min=1, help="How many responses a channel.")] = 9,
    rule: Annotated[
        str, typer.Option(help="How to send back: deconvnet, desalinet, salinet, a code.")
    ] = "deconvnet",
    all_channels: Annotated[
        bool,
        typer.Option(
            "--all-channels",
            help="Search for all channels of the layer, in the same one pass; without :CHANNEL the "
            "picture shows the best patch of each.",
        ),
    ] = False,
    display: Annotated[
        str, typer.Option(help="sigmoid (the authors' contrast) or symmetric (plain scaling).")
    ] = "sigmoid",
    out: Out = None,
    save: Save = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Where to keep what was found until all is done. Default: OUT.part.npz. An "
            "interrupted search goes on from there."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images a run.")] = 16,
    preprocess: PreprocessName = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Show the image patches to which a channel responds most, and what it saw in them.

    The blocks of Zeiler and Fergus: each patch is the part of an image inside the unit's receptive
    field; its backward picture is the unit's response sent back to the pixels.
    """
    check_device(device)
    context.with_resource(serving(kernel, threads))
    figures.display_named(display)
    chosen_rule = find(rule)
    network = open_model(model, preprocess, device)
    layer, channels = parsed(network, units)
    if not channels and not all_channels:
        raise InputError(f"Which channels of {layer}? Write {layer}:3,17, or add --all-channels.")
    source, network = open_images(images, network)
    which = "-".join(map(str, channels[:8]))
    out = out or named_after(network.name, layer, which, Path(images).resolve().name)
    checkpoint = checkpoint or Path(f"{out}.part.npz")
    check_outputs(out, save)
    warn_if_assumed(network)
    wanted = None if all_channels else channels
    with keeping(checkpoint):
        found = strongest(
            network, layer, source, k=best, channels=wanted, batch=batch, track=bar,
            checkpoint=checkpoint,
        )  # fmt: skip
    used = len(source) - len(source.skipped)
    size, stride = receptive_fields(network)[layer].spoken()
    field = f"receptive field {size}, stride {stride}" if stride else "sees the whole image"
    title = f"{network.name}: strongest of {used:,} images at {layer} ({field})"
    patches = {
        channel: unit_patches(network, layer, channel, found, source, chosen_rule)
        for channel in bar(channels, "channels", len(channels))
    }
    if patches:
        figure = figures.units_figure(patches, f"{title}\n{chosen_rule.name}", display)
    else:
        pictures = best_patches(network, found, source, bar)
        head = f"{network.name}: of {used:,} images the best patch of each channel of {layer}"
        figure = figures.layer_figure(pictures, found.channels.tolist(), f"{head}\n({field})")
    figures.save(figure, out)
    if save is not None:
        save_arrays(save, _arrays(found, source, patches))
    checkpoint.unlink(missing_ok=True)
    print(title)
    if patches:
        print(_table(patches))
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")
    report_skipped(source)


@look.command("map", short_help="The map of one unit over a photo.")
def map_command(
    context: typer.Context,
    model: Model,
    photo: Photo,
    unit: Units,
    out: Out = None,
    save: Save = None,
    preprocess: PreprocessName = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Show where in a photo a channel responds: its map, resized and laid over the photo."""
    check_device(device)
    context.with_resource(serving(kernel, threads))
    network = open_model(model, preprocess, device)
    layer, channels = parsed(network, unit)
    if len(channels) != 1:
        raise InputError(f"Give one channel of {layer}, such as {layer}:3.")
    out = out or named_after(network.name, Path(photo).stem, layer, str(channels[0]))
    check_outputs(out, save)
    warn_if_assumed(network)
    x, seen = open_photo(photo, network)
    found = unit_map(network, x, layer, channels[0])
    figures.save(figures.unit_map_figure(seen, found, f"{network.name}: {found.label}"), out)
    if save is not None:
        save_arrays(save, {"image": x, "map": found.values, "resized": found.resized})
    print(f"{found.label}: {' x '.join(map(str, found.values.shape))}, "
          f"min {found.values.min():.3g}, max {found.values.max():.3g}")  # fmt: skip
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")


def parsed(network: Network, text: str) -> tuple[str, list[int]]:
    """A layer and channels from LAYER:CHANNEL,CHANNEL; no channels for a layer alone.

    Raises
    ------
    UnknownNameError
        If there is no such layer.
    UnitError
        If what stands after the colon are no numbers, or there are no such channels.
    """
    layer, colon, rest = text.rpartition(":")
    if not colon or text in (*network.layers, *network.inputs):
        return network.value_name(text), []
    layer = network.value_name(layer)
    numbers = [part.strip() for part in rest.split(",") if part.strip()]
    if not numbers or not all(part.isdecimal() for part in numbers):
        raise UnitError(f"{text!r}: write a layer and the numbers of channels, as in {layer}:3,17.")
    return layer, checked_channels(network, layer, [int(part) for part in numbers]).tolist()


def _table(patches: Mapping[int, Sequence[UnitPatch]]) -> str:
    """One line a response."""
    header = ["channel", "rank", "response", "unit", "rows", "columns", "image"]
    rows = [
        [
            str(channel), str(rank), f"{patch.value:.4g}", ",".join(map(str, patch.place)),
            f"{patch.box[0]}-{patch.box[2] - 1}", f"{patch.box[1]}-{patch.box[3] - 1}", patch.name,
        ]
        for channel, listed in patches.items()
        for rank, patch in enumerate(listed, 1)
    ]  # fmt: skip
    return table(header, rows, right=(0, 1, 2))


def _arrays(
    found: Strongest, images: Images, patches: Mapping[int, Sequence[UnitPatch]]
) -> dict[str, np.ndarray]:
    """What --save writes: all responses, and box, patch and picture of those shown."""
    arrays = {**found.arrays(), "names": np.array(images.names)}
    for channel, listed in patches.items():
        for rank, patch in enumerate(listed):
            arrays[f"box {channel} {rank}"] = np.array(patch.box)
            arrays[f"patch {channel} {rank}"] = patch.picture
            arrays[f"backward {channel} {rank}"] = patch.backward
    return arrays
