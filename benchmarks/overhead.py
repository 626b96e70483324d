"""What minicnn costs before and between kernels: importing, compiling, launching.

python benchmarks/overhead.py [--runs 5]

import            a fresh process that imports minicnn, less one that imports nothing
demo, cold        `minicnn demo` with nothing compiled yet (an empty MINICNN_CACHE)
demo, warm        the same again
a planned block   a network of BLOCKS convolutions of one pixel: its time by its blocks, which
is all overhead, Python's share of a run included
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minicnn.blocks import Conv, ReLU
from minicnn.drawing import table
from minicnn.functional import window
from minicnn.graph import Node
from minicnn.network import Network

BLOCKS = 200


def seconds(*arguments: str, folder: str, cache: str) -> float:
    """How long a fresh Python takes with these arguments."""
    environment = {**os.environ, "MINICNN_CACHE": cache}
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, cwd=folder, env=environment
    )
    return time.perf_counter() - begun


def planned_block(runs: int = 200) -> float:
    """Seconds a block in a planned chain of convolutions of one pixel, each with its ReLU."""
    nodes, value = [], "x"
    for i in range(BLOCKS // 2):
        nodes.append(Node(f"conv{i}", Conv(window(1, 1, 0, 1)), (value, "w")))
        nodes.append(Node(f"relu{i}", ReLU(), (f"conv{i}",)))
        value = f"relu{i}"
    arrays = {"w": np.eye(8, dtype=np.float32)[:, :, None, None]}
    chain = Network("chain", {"x": (1, 8, 1, 1)}, nodes, [value], arrays).freeze()
    x, times = np.ones((1, 8, 1, 1), np.float32), []
    for _ in range(runs):
        begun = time.perf_counter()
        chain(x)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) / BLOCKS


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each process; medians are shown")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        caches = [str(Path(folder) / f"cache{i}") for i in range(runs)]

        def middle(*arguments: str) -> float:
            return statistics.median(
                seconds(*arguments, folder=folder, cache=cache) for cache in caches
            )

        demo = ("-m", "minicnn", "demo")
        rows = [
            ["import minicnn", f"{middle('-c', 'import minicnn') - middle('-c', ''):.2f} s"],
            ["minicnn demo, nothing compiled yet", f"{middle(*demo):.1f} s"],
            ["minicnn demo, after that", f"{middle(*demo):.1f} s"],
            ["overhead of a planned block", f"{planned_block() * 1e6:.2f} µs"],
        ]
    print(table(["what", "time"], rows, right=(1,)))


if __name__ == "__main__":
    main()
