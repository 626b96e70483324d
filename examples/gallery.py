"""Make the README's pictures.

    python examples/gallery.py FOLDER_WITH_MODELS

FOLDER_WITH_MODELS holds squeezenet1.1.onnx and vgg16_features.onnx (VGG-16 up to pool5); without
one only the bundled network is shown. The photo is china.jpg, which scikit-learn carries
(CC BY 2.0, danielbuechele).
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

import minicnn
from minicnn import figures, seeds
from minicnn.attribution import compare, reported_rules

PICTURES = Path(__file__).parent / "pictures"
NAMED = ("salinet", "deconvnet", "desalinet")


def panel(
    model: Path, photo: Path, at: str | None, name: str, rules: str = ",".join(NAMED)
) -> None:
    """One comparison as a PNG: of the winning class, or of the strongest unit at a layer."""
    net = minicnn.load(model)
    tape = net.record(minicnn.data.photo(photo, net.preprocess))
    seed = seeds.max_unit(tape, at) if at else seeds.logit(tape)
    comparison = compare(tape, seed, reported_rules(rules, net))
    seen = minicnn.data.picture(photo, net.preprocess)
    title = f"{net.name}: {seed.label}"
    if rules == "all":
        figure = figures.family_figure(seen, comparison, title)
    else:
        figure = figures.comparison_figure(seen, [comparison], title)
    figures.save(figure, PICTURES / name, dpi=90)
    print(PICTURES / name)


def main() -> None:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="?")
    options = parser.parse_args()
    panel(
        minicnn.data.bundled_model(),
        next(p for p in minicnn.data.bundled_digits() if p.stem == "digit_2"),
        None,
        "family.png",
        "all",
    )
    if options.models:
        photo = Path(str(resources.files("sklearn.datasets.images"))) / "china.jpg"
        panel(options.models / "vgg16_features.onnx", photo, "pool5", "vgg16.png")
        panel(options.models / "squeezenet1.1.onnx", photo, None, "squeezenet.png")


if __name__ == "__main__":
    main()
