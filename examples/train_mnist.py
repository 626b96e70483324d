"""Train the network that minicnn carries (minicnn/data/bundled/mnist.onnx) from MNIST's files.

    python examples/train_mnist.py FOLDER_WITH_MNIST [--epochs 8] [--seed 0] [--out mnist.onnx]

The network, its training state and a few test digits are written beside each other.

Four convolutions with ReLU and max-pooling, trained by this package's own engine: stochastic
gradient descent with momentum 0.9, a learning rate that falls along a cosine, weight decay 1e-4,
and shifts of up to two pixels as augmentation. An epoch takes a minute or two on two cores; after
each the state is saved beside the output, and the same command goes on from there.

FOLDER_WITH_MNIST holds the four files of MNIST in IDX form (train-images-idx3-ubyte.gz, ...).
"""

from __future__ import annotations

import argparse
import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.progress import track

import minicnn
from minicnn import Tensor, no_grad
from minicnn import functional as F
from minicnn.files import atomic_path
from minicnn.preprocess import Preprocess

CHANNELS = (1, 16, 32, 32, 64)
BATCH, RATE, MOMENTUM, DECAY = 64, 0.05, 0.9, 1e-4


def read_idx(path: Path) -> np.ndarray:
    """An IDX file as an array: four bytes of header, one length an axis, then the numbers."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def initial(generator: np.random.Generator) -> dict[str, Tensor]:
    """He initialisation: N(0, 2 / fan-in), zero biases."""
    made = {}
    shapes = [(f"conv{i}", (o, c, 3, 3)) for i, (c, o) in enumerate(pairwise(CHANNELS), 1)]
    for name, shape in [*shapes, ("fc", (10, CHANNELS[-1] * 49))]:
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight = (generator.standard_normal(shape) * deviation).astype(np.float32)
        made[f"{name}.weight"] = Tensor(weight, requires_grad=True)
        made[f"{name}.bias"] = Tensor(np.zeros(shape[0], np.float32), requires_grad=True)
    return made


def scores(p: dict[str, Tensor], x: Tensor) -> Tensor:
    """(N, 1, 28, 28) -> (N, 10)."""
    for i in range(1, 5):
        x = F.relu(F.conv2d(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"], padding=1))
        if i in (2, 4):
            x = F.max_pool2d(x, 2)
    return F.linear(F.flatten(x, 1), p["fc.weight"], p["fc.bias"])


def shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each image moved by up to two pixels."""
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    moves = generator.integers(0, 5, (len(images), 2))
    return np.stack([im[:, i : i + 28, j : j + 28] for im, (i, j) in zip(padded, moves)])


def train(folder: Path, epochs: int, seed: int, state: Path) -> dict[str, Tensor]:
    """Train, saving the state after every epoch and going on from it."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz")[:, None].astype(np.float32) / 255
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz").astype(np.int64)
    parameters = initial(np.random.default_rng(seed))
    velocity = {name: np.zeros_like(t.data) for name, t in parameters.items()}
    first = 0
    if state.exists():
        with np.load(state) as saved:
            first = int(saved["epoch"])
            for name, tensor in parameters.items():
                tensor.data[...], velocity[name][...] = saved[name], saved[f"{name} velocity"]
    steps = len(images) // BATCH
    for epoch in range(first, epochs):
        generator = np.random.default_rng([seed, epoch])
        order = generator.permutation(len(images))
        total = 0.0
        for step in track(range(steps), f"epoch {epoch + 1} of {epochs}"):
            batch = order[step * BATCH : (step + 1) * BATCH]
            x = Tensor(shifted(images[batch], generator))
            loss = F.cross_entropy(scores(parameters, x), labels[batch])
            loss.backward()
            rate = RATE / 2 * (1 + np.cos(np.pi * (epoch * steps + step) / (epochs * steps)))
            for name, tensor in parameters.items():
                gradient = tensor.grad.data + np.float32(DECAY) * tensor.data
                velocity[name] *= np.float32(MOMENTUM)
                velocity[name] -= np.float32(rate) * gradient
                tensor.data += velocity[name]
            total += loss.item()
        print(f"epoch {epoch + 1}: mean loss {total / steps:.4f}", flush=True)
        with atomic_path(state) as path:
            now = {name: t.data for name, t in parameters.items()}
            np.savez(path, epoch=epoch + 1, **now,
                     **{f"{name} velocity": v for name, v in velocity.items()})  # fmt: skip
    return parameters


def accuracy(predict, folder: Path) -> float:
    """Share of the 10,000 test images classified correctly."""
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz")[:, None].astype(np.float32) / 255
    labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz")
    found = [predict(images[i : i + 500]).argmax(1) for i in range(0, len(images), 500)]
    return float((np.concatenate(found) == labels).mean())


def save(parameters: dict[str, Tensor], out: Path, facts: dict[str, str]) -> None:
    """Write the network as ONNX, opset 13."""
    nodes, x = [], "image"
    for i in range(1, 5):
        names = [x, f"conv{i}.weight", f"conv{i}.bias"]
        nodes.append(helper.make_node("Conv", names, [f"conv{i}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"]))
        x = f"relu{i}"
        if i in (2, 4):
            nodes.append(
                helper.make_node(
                    "MaxPool", [x], [f"pool{i // 2}"], kernel_shape=[2, 2], strides=[2, 2]
                )
            )
            x = f"pool{i // 2}"
    nodes.append(helper.make_node("Flatten", [x], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["scores"], transB=1))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "mnist",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(tensor.data, name) for name, tensor in parameters.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name = "minicnn"
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    with atomic_path(out) as path:
        onnx.save(model, path)


def save_digits(network: minicnn.Network, folder: Path, out: Path) -> None:
    """Write the first correctly classified test image of a few digits as PNG."""
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz")
    for digit in (0, 2, 4, 7, 8):
        for i in np.flatnonzero(labels == digit):
            if network(images[i][None, None].astype(np.float32) / 255).argmax() == digit:
                Image.fromarray(images[i]).save(out / f"digit_{digit}.png")
                break


def main() -> None:
    """Train, measure, write the network and the digits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("mnist.onnx"))
    options = parser.parse_args()
    if not (options.folder / "train-images-idx3-ubyte.gz").exists():
        parser.error(f"{options.folder} does not hold MNIST's train-images-idx3-ubyte.gz")

    state = options.out.with_suffix(".state.npz")
    parameters = train(options.folder, options.epochs, options.seed, state)
    with no_grad():
        share = accuracy(lambda x: scores(parameters, Tensor(x)).data, options.folder)
    how = Preprocess(size=28, crop=28, mean=(0.0,), std=(1.0,))
    facts = {
        "minicnn.preprocess": how.to_json(),
        "minicnn.labels": json.dumps([str(digit) for digit in range(10)]),
        "minicnn.accuracy": f"{share:.4f} on MNIST's 10,000 test images",
        "minicnn.training": f"train_mnist.py --epochs {options.epochs} --seed {options.seed}",
    }
    save(parameters, options.out, facts)
    network = minicnn.load(options.out)
    print(f"{options.out}: test accuracy {share:.4f}; read back: "
          f"{accuracy(network, options.folder):.4f}")  # fmt: skip
    save_digits(network, options.folder, options.out.parent)


if __name__ == "__main__":
    main()
