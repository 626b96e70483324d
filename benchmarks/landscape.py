"""Grid points a second of a loss surface, beside a plain torch loop over the same samples.

    python benchmarks/landscape.py MODEL [--samples 256] [--points 6] [--runs 5] [--threads 2]

MODEL is one of Li et al.'s CIFAR networks as ONNX (li2018_resnet56.onnx). Both sides load its
parameters, move them along the same random direction and sum the cross-entropies of the same random
images at every point, batch norm in evaluation mode. The torch loop is what a user writes: a
module, its weights copied in at each point, batches under `inference_mode`; of batches of 64, 128
and all samples, in both memory formats, it keeps the fastest. Each run is a process of its own,
turn and turn about, with as many threads on either side; imports, loading and one point before the
clock starts do not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from minicnn.drawing import table

COMMON = """
import json, sys, time
import numpy as np
import minicnn
from minicnn.landscape import random_direction

model, samples, points, threads = sys.argv[1], *map(int, sys.argv[2:])
net = minicnn.load(model)
rng = np.random.default_rng(0)
x = rng.standard_normal((samples, 3, 32, 32)).astype(np.float32)
labels = rng.integers(0, 10, samples)
direction = random_direction(net)
steps = np.linspace(-0.5, 0.5, points)
"""

OURS = """
from minicnn.landscape import Evaluator

minicnn.set_threads(threads)
at = Evaluator(net, x, labels, [direction]).at
at(0.1)
begun = time.perf_counter()
losses = [at(step)[0] for step in steps]
print(json.dumps([time.perf_counter() - begun, losses]))
"""

TORCH = """
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(threads)


class Graph(nn.Module):
    # The file's graph as modules: convolutions, batch norms and a linear layer.

    def __init__(self):
        super().__init__()
        self.steps, arrays, self.names = [], net.arrays, {}  # of an array: fields, maybe several
        for i, node in enumerate(net.nodes):
            kind, reads = node.block.kind, node.operands
            if kind == "Conv":
                o, c, k, _ = arrays[reads[1]].shape
                w = node.block.window
                step = nn.Conv2d(c, o, k, w.stride, w.pads[:2], bias=len(reads) > 2)
                own = reads[1:]
            elif kind == "BatchNorm":
                step = nn.BatchNorm2d(len(arrays[reads[1]]), eps=node.block.eps)
                own = reads[1:]
            elif kind == "Linear":
                step, own = nn.Linear(*arrays[reads[1]].shape[::-1]), reads[1:]
            else:
                step, own = self.plain(node), ()
            fields = ("weight", "bias", "running_mean", "running_var")
            for n, f in zip(own, fields):
                self.names.setdefault(n, []).append(f"step{i}.{f}")
            if isinstance(step, nn.Module):
                self.add_module(f"step{i}", step)
            self.steps.append((node.name, step, [r for r in reads if r not in arrays]))

    @staticmethod
    def plain(node):
        kind = node.block.kind
        if kind == "AveragePool":
            return lambda x: F.avg_pool2d(x, node.block.window.kernel)
        return {"ReLU": F.relu, "Add": torch.add, "Reshape": lambda x: x.flatten(1),
                "Flatten": lambda x: x.flatten(1)}[kind]

    def forward(self, x):
        last = {r: i for i, (_, _, reads) in enumerate(self.steps) for r in reads}
        values = {next(iter(net.inputs)): x}
        for i, (name, step, reads) in enumerate(self.steps):
            values[name] = step(*[values[r] for r in reads])
            for r in reads:
                if last[r] == i:
                    values.pop(r, None)
        return values[net.outputs[0]]


module = Graph().eval()
own = dict(module.state_dict())
theta = {n: torch.from_numpy(np.array(a)) for n, a in net.arrays.items() if n in module.names}
way = {n: torch.from_numpy(d) for n, d in direction.items()}
images, right = torch.from_numpy(x), torch.from_numpy(labels)


@torch.inference_mode()
def at(step, inputs, batch):
    for n, start in theta.items():
        for field in module.names[n]:
            own[field].copy_(start + step * way[n] if n in way else start)
    loss = 0.0
    for i in range(0, samples, batch):
        scores = module(inputs[i : i + batch])
        loss += F.cross_entropy(scores, right[i : i + batch], reduction="sum").item()
    return loss / samples


best, losses = float("inf"), []
for layout in (torch.contiguous_format, torch.channels_last):
    module.to(memory_format=layout)
    own = dict(module.state_dict())
    inputs = images.contiguous(memory_format=layout)
    for batch in sorted({min(samples, n) for n in (64, 128, samples)}):
        at(0.1, inputs, batch)
        begun = time.perf_counter()
        losses = [at(float(step), inputs, batch) for step in steps]
        best = min(best, time.perf_counter() - begun)
print(json.dumps([best, losses]))
"""


def measured(code: str, options: argparse.Namespace) -> tuple[float, list[float]]:
    """Seconds for all points, and their losses, of one run in a process of its own."""
    words = [options.model, options.samples, options.points, options.threads]
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code, *map(str, words)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return tuple(json.loads(done.stdout))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, list[float]]]] = {"minicnn": [], "torch": []}
    for _ in range(options.runs):
        for name, code in (("minicnn", OURS), ("torch", TORCH)):
            found[name].append(measured(code, options))
    rows = []
    for name, runs in found.items():
        rates = [options.points / seconds for seconds, _ in runs]
        rows.append([name, f"{statistics.median(rates):.2f}", f"{max(rates):.2f}"])
    print(table((f"{options.samples} samples", "points/s, median", "best"), rows, right=(1, 2)))
    pairs = list(zip(found["torch"], found["minicnn"], strict=True))
    ratios = [theirs[0] / ours[0] for theirs, ours in pairs]
    listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"\nminicnn / torch: median {statistics.median(ratios):.2f} (run by run: {listed})")
    apart = max(abs(a - b) / max(abs(a), 1e-9) for t, o in pairs for a, b in zip(t[1], o[1]))
    print(f"largest relative difference of a loss: {apart:.1e}")


if __name__ == "__main__":
    main()
