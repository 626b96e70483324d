"""Load mutated ONNX files by the thousand: each must be read, or refused with one clear error.

    python benchmarks/fuzz.py --count 10000 --seed 1
    python benchmarks/fuzz.py --count 100000 --seed 2 --jobs 8 --out benchmarks/results/fuzz.json
    python benchmarks/fuzz.py --seed 2 --only 4711 --keep /tmp/found    # one file again

What a file becomes is one of

    loaded      read, and run once forwards where that is cheap
    refused     with an error of minicnn.errors
    crash       another exception, or the process died
    hang        no answer within --seconds
    budget      more memory than MINICNN_MAX_BYTES (here --budget) and a little more

Files are read in processes of their own, many in each; one that crashes or hangs is replaced. File
number i of a seed is always the same (`mutations.py`), so each can be looked at alone. All that
went wrong is recorded with its number, and kept as a file with --keep.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from mutations import mutated, start_files

import minicnn
from minicnn.errors import MiniCNNError

__all__ = ["Outcome", "fuzz", "main"]

SLACK = 96 * 2**20  # bytes beside the budget: parsed graphs, kernels being compiled
CHEAP = 2**22  # elements, and a hundred times as many operations, of a run
BAD = ("crash", "hang", "budget")


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    index: int
    how: str  # it was changed
    kind: str
    said: str = ""
    megabytes: int = 0
    seconds: float = 0.0


# In the worker


def _peak(reset: bool = False) -> int:
    """Most bytes of memory held since the last reset; 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def attempt(path: Path) -> tuple[str, str]:
    """Load a file and run it: (kind, what was said)."""
    try:
        network = minicnn.load(path)
        inputs = _inputs(network)
        if inputs is not None:
            network(*inputs)
    except MiniCNNError as error:
        text = str(error)
        odd = "" if text.isprintable() and len(text) < 5000 else "UNREADABLE: "
        return "refused", f"{odd}{type(error).__name__}: {text[:300]}"
    except MemoryError as error:
        return "budget", f"MemoryError at {_place(error)}"
    except Exception as error:
        return "crash", f"{type(error).__name__} at {_place(error)}: {str(error)[:200]}"
    return "loaded", ""


def _place(error: BaseException) -> str:
    """The innermost lines of ours, and the line that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "minicnn" in f.filename and "benchmarks" not in f.filename]
    named = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in (*ours[-2:], *frames[-1:])]
    return " > ".join(dict.fromkeys(named))


def _inputs(network: minicnn.Network) -> list[np.ndarray] | None:
    """Random inputs, or None where a run would take long."""
    shapes = network.infer_shapes()
    known = {**shapes, **{name: array.shape for name, array in network.arrays.items()}}
    elements = sum(int(np.prod(shape, dtype=float)) for shape in shapes.values())
    work = sum(node.block.flops(*(known[o] for o in node.operands)) for node in network.nodes)
    if elements > CHEAP or work > 100 * CHEAP:
        return None
    rng, types = np.random.default_rng(0), network.infer_types()
    return [rng.uniform(0, 2, shapes[name]).astype(types[name]) for name in network.inputs]


def _work(pipe: Connection, seed: int, budget: int, files: Sequence[bytes], keep: str) -> None:
    """Read the files whose numbers come through the pipe."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    os.environ["MINICNN_MAX_BYTES"] = str(budget)
    try:
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (size + 4 * budget + 2**30,) * 2)
    except (ImportError, OSError, ValueError):
        pass  # elsewhere the peak alone must tell
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        while (index := pipe.recv()) is not None:
            data, how = mutated(files, np.random.default_rng([seed, index]))
            path.write_bytes(data)
            pipe.send(how)
            before, start = _peak(reset=True), time.perf_counter()
            kind, said = attempt(path)
            held = max(0, _peak() - before)
            if held > budget + SLACK and kind != "crash":
                kind, said = "budget", f"{kind} with {held >> 20} MiB: {said}"
            if keep and kind in BAD:
                (Path(keep) / f"{seed}-{index}-{kind}.onnx").write_bytes(data)
            taken = round(time.perf_counter() - start, 3)
            pipe.send(Outcome(index, how, kind, said, held >> 20, taken))


# In the parent


class _Worker:
    """A process that reads files one after the other."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.pipe, self.process = self._start()
        self.index, self.how, self.since = -1, "", 0.0

    def _start(self) -> tuple[Connection, Any]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, *self.arguments), daemon=True)
        process.start()
        theirs.close()
        return ours, process

    def give(self, index: int) -> None:
        self.index, self.how, self.since = index, "", time.monotonic()
        self.pipe.send(index)

    def failed(self, kind: str, said: str) -> Outcome:
        """Replace the process; gives what became of its file."""
        self.process.join(1 if kind == "crash" else 0)
        self.process.kill()
        self.process.join()
        outcome = Outcome(self.index, self.how, kind, f"{said} (exit {self.process.exitcode})")
        self.pipe.close()
        self.pipe, self.process = self._start()
        return outcome

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def fuzz(
    indices: Iterable[int],
    seed: int,
    jobs: int = 1,
    budget: int = 2**28,
    seconds: float = 20.0,
    files: Sequence[bytes] | None = None,
    keep: str = "",
) -> Iterator[Outcome]:
    """Read mutated files; yields what became of each, in the order in which they end.

    Parameters
    ----------
    indices : iterable of int
        Numbers of the files.
    seed : int
        Of all of them.
    jobs : int
        Processes.
    budget : int
        Bytes that a file may take.
    seconds : float
        That it may take.
    files : sequence of bytes, optional
        Where mutations start. By default `start_files`.
    keep : str
        A folder for files that crash, hang or take too much.
    """
    files = start_files() if files is None else files
    workers = [_Worker(seed, budget, files, keep) for _ in range(jobs)]
    waiting = iter(indices)
    busy = {}
    try:
        for worker, index in zip(workers, waiting, strict=False):
            worker.give(index)
            busy[worker.pipe] = worker
        while busy:
            ready = wait(list(busy), timeout=1.0)
            for pipe, worker in list(busy.items()):
                outcome = None
                if pipe in ready:
                    try:
                        outcome = pipe.recv()
                    except (EOFError, ConnectionResetError):
                        outcome = worker.failed("crash", "the process died")
                    if isinstance(outcome, str):  # it has begun
                        worker.how, worker.since, outcome = outcome, time.monotonic(), None
                elif time.monotonic() - worker.since > seconds + (60 if not worker.how else 0):
                    outcome = worker.failed("hang", f"no answer in {seconds} s")
                if outcome is None:
                    continue
                yield outcome
                del busy[pipe]
                index = next(waiting, None)
                if index is not None:
                    worker.give(index)
                    busy[worker.pipe] = worker
    finally:
        for worker in workers:
            if worker.pipe in busy:
                worker.process.kill()
                worker.process.join()
            else:
                worker.stop()


def main() -> None:
    """Read files, show counts as they come, and record them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of single files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=int, default=2**28, help="bytes")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--keep", default="", help="folder for files that went wrong")
    today = datetime.now(UTC).date().isoformat()
    results = Path(__file__).parent / "results" / f"fuzz-{today}.json"
    parser.add_argument("--out", type=Path, default=results)
    asked = parser.parse_args()
    if asked.keep:
        Path(asked.keep).mkdir(parents=True, exist_ok=True)
    indices = asked.only or range(asked.first, asked.first + asked.count)
    files = start_files()
    counts: Counter[str] = Counter()
    changes: dict[str, Counter[str]] = {}
    bad: list[Outcome] = []
    unreadable: list[Outcome] = []
    slowest, largest, start = Outcome(-1, "", ""), Outcome(-1, "", ""), time.monotonic()
    for outcome in fuzz(indices, asked.seed, asked.jobs, asked.budget, asked.seconds, files,
                        asked.keep):  # fmt: skip
        counts[outcome.kind] += 1
        for how in set(outcome.how.split("+")):
            changes.setdefault(how, Counter())[outcome.kind] += 1
        slowest = max(slowest, outcome, key=lambda one: one.seconds)
        largest = max(largest, outcome, key=lambda one: one.megabytes)
        if outcome.kind in BAD:
            bad.append(outcome)
            print(f"{outcome.index} {outcome.kind} ({outcome.how}): {outcome.said}", flush=True)
        elif "UNREADABLE" in outcome.said:
            unreadable.append(outcome)
        if counts.total() % 1000 == 0 or asked.only:
            print(f"{counts.total():,}: {dict(counts)}", flush=True)
            if asked.only:
                print(outcome)
    record = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "minicnn": minicnn.__version__,
        "seed": asked.seed,
        "first": asked.first,
        "start_files": len(files),
        "budget_bytes": asked.budget,
        "seconds_allowed": asked.seconds,
        "files": counts.total(),
        "counts": {kind: counts[kind] for kind in ("loaded", "refused", *BAD)},
        "unreadable_errors": len(unreadable),
        "by_change": {how: dict(found) for how, found in sorted(changes.items())},
        "slowest": asdict(slowest),
        "largest": asdict(largest),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "bad": [asdict(one) for one in bad[:200]],
        "unreadable": [asdict(one) for one in unreadable[:5]],
    }
    if not asked.only:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({k: record[k] for k in ("files", "counts", "unreadable_errors", "slowest",
                                             "largest", "minutes")}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
