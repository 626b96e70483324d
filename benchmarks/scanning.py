"""What a search for the strongest responses costs beside the plain forward runs.

    python benchmarks/scanning.py MODEL LAYER IMAGES/ [--runs 3] [--batch 16] [--limit N]

Each run is a process of its own, turn and turn about: the forward runs of a stream of images up to
the layer, and `look.strongest` (the best nine of all channels, with a checkpoint) over the same
stream. Decoding is part of both; the first batch, which makes plans, is run before the clock
starts. A last scan of a quarter of the images shows whether memory grows with their number.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from minicnn.drawing import table

MEASURED = """
import json, resource, sys, tempfile, time
import minicnn
from minicnn.data import Images
from minicnn.look import strongest

what, model, layer, folder, batch, limit = sys.argv[1:]
batch, limit = int(batch), int(limit)
net, found = minicnn.load(model), Images(folder)
source = next(iter(net.inputs))
paths = [found.path(i) for i in range(len(found))][: limit or None]


def forward(images):
    for one in images.batches(net.preprocess, batch):
        net.values({source: one.x}, [layer])


def scan(images):
    with tempfile.TemporaryDirectory() as where:
        strongest(net, layer, images, batch=batch, checkpoint=where + "/part.npz")


run = {"forward": forward, "scan": scan}[what]
run(Images(paths[:batch]))
run(Images(paths[: len(paths) % batch or batch]))  # the last batch may be smaller
begun = time.perf_counter()
run(Images(paths))
seconds = time.perf_counter() - begun
unit = 1024 if sys.platform != "darwin" else 1
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(json.dumps([seconds, peak, len(paths)]))
"""


def measured(what: str, options: argparse.Namespace, limit: int) -> tuple[float, int, int]:
    """Seconds, bytes at the peak and images of one run in a process of its own."""
    words = [what, options.model, options.layer, options.images, options.batch, limit]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return tuple(json.loads(done.stdout))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("layer")
    parser.add_argument("images")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--limit", type=int, default=0, help="images; 0: all")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, int, int]]] = {"forward": [], "scan": []}
    for _ in range(options.runs):
        for what, runs in found.items():
            runs.append(measured(what, options, options.limit))
    images = found["scan"][0][2]
    few = measured("scan", options, max(options.batch, images // 4))
    rows = [
        _row(what, [seconds for seconds, _, _ in runs], max(peak for _, peak, _ in runs), images)
        for what, runs in found.items()
    ]
    header = ["run", "images", "median", "fastest", "images/s", "peak"]
    rows.append(_row("scan", [few[0]], few[1], few[2]))
    print(table(header, rows, right=(1, 2, 3, 4, 5)))
    pairs = zip(found["scan"], found["forward"], strict=True)
    ratios = [scan[0] / forward[0] for scan, forward in pairs]
    listed = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"\nscan / forward: median {statistics.median(ratios):.3f} (pair by pair: {listed})")


def _row(what: str, seconds: list[float], peak: int, images: int) -> list[str]:
    middle = statistics.median(seconds)
    return [
        what, f"{images:,}", f"{middle:.2f} s", f"{min(seconds):.2f} s",
        f"{images / middle:.1f}", f"{peak / 1e6:.0f} MB",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
