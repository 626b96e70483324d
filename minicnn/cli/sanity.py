"""`minicnn sanity`: do explanations change when the network forgets what it learned?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from minicnn import figures
from minicnn.attribution.methods import METHODS, method, names_of
from minicnn.attribution.sanity import Randomisation, randomisation
from minicnn.attribution.similarity import METRICS
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Kernels,
    Model,
    Out,
    Photo,
    PreprocessName,
    Save,
    Seed,
    Threads,
    app,
    check_device,
    check_outputs,
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

T = TypeVar("T")


@app.command("sanity", short_help="Do explanations depend on what the network learned?")
def command(
    context: typer.Context,
    model: Model,
    photo: Photo,
    methods: Annotated[
        str, typer.Option(help=f"With commas between: {', '.join(METHODS)}, or letter codes.")
    ] = "saliency,gradxinput,guided,gradcam",
    mode: Annotated[
        str,
        typer.Option(
            help="cascading (from the class scores down, all layers so far) or independent (one "
            "layer at a time)."
        ),
    ] = "cascading",
    layers: Annotated[
        str | None,
        typer.Option(help="How many steps, or names with commas between. Default: every layer."),
    ] = None,
    target: Annotated[
        str, typer.Option(help="A class by number or name, or 'predicted'.")
    ] = "predicted",
    weights: Annotated[
        str,
        typer.Option(help="initial (drawn as before training) or shuffle (the trained, permuted)."),
    ] = "initial",
    out: Out = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Also draw the maps themselves to this file.")
    ] = None,
    save: Save = None,
    seed: Seed = 0,
    device: Device = "cpu",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Draw a network's weights anew, layer by layer, and see whether its explanations change."""
    context.with_resource(serving(kernel, threads))
    check_device(device)
    names = names_of(methods)
    network = open_model(model, preprocess, device)
    out = out or named_after(network.name, Path(photo).stem, "sanity")
    check_outputs(out, save)
    check_outputs(pictures, None)
    if pictures is not None and pictures.resolve() == out.resolve():
        raise InputError(f"--out and --pictures are both {out}; give them different names.")
    warn_if_assumed(network)
    x, seen = open_photo(photo, network)
    found = {
        name: randomisation(
            network,
            x,
            partial(method, name, seed=seed),
            target,
            mode,
            _layers(layers),
            seed,
            weights,
            partial(_bar_of, name),
        )
        for name in names
    }
    results = list(found.values())
    title = f"{network.name}: {results[0].mode} randomisation, {_explained(network, results[0])}"
    figures.save(figures.randomisation_curves(results, title), out)
    if pictures is not None:
        figures.save(figures.randomisation_pictures(seen, results, title), pictures)
    if save is not None:
        save_arrays(save, {"image": x, **_arrays(found)})
    print(f"explained: {_explained(network, results[0])}")
    print(_as_table(found))
    print(f"curves: {shown_path(out)}")
    if pictures is not None:
        print(f"maps: {shown_path(pictures)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")


def _layers(text: str | None) -> int | list[str] | None:
    """How many, or names."""
    if text is None or text.strip().isdecimal():
        return None if text is None else int(text)
    return [name.strip() for name in text.split(",") if name.strip()]


def _bar_of(name: str, items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """A bar that says whose layers they are."""
    return bar(items, f"{name}: {what}", total)


def _explained(network: Network, one: Randomisation) -> str:
    """The target in words."""
    (index,) = one.targets
    if len(index) > 1:
        return f"unit {','.join(map(str, index))}"
    name = network.class_name(index[0])
    return f"class {index[0]}" + (f" ({name})" if name != str(index[0]) else "")


def _arrays(found: dict[str, Randomisation]) -> dict[str, Any]:
    first = next(iter(found.values()))
    arrays: dict[str, Any] = {"layers": first.layers, "target": first.targets[0]}
    for name, one in found.items():
        arrays |= {f"{name} trained": one.original, f"{name} maps": one.maps}
        arrays |= {f"{name} {key}": values for key, values in one.similarities.items()}
    return arrays


def _as_table(found: dict[str, Randomisation]) -> str:
    """One line a method and layer."""
    rows = [
        [
            name if step == 0 else "",
            layer,
            *(_number(one.similarities[m][step, 0]) for m in METRICS),
        ]
        for name, one in found.items()
        for step, layer in enumerate(one.layers)
    ]
    done = "down to" if next(iter(found.values())).mode == "cascading" else "only"
    header = ["method", f"forgotten: {done}", "rank", "|rank|", "SSIM", "HOG"]
    return table(header, rows, right=(2, 3, 4, 5))


def _number(value: float) -> str:
    return "none" if value != value else f"{value:.2f}"  # nan: a constant map has no correlation
