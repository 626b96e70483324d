"""Measure minicnn beside its peers: torch, onnxruntime and Captum, in turn on the same machine.

    python benchmarks/peers.py                                  # everything: half an hour or more
    python benchmarks/peers.py --only vgg16,conv --rounds 3 --out results.json --table table.md
    python benchmarks/peers.py --quick                          # tiny images: does it all run?
    python benchmarks/peers.py --device cuda:0                  # on a card, times by events

Every peer runs in a process of its own (`peer_worker.py`). All stay alive, but only one computes at
a time: they are asked turn and turn about, in rounds, so that a slow minute of the machine slows
all of them. Before anything is timed their answers are compared. What is measured stands in
`peer_works.py`, how each peer does it in `engine_*.py`. A peer that is not installed is left out.
The results are written again and again, so a run that is cut off keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from onnx_builder import write_onnx
from peer_crew import Crew
from peer_report import summary, table
from peer_works import OURS, Task, Work, chosen, convolutions

from minicnn.kernels.devices import find
from minicnn.kernels.machine import card

__all__ = ["differences", "main", "measure"]

OUTPUTS = ("output", "loss")  # all other answers are gradients
# A unit so near zero that rounding carries it over has its mask turned round, and with it a little
# of the gradient: torch itself, with another layout or in double precision, differs by some percent
# of the largest value. So outputs agree by their largest difference, gradients by the norm of it.
LARGEST, NORM = 1e-3, 5e-2


def differences(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """How far two answers differ, as shares.

    Returns
    -------
    dict
        Of outputs max |a - b| / max |b|; of gradients the same and ||a - b|| / ||b||; the greatest
        of several.
    """
    found = {"outputs": 0.0, "gradients": 0.0, "gradients_norm": 0.0}
    for name, a in ours.items():
        b = theirs[name].reshape(a.shape)
        shares = {"outputs" if name in OUTPUTS else "gradients": abs(a - b).max() / abs(b).max()}
        if name not in OUTPUTS:
            shares["gradients_norm"] = np.linalg.norm(a - b) / np.linalg.norm(b)
        for what, share in shares.items():
            found[what] = float(np.maximum(found[what], share))  # which lets NaN through
    return found


def measure(crew: Crew, work: Work, number: int, rounds: int, quick: bool) -> dict[str, Any]:
    """Have everybody get a work ready, compare the answers, and time the rounds.

    Parameters
    ----------
    crew : Crew
        The peers.
    work : Work
        What is measured.
    number : int
        Which of the convolutions.
    rounds : int
        How many turns each peer gets.
    quick : bool
        Small sizes, single calls.

    Returns
    -------
    dict
        The turns by peer, how far each one's answer is from ours, and who failed why.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        task = Task(work.kind, work.network, quick, str(path), number, work.batch)
        case: dict[str, Any] = {"title": task.spec.name, "turns": {}, "agreement": {}, "failed": {}}
        write_onnx(task.spec, task.spec.weights(), path, "N" if work.on_card else 1)
        ready = _kept if work.kind == "kept" else _prepared
        peers = ready(crew, work, task, case)
    for _ in range(rounds if peers else 0):
        for peer in peers:
            turn = crew.ask(peer, case["failed"], "turn", quick=quick)
            if turn is not None:
                case["turns"].setdefault(peer, []).append(turn)
    for peer in peers:
        crew.ask(peer, case["failed"], "drop")
    return case


def _kept(crew: Crew, work: Work, task: Task, case: dict[str, Any]) -> list[str]:
    """Count bytes, once; nobody is to be timed."""
    for peer in work.workers:
        found = crew.ask(peer, case["failed"], "kept", task=asdict(task))
        if found is not None:
            case["turns"][peer] = [found]
    return []


def _prepared(crew: Crew, work: Work, task: Task, case: dict[str, Any]) -> list[str]:
    """Those who are ready to be timed: who got there, and agree with us."""
    answers: dict[str, dict[str, np.ndarray]] = {}
    for peer in work.workers:
        path = task.path.with_name(f"{peer}.npz")
        asked = {"task": asdict(task), "answer": str(path)}
        if crew.ask(peer, case["failed"], "prepare", **asked) is not None:
            with np.load(path) as arrays:
                answers[peer] = dict(arrays)
    ours = answers.get(OURS)
    if ours is None:
        return []
    for peer, answer in answers.items():
        if peer == OURS:
            continue
        found = case["agreement"][peer] = differences(ours, answer)
        if not (found["outputs"] < LARGEST and found["gradients_norm"] < NORM):
            case["failed"][peer] = {"what": "disagrees", "detail": json.dumps(found)}
            say(f"{peer} disagrees: {found}")
    return [peer for peer in answers if peer not in case["failed"]]


def run(crew: Crew, work: Work, options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure a work, case by case, and write the results after each."""
    about = {"name": work.name, "kind": work.kind, "title": work.title, "figures": work.figures,
             "peers": work.peers}  # fmt: skip
    entry: dict[str, Any] = {**about, "cases": [], "rows": []}
    results["works"].append(entry)
    count = len(convolutions(options.quick)) if work.kind == "conv" else 1
    for number in range(count):
        say(f"{work.name}" + (f" {number + 1} of {count}" if count > 1 else ""))
        entry["cases"].append(measure(crew, work, number, options.rounds, options.quick))
        entry["rows"] = summary(entry)
        write(options.out, json.dumps(results, indent=1))


def machine(crew: Crew, device: str = "cpu") -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].partition(":")[2].strip() if lines else cpu
    versions = {"python": platform.python_version()}
    for worker in crew.workers.values():
        versions |= worker.versions
    ceilings = crew.ask(OURS, {}, "ceilings")
    return {
        "card": card(find(device).index) if device != "cpu" else None,
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": os.getloadavg(),
        "versions": versions,
        "ceilings": ceilings and ceilings["ceilings"],
        "missing": crew.missing,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
    }


def write(path: Path, text: str) -> None:
    """Write a file that is whole at any moment."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text + "\n")
    part.replace(path)


def say(text: str) -> None:
    """Tell how far the run is, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="threads of each peer (2)")
    parser.add_argument("--device", default="cpu", help="cpu, or a CUDA card: cuda:0 (cpu)")
    parser.add_argument("--rounds", type=int, help="turns of each peer (7; quick: 1)")
    parser.add_argument("--only", default="", help="works, kinds or networks, with commas between")
    parser.add_argument("--quick", action="store_true", help="tiny images: see that it runs")
    parser.add_argument("--out", type=Path, default=Path("peer-results.json"), help="raw results")
    parser.add_argument("--table", type=Path, help="the table as Markdown")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 7)
    try:
        options.works = chosen(
            [name for name in options.only.split(",") if name], options.device != "cpu"
        )
    except ValueError as error:
        parser.error(str(error))
    for path in filter(None, (options.out, options.table)):
        if not path.absolute().parent.is_dir():
            parser.error(f"{path} lies in no folder that exists")
    if min(options.threads, options.rounds) < 1:
        parser.error("--threads and --rounds are 1 or more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen works and print the table."""
    options = parsed(arguments)
    settings = {
        name: getattr(options, name) for name in ("threads", "device", "rounds", "quick", "only")
    }
    results: dict[str, Any] = {"machine": {}, "settings": settings, "works": []}
    peers = dict.fromkeys(name for work in options.works for name in work.workers)
    stopped = False
    try:
        with Crew(list(peers), options.threads, options.device) as crew:
            results["machine"] = machine(crew, options.device)
            write(options.out, json.dumps(results, indent=1))
            for work in options.works:
                run(crew, work, options, results)
    except KeyboardInterrupt:
        stopped = True
        say(f"stopped; what was measured is in {options.out}")
    if results["machine"]:
        print(table(results))
        if options.table:
            write(options.table, table(results))
    return 130 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
