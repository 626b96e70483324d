"""Which pixels decided: gradients, class activation maps, relevance and occlusion side by side.

    python examples/attributions.py [MODEL] [PHOTO] [--methods ...] [--out attributions.png]

By default the bundled network and a digit, explained for the right class and for another one: maps
of a method that depends on the class differ between the rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minicnn
from minicnn import figures
from minicnn.attribution import explain
from minicnn.attribution.methods import method, names_of

METHODS = "saliency,gradxinput,ig,smoothgrad,guided,gradcam,lrp-epsilon-plus"


def main() -> None:
    """Explain one photo for some targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mnist")
    parser.add_argument("photo", nargs="?", default="digit_4")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--targets", default="")
    parser.add_argument("--out", type=Path, default=Path("attributions.png"))
    options = parser.parse_args()
    net = minicnn.load(options.model)
    x = minicnn.data.photo(options.photo, net.preprocess)
    photo = minicnn.data.picture(options.photo, net.preprocess)
    methods = {name: method(name, net) for name in names_of(options.methods)}
    targets = options.targets.split(",") if options.targets else [None]
    if options.model == "mnist" and not options.targets:
        targets = ["4", "9"]
    rows = [explain(net, x, methods, target) for target in targets]
    figure = figures.explain_figure([photo] * len(rows), rows, net.name)
    figures.save(figure, options.out, dpi=90)
    for row in rows:
        print(row.label, {name: f"{one.sum:.3g}" for name, one in row.explanations.items()})
    print(options.out)


if __name__ == "__main__":
    main()
