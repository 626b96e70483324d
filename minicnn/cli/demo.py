"""`minicnn demo`: the main job on what needs no network connection.

By default the bundled network looks at a bundled digit; `--model` shows the same of any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicnn import figures, seeds
from minicnn.attribution import compare
from minicnn.blocks import MaxPool, ReLU
from minicnn.cli.app import (
    Device,
    app,
    check_device,
    open_model,
    open_photo,
    program,
    show_top,
    shown_path,
    warn_if_assumed,
)
from minicnn.errors import InputError
from minicnn.files import check_writable
from minicnn.network import Network

RULES = ("salinet", "deconvnet", "desalinet")
BUNDLED = "cifar10"

NEXT = {
    True: """{minicnn} compare cifar10 cifar_dog --rules all
{minicnn} compare cifar10 cifar_ship --layer relu2_1
{minicnn} explain cifar10 cifar_horse
{minicnn} trace mnist digit_4
{minicnn} show cifar10
{minicnn} compare YOUR_MODEL.onnx YOUR_PHOTO.jpg""",
    False: """{minicnn} compare {model} {photo} --rules all
{minicnn} compare {model} {other} --layer {layer}
{minicnn} trace {model} {photo}
{minicnn} show {model}
{minicnn} compare {model} YOUR_PHOTO.jpg""",
}


@app.command("demo", short_help="The main job on a bundled image.")
def command(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("minicnn-demo.png"),
    model: Annotated[
        str,
        typer.Option(
            help="Another network: an ONNX file, or a name that minicnn models lists, such as "
            "squeezenet1.1."
        ),
    ] = BUNDLED,
    device: Device = "cpu",
) -> None:
    """Classify a bundled image and show what three backward rules make of it."""
    figures.check_format(out)
    check_writable(out)
    check_device(device)
    network = open_model(model, device=device)
    if network.preprocess is None:
        raise InputError(f"{network.name} does not take photos, so there is no demo of it.")
    image, other = _images(network)
    layer = deep_layer(network)
    x, seen = open_photo(image, network)
    tape = network.record(x)
    chosen = [seeds.logit(tape)] if network.classifies else []
    rows = [compare(tape, seed, RULES) for seed in (*chosen, seeds.max_unit(tape, layer))]
    count, word = ("2 units", "two units") if chosen else ("1 unit", "one unit")
    figure = figures.comparison_figure(
        seen, rows, f"{network.name}: one image, {word}, three backward rules"
    )
    figures.save(figure, out)
    bundled = model == BUNDLED
    if bundled:
        print(f"The bundled network looks at a picture it has never seen, {image}:")
    else:
        warn_if_assumed(network)
        print(f"{network.name} looks at {image}:")
    if chosen:
        show_top(tape, 3)
    print(f"\nOne forward pass, {len(RULES)} rules, {count}. The picture is at")
    print(f"  {shown_path(out)}")
    print("\nWhat to type next:")
    names = {"minicnn": program(), "model": model, "photo": image, "other": other, "layer": layer}
    for line in NEXT[bundled].format(**names).splitlines():
        print(f"  {line}")


def _images(network: Network) -> tuple[str, str]:
    """Two bundled images of the kind that a network takes."""
    assert network.preprocess is not None
    if network.preprocess.channels == 1:
        return "digit_7", "digit_2"
    small = network.preprocess.crop_size == (32, 32)
    return ("cifar_cat", "cifar_dog") if small else ("china", "flower")


def deep_layer(network: Network) -> str:
    """The last max-pooling, where units see much of a photo; else the middle ReLU.

    Raises
    ------
    InputError
        If the network has neither.
    """
    pools = [node.name for node in network.nodes if isinstance(node.block, MaxPool)]
    if pools:
        return pools[-1]
    relus = [node.name for node in network.nodes if isinstance(node.block, ReLU)]
    if not relus:
        raise InputError(
            f"{network.name} has neither max-pooling nor ReLU, so rules have nothing to differ in."
        )
    return relus[len(relus) // 2]
