"""`minicnn demo`: the main job on what the package carries, without a network connection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicnn import figures, seeds
from minicnn.attribution import compare
from minicnn.cli.app import app, program, show_top, shown_path
from minicnn.data import bundled_digits, bundled_model, photo, picture
from minicnn.files import check_writable
from minicnn.onnx import load

RULES = ("salinet", "deconvnet", "desalinet")
DEEP_LAYER = "pool2"

NEXT = """{minicnn} compare mnist digit_2 --rules all
{minicnn} compare mnist digit_8 --layer relu2
{minicnn} trace mnist digit_4
{minicnn} show mnist
{minicnn} compare YOUR_MODEL.onnx YOUR_PHOTO.jpg"""


@app.command("demo")
def command(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("minicnn-demo.png"),
) -> None:
    """Classify a bundled digit and show what three backward rules make of it."""
    figures.check_format(out)
    check_writable(out)
    network = load(bundled_model())
    digit = next(path for path in bundled_digits() if path.stem == "digit_7")
    tape = network.record(photo(digit, network.preprocess))
    rows = [
        compare(tape, seed, RULES) for seed in (seeds.logit(tape), seeds.max_unit(tape, DEEP_LAYER))
    ]
    figure = figures.comparison_figure(
        picture(digit, network.preprocess),
        rows,
        f"{network.name}: one image, two units, three backward rules",
    )
    figures.save(figure, out)
    print("The bundled network looks at a digit it has never seen:")
    show_top(tape, 3)
    print(f"\nOne forward pass, {len(RULES)} rules, 2 units. The picture is at")
    print(f"  {shown_path(out)}")
    print("\nWhat to type next:")
    for line in NEXT.format(minicnn=program()).splitlines():
        print(f"  {line}")
