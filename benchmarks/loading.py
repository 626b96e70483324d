"""How long loading takes, and how much memory: each file in fresh processes.

    python benchmarks/loading.py squeezenet1.1.onnx [FILES ...] [--runs 5]

Without files a VGG-16 with random weights (553 MB) is written and loaded. Time is that of
`minicnn.load` alone, after the import; memory the process's peak beyond what it took before.
The first run of each file may read it from the disk, the others find it in the system's cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from networks import network
from onnx_builder import write_onnx

from minicnn.drawing import table

MEASURED = """
import json, resource, sys, time
import minicnn
from minicnn.onnx import load

unit = 1024 if sys.platform != "darwin" else 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.perf_counter()
net = load(sys.argv[1])
seconds = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, (peak - before) * unit]))
"""


def measured(path: Path, runs: int) -> list[str]:
    """A row of the table."""
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(path)], check=True, capture_output=True, text=True
        )
        found.append(json.loads(done.stdout))
    seconds, size = [run[0] for run in found], path.stat().st_size
    peak = max(run[1] for run in found)
    return [
        path.name, f"{size / 1e6:.1f} MB", f"{statistics.median(seconds):.3f} s",
        f"{max(seconds):.3f} s", f"{peak / 1e6:.1f} MB", f"{peak / size:.2f}",
    ]  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        spec = network("vgg16")
        write_onnx(spec, spec.weights(), options.write)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = list(options.files)
        if not files:
            files = [Path(folder) / "vgg16.onnx"]  # written elsewhere: children inherit the peak
            subprocess.run([sys.executable, __file__, "--write", str(files[0])], check=True)
        rows = [measured(path, options.runs) for path in files]
    header = ["file", "size", "median", "slowest", "peak", "peak by size"]
    print(table(header, rows, right=(1, 2, 3, 4, 5)))


if __name__ == "__main__":
    main()
