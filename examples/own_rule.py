"""A backward rule of your own, beside the three classics, on a bundled digit.

    python examples/own_rule.py [--out own_rule.png]

A rule is a table from kinds of blocks to what stands in for their transposes. `call.transposed` is
a block's own transpose; `>>` puts one map after another. This one lets through a ReLU only what
both DeConvNet and the gradient would, at half strength in the upper layers, and forgets the pooling
switches in the first pool only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minicnn
from minicnn import Rule, figures, seeds
from minicnn.attribution import compare
from minicnn.blocks import MaxPool, ReLU, Scale

MINE = Rule(
    "mine",
    {
        "pool1": lambda call: call.block.to_center(call.shape),  # one layer, by name
        "relu[34]": lambda call: call.transposed >> ReLU() >> Scale(0.5),  # some, by pattern
        ReLU: lambda call: call.transposed >> ReLU(),  # all others, by kind
        MaxPool: lambda call: call.transposed,
    },
    formula="max(p·1[x>0], 0), halved above",
)


def main() -> None:
    """Compare it with the classics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("own_rule.png"))
    options = parser.parse_args()
    net = minicnn.load(minicnn.data.bundled_model())
    digit = minicnn.data.bundled_digits()[-1]
    tape = net.record(minicnn.data.photo(digit, net.preprocess))
    found = compare(tape, seeds.logit(tape), ["salinet", "deconvnet", "desalinet", MINE])
    seen = minicnn.data.picture(digit, net.preprocess)
    figures.save(figures.comparison_figure(seen, [found], "a rule of one's own"), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
