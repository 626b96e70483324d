"""Do explanations depend on what was learnt? Weights are drawn anew, layer by layer from the top.

    python examples/sanity.py [MODEL] [PHOTO] [--out sanity.png]

After Adebayo et al. 2018: the gradient's map changes at once, that of guided backprop hardly, since
it draws the photo's edges whatever the upper layers say.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import minicnn
from minicnn import figures
from minicnn.attribution.methods import method
from minicnn.attribution.sanity import randomisation

METHODS = ("saliency", "gradxinput", "guided", "gradcam")


def main() -> None:
    """Randomise and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mnist")
    parser.add_argument("photo", nargs="?", default="digit_7")
    parser.add_argument("--out", type=Path, default=Path("sanity.png"))
    options = parser.parse_args()
    net = minicnn.load(options.model)
    x = minicnn.data.photo(options.photo, net.preprocess)
    found = [randomisation(net, x, partial(method, name)) for name in METHODS]
    title = f"{net.name}: weights drawn anew from the top"
    figures.save(figures.randomisation_curves(found, title), options.out, dpi=90)
    print(options.out)


if __name__ == "__main__":
    main()
