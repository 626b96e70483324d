"""How fast networks learn, beside PyTorch on the same cores.

    python benchmarks/training.py [--only lenet|vgg|resnet20] [--rounds 5] [--batch 128]

Each turn is a process of its own, turn and turn about, both with the same number of threads. A step
is: forward in training, cross-entropy, gradients of all parameters, SGD with Nesterov's momentum
and weight decay. Images are random, of the size of MNIST's or CIFAR-10's; PyTorch has them in the
layout that is faster for it (both are tried, the better one counts). What is compared is the median
step of each turn; the figure is the median of the rounds' ratios. Compiling is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from minicnn.drawing import table
from minicnn.kernels.machine import machine, versions

NAMES = ("lenet", "resnet20", "vgg")
SHAPES = {"lenet": (1, 28, 28), "resnet20": (3, 32, 32), "vgg": (3, 32, 32)}

TURN = """
import json, sys, time
import numpy as np
import training

engine, name, steps, batch, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
step = getattr(training, engine)(name, batch, threads)
for _ in range(3):
    step()
times = []
for _ in range(steps):
    begun = time.perf_counter()
    step()
    times.append(time.perf_counter() - begun)
print(json.dumps(float(np.median(times))))
"""


def samples(name: str, batch: int) -> tuple[Any, Any]:
    """Images (N, H, W, C) and labels, the same for both."""
    import numpy as np

    generator, (channels, height, width) = np.random.default_rng(0), SHAPES[name]
    x = generator.standard_normal((batch, height, width, channels)).astype(np.float32)
    return x, generator.integers(0, 10, batch)


def minicnn(name: str, batch: int, threads: int) -> Any:
    """A step of ours."""
    from minicnn import Tensor, nn, set_threads
    from minicnn import functional as F

    set_threads(threads)
    model = nn.build(name, SHAPES[name], 10).train()
    descent = nn.SGD(model.named_parameters(), 0.05, 0.9, nesterov=True, decay=5e-4)
    images, labels = samples(name, batch)
    x = Tensor(images.transpose(0, 3, 1, 2))

    def step() -> None:
        F.cross_entropy(model(x), labels).backward()
        descent.step()

    return step


def torch(name: str, batch: int, threads: int, last: bool = False) -> Any:
    """A step of PyTorch's, channels first."""
    import torch as library
    from torch.nn.functional import cross_entropy

    library.manual_seed(0)
    library.set_num_threads(threads)
    images, labels = samples(name, batch)
    x = library.from_numpy(images).permute(0, 3, 1, 2)
    layout = library.channels_last if last else library.contiguous_format
    x, y = x.contiguous(memory_format=layout), library.from_numpy(labels)
    model = torch_model(name).to(memory_format=layout)
    descent = library.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
    )

    def step() -> None:
        descent.zero_grad()
        cross_entropy(model(x), y).backward()
        descent.step()

    return step


def torch_last(name: str, batch: int, threads: int) -> Any:
    """The same, channels last."""
    return torch(name, batch, threads, last=True)


def torch_model(name: str) -> Any:
    """The same network written with torch.nn."""
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
            self.more = width - channels

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
            if self.more:
                half = self.more // 2
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.more - half))
            return F.relu(y + x, inplace=True)

    def unit(channels: int, width: int) -> list[Any]:
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]

    relu, pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), relu, pool, nn.Conv2d(16, 32, 5, padding=2), relu,
            pool, nn.Flatten(), nn.Linear(1568, 128), relu, nn.Linear(128, 10),
        )  # fmt: skip
    channels, layers = 3, []
    if name == "vgg":
        for entry in (32, 64, "M", 128, "M", 128, 256, "M", 256, "M"):
            layers += [pool] if entry == "M" else unit(channels, entry)
            channels = channels if entry == "M" else entry
    else:
        layers, channels = unit(3, 16), 16
        for width in (16, 32, 64):
            for number in range(3):
                stride = 2 if width > 16 and number == 0 else 1
                layers.append(Block(channels, width, stride))
                channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def turn(engine: str, name: str, options: argparse.Namespace) -> float:
    """Seconds a step, in a process of its own."""
    words = [engine, name, options.steps, options.batch, options.threads]
    threads = {f"{v}_NUM_THREADS": str(options.threads) for v in ("OMP", "MKL", "NUMBA")}
    done = subprocess.run(
        [sys.executable, "-c", TURN, *map(str, words)], check=True, text=True,
        stdout=subprocess.PIPE, cwd=Path(__file__).parent, env={**os.environ, **threads},
    )  # fmt: skip
    return float(json.loads(done.stdout))


def main() -> None:
    """Measure, print, write the numbers if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    options = parser.parse_args()
    rows, found = [], {}
    for name in NAMES if options.only is None else (options.only,):
        best = min(("torch", "torch_last"), key=lambda engine: turn(engine, name, options))
        pairs = [
            (turn("minicnn", name, options), turn(best, name, options))
            for _ in range(options.rounds)
        ]
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        ours, theirs = (options.batch / statistics.median(side) for side in zip(*pairs))
        middle = statistics.median(ratios)
        rows.append((name, f"{ours:,.0f}", f"{theirs:,.0f}", best,
                     f"{middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"))  # fmt: skip
        found[name] = {"seconds": pairs, "peer": best, "ratio": middle}
    print(table(("network", "minicnn images/s", "torch images/s", "torch's layout", "ratio"),
                rows, right=(1, 2)))  # fmt: skip
    if options.out:
        facts = {"date": str(date.today()), "machine": machine(), "versions": versions(),
                 "torch": version("torch"), "batch": options.batch, "threads": options.threads,
                 "results": found}  # fmt: skip
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
