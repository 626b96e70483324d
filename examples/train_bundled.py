"""Train the networks that minicnn carries, from data to files: LeNet on MNIST, a VGG on CIFAR-10.

    python examples/train_bundled.py --mnist FOLDER --cifar FOLDER [--only lenet|cifar10]
                                     [--out FOLDER] [--seed 0]

FOLDER holds MNIST's four files, or CIFAR-10's binary form. Each network is trained by the recipe of
its architecture (`nn.recipe`), with its state written after every epoch: the same command goes on
where it stopped. What is written: the network, batch norms folded, its accuracy on the 10,000 test
images, seed, time and command in its metadata; learning curves as PNG and CSV; and for CIFAR-10 a
few test pictures that were not learned from.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import minicnn
from minicnn import figures, nn
from minicnn.data import Dataset, read

NETWORKS = {"lenet": "lenet", "cifar10": "vgg"}  # the file's name, and its architecture
SHOWN = ("airplane", "automobile", "bird", "cat", "dog", "frog", "horse", "ship")


def train(name: str, folder: Path, out: Path, seed: int, epochs: int | None) -> None:
    """Train one network, measure it, write it with what it knows of itself."""
    learned, test = read(folder, "train"), read(folder, "test")
    shape = learned.images.shape[1:]
    recipe = replace(nn.recipe(NETWORKS[name]), seed=seed)
    recipe = replace(recipe, epochs=epochs) if epochs else recipe
    model = nn.build(NETWORKS[name], shape, len(learned.classes), seed)
    print(f"{name}: {model.size:,} parameters, {len(learned):,} images, {recipe}", flush=True)
    history = nn.fit(model, learned, test, recipe, checkpoint=out / f"{name}.state.npz",
                     report=report, on_epoch=told)  # fmt: skip
    result = nn.evaluate(model, test)
    minutes = sum(epoch.seconds for epoch in history.epochs) / 60
    facts = {
        "minicnn.preprocess": learned.preprocess.to_json(),
        "minicnn.labels": json.dumps(list(learned.classes)),
        "minicnn.accuracy": f"{result.score:.4f} on {result.count:,} test images",
        "minicnn.training": f"train_bundled.py --only {name} --seed {seed}: {recipe.epochs} "
        f"epochs, {minutes:.0f} minutes on two cores",
    }
    network = model.network(
        shape, name=name, labels=learned.classes, preprocess=learned.preprocess,
        metadata=facts, softmax=True,
    )  # fmt: skip
    path = out / f"{name}.onnx"
    network.fold_bn().save(path)
    history.to_csv(out / f"{name}.csv")
    figures.save(figures.learning_figure(history, f"{name}, test set"), out / f"{name}.png")
    again = minicnn.load(path)
    share = nn.evaluate(again, test).score
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, test accuracy {share:.4f}")
    if name == "cifar10":
        save_pictures(again, test, out)


def report(progress: nn.Progress) -> None:
    """A line every hundred steps."""
    if progress.step % 100 == 0:
        print(f"  epoch {progress.epoch}, step {progress.step} of {progress.steps}: loss "
              f"{progress.loss:.4f}, {progress.score:.4f}, {progress.images_per_second:,.0f} "
              f"images/s", flush=True)  # fmt: skip


def told(model: nn.Module, epoch: nn.Epoch) -> None:
    """A line every epoch."""
    print(f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy {epoch.score:.4f}; test loss "
          f"{epoch.valid_loss:.4f}, accuracy {epoch.valid_score:.4f}", flush=True)  # fmt: skip


def save_pictures(network: minicnn.Network, test: Dataset, out: Path) -> None:
    """Write the first test picture of some classes that the network is right and sure about."""
    rows = slice(0, 500)
    found = network(test.array(rows))
    for label in SHOWN:
        number = test.classes.index(label)
        sure = (test.labels[rows] == number) & (found[:, number] > 0.9)
        first = int(np.flatnonzero(sure)[0])
        picture = test.images[first].transpose(1, 2, 0)  # (32, 32, 3)
        Image.fromarray(np.ascontiguousarray(picture)).save(out / f"cifar_{label}.png")


def main() -> None:
    """Read the options, train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's files")
    parser.add_argument("--cifar", type=Path, help="folder with CIFAR-10's binary files")
    parser.add_argument("--only", choices=sorted(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    options = parser.parse_args()
    for name, folder in (("lenet", options.mnist), ("cifar10", options.cifar)):
        if options.only in (None, name):
            if folder is None:
                parser.error(f"{name} needs its data: --{'mnist' if name == 'lenet' else 'cifar'}")
            train(name, folder, options.out, options.seed, options.epochs)


if __name__ == "__main__":
    main()
