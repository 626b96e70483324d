"""`minicnn compare`: one photo, one unit, one picture a backward rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from minicnn import figures
from minicnn.attribution import Comparison, compare, reported_rules, selectivity
from minicnn.cli.app import (
    Model,
    Photo,
    PreprocessName,
    app,
    console,
    open_model,
    open_photo,
    show_top,
    shown_path,
    warn_if_assumed,
)
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
        _print_comparison(comparison)
        draw = figures.family_figure if rules.strip().lower() == "all" else _one_row
        figure = draw(seen, comparison, title, display)
        arrays = comparison.arrays()
    figures.save(figure, out)
    console.print(f"picture: {shown_path(out)}")
    if save is not None:
        with atomic_path(save) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, image=x, seed=top.p, seed_at=top.at, **arrays)
        console.print(f"maps: {shown_path(save)}")


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


def _one_row(seen: np.ndarray, comparison: Comparison, title: str, display: str) -> object:
    return figures.comparison_figure(seen, [comparison], title, display)


def _print_comparison(comparison: Comparison) -> None:
    console.print(f"top signal: {comparison.seed.label}")
    table = Table(box=None, pad_edge=False)
    for head in ("rule", "code", "p at a ReLU becomes"):
        table.add_column(head)
    for head in ("min", "max", "positive", "bits used"):
        table.add_column(head, justify="right")
    for picture in comparison.pictures:
        table.add_row(
            picture.rule.name, picture.rule.code, escape(picture.rule.formula), f"{picture.low:.3g}",
            f"{picture.high:.3g}", f"{picture.positive:.1%}", f"{picture.bits:,}",
        )  # fmt: skip
    console.print(table)


def _print_selectivity(found: list) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("rule")
    for head in ("max ~ random", "max ~ noise", "random ~ noise"):
        table.add_column(head, justify="right")
    for one in found:
        table.add_row(
            one.rule, f"{one.max_random:.3f}", f"{one.max_noise:.3f}", f"{one.random_noise:.3f}"
        )
    console.print("correlation of the pictures of the strongest neuron, a random one, and noise")
    console.print(table)
