"""`minicnn explain`: which pixels decided, by any methods, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from minicnn import figures
from minicnn.attribution import Explained, explain
from minicnn.attribution.conservation import conservation
from minicnn.attribution.method import Attribution, Index
from minicnn.attribution.methods import METHODS, accepted, method, names_of
from minicnn.attribution.reduction import check_reduction
from minicnn.attribution.relevance import Relevance
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Kernels,
    Model,
    Out,
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
    show_top,
    shown_path,
    warn_if_assumed,
)
from minicnn.cli.progress import bar
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.network import Network

TOLERANCE = 0.01  # of the completeness gap
RELEVANCE = ("lrp-", "excitation")
DEFAULT = "saliency,gradxinput,ig,smoothgrad,guided,gradcam"


@app.command("explain", short_help="Which pixels decided: attribution by any methods.")
def command(
    context: typer.Context,
    model: Model,
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO...", help="Image files, or bundled ones such as 'digit_7'."),
    ],
    methods: Annotated[
        str,
        typer.Option(
            help=f"With commas between: {', '.join(METHODS)}, or letter codes such as TTF."
        ),
    ] = DEFAULT,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="A class by number or name, or 'predicted' (the default); may be given several "
            "times. With --at a unit: channel,row,column."
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Explain a unit of this layer, not a class.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Whose maps gradcam weights. Default: the last map.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of ig. Default: 50.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Where ig starts: a number, black, white, grey or mean. Default: 0."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Double ig's steps until its completeness gap is below this share. Default: 0.01; "
            "0 leaves the steps as they are."
        ),
    ] = None,
    most_steps: Annotated[
        int | None, typer.Option(help="But take no more of them than this. Default: 1600.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Noisy copies of smoothgrad. Default: 50.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="Noise of smoothgrad as a share of the photo's range. Default: 0.15."),
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(min=1, help="Side of occlusion's patch. Default: a seventh of the photo."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Step of occlusion's patch. Default: a quarter of it.")
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(help="What occlusion covers with: mean, grey, black, white, blur, a number."),
    ] = None,
    masks: Annotated[
        int | None, typer.Option(min=1, help="Random masks of rise. Default: 4000.")
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="What stabilises LRP's divisions. Default: 1e-6.")
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(help="How much lrp-gamma strengthens. Default: 0.25.")
    ] = None,
    percentile: Annotated[
        float | None, typer.Option(help="Of rectgrad: what passes is above it. Default: 98.")
    ] = None,
    conserved: Annotated[
        bool,
        typer.Option(
            "--conservation", help="Also print, layer by layer, what LRP keeps on its way down."
        ),
    ] = False,
    reduction: Annotated[
        str | None,
        typer.Option(help="How channels become one number, for all: sum, max_abs, norm, ..."),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw the maps over the photo in grey.")
    ] = False,
    out: Out = None,
    save: Save = None,
    seed: Seed = 0,
    device: Device = "cpu",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Show which pixels decided, by any attribution methods, side by side."""
    context.with_resource(serving(kernel, threads))
    check_device(device)
    names = names_of(methods)
    if reduction is not None:
        check_reduction(reduction)
    options = {
        "layer": layer,
        "steps": steps,
        "baseline": None if baseline is None else _number_or_name(baseline),
        "tolerance": tolerance,
        "most_steps": most_steps,
        "samples": samples,
        "noise": noise,
        "patch": patch,
        "stride": stride,
        "fill": None if fill is None else _numbers_or_name(fill),
        "count": masks,
        "eps": eps,
        "gamma": gamma,
        "percentile": percentile,
    }
    given = {name: value for name, value in options.items() if value is not None}
    _check_options(given, names)
    if conserved and not any(name.startswith(RELEVANCE) for name in names):
        raise InputError("--conservation belongs to lrp-... and excitation: name one in --methods.")
    network = open_model(model, preprocess, device)
    out = out or named_after(network.name, Path(photos[0]).stem, "explain")
    check_outputs(out, save)
    warn_if_assumed(network)
    made = _made(network, names, at, seed, given)
    found: list[Explained] = []
    seen: list[np.ndarray] = []
    inputs: list[np.ndarray] = []
    opened = [open_photo(photo, network) for photo in photos]
    targets = [_target(one) for one in target or ["predicted"]]
    for x, _ in opened:
        for one in made.values():
            one.prepare(x)
        for wanted in targets:  # refused now, not when others are done
            next(iter(made.values())).targets(x, wanted)
    for photo, (x, shown) in zip(photos, opened, strict=True):
        if len(photos) > 1:
            print(photo)
        if network.classifies:
            show_top(network.record(x, rules=[]))
        for wanted in targets:
            explained = explain(network, x, made, wanted, reduction)
            print(_as_table(explained))
            if conserved:
                _print_conservation(made, x, explained.index)
            if explained.score == 0:
                print("This unit is silent: rules that use masks may show nothing.")
            found.append(explained)
            seen.append(shown)
            inputs.append(x)
    subject = f"{network.name}: {found[0].label}" if len(found) == 1 else network.name
    figures.save(figures.explain_figure(seen, found, subject, overlay), out)
    print(f"picture: {shown_path(out)}")
    if save is not None:
        save_arrays(save, _arrays(inputs, found))
        print(f"arrays: {shown_path(save)}")


def _print_conservation(made: dict[str, Attribution], x: np.ndarray, index: Index) -> None:
    """What relevance each block passes on, for the methods that deal in relevance."""
    for name, one in made.items():
        if isinstance(one, Relevance):
            print(f"\n{name}: sums of relevance on the way down")
            print(conservation(one, x, index))


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _numbers_or_name(text: str) -> list[float] | str:
    """A fill: one number, one a channel, or a name."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


def _target(text: str) -> int | str | Index:
    """A target as typed: a class by number or name, or a unit's coordinates."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        return text
    return tuple(int(part) for part in parts) if len(parts) > 1 else int(parts[0])


def _check_options(given: dict[str, Any], names: list[str]) -> None:
    """Refuse a setting that no method asked for has."""
    for option in given:
        if not any(option in accepted(name) for name in names):
            owners = [name for name in METHODS if option in accepted(name)]
            typed = "masks" if option == "count" else option.replace("_", "-")
            raise InputError(
                f"--{typed} belongs to {', '.join(owners)}: name it in --methods, or leave the "
                f"option out."
            )


def _made(
    network: Network, names: list[str], at: str | None, seed: int, given: dict[str, Any]
) -> dict[str, Attribution]:
    """The methods, each with those of the settings that it has."""
    made = {}
    for name in names:
        own = {option: value for option, value in given.items() if option in accepted(name)}
        if "tolerance" in accepted(name):
            own["tolerance"] = own.get("tolerance", TOLERANCE) or None
        made[name] = method(name, network, at, seed, **own)
        made[name].track = bar
    return made


def _arrays(inputs: list[np.ndarray], found: list[Explained]) -> dict[str, Any]:
    """What is saved; of several rows with their numbers, "1.saliency"."""
    arrays: dict[str, Any] = {}
    for number, (x, one) in enumerate(zip(inputs, found, strict=True), 1):
        row = {"image": x, "target": one.index, "score": one.score}
        row |= {name: explanation.values for name, explanation in one.explanations.items()}
        prefix = f"{number}." if len(found) > 1 else ""
        arrays |= {prefix + name: value for name, value in row.items()}
    return arrays


def _as_table(one: Explained) -> str:
    header = ["method", "sum", "min", "max", "completeness gap", "seconds"]
    rows = [
        [
            name,
            f"{e.sum:.4g}",
            f"{e.values.min():.3g}",
            f"{e.values.max():.3g}",
            "" if e.gap is None else f"{e.gap:.2%}",
            f"{e.seconds:.2f}",
        ]
        for name, e in one.explanations.items()
    ]
    head = f"target: {one.label}, score {one.score:.4g}"
    return f"{head}\n{table(header, rows, right=(1, 2, 3, 4, 5))}"
