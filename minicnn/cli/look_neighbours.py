"""`minicnn look neighbours`: the images of a folder that a network takes for most like a photo."""

from __future__ import annotations

from collections.abc import Mapping
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
    LabelPattern,
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
from minicnn.data.bundled import bundled_path
from minicnn.drawing import table
from minicnn.look import Neighbours, nearest_images


@look.command("neighbours", short_help="The images of a folder most like a photo.")
def command(
    context: typer.Context,
    model: Model,
    query: Photo,
    images: Folder,
    layer: Annotated[
        str | None,
        typer.Option(help="Names of layers with commas between. Default: the class scores."),
    ] = None,
    count: Annotated[int, typer.Option("-k", "--count", min=1, help="How many.")] = 6,
    metric: Annotated[str, typer.Option(help="euclidean or cosine.")] = "euclidean",
    pool: Annotated[
        str,
        typer.Option(help="none (all numbers of a layer) or mean (of each channel's map)."),
    ] = "none",
    label_pattern: LabelPattern = None,
    out: Out = None,
    save: Save = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Find a photo's nearest neighbours in feature space, and in pixel space for comparison.

    Images that cannot be read are left out and listed; the exit code is 1 then.
    """
    context.with_resource(serving(kernel, threads))
    check_device(device)
    network = open_model(model, preprocess, device)
    layers = [name.strip() for name in (layer or network.logits).split(",") if name.strip()]
    layers = [network.value_name(name) for name in layers]
    folder, network = open_images(images, network, label_pattern)
    itself = _itself(folder, query)
    out = out or named_after(
        network.name, Path(query).stem, "neighbours", Path(images).resolve().name, *layers
    )
    check_outputs(out, save)
    warn_if_assumed(network)
    x, seen = open_photo(query, network)
    pixels = next(iter(network.inputs))
    unfinished = out.with_suffix(".unfinished.npz")
    with keeping(unfinished):
        found = nearest_images(
            network, folder, x, [*layers, pixels], count, metric, pool, itself, bar, unfinished
        )
    pictures = {
        int(i): folder.picture(int(i), network.preprocess)
        for i in {int(i) for one in found.values() for i in one.indices[0]}
    }
    rows = {
        f"nearest {'in pixel space' if name == pixels else f'at {name}'} ({metric} distance)": [
            figures.Near(pictures[int(i)], _name(folder, int(i)), float(distance))
            for i, distance in zip(one.indices[0], one.distances[0], strict=True)
        ]
        for name, one in found.items()
    }
    label = folder.labels[next(iter(itself))] if itself else ""
    among = len(folder) - len(folder.skipped) - len(itself)
    title = f"{network.name}: the {count} nearest of {among:,} images"
    figure = figures.neighbours_figure(seen, label or Path(query).stem, rows, title)
    figures.save(figure, out)
    if save is not None:
        save_arrays(save, _arrays(folder, found))
    if itself:
        print("The photo itself lies in the folder; it does not count as its own neighbour.")
    print(_table(folder, found, pixels))
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")
    report_skipped(folder)


def _itself(folder: Images, query: str) -> set[int]:
    """The query's own place in the folder, if it lies there."""
    file = bundled_path(query)
    if folder.array is not None or not file.is_file():
        return set()
    return {
        i
        for i, name in enumerate(folder.names)
        if Path(name).name == file.name and folder.path(i).samefile(file)
    }


def _name(folder: Images, index: int) -> str:
    """An image's label, or its file name where it has none."""
    return folder.labels[index] or Path(folder.names[index]).stem


def _table(folder: Images, found: Mapping[str, Neighbours], pixels: str) -> str:
    rows = [
        [f"{name} (pixels)" if name == pixels else name, str(place + 1), f"{distance:.4g}",
         _name(folder, int(i)), folder.names[int(i)]]
        for name, one in found.items()
        for place, (i, distance) in enumerate(zip(one.indices[0], one.distances[0], strict=True))
    ]  # fmt: skip
    return table(["layer", "place", "distance", "label", "image"], rows, right=(1, 2))


def _arrays(folder: Images, found: Mapping[str, Neighbours]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, one in found.items():
        arrays[f"indices {name}"] = one.indices[0]
        arrays[f"distances {name}"] = one.distances[0]
        arrays[f"names {name}"] = np.array([folder.names[int(i)] for i in one.indices[0]])
    return arrays
