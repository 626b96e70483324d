"""How classes come apart layer by layer: scikit-learn's digits through the bundled network.

    python examples/digits_layers.py [--out examples/pictures/digits_layers.png]

The digits (8x8, Alpaydin and Kaynak 1998) were written by other people than those of MNIST, which
the network learnt from. Here they are scaled up and put some pixels off the centre, at random. To
pixels a digit that has moved is another one: neighbours often are of another class, and t-SNE tears
the classes to pieces. The first pooling changes little; at the second one, and in the scores, what
a digit is counts for more than where it stands. How far classes have come apart is said by the
share of digits whose five nearest neighbours vote for the right one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import minicnn
from minicnn import figures
from minicnn.data import Images
from minicnn.figures import Figure
from minicnn.look import aligned, embed, features, neighbour_accuracy
from minicnn.look.embedding import Embedding

OUT = Path(__file__).parent / "pictures" / "digits_layers.png"
DIGITS = 600
MOST_MOVED = 3  # pixels
LAYERS = ("image", "pool1", "pool2", "scores")


def digits(seed: int = 0) -> Images:
    """The first digits as inputs of the network (N, 1, 28, 28), 0..1, white on black."""
    data = load_digits()
    rng = np.random.default_rng(seed)
    x = np.zeros((DIGITS, 1, 28, 28), np.float32)
    for own, eight in zip(x, data.images):
        grown = Image.fromarray((eight * 255 / 16).astype(np.uint8)).resize((20, 20))
        top, left = 4 + rng.integers(-MOST_MOVED, MOST_MOVED + 1, 2)
        own[0, top : top + 20, left : left + 20] = np.asarray(grown) / np.float32(255)
    return Images(x, labels=[str(target) for target in data.target[:DIGITS]])


def draw() -> Figure:
    """One panel a layer, each turned to the first."""
    found = features(minicnn.load("mnist"), digits(), LAYERS)
    embeddings: dict[str, Embedding] = {}
    captions = {}
    for layer, values in found.values.items():
        one = embed(values, "tsne", perplexity=30, seed=0)
        first = next(iter(embeddings.values()), one)
        embeddings[layer] = Embedding(aligned(one.points, first.points), "tsne")
        share = neighbour_accuracy(values, found.labels)
        captions[layer] = f"{values.shape[1]:,} numbers, 5-NN accuracy {share:.1%}"
    title = f"t-SNE of {len(found)} digits at four layers of the bundled network, perplexity 30"
    return figures.embedding_figure(embeddings, found.labels, title, captions)


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    figures.save(draw(), out, dpi=90)
    print(out)


if __name__ == "__main__":
    main()
