"""Print the README's table of facts: accuracy, agreement with onnxruntime, what a tape keeps.

    python benchmarks/facts.py MODELS PHOTO MNIST

MODELS holds squeezenet1.1.onnx and vgg16_features.onnx (VGG-16 up to pool5), MNIST the test set in
IDX form (t10k-images-idx3-ubyte.gz and its labels). Nothing here depends on the machine's speed.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import onnxruntime

import minicnn
from minicnn.drawing import count
from minicnn.look import trace


def accuracy(folder: Path) -> float:
    """Share of MNIST's test images that the bundled network classifies correctly."""
    raw = [gzip.decompress(path.read_bytes()) for path in sorted(folder.glob("t10k-*.gz"))]
    images = np.frombuffer(raw[0], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(raw[1], np.uint8, offset=8)
    net = minicnn.load(minicnn.data.bundled_model())
    found = [
        net(images[i : i + 500].astype(np.float32) / 255).argmax(1)
        for i in range(0, len(images), 500)
    ]
    return float((np.concatenate(found) == labels).mean())


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
    options = parser.parse_args()
    size = minicnn.data.bundled_model().stat().st_size
    print(f"| bundled network: accuracy on MNIST's test set | {accuracy(options.mnist):.2%} |")
    print(f"| bundled network: size | {count(size)}B |")
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
