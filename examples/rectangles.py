"""Train Fleuret's network to predict where pushed rectangles come to rest, and look into it.

    python examples/rectangles.py [--samples 4096] [--epochs 10] [--size 32] [--out FOLDER]
    python examples/rectangles.py --samples 32768 --size 64 --epochs 30      the paper's data

Ten rectangles, one of them pulled upwards at a random point; the network sees the point and the
start as pictures and draws the result. Written are the scenes (FOLDER/rectangles, made once), the
state after every epoch (the same command goes on where it stopped), the network as ONNX, and three
pictures: some scenes over time; the best and the worst predictions beside the learning curves; and
what each residual block gives.

Source: F. Fleuret, "Predicting the dynamics of 2d objects with a deep residual network",
arXiv:1610.04032, 2016. The paper does not say how it optimised: Adam, its rate and its schedule are
ours.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn import figures, nn
from minicnn.data import Pairs, rectangles
from minicnn.drawing import table
from minicnn.figures.studies_rectangles import activations_figure, scenes_figure
from minicnn.studies.rectangles import RECIPE, drawn, findings, ink

HELD = 512  # scenes that are not learned
SCENES, MOMENTS = 4, 9  # of the film strips


def pictures(folder: Path, count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The scenes' pictures: made once, then read."""
    rectangles.write(folder, count, seed)
    return ink(*rectangles.read(folder, count), size)


def train(options: argparse.Namespace) -> None:
    """Make scenes, learn most of them, show what becomes of the others."""
    out, count = options.out, options.samples
    x, y = pictures(out / "rectangles", count + HELD, options.size, options.seed)
    held = x[count:], y[count:]
    recipe = replace(RECIPE, epochs=options.epochs, rate=options.rate, seed=options.seed)
    model = drawn(recipe.seed)
    print(f"{model.size:,} parameters, {recipe}", flush=True)
    source = Pairs(x[:count], y[:count], recipe.batch, recipe.seed)
    history = nn.fit(model, source, held, recipe, objective=nn.Regression(),
                     checkpoint=out / "rectangles.state.npz", on_epoch=tell)  # fmt: skip
    found = findings(model, history, *held, count=count)
    print(table(found.header, found.rows), *found.notes, sep="\n")
    side = options.size
    told = f"rectangles.py --samples {count} --epochs {recipe.epochs} --size {side}"
    facts = {"minicnn.training": f"{told} --rate {recipe.rate} --seed {recipe.seed}"}
    model.save(out / "rectangles.onnx", (2, side, side), name="rectangles", metadata=facts)
    history.to_csv(out / "rectangles.csv")
    films = [rectangles.simulate(recipe.seed, count + i, MOMENTS) for i in range(SCENES)]
    figures.save(scenes_figure(films), out / "rectangles_scenes.png")
    figures.save(figures.study_figure(found), out / "rectangles.png")
    figures.save(activations_figure(found), out / "rectangles_blocks.png")


def tell(model: nn.Module, epoch: nn.Epoch) -> None:
    """One line an epoch."""
    print(f"epoch {epoch.number}: error {epoch.loss:.5f}, of other scenes {epoch.valid_loss:.5f}; "
          f"{epoch.seconds:.0f} s", flush=True)  # fmt: skip


def main() -> None:
    """Read the options, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4096, help="scenes to learn from")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--size", type=int, default=32, choices=(64, 32, 16), help="pixels of a side"
    )
    parser.add_argument("--rate", type=float, default=RECIPE.rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train(options)


if __name__ == "__main__":
    main()
