"""Where relevance goes: LRP is a table of backward rules, so its reversed network can be printed.

    python examples/lrp.py [MODEL] [PHOTO] [--out conservation.png]

By default the bundled network and a digit. What biases take away is the difference between the
lines and 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minicnn
from minicnn import figures
from minicnn.attribution import LRP, ExcitationBackprop
from minicnn.attribution.conservation import conservation

COMPOSITES = ("epsilon", "epsilon-plus", "epsilon-alpha2-beta1", "flat")


def main() -> None:
    """Follow the relevance of the winning class down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mnist")
    parser.add_argument("photo", nargs="?", default="digit_8")
    parser.add_argument("--out", type=Path, default=Path("conservation.png"))
    options = parser.parse_args()
    net = minicnn.load(options.model)
    x = minicnn.data.photo(options.photo, net.preprocess)
    methods = [*(LRP(net, name) for name in COMPOSITES), ExcitationBackprop(net)]
    tape, _ = methods[0].recorded(x)
    print(tape.reverse(methods[0].at, methods[0].rule))  # a network, as any other
    found = [conservation(method, x) for method in methods]
    print(found[0])
    figures.save(figures.conservation_figure(found, f"{net.name}: relevance left"), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
