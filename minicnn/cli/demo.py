"""`minicnn demo`: the main job on what the package carries, without a network connection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicnn import figures, seeds
from minicnn.attribution import compare
from minicnn.cli.app import app, open_model, open_photo, show_top, shown_path
from minicnn.files import check_writable

RULES = ("salinet", "deconvnet", "desalinet")
DEEP_LAYER = "pool2"

NEXT = """minicnn compare mnist digit_2 --rules all
minicnn compare mnist digit_8 --layer relu2 --unit max --display symmetric
minicnn trace mnist digit_4
minicnn compare YOUR_MODEL.onnx YOUR_PHOTO.jpg --out mine.png
python -c "import minicnn; print(minicnn.load(minicnn.data.bundled_model()).summary())\""""


@app.command("demo")
def command(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("minicnn-demo.png"),
) -> None:
    """Classify a bundled digit and show what three backward rules make of it."""
    check_writable(out)
    network = open_model("mnist")
    x, seen = open_photo("digit_7", network)
    tape = network.record(x)
    print("The bundled network looks at a digit it has never seen:")
    show_top(tape, 3)
    rows = [
        compare(tape, seed, RULES) for seed in (seeds.logit(tape), seeds.max_unit(tape, DEEP_LAYER))
    ]
    figure = figures.comparison_figure(
        seen, rows, f"{network.name}: one image, two units, three backward rules"
    )
    figures.save(figure, out)
    print(f"\nOne forward pass, {len(RULES)} rules, 2 units. The picture is at")
    print(f"  {shown_path(out)}")
    print("\nWhat to type next:")
    print("\n".join(f"  {line}" for line in NEXT.splitlines()))
