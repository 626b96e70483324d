"""What a network's first filters look for, and what its layers make of a photo.

    python examples/filters_and_activations.py [MODEL] [PHOTO] [--folder FOLDER]

By default the bundled network and a digit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minicnn
from minicnn import figures, look


def main() -> None:
    """Draw both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mnist")
    parser.add_argument("photo", nargs="?", default="digit_2")
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    net = minicnn.load(options.model)
    x = minicnn.data.photo(options.photo, net.preprocess)
    photo = minicnn.data.picture(options.photo, net.preprocess)

    found = look.filters(net)  # of the first convolution, as they act on pixels
    norms = ("l2", "pixels")  # beside them the patches that they answer to most
    figure = figures.filters_figure(found, f"{net.name}: {found.layer}", patches=norms)
    figures.save(figure, options.folder / "filters.png", dpi=90)

    rows = look.activations(net, x, channels=8)  # layers spread evenly from input to output
    figure = figures.activations_figure(photo, x, rows, f"{net.name}: {Path(options.photo).stem}")
    figures.save(figure, options.folder / "activations.png", dpi=90)
    for row in rows:
        print(f"{row.layer}: {row.shape}")


if __name__ == "__main__":
    main()
