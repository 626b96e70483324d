"""`minicnn study`: a question about training, answered by a table and a figure."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from minicnn import figures
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Out,
    Save,
    Seed,
    Threads,
    app,
    check_device,
    check_outputs,
    going_on,
    program,
    serving,
    shown_path,
    to_go_on,
)
from minicnn.cli.progress import bar
from minicnn.data import read
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.studies import STUDIES, Findings, Setup, Study
from minicnn.studies import study as study_named


@app.command("study", short_help="Studies of training: batch norm, dropout, augmentation, ...")
def command(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Which; left out: all are listed.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder with MNIST's files, CIFAR-10's, or one subfolder a class; or digits, "
            "mnist, fashion-mnist, cifar-10. Default: the study's own, mostly digits."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How long networks train. Default: the study's.")
    ] = None,
    out: Out = None,
    save: Save = None,
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = "cpu",
) -> None:
    """Run a study: print its numbers and what to see in them, and draw its figure.

    Trainings that are done are kept beside the figure until the study is: if it was stopped, the
    same command goes on after them.
    """
    context.with_resource(serving(None, threads))
    check_device(device)
    if name is None:
        print(table(("study", "question"), [[one.name, one.question] for one in STUDIES.values()]))
        print(f"\n{program()} study NAME runs one; --data says on which images.")
        return
    chosen = study_named(name)
    out = out or Path(f"study_{chosen.name}.png")
    check_outputs(out, save)
    unfinished = out.with_suffix(".unfinished.npz")
    with going_on(partial(_how_to_go_on, unfinished)):
        findings = chosen.run(_setup(chosen, data, epochs, seed, unfinished, device))
    figures.save(figures.study_figure(findings), out)
    if save is not None:
        save_arrays(save, findings.arrays)
    unfinished.unlink(missing_ok=True)
    _show(findings)
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")


def _how_to_go_on(unfinished: Path) -> str:
    """What to type after Ctrl-C."""
    if not unfinished.exists():
        return "No training was done yet, so nothing is kept: the same command starts anew."
    return to_go_on()


def _setup(
    chosen: Study, data: str | None, epochs: int | None, seed: int, unfinished: Path, device: str
) -> Setup:
    """The study's data and settings; what it has no use for is refused."""
    if data is not None and chosen.data is None:
        raise InputError(f"The study {chosen.name} makes its own data: leave --data out.")
    if epochs is not None and not chosen.trains:
        raise InputError(f"The study {chosen.name} trains nothing: leave --epochs out.")
    device = device.strip().lower()
    if device != "cpu" and not chosen.trains:
        raise InputError(f"The study {chosen.name} trains nothing: leave --device out.")
    where = data or chosen.data or "digits"
    return Setup(read(where, "train"), read(where, "test"), epochs, seed, bar, unfinished, device)


def _show(findings: Findings) -> None:
    """Title, table and notes."""
    rows = [[str(cell) for cell in row] for row in findings.rows]
    print(f"{findings.title}\n")
    print(table(findings.header, rows, right=range(1, len(findings.header))))
    print("", *findings.notes, "", sep="\n")
