"""Make the README's pictures.

    python examples/gallery.py FOLDER_WITH_MODELS

FOLDER_WITH_MODELS holds squeezenet1.1.onnx, alexnet_features.onnx and vgg16_features.onnx (VGG-16
up to pool5); without one only the bundled network is shown. The photos are china.jpg and
flower.jpg, which scikit-learn carries (CC BY 2.0, danielbuechele and others).
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import minicnn
from minicnn import figures, look, seeds
from minicnn.attribution import compare, explain, occlude, reported_rules, watch
from minicnn.attribution.methods import method, names_of
from minicnn.attribution.sanity import randomisation

PICTURES = Path(__file__).parent / "pictures"
NAMED = ("salinet", "deconvnet", "desalinet")
METHODS = "saliency,ig,smoothgrad,guided,gradcam,lrp-epsilon-plus,occlusion"


def save(figure: figures.Figure, name: str, dpi: int = 60) -> None:
    """One picture."""
    figures.save(figure, PICTURES / name, dpi=dpi)
    print(PICTURES / name)


def panel(model: Path, photo: str, at: str | None, name: str, rules: str = ",".join(NAMED)) -> None:
    """Backward rules beside each other: for the winning class, or the strongest unit of a layer."""
    net = minicnn.load(model)
    tape = net.record(minicnn.data.photo(photo, net.preprocess))
    seed = seeds.max_unit(tape, at) if at else seeds.logit(tape)
    comparison = compare(tape, seed, reported_rules(rules, net))
    seen = minicnn.data.picture(photo, net.preprocess)
    title = f"{net.name}: {seed.label}"
    if rules == "all":
        save(figures.family_figure(seen, comparison, title), name, 75)
    else:
        save(figures.comparison_figure(seen, [comparison], title), name, 75)


def filters(model: Path) -> None:
    """The first filters of a network."""
    net = minicnn.load(model)
    found = look.filters(net)
    save(figures.filters_figure(found, f"{net.name}: {found.layer}"), "filters.png")


def activations(model: Path, photo: str) -> None:
    """What each layer makes of a photo."""
    net = minicnn.load(model)
    x = minicnn.data.photo(photo, net.preprocess)
    seen = minicnn.data.picture(photo, net.preprocess)
    rows = look.activations(net, x, layers=5, channels=6)
    save(figures.activations_figure(seen, x, rows, f"{net.name}: {photo}"), "activations.png")


def explained(model: Path, photo: str) -> None:
    """Attribution methods beside each other."""
    net = minicnn.load(model)
    x = minicnn.data.photo(photo, net.preprocess)
    found = explain(net, x, {name: method(name, net) for name in names_of(METHODS)})
    seen = minicnn.data.picture(photo, net.preprocess)
    save(figures.explain_figure(seen, found, f"{net.name}: {found.label}"), "explain.png")


def occluded(model: Path, photo: str, watched: str) -> None:
    """What changes where the photo is covered."""
    net = minicnn.load(model)
    x = minicnn.data.photo(photo, net.preprocess)
    found = occlude(net, x, 32, 8, watched=[watch(net, watched)])
    seen = minicnn.data.picture(photo, net.preprocess)
    winner = int(found.clean.argmax())
    title = f"{net.name}: {photo}, covered by the mean colour"
    save(figures.occlusion_figure(seen, found, winner, net.labels, title), "occlusion.png")


def sanity(model: Path, photo: str) -> None:
    """How maps change when weights are drawn anew."""
    net = minicnn.load(model)
    x = minicnn.data.photo(photo, net.preprocess)
    names = ("saliency", "guided", "gradcam")
    found = [randomisation(net, x, partial(method, name), layers=8) for name in names]
    title = f"{net.name}: weights drawn anew from the top"
    save(figures.randomisation_curves(found, title), "sanity.png")


def main() -> None:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="?")
    options = parser.parse_args()
    panel(minicnn.data.bundled_model(), "digit_2", None, "family.png", "all")
    if options.models:
        squeezenet = options.models / "squeezenet1.1.onnx"
        panel(options.models / "vgg16_features.onnx", "china", "pool5", "vgg16.png")
        filters(options.models / "alexnet_features.onnx")
        activations(squeezenet, "flower")
        explained(squeezenet, "flower")
        occluded(squeezenet, "china", "squeezenet0_pool2_fwd:40")
        sanity(squeezenet, "flower")


if __name__ == "__main__":
    main()
