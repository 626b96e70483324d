"""`minicnn look filters`: the filters of a layer, in colour or channel by channel."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from minicnn import figures
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Model,
    Out,
    PreprocessName,
    Save,
    Unseeded,
    check_device,
    check_outputs,
    named_after,
    open_model,
    shown_path,
)
from minicnn.cli.look import look
from minicnn.drawing import table
from minicnn.errors import InputError
from minicnn.look import Filters, filters


@look.command("filters", short_help="The filters of a layer.")
def command(
    model: Model,
    layer: Annotated[
        str | None,
        typer.Option(help="A convolution or linear layer. Default: the first to read the image."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="shared (one scale for all) or each (one for each filter).")
    ] = "shared",
    patch: Annotated[
        str,
        typer.Option(
            help="Also the image patch that maximises <w, x> under a norm: l2, linf, pixels, or "
            "several with commas between."
        ),
    ] = "",
    which: Annotated[
        str | None,
        typer.Option("--filters", help="Which filters: numbers and ranges, e.g. 0-7,12."),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Of a deeper layer, which input channels: 0-7,12.")
    ] = None,
    out: Out = None,
    save: Save = None,
    preprocess: PreprocessName = None,
    seed: Unseeded = 0,
    device: Device = "cpu",
) -> None:
    """Draw the filters of a layer: in colour where it reads the image, else in grey."""
    check_device(device)
    norms = [norm.strip() for norm in patch.split(",") if norm.strip()]
    rows, columns = numbers(which, "--filters"), numbers(channels, "--channels")
    check_outputs(out, save)
    network = open_model(model, preprocess, device)
    found = filters(network, layer)
    out = out or named_after(network.name, found.layer, "filters")
    check_outputs(out, save)
    title = f"{network.name}: {found.layer}"
    figure = figures.filters_figure(found, title, scale, norms, rows, columns)
    figures.save(figure, out)
    if save is not None:
        save_arrays(save, _arrays(found, norms))
    print(_described(found, norms))
    print(f"picture: {shown_path(out)}")
    if save is not None:
        print(f"arrays: {shown_path(save)}")


def numbers(text: str | None, option: str) -> list[int] | None:
    """Numbers and ranges, such as 0-3,8, as a list.

    Raises
    ------
    InputError
        If they are something else.

    Examples
    --------
    >>> numbers("0-3,8", "--filters")
    [0, 1, 2, 3, 8]
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip())
        first, last = (int(n) for n in (match[1], match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise InputError(
                f"{option} {text}: give numbers and ranges with commas between, such as 0-7,12."
            )
        found.extend(range(first, last + 1))
    return found


def _arrays(found: Filters, norms: list[str]) -> dict[str, object]:
    arrays: dict[str, object] = {"weights": found.weights}
    if found.pixels is not None:
        arrays |= {"pixels": found.pixels, "black": found.black}
    for norm in norms:
        arrays[f"patch {norm}"] = [patch.x for patch in found.patches(norm)]
        arrays[f"value {norm}"] = [patch.value for patch in found.patches(norm)]
    return arrays


def _described(found: Filters, norms: list[str]) -> str:
    count, depth, h, w = found.weights.shape
    lines = [
        f"{found.layer} ({found.kind}): {count} filters {depth}x{h}x{w}, "
        f"weights {found.weights.min():.3g} to {found.weights.max():.3g}"
    ]
    if found.pixels is not None:
        lines.append(
            "Shown as they act on pixels from 0 to 1: the network's filters through its "
            f"preprocessing, {found.pixels.min():.3g} to {found.pixels.max():.3g}."
        )
    if norms:
        values = [[patch.value for patch in found.patches(norm)] for norm in norms]
        best = sorted(range(count), key=lambda i: -values[0][i])[:10]
        rows = [[str(i), *(f"{column[i]:.3g}" for column in values)] for i in best]
        lines.append(f"<w, x> of the best patch, by filter (the 10 largest by {norms[0]}):")
        lines.append(table(["filter", *norms], rows, right=range(len(norms) + 1)))
    return "\n".join(lines)
