"""What a unit responds to most, and what it saw there: the blocks of Zeiler and Fergus 2014.

    python examples/units.py [MODEL LAYER FOLDER] [--channels 3,17,40] [--out units.png]

By default the bundled network and scikit-learn's digits, which it has not learnt from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from digits_layers import digits

import minicnn
from minicnn import figures, look
from minicnn.data import Images

OUT = Path(__file__).parent / "pictures" / "units.png"


def main() -> None:
    """Scan the images once, draw the chosen channels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mnist")
    parser.add_argument("layer", nargs="?", default="relu4")
    parser.add_argument("images", nargs="?")
    parser.add_argument("--channels", default="1,7,24,40")
    parser.add_argument("--rule", default="deconvnet")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    net = minicnn.load(options.model)
    images = Images(options.images) if options.images else digits()
    best = look.strongest(net, options.layer, images, k=9)  # all channels, in one pass
    channels = [int(channel) for channel in options.channels.split(",")]
    found = {
        channel: look.unit_patches(net, options.layer, channel, best, images, options.rule)
        for channel in channels
    }
    title = f"{net.name}: strongest of {len(images)} images at {options.layer}, {options.rule}"
    figures.save(figures.units_figure(found, title), options.out, dpi=90)
    print(options.out)


if __name__ == "__main__":
    main()
