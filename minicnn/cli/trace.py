"""`minicnn trace`: the network and, mirrored beside it, its transposed network."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import numpy as np
import typer

from minicnn.cli.app import (
    Kernels,
    Model,
    PreprocessName,
    Threads,
    app,
    open_model,
    open_photo,
    serving,
    warn_if_assumed,
)
from minicnn.drawing import count, table, times
from minicnn.look import Trace, TraceRow, trace
from minicnn.look.trace import Range
from minicnn.rules import find
from minicnn.seeds import choose

HEADER = (
    "forward", "block", "output", "field", "stride", "params", "FLOPs", "kept B", "of B",
    "Jacobian", "min", "max", "pos", "ms", "|", "transposed", "min", "max", "pos", "ms",
)  # fmt: skip
RIGHT = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19)


@app.command("trace", short_help="There and back, block by block.")
def command(
    context: typer.Context,
    model: Model,
    photo: Annotated[
        str | None,
        typer.Argument(
            help="An image file, or a bundled digit such as 'digit_4'; without one, seeded noise "
            "is sent through."
        ),
    ] = None,
    rule: Annotated[str, typer.Option(help="How to reverse: a rule's name or code.")] = "salinet",
    layer: Annotated[
        str | None, typer.Option(help="Where to start back. Default: the winning class.")
    ] = None,
    unit: Annotated[
        str, typer.Option(help="max, c, or c,i,j; without --layer a class, by number or name.")
    ] = "max",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Print each block and its transposed block: what it costs, what went through it."""
    context.with_resource(serving(kernel, threads))
    network = open_model(model, preprocess)
    chosen = find(rule)
    if photo is None:
        shapes = network.infer_shapes()
        generator = np.random.default_rng(0)
        x = generator.standard_normal(shapes[next(iter(network.inputs))]).astype(network.dtype)
        source = "standard normal noise, seed 0 (no photo was given)"
    else:
        warn_if_assumed(network)
        x, _ = open_photo(photo, network)
        source = photo
    at = None if layer is None else network.value_name(layer)
    found = trace(network, x, chosen, lambda tape: choose(tape, at, unit))
    print(f"{network.name}  input {source}  {'x'.join(map(str, x.shape))}")
    print(f"back: {found.rule} from {found.seed}\n")
    _print(found)


def _print(found: Trace) -> None:
    rows = [*(_cells(row) for row in found.rows), _totals(found)]
    text = table(HEADER, rows, right=RIGHT)
    if sys.stdout.isatty() and len(text.splitlines()[0]) > shutil.get_terminal_size().columns:
        print("(This table is wider than the terminal: pipe it into less -S.)\n")
    print(text)
    print(
        "\nfield: pixels of the input that a unit sees along each axis; stride: from unit to unit."
        "\nkept B: bytes that the transpose needs, of the activation's bytes. Jacobian: elements "
        "of the matrix\nthat is never formed. pos: fraction above zero. transposed: what ran on "
        "the way back; '=' passes p on."
    )


def _cells(row: TraceRow) -> list[str]:
    back = row.back_kind or ("=" if row.backward else "")
    field = row.field.spoken() if row.field else ("", "")
    return [
        row.name, row.kind, times(row.shape), *field, count(row.parameters), count(row.flops),
        count(row.kept_bytes), count(row.activation_bytes), count(row.jacobian),
        *_range(row.forward), f"{row.seconds * 1e3:.2f}", "|", back, *_range(row.backward),
        f"{row.back_seconds * 1e3:.2f}" if back else "",
    ]  # fmt: skip


def _totals(found: Trace) -> list[str]:
    rows = found.rows
    return [
        "total", f"{len(rows)} blocks", "", "", "", count(sum(r.parameters for r in rows)),
        count(sum(r.flops for r in rows)), count(sum(r.kept_bytes for r in rows)),
        count(sum(r.activation_bytes for r in rows)), count(sum(r.jacobian for r in rows)),
        "", "", "", f"{sum(r.seconds for r in rows) * 1e3:.2f}", "|", "", "", "", "",
        f"{found.back_seconds * 1e3:.2f}",
    ]  # fmt: skip


def _range(found: Range | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    return f"{found.low:.3g}", f"{found.high:.3g}", f"{found.positive:.0%}"
