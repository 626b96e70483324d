"""Loss landscapes with and without skip connections, after Li et al. 2018, figure 1.

    python examples/landscapes.py MODELS CIFAR [--samples 1000] [--points 51] [--workers 2]

MODELS is a folder with Li et al.'s own networks, li2018_resnet56.onnx and
li2018_resnet56_noshort.onnx; CIFAR one with CIFAR-10's binary files. First the networks' accuracies
on the test set are measured, which should be 93.66 % and 86.69 %. Then come both surfaces of the
training loss on [-1, 1]^2, along filter-normalised directions of the same seeds, biases and batch
norm left alone, and how many line segments break convexity. With --hessian N the Hessian's extreme
eigenvalues are found on N x N points: at how many does the loss curve downwards by more than a
tenth of what it curves upwards? Last, ResNet-56 with its filters multiplied by 4, which computes
the same, along a line.

    python examples/landscapes.py FOLDER CIFAR --pair

does the same for the two networks that examples/train_pair.py trained and wrote into FOLDER, and
draws the path of each training in the plane of its two principal directions.

Everything found is kept in npz files beside the pictures: a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

import minicnn
from minicnn import figures
from minicnn.cli.progress import bar
from minicnn.data import Dataset, read
from minicnn.drawing import table
from minicnn.landscape import (
    Evaluator,
    broken_segments,
    curvature,
    negative_cells,
    random_direction,
    rescalable,
    rescale,
    samples_of,
    surface,
    trajectory,
)
from minicnn.network import Network

LI = {"ResNet-56": "li2018_resnet56", "without skip connections": "li2018_resnet56_noshort"}
PAIR = {"ResNet-20": "resnet20", "without skip connections": "plain20"}
PICTURES = Path(__file__).parent / "pictures"
MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)  # how the authors normalised
STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)
HIGHEST = 10.0  # losses above are drawn alike, as in the paper


def accuracies(networks: Mapping[str, Network], data: Dataset) -> str:
    """What the networks get right of a data set, as a table."""
    rows = []
    for name, network in networks.items():
        x, labels = samples_of(network, data)
        loss, share = Evaluator(network, x, labels, []).at()
        rows.append([name, f"{share:.2%}", f"{loss:.4f}"])
    return table((f"on {len(data):,} test images", "accuracy", "loss"), rows, right=(1, 2))


def compare(
    networks: Mapping[str, Network],
    data: Dataset,
    title: str,
    out: Path,
    options: argparse.Namespace,
) -> None:
    """Surfaces of networks side by side, as contours and in 3-D, and how convex they are.

    Parameters
    ----------
    networks : mapping
        By caption: any networks that classify this data, such as a ResNet-20 with and without
        skips.
    data : Dataset
        Training images.
    title : str
        Above the pictures.
    out : path
        Of pictures and result files, without suffix.
    options : argparse.Namespace
        samples, points, workers, seed, hessian and hessian_samples.
    """
    axis = np.linspace(-1, 1, options.points).round(12)
    found, rows = {}, []
    for number, (name, network) in enumerate(networks.items()):
        x, labels = samples_of(network, data, options.samples, options.seed)
        plane = [random_direction(network, 2 * options.seed + i) for i in (0, 1)]
        file = out.with_name(f"{out.name}_{number}.npz")
        found[name] = surface(network, x, labels, plane, axis, axis, file, options.workers, bar)
        broken = [broken_segments(found[name].loss, most) for most in (HIGHEST, None)]
        rows.append([name, f"{found[name].lowest[1]:.4f}", *(f"{share:.1%}" for share in broken)])
    header = ["network", "lowest loss", f"segments not convex, ends up to {HIGHEST:g}", "of all"]
    if options.hessian:
        curved = {}
        few = np.linspace(-1, 1, options.hessian).round(12)
        for number, (name, network) in enumerate(networks.items()):
            x, labels = samples_of(network, data, options.hessian_samples, options.seed)
            plane = [random_direction(network, 2 * options.seed + i) for i in (0, 1)]
            file = out.with_name(f"{out.name}_{number}_hessian.npz")
            curved[name] = curvature(
                network, x, labels, plane, few, few, file, options.workers, bar
            )
            rows[number].append(f"{negative_cells(curved[name].lowest, curved[name].highest):.0%}")
        header.append("points with -λmin > λmax / 10")
        about = f"Hessian of the training loss on {options.hessian_samples:,} images"
        figures.save(figures.curvature_figure(curved, about, 1.0), with_end(out, "_hessian.png"))
    print(table(header, rows, right=(1, 2, 3, 4)))
    for style in figures.LANDSCAPE_STYLES:
        drawn = figures.landscapes_figure(found, title, style, True, HIGHEST)
        figures.save(drawn, with_end(out, f"_{style}.png"))


def show_scale(network: Network, data: Dataset, out: Path, options: argparse.Namespace) -> None:
    """Nearly all filters 4 times as large, batch norms making up for it: the same function.

    Along one direction for both the larger weights look flatter: a step means less to them. Along
    its own filter-normalised direction each looks the same.
    """
    other = network
    for one in rescalable(network):
        other = rescale(other, one.layer, 4.0)
    x, labels = samples_of(network, data, options.samples, options.seed)
    axis = np.linspace(-1, 1, options.points).round(12)
    own = [random_direction(each, options.seed) for each in (network, other)]
    found = {}
    for caption, ways in (
        ("the same direction for both", [own[0], own[0]]),
        ("its own filter-normalised direction for each", own),
    ):
        found[caption] = {
            name: surface(each, x, labels, [way], axis, workers=options.workers, track=bar)
            for name, each, way in zip(
                ("as trained", "filters times 4"), (network, other), ways, strict=True
            )
        }
    title = "One function, two sets of weights: what the plot of the loss makes of it"
    figures.save(figures.scale_figure(found, title), with_end(out, ".png"))


def show_path(
    network: Network, file: Path, data: Dataset, out: Path, options: argparse.Namespace
) -> None:
    """The path of a training over the contours of the plane that it lies in best."""
    with np.load(file) as saved:
        count = len(next(iter(saved.values())))
        states = [{name: saved[name][i] for name in saved} for i in range(count)]
    path = trajectory(network, states)
    xs, ys = path.window(points=options.points)
    x, labels = samples_of(network, data, options.samples, options.seed)
    part = with_end(out, ".npz")
    plane = surface(network, x, labels, path.directions, xs, ys, part, options.workers, bar)
    title = f"{network.name}: the weights after each of {count} epochs"
    figures.save(figures.trajectory_figure(plane, path, title), with_end(out, ".png"))
    shares = " and ".join(f"{share:.0%}" for share in path.explained)
    print(f"{network.name}: the two directions of its path hold {shares} of its variance")


def with_end(path: Path, end: str) -> Path:
    """A file name with more behind it."""
    return path.with_name(path.name + end)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--pair", action="store_true", help="the networks of train_pair.py")
    parser.add_argument("--samples", type=int, default=1000, help="of the training set")
    parser.add_argument("--test", type=int, help="test images for the accuracies; default: all")
    parser.add_argument("--points", type=int, default=51, help="a side of the grid")
    parser.add_argument("--hessian", type=int, default=0, help="points a side; 0: none")
    parser.add_argument("--hessian-samples", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    files = PAIR if options.pair else LI
    networks = {n: minicnn.load(options.models / f"{file}.onnx") for n, file in files.items()}
    options.out.mkdir(exist_ok=True)
    test, learned = (read(options.cifar, split) for split in ("test", "train"))
    if not options.pair:  # whose files say how images are normalised
        test, learned = (replace(data, mean=MEAN, std=STD) for data in (test, learned))
    print(accuracies(networks, test.subset(slice(0, options.test))))
    whose = "two networks of 20 layers" if options.pair else "Li et al.'s networks"
    title = f"Training loss of {whose} on {options.samples:,} CIFAR-10 images"
    if options.pair:
        compare(networks, learned, title, options.out / "landscape_pair", options)
        for name, network in zip(PAIR.values(), networks.values(), strict=True):
            path = options.models / f"{name}.path.npz"
            show_path(network, path, learned, options.out / f"path_{name}", options)
        return
    compare(networks, learned, title, options.out / "landscape_resnet56", options)
    show_scale(networks["ResNet-56"], learned, options.out / "landscape_scale", options)


if __name__ == "__main__":
    main()
