"""minicnn train: a network from images and labels, with a state that survives being stopped."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from minicnn import figures, nn
from minicnn.cli.app import (
    Device,
    Seed,
    Threads,
    app,
    check_device,
    going_on,
    serving,
    shown_path,
    to_go_on,
)
from minicnn.cli.training import Shown
from minicnn.data import Augment, Dataset, read
from minicnn.errors import InputError
from minicnn.files import check_writable
from minicnn.nn.training import check_held
from minicnn.onnx import load

Number = Annotated[float | None, typer.Option(show_default="the architecture's")]
Count = Annotated[int | None, typer.Option(min=1, show_default="the architecture's")]
Text = Annotated[str | None, typer.Option(show_default="the architecture's")]


@app.command()
def train(
    architecture: Annotated[str, typer.Argument(help=f"One of {', '.join(nn.ARCHITECTURES)}.")],
    data: Annotated[
        str,
        typer.Option(
            help="A folder with MNIST's files, CIFAR-10's, or one subfolder a class; or digits, "
            "mnist, fashion-mnist, cifar-10."
        ),
    ],
    epochs: Count = None,
    batch: Count = None,
    optimiser: Annotated[str | None, typer.Option(help="sgd, adam or adamw.")] = None,
    rate: Number = None,
    schedule: Annotated[
        str | None, typer.Option(help="constant, step, cosine or one-cycle.")
    ] = None,
    momentum: Number = None,
    decay: Number = None,
    smoothing: Annotated[float | None, typer.Option(help="Label smoothing.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of all gradients.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="Such as shift=4,flip,rotate=10,scale=0.1; none: off.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Side to which images of folders are brought.")
    ] = None,
    init: Annotated[str, typer.Option(help=f"One of {', '.join(nn.SCHEMES)}.")] = "he_normal",
    samples: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many images, drawn at random.")
    ] = None,
    held: Annotated[
        float | None,
        typer.Option(
            show_default="0.1 with --patience, else 0",
            help="Share of the training images held out. 0: the test set shows.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without a smaller loss held out."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run stopped.")] = False,
    fold: Annotated[
        bool, typer.Option("--fold", help="Fold batch norms into the convolutions of the file.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The network to write. Default: named by architecture.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = "cpu",
) -> None:
    """Train a network; writes it as ONNX, its learning curves as picture and CSV.

    After every epoch the state is written beside them (NAME.state.npz): --resume goes on from it,
    to the same result bit for bit.
    """
    check_device(device)
    out = check_writable(out or Path(f"{architecture}.onnx"))
    if out.suffix != ".onnx":
        raise InputError(f"--out {out}: a network's file ends in .onnx.")
    if held is None:
        held = 0.0 if patience is None else 0.1
    if not 0 <= held < 1:
        raise InputError(f"--held {held}: a share of the training images, 0 or more, less than 1.")
    if patience is not None and held == 0:
        raise InputError("--patience needs images held out: leave --held 0 out.")
    settings = _recipe(
        architecture, epochs=epochs, batch=batch, optimiser=optimiser, rate=rate,
        schedule=schedule, momentum=momentum, decay=decay, smoothing=smoothing, clip=clip,
        augment=augment, patience=patience, seed=seed,
    )  # fmt: skip
    state = out.with_suffix(".state.npz")
    with going_on(partial(_how_to_go_on, state)):
        learned, test = read(data, "train", size), read(data, "test", size)
        if samples is not None:
            learned = learned.sample(samples, seed)
        valid, name = test, "test"
        if held > 0:
            learned, valid = learned.split(held, seed)
            name = "held out"
        model = nn.build(architecture, learned.images.shape[1:], len(learned.classes), seed, init)
        check_held(model, learned, test)
    model.to(device.strip().lower())
    _check_state(state, resume)
    epochs_told = f"{settings.epochs} epoch" + "s" * (settings.epochs > 1)
    print(f"{architecture}: {model.size:,} parameters; {len(learned):,} images of {learned.name}, "
          f"{len(valid):,} {name}; {epochs_told}")  # fmt: skip
    with serving(None, threads), going_on(partial(_how_to_go_on, state)), Shown(name) as shown:
        history = nn.fit(model, learned, valid, settings, checkpoint=state,
                         report=shown.step, on_epoch=shown.epoch)  # fmt: skip
        result = nn.evaluate(model, test)
        command = shlex.join(["minicnn", *(a for a in sys.argv[1:] if a != "--resume")])
        _write(model, out, learned, result, command, fold)
        history.to_csv(out.with_suffix(".csv"))
        title = f"{architecture} on {learned.name}"
        figure = figures.learning_figure(history, title, name)
        figures.save(figure, out.with_suffix(".png"))
    again = nn.evaluate(load(out), test)
    if history.restored:
        print(_stopped(history, settings))
    print(f"test accuracy {again.score:.2%}, loss {again.loss:.4f} on {again.count:,} images")
    for what, path in (("network", out), ("curves", out.with_suffix(".png")),
                       ("numbers", out.with_suffix(".csv")), ("state", state)):  # fmt: skip
        print(f"{what}: {shown_path(path)}")


def _recipe(architecture: str, augment: str | None, **given: Any) -> nn.Recipe:
    """The architecture's recipe with what the user said otherwise."""
    changes = {name: value for name, value in given.items() if value is not None}
    if augment is not None:
        changes["augment"] = None if augment == "none" else Augment.parse(augment)
    return replace(nn.recipe(architecture), **changes)


def _check_state(state: Path, resume: bool) -> None:
    """A run neither overwrites another's state nor starts anew where it was to go on."""
    if resume and not state.exists():
        raise InputError(f"--resume: there is no state {state} to go on from; leave it out.")
    if not resume and state.exists():
        raise InputError(
            f"{state} holds the state of an earlier run. Go on with --resume and the options that "
            f"it was begun with, remove it, or name another --out."
        )


def _stopped(history: nn.History, recipe: nn.Recipe) -> str:
    """What early stopping did."""
    last, weights = history.last.number, f"the weights of epoch {history.best} are kept"
    if last - history.best < (recipe.patience or 0):
        return f"All {last} epochs were done; {weights}, whose loss held out is smallest."
    return f"Stopped after epoch {last}: no smaller loss held out since; {weights}."


def _how_to_go_on(state: Path) -> str:
    """What to type after Ctrl-C."""
    if not state.exists():
        return "No epoch was done yet, so nothing is kept: the same command starts anew."
    return to_go_on("--resume")


def _write(
    model: nn.Module, out: Path, learned: Dataset, result: nn.Result, command: str, fold: bool
) -> None:
    """The network with what it knows of itself."""
    network = model.network(
        learned.images.shape[1:],
        name=out.stem,
        labels=learned.classes,
        preprocess=learned.preprocess,
        metadata={
            "minicnn.preprocess": learned.preprocess.to_json(),
            "minicnn.labels": json.dumps(list(learned.classes)),
            "minicnn.accuracy": f"{result.score:.4f} on {result.count:,} test images",
            "minicnn.training": command,
        },
        softmax=True,
    )
    (network.fold_bn() if fold else network).save(out)
