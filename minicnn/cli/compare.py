"""`minicnn compare`: one photo, one unit, one picture a backward rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicnn import figures
from minicnn.attribution import Comparison, Selectivity, compare, reported_rules, selectivity
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Kernels,
    Model,
    Photo,
    PreprocessName,
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
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.seeds import choose


@app.command("compare", short_help="One unit under several backward rules.")
def command(
    context: typer.Context,
    model: Model,
    photo: Photo,
    layer: Annotated[
        str | None, typer.Option(help="Where to start: a layer's name. Default: the class scores.")
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            help="max, a channel (its strongest unit), or channel,row,column; without --layer a "
            "class, by number or name."
        ),
    ] = "max",
    rules: Annotated[
        str,
        typer.Option(help="Names or letter codes with commas between, or 'all' for the family."),
    ] = "salinet,deconvnet,desalinet",
    display: Annotated[
        str, typer.Option(help="sigmoid (the authors' contrast) or symmetric (plain scaling).")
    ] = "sigmoid",
    out: Annotated[
        Path | None, typer.Option(help="The picture to write. Default: named after its subject.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Also write the raw maps to this .npz file.")
    ] = None,
    selective: Annotated[
        bool,
        typer.Option(
            "--selectivity",
            help="Instead: how far do pictures depend on the neuron at the centre of the layer's "
            "map? Strongest, random and noise.",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="With --selectivity: of the random neuron and the noise.")
    ] = None,
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
    device: Device = "cpu",
) -> None:
    """Compare what SaliNet, DeConvNet, DeSaliNet and their family show for one unit."""
    context.with_resource(serving(kernel, threads))
    figures.display_named(display)  # refuses unknown ones before any work
    if selective and unit != "max":
        raise InputError("--selectivity picks its own units; leave --unit out.")
    if seed is not None and not selective:
        raise InputError("--seed belongs to --selectivity; nothing else is random.")
    check_device(device)
    network = open_model(model, preprocess, device)
    at = None if layer is None else network.value_name(layer)
    out = out or _default_name(network, photo, at, "selectivity" if selective else rules)
    check_outputs(out, save)
    chosen = reported_rules(rules, network)
    if not chosen:
        raise InputError("--rules names no rule: give salinet, deconvnet, TTF, ..., or all.")
    warn_if_assumed(network)
    x, seen = open_photo(photo, network)
    tape = network.record(x, rules=chosen, keep=[at] if at else ())
    top = choose(tape, at, unit)
    if selective:
        found = [selectivity(tape, top.at, rule, seed or 0) for rule in chosen]
        text = _selectivity_table(found)
        title = f"{network.name}: {top.at}" + (" at the map's centre" if x.ndim == 4 else "")
        figure = figures.selectivity_figure(seen, found, title, display)
        arrays = {
            f"{one.rule} {name}": values
            for one in found
            for name, values in zip(("max", "random", "noise"), one.pictures, strict=True)
        }
    else:
        comparison = compare(tape, top, chosen)
        text = _comparison_table(comparison, float(tape[top.at][(0, *top.index)]))
        draw = figures.family_figure if rules.strip(" ,").lower() == "all" else _one_row
        figure = draw(seen, comparison, f"{network.name}: {top.label}", display)
        arrays = comparison.arrays()
    figures.save(figure, out)
    if save is not None:
        save_arrays(save, {"image": x, "seed": top.p, "seed_at": top.at, **arrays})
    if network.classifies:
        show_top(tape)
    print(text)
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"maps: {shown_path(save)}")


def _default_name(network: Network, photo: str, at: str | None, what: str) -> Path:
    """model_photo_layer_rules.png, from what can stand in a file name."""
    classic = what == "salinet,deconvnet,desalinet"
    return named_after(network.name, Path(photo).stem, at or "", "" if classic else what)


def _one_row(seen: np.ndarray, comparison: Comparison, title: str, display: str) -> figures.Figure:
    return figures.comparison_figure(seen, [comparison], title, display)


def _comparison_table(comparison: Comparison, activation: float) -> str:
    lines = [f"top signal: {comparison.seed.label} (activation {activation:.3g})"]
    if activation == 0:
        lines.append("This unit is silent for this photo: rules that use masks may show nothing.")
    header = ["rule", "code", "p at a ReLU becomes", "min", "max", "positive", "bits used"]
    rows = [
        [
            picture.rule.name,
            picture.rule.code,
            picture.rule.formula,
            f"{picture.low:.3g}",
            f"{picture.high:.3g}",
            f"{picture.positive:.1%}",
            f"{picture.bits:,}",
        ]
        for picture in comparison.pictures
    ]
    return "\n".join([*lines, table(header, rows, right=(3, 4, 5, 6))])


def _selectivity_table(found: list[Selectivity]) -> str:
    rows = [
        [one.rule, f"{one.max_random:.3f}", f"{one.max_noise:.3f}", f"{one.random_noise:.3f}"]
        for one in found
    ]
    header = ["rule", "max ~ random", "max ~ noise", "random ~ noise"]
    head = "correlation of the pictures of the strongest neuron, a random one, and noise"
    return f"{head}\n{table(header, rows, right=(1, 2, 3))}"
