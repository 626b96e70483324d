"""Everything about a CUDA card in one run and one file: is it right, and how fast is it?

    python benchmarks/gpu.py --out gpu-results.json             # half an hour
    python benchmarks/gpu.py --parts tests,kernels --seconds 0.1

tests       pytest -n 0 -m gpu: blocks, rules, real networks, commands: the card against the CPU;
            always on the first card
kernels     VGG-16's convolutions by every kernel, pooling, ReLU and LRN, as shares of what the
            card reaches on registers, or in copies
peers       benchmarks/peers.py --device: against torch with cuDNN, and its compiler

Times are by events, in float32 without TF32. The file is written after each part, so a run that is
cut off keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.kernels import Window
from minicnn.kernels.bench import Bench, Ceilings
from minicnn.kernels.bench import kernels as kernels_of
from minicnn.kernels.devices import Device, cuda, find, to_device
from minicnn.kernels.gpu.measuring import times
from minicnn.kernels.machine import card, machine, versions
from minicnn.kernels.shapes import SETS, Shape

PARTS = ("tests", "kernels", "peers")
HERE = Path(__file__).parent


def tested(arguments: list[str]) -> dict[str, Any]:
    """How many tests on the card passed, and which failed."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "gpu", "-v", "-rfE", *arguments]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], file=sys.stderr)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)", last)
    return {
        "command": " ".join(command[1:]),
        "exit code": done.returncode,
        "counts": {what: int(number) for number, what in found},
        "failed": re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M),
    }


def convolved(place: Device, ceilings: Ceilings, seconds: float) -> dict[str, Any]:
    """VGG-16's layers by every kernel, forwards and back."""
    found = {}
    for block in ("conv2d", "conv_transpose2d", "conv_filter2d"):
        bench = Bench(block, kernels_of(block, device="cuda"), ceilings, seconds, device=place)
        for shape in SETS["vgg16"]:
            for batch in (1, 32):
                bench.run(Shape(batch, shape.problem))
        found[block] = bench.as_dict()
    return found


def moved(place: Device, ceilings: Ceilings, seconds: float) -> list[dict[str, Any]]:
    """Kernels that memory binds, as shares of a copy's bandwidth."""
    cupy, rows = cuda(place.index), []
    last = np.random.default_rng(0).standard_normal((32, 112, 112, 64), np.float32)
    x = to_device(last.transpose(0, 3, 1, 2), place)
    window = Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))
    pooled, switches = kernels.max_pool(x, window)
    _, mask = kernels.relu(x)
    lrn = (5, 1e-4, 0.75, 1.0)
    size, small, bits = x.nbytes, pooled.nbytes, mask.nbytes
    works: dict[str, tuple[Callable[[], Any], int]] = {
        "relu": (lambda: kernels.relu(x), 2 * size + bits),
        "masked": (lambda: kernels.masked(x, mask), 2 * size + bits),
        "max_pool": (lambda: kernels.max_pool(x, window), size + small + switches.nbytes),
        "unpool": (lambda: kernels.unpool(pooled, switches, window, x.shape[2:]),
                   size + small + switches.nbytes),
        "average_pool": (lambda: kernels.average_pool(x, window, False), size + small),
        "lrn": (lambda: kernels.lrn(x, *lrn), 2 * size),
        "lrn_transposed": (lambda: kernels.lrn_transposed(x, x, *lrn), 3 * size),
    }  # fmt: skip
    for name, (run, moving) in works.items():
        taken = median(times(cupy, run, seconds))
        share = moving / taken / ceilings.bandwidth
        rows.append({"kernel": name, "seconds": taken, "bytes": moving, "share": share})
        print(f"{name:15} {1e3 * taken:8.3f} ms  {share:6.1%} of a copy", file=sys.stderr)
    return rows


def compared(device: str, rounds: int) -> dict[str, Any]:
    """The peer benchmark's results on the card."""
    cuda(find(device).index).get_default_memory_pool().free_all_blocks()  # for the peers
    out = Path("gpu-peers.json")
    command = [sys.executable, str(HERE / "peers.py"), "--device", device, "--rounds", str(rounds),
               "--out", str(out)]  # fmt: skip
    subprocess.run(command, check=True)
    return json.loads(out.read_text())  # type: ignore[no-any-return]


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--parts", default=",".join(PARTS), help="of tests, kernels, peers")
    parser.add_argument("--seconds", type=float, default=0.2, help="a kernel is repeated for")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer")
    parser.add_argument("--only", nargs="*", default=[], help="what else pytest is told")
    parser.add_argument("--out", type=Path, default=Path("gpu-results.json"))
    options = parser.parse_args()
    parts = options.parts.split(",")
    if wrong := {*parts} - {*PARTS}:
        parser.error(f"no such part: {', '.join(wrong)}; there are {', '.join(PARTS)}")
    place = find(options.device)
    cuda(place.index).cuda.Device(place.index).use()
    results: dict[str, Any] = {
        "machine": machine() | card(place.index),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }

    def keep(part: str, found: Any) -> None:
        results[part] = found
        options.out.write_text(json.dumps(results, indent=1) + "\n")

    if "tests" in parts:
        keep("tests", tested(options.only))
    if "kernels" in parts:
        ceilings = Ceilings.of_card(place.index)
        keep("ceilings", {"flops": ceilings.peak, "bytes": ceilings.bandwidth})
        keep("moving", moved(place, ceilings, options.seconds))
        keep("convolutions", convolved(place, ceilings, options.seconds))
    if "peers" in parts:
        keep("peers", compared(options.device, options.rounds))
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
