"""Print the README's table of facts: accuracy, agreement with onnxruntime, what a tape keeps.

    python benchmarks/facts.py MODELS PHOTO MNIST [--cifar CIFAR]

MODELS holds squeezenet1.1.onnx and vgg16_features.onnx (VGG-16 up to pool5), MNIST and CIFAR the
test sets in their usual forms. Nothing here depends on the machine's speed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime

import minicnn
from minicnn import nn
from minicnn.drawing import count
from minicnn.look import trace


def bundled(name: str, data: Path | None) -> None:
    """Size and test accuracy of a bundled network."""
    file = minicnn.data.bundled_model(name)
    print(f"| bundled {name}: size | {count(file.stat().st_size)}B |")
    if data is not None:
        result = nn.evaluate(minicnn.load(file), minicnn.data.read(data, "test"))
        print(f"| bundled {name}: accuracy on {result.count:,} test images | {result.score:.2%} |")


def difference(path: Path, x: np.ndarray) -> float:
    """Largest difference to onnxruntime (unoptimised), as a share of the largest output."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options)
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    return float(np.abs(minicnn.load(path)(x) - expected).max() / np.abs(expected).max())


def main() -> None:
    """Print one Markdown row a fact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--cifar", type=Path)
    options = parser.parse_args()
    for name in ("mnist", "lenet", "cifar10"):
        bundled(name, options.cifar if name == "cifar10" else options.mnist)
    for name, file in (("SqueezeNet 1.1", "squeezenet1.1"), ("VGG-16 to pool5", "vgg16_features")):
        path = options.models / f"{file}.onnx"
        net = minicnn.load(path)
        x = minicnn.data.photo(options.photo, net.preprocess)
        rows = trace(net, x).rows
        kept, full = (sum(getattr(r, k) for r in rows) for k in ("kept_bytes", "activation_bytes"))
        print(f"| {name}: largest difference to onnxruntime | {difference(path, x):.1e} of max y |")
        print(
            f"| {name}: kept for reversing, of all activations | {count(kept)}B of {count(full)}B |"
        )
        print(
            f"| {name}: elements of its full Jacobians | {count(sum(r.jacobian for r in rows))} |"
        )


if __name__ == "__main__":
    main()
