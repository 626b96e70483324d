"""`minicnn occlude`: cover the photo with a patch, place by place, and see what changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicnn import figures
from minicnn.attribution.method import units
from minicnn.attribution.occlusion import Occluded, occlude
from minicnn.attribution.watching import watch
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
    app,
    check_device,
    check_outputs,
    keeping,
    named_after,
    open_model,
    open_photo,
    serving,
    shown_path,
    warn_if_assumed,
)
from minicnn.cli.progress import bar
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.network import Network


@app.command("occlude", short_help="Which parts of the photo does the decision need?")
def command(
    context: typer.Context,
    model: Model,
    photo: Photo,
    target: Annotated[
        str, typer.Option(help="A class by number or name, or 'predicted'.")
    ] = "predicted",
    watched: Annotated[
        list[str] | None,
        typer.Option(
            "--watch",
            help="A layer, layer:channel or layer:channel,row,column to watch besides; may be "
            "given several times.",
        ),
    ] = None,
    how: Annotated[str, typer.Option(help="What is watched of a map: max or sum.")] = "max",
    patch: Annotated[
        int | None, typer.Option(min=1, help="Side of the patch. Default: a seventh of the photo.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Step of its positions. Default: a quarter of it.")
    ] = None,
    fill: Annotated[
        str,
        typer.Option(help="What covers: mean, grey, black, white, blur, or the input's value(s)."),
    ] = "mean",
    out: Out = None,
    save: Save = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Slide a patch over the photo: probability of the class, top label, responses of maps."""
    context.with_resource(serving(kernel, threads))
    check_device(device)
    network = open_model(model, preprocess, device)
    out = out or named_after(network.name, Path(photo).stem, "occlusion")
    check_outputs(out, save)
    chosen = [watch(network, text, how) for text in watched or ()]
    if not network.classifies and not chosen:
        raise InputError(
            f"{network.name} gives no class scores. Name what to watch, e.g. --watch "
            f"{network.layers[-1]}."
        )
    warn_if_assumed(network)
    x, seen = open_photo(photo, network)
    index = 0
    if network.classifies:
        scores = network.values({next(iter(network.inputs)): x}, [network.logits])[network.logits]
        index = units(network, network.logits, scores, target)[0][0]
    part = out.with_name(out.name + ".part.npz")
    with keeping(part):
        found = occlude(
            network, x, patch, stride, _fill(fill), chosen, track=bar,
            at=None if network.classifies else chosen[0].at, checkpoint=part,
        )  # fmt: skip
    title = f"{network.name}: {Path(photo).stem} covered by a {fill} patch"
    figure = figures.occlusion_figure(seen, found, index, network.labels, title, network.classifies)
    figures.save(figure, out)
    if save is not None:
        save_arrays(save, _arrays(network, found, index))
    print(_table(network, found, index))
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")


def _fill(text: str) -> str | list[float]:
    """A fill's name, or the numbers that were typed."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text.strip().lower()


def _arrays(network: Network, found: Occluded, index: int) -> dict[str, object]:
    arrays: dict[str, object] = {
        "tops": found.tops, "lefts": found.lefts, "patch": np.array(found.patch),
        "clean": found.clean, "scores": found.scores,
    }  # fmt: skip
    if network.classifies:
        arrays |= {"target": index, "probability": found.probabilities(index),
                   "labels": found.labels()}  # fmt: skip
    return arrays | {f"watched {one}": values for one, (_, values) in found.watched.items()}


def _table(network: Network, found: Occluded, index: int) -> str:
    """What each number is for the photo, and where the patch changes it most."""
    rows = []
    if network.classifies:
        labels = found.labels()
        winner = int(found.clean.argmax())
        print(
            f"top label {network.class_name(winner)}; another one at "
            f"{(labels != winner).mean():.1%} of {labels.size} positions"
        )
        odds = np.exp(found.clean.astype(np.float64) - found.clean.max())
        clean = float((odds / odds.sum())[index])
        rows.append(_row(f"probability of {network.class_name(index)}", clean,
                         found.probabilities(index), found))  # fmt: skip
    for one, (value, values) in found.watched.items():
        rows.append(_row(str(one), value, values, found))
    return table(("what", "clean", "lowest", "at", "highest"), rows, right=(1, 2, 4))


def _row(what: str, clean: float, values: np.ndarray, found: Occluded) -> list[str]:
    i, j = np.unravel_index(values.argmin(), values.shape)
    place = f"rows {found.tops[i]}-{found.tops[i] + found.patch[0] - 1}, columns " \
            f"{found.lefts[j]}-{found.lefts[j] + found.patch[1] - 1}"  # fmt: skip
    return [what, f"{clean:.4g}", f"{values.min():.4g}", place, f"{values.max():.4g}"]
