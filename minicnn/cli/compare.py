"""`minicnn compare`: one photo, one unit, one picture a backward rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from minicnn import figures
from minicnn.attribution import Comparison, Selectivity, compare, reported_rules, selectivity
from minicnn.cli.app import (
    Model,
    Photo,
    PreprocessName,
    app,
    open_model,
    open_photo,
    show_top,
    shown_path,
    warn_if_assumed,
)
from minicnn.drawing import table
from minicnn.errors import InputError, nearest
from minicnn.figures.save import check_format
from minicnn.files import atomic_path, check_writable
from minicnn.look.trace import default_seed
from minicnn.seeds import Seed, logit, parse
from minicnn.tape import Tape


@app.command("compare")
def command(
    model: Model,
    photo: Photo,
    layer: Annotated[
        str | None, typer.Option(help="Where to start: a layer's name. Default: the class scores.")
    ] = None,
    unit: Annotated[
        str, typer.Option(help="max, a channel (its strongest unit), or channel,row,column.")
    ] = "max",
    rules: Annotated[
        str,
        typer.Option(help="Names or letter codes with commas between, or 'all' for the family."),
    ] = "salinet,deconvnet,desalinet",
    display: Annotated[
        str, typer.Option(help="sigmoid (the authors' contrast) or symmetric (plain scaling).")
    ] = "sigmoid",
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("compare.png"),
    save: Annotated[
        Path | None, typer.Option(help="Also write the raw maps to this .npz file.")
    ] = None,
    selective: Annotated[
        bool,
        typer.Option(
            "--selectivity",
            help="Instead: how far do pictures depend on the neuron? Strongest, random and noise.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random neuron and the noise.")] = 0,
    preprocess: PreprocessName = None,
) -> None:
    """Compare what SaliNet, DeConvNet, DeSaliNet and their family show for one unit."""
    if display not in figures.DISPLAYS:
        raise InputError(f"There is no display {display!r}. {nearest(display, figures.DISPLAYS)}")
    check_format(out)
    for path in (out, save):
        if path is not None:
            check_writable(path)
    network = open_model(model, preprocess)
    chosen = reported_rules(rules, network)
    if not chosen:
        raise InputError("--rules names no rule: give salinet, deconvnet, TTF, ..., or all.")
    x, seen = open_photo(photo, network)
    tape = network.record(x, rules=chosen)
    if network.classifies:
        warn_if_assumed(network)
        show_top(tape)
    top = _seed(tape, layer, unit)
    title = f"{network.name}: {top.label}"
    if selective:
        found = [selectivity(tape, top.at, rule, seed) for rule in chosen]
        _print_selectivity(found)
        figure = figures.selectivity_figure(seen, found, f"{network.name}: {top.at}", display)
        arrays = {
            f"{one.rule} {name}": values
            for one in found
            for name, values in zip(("max", "random", "noise"), one.pictures, strict=True)
        }
    else:
        comparison = compare(tape, top, chosen)
        _print_comparison(comparison, float(tape[top.at][(0, *top.index)]))
        draw = figures.family_figure if rules.strip().lower() == "all" else _one_row
        figure = draw(seen, comparison, title, display)
        arrays = comparison.arrays()
    figures.save(figure, out)
    print(f"picture: {shown_path(out)}")
    if save is not None:
        with atomic_path(save) as temporary, temporary.open("wb") as file:
            facts: dict[str, Any] = {"image": x, "seed": top.p, "seed_at": top.at, **arrays}
            np.savez_compressed(file, **facts)
        print(f"maps: {shown_path(save)}")


def _seed(tape: Tape, layer: str | None, unit: str) -> Seed:
    """The seed that the options mean; a class where no layer is given and the net classifies."""
    if layer is None and tape.network.classifies:
        return logit(tape) if unit == "max" else parse_class(tape, unit)
    if layer is None and unit == "max":
        return default_seed(tape)
    return parse(tape, layer or tape.network.outputs[0], unit)


def parse_class(tape: Tape, text: str) -> Seed:
    """A class by its number."""
    try:
        return logit(tape, int(text))
    except ValueError:
        raise InputError(
            f"--unit {text} without --layer: give the number of a class, or name a layer."
        ) from None


def _one_row(seen: np.ndarray, comparison: Comparison, title: str, display: str) -> figures.Figure:
    return figures.comparison_figure(seen, [comparison], title, display)


def _print_comparison(comparison: Comparison, activation: float) -> None:
    print(f"top signal: {comparison.seed.label} (activation {activation:.3g})")
    if activation == 0:
        print("This unit is silent for this photo: rules that use the masks show nothing.")
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
    print(table(header, rows, right=(3, 4, 5, 6)))


def _print_selectivity(found: list[Selectivity]) -> None:
    print("correlation of the pictures of the strongest neuron, a random one, and noise")
    rows = [
        [one.rule, f"{one.max_random:.3f}", f"{one.max_noise:.3f}", f"{one.random_noise:.3f}"]
        for one in found
    ]
    header = ["rule", "max ~ random", "max ~ noise", "random ~ noise"]
    print(table(header, rows, right=(1, 2, 3)))
