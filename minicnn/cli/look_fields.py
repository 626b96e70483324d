"""`minicnn look fields`: what units see of the input, and how much of it they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicnn import figures
from minicnn.blocks import Shape
from minicnn.checkpoint import save_arrays
from minicnn.cli.app import (
    Device,
    Model,
    Out,
    PreprocessName,
    Save,
    Seed,
    check_device,
    check_outputs,
    named_after,
    open_images,
    open_model,
    open_photo,
    report_skipped,
    shown_path,
    warn_if_assumed,
)
from minicnn.cli.look import look
from minicnn.cli.progress import bar
from minicnn.data import Images
from minicnn.drawing import table, times
from minicnn.errors import InputError, UnitError
from minicnn.look import EffectiveField, Field, effective_field, receptive_fields
from minicnn.network import Network

NOISE = "noise"


@look.command("fields", short_help="Receptive fields: what units see, and what they use.")
def command(
    model: Model,
    layer: Annotated[
        str | None, typer.Option(help="Layers, with commas between. Default: all.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="row,column or channel,row,column. Default: the central one.")
    ] = None,
    photo: Annotated[
        str | None, typer.Option(help="Draw what the unit of each layer sees of this photo.")
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES/|noise",
            help="Measure how much the central unit of the layer uses of each pixel: the mean "
            "|gradient| over a folder of images, a data set's test images, or noise.",
        ),
    ] = None,
    channels: Annotated[
        int, typer.Option(min=1, help="With --effective: channels sent back.")
    ] = 16,
    seed: Seed = 0,
    out: Out = None,
    save: Save = None,
    preprocess: PreprocessName = None,
    device: Device = "cpu",
) -> None:
    """Print size, stride and place of each layer's receptive fields, in pixels of the input.

    Sizes count the padding; start and centre are those of unit 0. The effective field is the part
    of the theoretical one in which the gradient is not negligible (Luo et al., NeurIPS 2016).
    """
    check_device(device)
    network = open_model(model, preprocess, device)
    if effective is not None and effective.strip().lower() == NOISE:
        effective = NOISE
    names = [network.value_name(name.strip()) for name in (layer or "").split(",") if name.strip()]
    _check(names, unit, photo, effective, out)
    drawn = photo or effective
    if drawn is not None:
        what = Path(photo).stem if photo else "effective"
        out = out or named_after(network.name, what, names[0])
    check_outputs(out, save)
    images = None
    if effective is not None:
        images = _source(network, effective, seed)
        found = effective_field(network, names[0], images, channels, seed, track=bar)
        print(_summary(found))
        arrays, figure = found.arrays(), _effective_figure(network, found, effective)
    else:
        x, seen = open_photo(photo, network) if photo else (None, None)
        given = [] if x is None else [x.shape]
        fields, shapes = receptive_fields(network, *given), network.infer_shapes(*given)
        shown = {name: _known(fields, name) for name in names} or fields
        print(_table(network, shown, shapes))
        arrays, figure = _arrays(shown), None
        if seen is not None:
            units = [_unit(unit, shapes[name]) for name in shown]
            title = f"{network.name}: what units see of {Path(str(photo)).stem}"
            figure = figures.fields_figure(seen, list(shown.values()), units, title)
    if figure is not None and out is not None:
        figures.save(figure, out)
        print(f"picture: {shown_path(out)}")
    if save is not None:
        save_arrays(save, arrays)
        print(f"arrays: {shown_path(save)}")
    if images is not None:
        report_skipped(images)


def _check(
    names: Sequence[str],
    unit: str | None,
    photo: str | None,
    effective: str | None,
    out: Path | None,
) -> None:
    """Refuse options that do not go together."""
    if photo is not None and effective is not None:
        raise InputError("--photo and --effective draw two pictures: give one of them.")
    if (photo is not None or effective is not None) and not names:
        raise InputError("Of which layer? Name it: --layer conv5 (--photo takes several).")
    if effective is not None and (len(names) != 1 or unit is not None):
        raise InputError("--effective measures the central unit of one layer: --layer conv5.")
    if unit is not None and photo is None:
        raise InputError("--unit says what to draw on a photo: add --photo.")
    if out is not None and photo is None and effective is None:
        raise InputError("--out is for a picture: add --photo or --effective.")


def _summary(found: EffectiveField) -> str:
    """The effective field in words."""
    top, left, bottom, right = found.box
    return (
        f"{found.layer} unit {','.join(map(str, found.unit))} sees {bottom - top} x {right - left} "
        f"pixels: rows {top}-{bottom - 1}, columns {left}-{right - 1}.\n"
        f"It uses about {found.size:.1f} x {found.size:.1f}, where the gradient is above 4.55 % of "
        f"its maximum;\n{found.mass_size:.1f} x {found.mass_size:.1f} hold 95.45 % of its mass."
    )


def _effective_figure(network: Network, found: EffectiveField, effective: str) -> figures.Figure:
    of = "images of noise" if effective == NOISE else "images"
    title = f"effective receptive field, {found.images} {of}, {found.channels} channels"
    return figures.effective_field_figure(found, f"{network.name}: {title}")


def _source(network: Network, effective: str, seed: int) -> Images:
    """A folder, or eight images of standard normal noise."""
    if effective != NOISE:
        images, network = open_images(effective, network)
        warn_if_assumed(network)
        return images
    shape = network.default_shape(next(iter(network.inputs)))
    noise = np.random.default_rng(seed).standard_normal((8, *shape[1:]), np.float32)
    return Images(noise.astype(network.dtype))


def _known(fields: Mapping[str, Field], name: str) -> Field:
    """A layer's field, or an error for people."""
    if name not in fields:
        raise UnitError(f"{name} does not depend on the input: it has no receptive field.")
    return fields[name]


def _unit(text: str | None, shape: Shape) -> tuple[int, ...]:
    """A unit's (row, column); the central one by default."""
    if text is None:
        return tuple(n // 2 for n in shape[2:])
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UnitError(f"--unit {text!r}: write row,column or channel,row,column.")
    place = tuple(int(part) for part in parts)
    return place[1:] if len(place) == len(shape) - 1 else place


def _table(network: Network, fields: Mapping[str, Field], shapes: Mapping[str, Shape]) -> str:
    """One line a layer."""
    kinds = {node.name: node.block.kind for node in network.nodes}
    rows = [
        [name, kinds.get(name, "input"), times(shapes[name]), *field.spoken(),
         _pair(field.start), _pair(field.centre)]
        for name, field in fields.items()
    ]  # fmt: skip
    header = ["layer", "block", "output", "field", "stride", "start", "centre"]
    return table(header, rows, right=(2, 3, 4, 5, 6))


def _pair(numbers: Sequence[float] | None) -> str:
    """One number where all are the same, else with commas."""
    if not numbers:
        return ""
    return ",".join(f"{n:g}" for n in (numbers if len(set(numbers)) > 1 else numbers[:1]))


def _arrays(fields: Mapping[str, Field]) -> dict[str, np.ndarray]:
    """What --save writes: one row a layer; size 0 and NaN where all is seen."""
    none = [np.nan] * max(len(field.image) for field in fields.values())
    return {
        "layers": np.array(list(fields)),
        "size": np.array([field.size or [0] * len(field.image) for field in fields.values()]),
        "stride": np.array(
            [
                [float(s) for s in field.stride] if field.stride else none
                for field in fields.values()
            ]
        ),
        "start": np.array([field.start or none for field in fields.values()]),
        "centre": np.array([field.centre or none for field in fields.values()]),
    }
