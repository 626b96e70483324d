"""`minicnn bench`: kernels side by side, against the machine's ceilings and the reference."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from minicnn import figures
from minicnn.blocks import Conv, ConvTranspose
from minicnn.cli.app import Device, Threads, app, check_device, open_model, shown_path
from minicnn.drawing import count, table
from minicnn.errors import InputError
from minicnn.files import atomic_path, check_writable
from minicnn.kernels import set_threads
from minicnn.kernels.bench import Bench, Ceilings, Run, kernels
from minicnn.kernels.devices import Device as Place
from minicnn.kernels.devices import find as find_device
from minicnn.kernels.machine import card, machine, versions
from minicnn.kernels.measure import Measurement
from minicnn.kernels.own import load_kernels
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import BLOCKS
from minicnn.kernels.shapes import Shape, find
from minicnn.network import Network

MOVED = 1.25  # ceilings that differ by such a factor at the end: the machine was not ours alone
WRONG = 1e-3  # relative error from which a result is called so

HEADER = (
    "kernel", "", "ms", "GFLOP/s", "of ceiling", "ceiling", "MB", "error", "compile s", "pack ms",
)  # fmt: skip
RIGHT = (2, 3, 4, 6, 7, 8, 9)
NOTE = """
* serves by default. GFLOP/s and MB count what the definition needs, for every kernel alike:
Winograd multiplies less and may pass 100 %; so may small problems, which stay in the caches.
error: max|y - reference| / max|reference| in float64. compile s: what the first call took longer.
pack ms: for the filters, once a network; 0 where every run does it anew."""


@app.command("bench", short_help="Time the kernels of a block.")
def command(
    context: typer.Context,
    block: Annotated[str, typer.Argument(help=f"{', '.join(BLOCKS)}.")] = "conv2d",
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            help="vgg16, resnet50, squeezenet, an ONNX file, a .txt file with a shape a line, or "
            "n,c,h,w,o,k[,stride[,pad[,groups]]]; several times if need be. "
            "Default: 1,64,56,56,64,3."
        ),
    ] = None,
    kernel: Annotated[
        str, typer.Option(help="Names with commas between. Default: all that apply.")
    ] = "",
    kernel_file: Annotated[
        Path | None,
        typer.Option(help="A Python file with KERNELS of your own; see examples/own_kernel.py."),
    ] = None,
    threads: Threads = None,
    device: Device = "cpu",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images; overrules the shapes' own number.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to repeat each kernel.")] = 0.2,
    out: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured to this file.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw a roofline plot.")] = None,
    bars: Annotated[Path | None, typer.Option(help="Draw a bar chart.")] = None,
) -> None:
    """Time the kernels of a block: speed, share of the ceilings, error, compile time."""
    own = load_kernels(kernel_file, block) if kernel_file else []
    names = [name.strip() for name in kernel.split(",") if name.strip()]
    check_device(device)
    place = find_device(device.strip().lower())
    chosen = kernels(block, names, own, place.kind)
    todo = _distinct(shapes or ["1,64,56,56,64,3"], batch)
    for picture in filter(None, (figure, bars)):
        figures.check_format(picture)
    for file in filter(None, (out, figure, bars)):
        check_writable(file)
    number = context.with_resource(_threads(threads))
    about = machine()
    bench = Bench(
        block, chosen, _ceilings(place, number), seconds,
        frozenset([*names, *(entry.name for entry in own)]), kernel_file, place,
    )  # fmt: skip
    if place.kind == "cuda":
        about |= card(place.index)
    print(_head(bench, about, number))
    stopped = not _measured(bench, todo)
    print(NOTE)
    if not stopped:
        _check(bench.ceilings, _ceilings(place, number))
    if out is not None:
        facts = {
            "machine": {**about, "threads": number},
            "versions": versions(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["minicnn", *sys.argv[1:]]),
            "complete": not stopped,
            **bench.as_dict(),
        }
        with atomic_path(out) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n")
        print(f"measurements: {shown_path(out)}")
    for path, draw in ((figure, figures.roofline_figure), (bars, figures.bars_figure)):
        if path is not None and bench.measured:
            ceilings = bench.ceilings
            figures.save(draw(bench.measured, ceilings.peak, ceilings.bandwidth), path)
            print(f"picture: {shown_path(path)}")
    if stopped:
        raise typer.Exit(130)


# What to measure


def _distinct(texts: Iterable[str], batch: int | None) -> list[Shape]:
    """The shapes that the texts mean, each once."""
    found = [shape for text in texts for shape in _shapes(text)]
    if batch is not None:
        found = [replace(shape, batch=batch) for shape in found]
    return list(dict.fromkeys(found))


def _shapes(text: str) -> list[Shape]:
    if not text.lower().endswith(".onnx"):
        return find(text)
    found = list(_convolutions(open_model(text)))
    if not found:
        raise InputError(f"{text} has no convolutions over two axes.")
    return found


def _convolutions(network: Network) -> Iterator[Shape]:
    """A network's convolutions and transposed convolutions, at its usual image size."""
    shapes = network.infer_shapes()
    for node in network.nodes:
        block = node.block
        if not isinstance(block, Conv | ConvTranspose) or block.window.rank != 2:
            continue
        image, weight = node.operands[:2]
        w = network.arrays[weight].shape if weight in network.arrays else shapes[weight]
        wide = node.name if isinstance(block, ConvTranspose) else image
        yield Shape(
            1, Convolution(w[1] * block.groups, w[0], shapes[wide][2:], block.window, block.groups)
        )


@contextmanager
def _threads(number: int | None) -> Iterator[int]:
    """As many threads as asked for, for as long as this context lasts; gives how many."""
    from minicnn.kernels.cpu import team

    before = team.threads()
    if number is not None:
        set_threads(number)
    try:
        yield team.threads()
    finally:
        set_threads(before)


# Measuring and showing


def _measured(bench: Bench, todo: Sequence[Shape]) -> bool:
    """Measure shape by shape and print each table; False if the user interrupted it."""
    console, shown = Console(stderr=True), 0
    try:
        for i, shape in enumerate(todo, start=1):
            where = f"{i} of {len(todo)}: {shape.of(bench.block)}"
            # refreshed by ourselves: a thread that turns a wheel would be measured too
            with Live(Text(where), console=console, auto_refresh=False, transient=True) as line:
                bench.run(shape, _teller(line, where))
            shown = len(bench.runs)
            print(_shown(bench, bench.runs[-1]))
    except KeyboardInterrupt:
        for run in bench.runs[shown:]:
            print(_shown(bench, run))
        print("\nInterrupted: this is what was measured.")
        return False
    return True


def _teller(line: Live, where: str) -> Callable[[str], None]:
    """Shows which kernel is being measured."""
    return lambda name: line.update(Text(f"{where}: {name}"), refresh=True)


def _ceilings(place: Place, threads: int) -> Ceilings:
    """The ceilings of where kernels run."""
    return Ceilings.of_card(place.index) if place.kind == "cuda" else Ceilings.measured(threads)


def _head(bench: Bench, about: Mapping[str, Any], threads: int) -> str:
    peak, bandwidth = bench.ceilings.peak, bench.ceilings.bandwidth
    many = f"{threads} thread{'s' if threads > 1 else ''}"
    host = f"{about['cpu']}, {many}, {about['vectors']} vectors"
    return (
        f"{about.get('card', host)}\n"
        f"ceilings: arithmetic {peak / 1e9:.0f} GFLOP/s, memory {bandwidth / 1e9:.1f} GB/s; "
        f"below {peak / bandwidth:.1f} FLOPs a byte memory binds"
    )


def _check(before: Ceilings, after: Ceilings) -> None:
    """Say so where the ceilings moved: then the times above are not to be trusted."""
    pairs = ((before.peak, after.peak), (before.bandwidth, after.bandwidth))
    if any(max(pair) > MOVED * min(pair) for pair in pairs):
        print(
            f"The ceilings are now {after.peak / 1e9:.0f} GFLOP/s and {after.bandwidth / 1e9:.1f} "
            "GB/s: something else was running meanwhile. Measure again when it is quiet."
        )


def _shown(bench: Bench, run: Run) -> str:
    """One shape: a table, and below it why kernels are missing."""
    lines = [f"\n{bench.block} {run.shape}"]
    rows = [_row(bench, run, found) for found in run.measured]
    rows += [[name, "", "failed", *[""] * (len(HEADER) - 3)] for name in run.failed]
    if run.measured:
        first = run.measured[0]
        lines[0] += f": {count(first.flops)} FLOPs, {first.intensity:.1f} a byte"
    if rows:
        lines.append(table(HEADER, rows, RIGHT))
    lines += [f"{name}: failed: {why}" for name, why in run.failed.items()]
    reasons: dict[str, list[str]] = {}
    for name, why in run.left_out.items():
        reasons.setdefault(why, []).append(name)
    lines += [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
    return "\n".join(lines)


def _row(bench: Bench, run: Run, found: Measurement) -> list[str]:
    roof = bench.ceilings.roof(found)
    wrong = "" if found.error < WRONG else " WRONG"  # NaN is wrong too
    return [
        found.kernel,
        "*" if found.kernel == run.default else "",
        _digits(1e3 * found.seconds),
        _digits(found.flops_per_second / 1e9),
        f"{roof.share:.0%}" if roof.share >= 0.1 else f"{roof.share:.1%}",
        roof.binds,
        _digits(found.bytes / 1e6),
        f"{found.error:.1e}{wrong}",
        f"{found.compile_seconds:.2f}",
        _digits(1e3 * found.pack_seconds) if found.pack_seconds else "0",
    ]


def _digits(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:.3g}"
