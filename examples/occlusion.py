"""What the decision needs: a patch slides over the photo, and the network looks at the rest.

    python examples/occlusion.py [MODEL] [PHOTO] [--patch 7] [--stride 2] [--watch LAYER:CHANNEL]

By default the bundled network and a digit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minicnn
from minicnn import figures
from minicnn.attribution import occlude, watch


def main() -> None:
    """Scan and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mnist")
    parser.add_argument("photo", nargs="?", default="digit_4")
    parser.add_argument("--patch", type=int, default=7)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--watch", default="")
    parser.add_argument("--out", type=Path, default=Path("occlusion.png"))
    options = parser.parse_args()
    net = minicnn.load(options.model)
    x = minicnn.data.photo(options.photo, net.preprocess)
    photo = minicnn.data.picture(options.photo, net.preprocess)
    watched = [watch(net, options.watch)] if options.watch else []
    found = occlude(net, x, options.patch, options.stride, "mean", watched)
    winner = int(found.clean.argmax())
    title = f"{net.name}: {Path(options.photo).stem}, covered"
    figure = figures.occlusion_figure(photo, found, winner, net.labels, title)
    figures.save(figure, options.out, dpi=90)
    print(f"{(found.labels() != winner).mean():.1%} of positions change the label")
    print(options.out)


if __name__ == "__main__":
    main()
