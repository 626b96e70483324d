"""Train a ResNet-20 and the same network without skips on CIFAR-10, to compare their landscapes.

    python examples/train_pair.py CIFAR_FOLDER [--epochs 30] [--seed 0] [--out FOLDER]

Both learn from the same images in the same order by the same recipe (`nn.recipe("resnet20")`), but
for the learning rate, which networks without skips cannot have as high. Written are the networks
with their batch norms (resnet20.onnx, plain20.onnx), their weights after every epoch, which is the
path that `examples/landscapes.py` draws (resnet20.path.npz), learning curves, and states: the same
command goes on where it stopped.

Networks: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn import figures, nn
from minicnn.checkpoint import save_arrays
from minicnn.data import Dataset, read

NAMES = ("resnet20", "plain20")


class Trail:
    """The weights after every epoch, one array a parameter: what a trajectory is drawn from."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.states: list[dict[str, np.ndarray]] = []
        if file.exists():
            with np.load(file) as saved:
                count = len(next(iter(saved.values())))
                self.states = [{name: saved[name][i] for name in saved} for i in range(count)]

    def add(self, model: nn.Module, epoch: nn.Epoch) -> None:
        """Called after every epoch; what a run that was stopped did twice is kept once."""
        self.states = self.states[: epoch.number - 1]
        self.states.append({name: array.copy() for name, array in model.state_dict().items()})
        names = self.states[0]
        save_arrays(self.file, {name: np.stack([s[name] for s in self.states]) for name in names})
        print(f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy {epoch.score:.4f}; test "
              f"{epoch.valid_loss:.4f}, {epoch.valid_score:.4f}; {epoch.seconds:.0f} s",
              flush=True)  # fmt: skip


def train(name: str, learned: Dataset, test: Dataset, options: argparse.Namespace) -> None:
    """Train one of the two and write what there is to it."""
    shape, out = learned.images.shape[1:], options.out
    recipe = replace(nn.recipe(name), epochs=options.epochs, seed=options.seed)
    model = nn.build(name, shape, len(learned.classes), options.seed)
    print(f"{name}: {model.size:,} parameters, {recipe}", flush=True)
    path = Trail(out / f"{name}.path.npz")
    history = nn.fit(model, learned, test, recipe, checkpoint=out / f"{name}.state.npz",
                     on_epoch=path.add)  # fmt: skip
    result = nn.evaluate(model, test)
    facts = {
        "minicnn.preprocess": learned.preprocess.to_json(),
        "minicnn.labels": json.dumps(list(learned.classes)),
        "minicnn.accuracy": f"{result.score:.4f} on {result.count:,} test images",
        "minicnn.training": f"train_pair.py --epochs {recipe.epochs} --seed {recipe.seed}",
    }
    model.save(out / f"{name}.onnx", shape, name=name, labels=learned.classes,
               preprocess=learned.preprocess, metadata=facts)  # fmt: skip
    history.to_csv(out / f"{name}.csv")
    figure = figures.learning_figure(history, f"{name} on CIFAR-10")
    figures.save(figure, out / f"{name}.png")
    print(f"{name}: test accuracy {result.score:.4f}, loss {result.loss:.4f}", flush=True)


def main() -> None:
    """Read the options, train both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    learned, test = read(options.folder, "train"), read(options.folder, "test")
    for name in NAMES:
        train(name, learned, test, options)


if __name__ == "__main__":
    main()
