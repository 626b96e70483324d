"""`minicnn look embed`: the images of a folder as points, by what a network makes of them."""

from __future__ import annotations

from dataclasses import replace
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
    PreprocessName,
    Save,
    Seed,
    Threads,
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
from minicnn.errors import InputError
from minicnn.look import Embedding, Features, aligned, embed, features, neighbour_accuracy, some
from minicnn.look.embedding import check_perplexity

SHOWN = ("scatter", "images", "grid")
MOST_PICTURES = 2500
METHODS = {"tsne": "t-SNE", "pca": "PCA"}


@look.command("embed", short_help="The images of a folder as points in the plane.")
def command(
    context: typer.Context,
    model: Model,
    images: Folder,
    layer: Annotated[
        str | None,
        typer.Option(help="Names of layers with commas between. Default: the class scores."),
    ] = None,
    method: Annotated[str, typer.Option(help="tsne or pca.")] = "tsne",
    dim: Annotated[int, typer.Option(help="2 or 3 dimensions.")] = 2,
    perplexity: Annotated[
        float, typer.Option(help="t-SNE: how many neighbours of an image count, about.")
    ] = 30.0,
    show: Annotated[
        str,
        typer.Option(
            help="scatter (points by label), images (at their points) or grid (a filled one)."
        ),
    ] = "scatter",
    pool: Annotated[
        str,
        typer.Option(help="none (all numbers of a layer) or mean (of each channel's map)."),
    ] = "none",
    label_pattern: LabelPattern = None,
    most: Annotated[
        int | None, typer.Option(min=1, help="Take that many of the images, at random.")
    ] = None,
    out: Out = None,
    save: Save = None,
    seed: Seed = 0,
    device: Device = "cpu",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Embed a folder's images by t-SNE or PCA, at one layer or at several side by side.

    Images that cannot be read are left out and listed; the exit code is 1 then.
    """
    context.with_resource(serving(kernel, threads))
    check_device(device)
    _check(method, dim, show)
    network = open_model(model, preprocess, device)
    layers = [name.strip() for name in (layer or network.logits).split(",") if name.strip()]
    layers = [network.value_name(name) for name in layers]
    folder, network = open_images(images, network, label_pattern)
    chosen = some(folder, most or len(folder), seed)
    out = out or named_after(
        network.name, Path(images).resolve().name, *layers, method, "3d" if dim == 3 else "", show
    )
    check_outputs(out, save)
    if method == "tsne":
        check_perplexity(perplexity, len(chosen))
    warn_if_assumed(network)
    unfinished = out.with_suffix(".unfinished.npz")
    with keeping(unfinished):
        found = features(network, chosen, layers, pool, bar, unfinished)
    embedded = _embedded(found, method, dim, perplexity, seed)
    captions, text = _described(found, embedded, pool)
    title = f"{METHODS[method]} of {len(found):,} images by {network.name}"
    if method == "tsne":
        title += f", perplexity {perplexity:g}"
    if show == "scatter":
        figure = figures.embedding_figure(embedded, found.labels, title, captions)
    else:
        kept = _kept(len(found), seed)
        if len(kept) < len(found):
            title += f" ({len(kept):,} of them shown, chosen at random)"
        pictures = [
            figures.thumbnail(chosen.picture(int(found.indices[i]), network.preprocess), 192)
            for i in bar(kept, "pictures", len(kept))
        ]
        draw = (
            figures.embedding_images_figure if show == "images" else figures.embedding_grid_figure
        )
        part = {name: replace(one, points=one.points[kept]) for name, one in embedded.items()}
        figure = draw(part, pictures, [found.labels[i] for i in kept], title, captions)
    figures.save(figure, out)
    if save is not None:
        save_arrays(save, _arrays(found, embedded))
    unfinished.unlink(missing_ok=True)
    print(text)
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")
    report_skipped(chosen)


def _check(method: str, dim: int, show: str) -> None:
    if method not in METHODS:
        raise InputError(f"There is no --method {method}. Give tsne or pca.")
    if dim not in (2, 3):
        raise InputError(f"--dim {dim}: give 2 or 3, to look at.")
    if show not in SHOWN:
        raise InputError(f"There is no --show {show}. Give scatter, images or grid.")
    if show != "scatter" and dim != 2:
        raise InputError(f"--show {show} lays images out in the plane; give --dim 2 with it.")


def _embedded(
    found: Features, method: str, dim: int, perplexity: float, seed: int
) -> dict[str, Embedding]:
    """Each layer embedded; t-SNE's pictures turned to the first one's."""
    embedded: dict[str, Embedding] = {}
    for name in bar(found.values, "layers embedded", len(found.values)):
        one = embed(found.values[name], method, dim, perplexity, seed)
        if method == "tsne" and embedded:
            one = replace(one, points=aligned(one.points, next(iter(embedded.values())).points))
        embedded[name] = one
    return embedded


def _described(
    found: Features, embedded: dict[str, Embedding], pool: str
) -> tuple[dict[str, str], str]:
    """A caption a layer, and all of it as a table."""
    captions, rows = {}, []
    for name, values in found.values.items():
        accuracies = [
            neighbour_accuracy(each, found.labels) for each in (values, embedded[name].points)
        ]
        spoken = ["-" if share is None else f"{share:.1%}" for share in accuracies]
        captions[name] = f"{values.shape[1]:,} numbers"
        if accuracies[0] is not None:
            captions[name] += f", 5-NN accuracy {spoken[0]}"
        rows.append([name, f"{values.shape[1]:,}", *spoken, _fit(embedded[name])])
    header = ["layer", "numbers", "5-NN accuracy", "in the picture", "fit"]
    head = f"{len(found):,} images, {len(set(found.labels) - {''}):,} labels" + (
        ", means of channels" if pool == "mean" else ""
    )
    return captions, f"{head}\n{table(header, rows, right=(1, 2, 3))}"


def _fit(one: Embedding) -> str:
    if one.explained is not None:
        return f"{one.explained.sum():.1%} of the variance"
    return f"KL {one.divergence:.3f}"


def _kept(number: int, seed: int) -> np.ndarray:
    """The images that are drawn: all, or as many as can be."""
    if number <= MOST_PICTURES:
        return np.arange(number)
    chosen = np.random.default_rng(seed).choice(number, MOST_PICTURES, replace=False)
    return np.sort(chosen)


def _arrays(found: Features, embedded: dict[str, Embedding]) -> dict[str, np.ndarray]:
    arrays = {
        "names": np.array(found.names),
        "labels": np.array(found.labels),
        "indices": found.indices,
    }
    for name, one in embedded.items():
        arrays[f"points {name}"] = one.points
        arrays[f"features {name}"] = found.values[name]
    return arrays
