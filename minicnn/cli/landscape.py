"""`minicnn landscape`: the loss around a network, as contours, a surface or a curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from minicnn import figures
from minicnn.cli.app import (
    OWN_NUMBERS,
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
    going_on,
    named_after,
    open_model,
    serving,
    shown_path,
    to_go_on,
)
from minicnn.cli.progress import bar
from minicnn.data import read
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.landscape import (
    Curvature,
    Direction,
    Surface,
    axis,
    broken_segments,
    curvature,
    negative_cells,
    random_direction,
    samples_of,
    surface,
    towards,
)
from minicnn.network import Network

STEEP = 10  # times the median
Axis = Annotated[
    str | None,
    typer.Option(show_default="-1:1:51; -0.5:1.5:41 with --other", metavar="FIRST:LAST:POINTS"),
]


@app.command("landscape", short_help="The loss around what a network learned.")
def command(
    context: typer.Context,
    model: Model,
    data: Annotated[
        str,
        typer.Option(
            help="A folder with MNIST's files, CIFAR-10's, or one subfolder a class; or digits, "
            "mnist, fashion-mnist, cifar-10."
        ),
    ],
    x: Axis = None,
    y: Annotated[
        str | None,
        typer.Option(
            show_default="-1:1:51; none with --other",
            metavar="FIRST:LAST:POINTS",
            help="The second direction; 'none' draws the loss along a line.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="How many images the loss is the mean of.")
    ] = 256,
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    other: Annotated[
        str | None,
        typer.Option(help="Another solution: draw the line from the network (0) to it (1)."),
    ] = None,
    norm: Annotated[
        str, typer.Option(help="How random directions are normalised: filter, layer or none.")
    ] = "filter",
    ignore: Annotated[
        str,
        typer.Option(help="What stays where it is: biasbn (biases and batch norm) or none."),
    ] = "biasbn",
    show: Annotated[
        str, typer.Option(help="filled or contour, or surface for a 3-D picture.")
    ] = "filled",
    log: Annotated[bool, typer.Option("--log", help="Logarithmic levels and heights.")] = False,
    highest: Annotated[
        float | None,
        typer.Option(help="Losses above this are drawn alike, and left out of convexity."),
    ] = None,
    hessian: Annotated[
        bool,
        typer.Option(
            "--hessian",
            help="Also the Hessian's extreme eigenvalues at each point, which take some hundred "
            "times as long: give few points and samples.",
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the points.")] = 1,
    out: Out = None,
    save: Save = None,
    seed: Seed = 0,
    device: Device = "cpu",
    preprocess: PreprocessName = None,
    kernel: Kernels = None,
    threads: Threads = None,
) -> None:
    """Loss and accuracy along random, filter-normalised directions (Li et al. 2018).

    What is found is kept beside the picture, in NAME.npz: the same command goes on from there.
    """
    context.with_resource(serving(kernel, threads))
    check_device(device)
    if kernel and workers > 1:
        raise InputError("--kernel serves in this process only; leave --workers out with it.")
    if show not in figures.LANDSCAPE_STYLES:
        raise InputError(f"There is no --show {show}. Give {', '.join(figures.LANDSCAPE_STYLES)}.")
    if highest is not None and not highest > 0:
        raise InputError(f"--highest {highest}: a loss is positive.")
    xs, ys = _axes(x, y, other is not None)
    network = open_model(model, preprocess, device)
    directions = _directions(network, other, ys is not None, seed, norm, ignore)
    out = out or named_after(network.name, "landscape")
    file = save or out.with_suffix(".npz")
    check_outputs(out, file)
    if network.preprocess is None or network.assumes_preprocess:
        print(OWN_NUMBERS)
    images, labels = samples_of(network, read(data, split), samples, seed)
    curved, beside = None, file.with_name(f"{file.stem}_hessian.npz")
    with going_on(to_go_on), _naming(file):
        found = surface(network, images, labels, directions, xs, ys, file, workers, bar)
        if hessian:
            curved = curvature(
                network, images, labels, directions, xs, ys, beside, workers, bar, ignore
            )
    title = f"{network.name}: loss on {len(labels):,} {split} images"
    print(_table(found, curved, highest))
    figures.save(_figure(found, network.name, title, show, log, highest, other), out)
    if not log and found.loss.max() > STEEP * np.median(found.loss):
        print("Most of the surface is far below its highest loss: --log shows more of it.")
    print(f"picture: {shown_path(out)}")
    if curved is not None and ys is not None:
        picture = out.with_name(f"{out.stem}_hessian{out.suffix}")
        title = f"{network.name}: the Hessian's ends on {len(labels):,} {split} images"
        figures.save(figures.curvature_figure({"": curved}, title), picture)
        print(f"picture: {shown_path(picture)}")
    print(f"arrays: {shown_path(file)}")
    if curved is not None:
        print(f"arrays: {shown_path(beside)}")


def _axes(x: str | None, y: str | None, between: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The grid's axes; by default a square, or a line beyond both ends between two solutions."""
    if between and y not in (None, "none"):
        raise InputError("--other draws a line between two networks; leave --y out.")
    xs = axis(x or ("-0.5:1.5:41" if between else "-1:1:51"))
    return xs, None if between or y == "none" else axis(y or "-1:1:51")


def _directions(
    network: Network, other: str | None, plane: bool, seed: int, norm: str, ignore: str
) -> list[Direction]:
    """The way to another network, or random directions from a seed each."""
    if other is not None:
        return [towards(network, _alike(network, open_model(other)))]
    numbers = (2 * seed, 2 * seed + 1) if plane else (2 * seed,)
    return [random_direction(network, number, norm, ignore) for number in numbers]


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Say which option names another file, where one holds another landscape."""
    try:
        yield
    except InputError as error:
        if "Remove it" not in str(error):
            raise
        raise InputError(f"{error} Another grid has a file of its own by --out.") from error


def _alike(network: Network, other: Network) -> Network:
    """The other network, if one set of samples serves both."""
    why = "A line between two networks means something where both read and answer alike."
    for number, (own, theirs) in enumerate(zip(network.labels, other.labels, strict=False)):
        if own.casefold() != theirs.casefold():
            raise InputError(
                f"Class {number} is {own} for {network.name}, but {theirs} for {other.name}. {why}"
            )
    how, its = (
        None if n.preprocess is None or n.assumes_preprocess else
        (n.preprocess.mean, n.preprocess.std, n.preprocess.scale, n.preprocess.order)
        for n in (network, other)
    )  # fmt: skip
    if how and its and how != its:
        raise InputError(
            f"{network.name} reads images with mean, deviation, scale and order {how}, but "
            f"{other.name} with {its}. {why}"
        )
    return other


def _figure(
    found: Surface,
    network: str,
    title: str,
    show: str,
    log: bool,
    highest: float | None,
    other: str | None,
) -> figures.Figure:
    """Contours of a plane, or the curve of a line."""
    if found.ys is not None:
        return figures.landscapes_figure({"": found}, title, show, log, highest)
    if other is None:
        return figures.curves_figure({"": found}, title, log)
    name = Path(other).stem
    name = name if name != network else other
    marked = {network: 0.0, name: 1.0}
    label = f"from {network} (0) to {name} (1)"
    return figures.curves_figure({"": found}, title, log, label, marked)


def _table(found: Surface, curved: Curvature | None, highest: float | None) -> str:
    """The lowest point, where the network stands, and how convex it all is."""
    at, loss = found.lowest
    rows = [[f"lowest loss, at {_spoken(at)}", f"{loss:.4g}"]]
    here = _origin(found)
    if here is not None:
        rows.append(["loss of the network itself", f"{found.loss[here]:.4g}"])
        rows.append(["its accuracy", f"{found.accuracy[here]:.2%}"])
    rows.append(["highest loss", f"{found.loss.max():.4g}"])
    if max(found.loss.shape) > 2:
        share = _share(broken_segments, found.loss, highest)
        within = "" if highest is None else f", ends up to {highest:g}"
        rows.append([f"line segments that break convexity{within}", share])
    if curved is not None:
        share = _share(negative_cells, curved.lowest, curved.highest)
        rows.append(["points with -λmin above λmax / 10", share])
    return table(("what", "value"), rows, right=(1,))


def _share(measure: Callable[..., float], *values: Any) -> str:
    """A share, or that nothing on the grid counts."""
    try:
        return f"{measure(*values):.1%}"
    except InputError:
        return "none to measure"


def _origin(found: Surface) -> tuple[int, ...] | None:
    """Where on the grid the network itself stands, if it does."""
    axes = [found.xs] if found.ys is None else [found.ys, found.xs]
    places = [np.flatnonzero(each == 0) for each in axes]
    return tuple(int(p[0]) for p in places) if all(len(p) for p in places) else None


def _spoken(at: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{n:g}" for n in at) + ")"
