"""Measure attribution methods beside Captum's, in turn on the same machine.

    python benchmarks/attribution.py                          # everything: an hour or more
    python benchmarks/attribution.py --only ig --rounds 3 --out results.json
    python benchmarks/attribution.py --quick                  # tiny images: does it all run?

The works are Integrated Gradients with 50 steps and occlusion, on VGG-16 and SqueezeNet. Everything
else is as in `peers.py`: each peer in a process of its own, asked turn and turn about; answers
compared before anything is timed. Captum gets the batch size and the layout that are best for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from peer_crew import Crew
from peer_works import OURS, Work
from peers import machine, measure, say, write

__all__ = ["WORKS", "main"]

CAPTUM = ("captum", "captum-channels-last")


@dataclass(frozen=True)
class Attributed(Work):
    """A work in which Captum is the only peer."""

    @property
    def workers(self) -> list[str]:
        return [OURS, *CAPTUM]


WORKS = [
    Attributed("vgg16-ig", "ig", "vgg16", "VGG-16, integrated gradients", {"captum": 2.0}),
    Attributed("squeezenet-ig", "ig", "squeezenet", "SqueezeNet, integrated gradients",
               {"captum": 2.0}),
    Attributed("vgg16-occlusion", "occlusion", "vgg16", "VGG-16, occlusion", {"captum": 5.0}),
    Attributed("squeezenet-occlusion", "occlusion", "squeezenet", "SqueezeNet, occlusion",
               {"captum": 4.0}),
]  # fmt: skip


def row(work: Work, case: Mapping[str, Any]) -> str:
    """A line of the table: medians, and the ratio to the faster of Captum's layouts by round."""
    turns = {peer: [turn["value"] for turn in case["turns"].get(peer, [])] for peer in work.workers}
    theirs = [min(times) for times in zip(*(turns[p] for p in CAPTUM if turns[p]), strict=False)]
    if not (turns[OURS] and theirs):
        reasons = {peer: failed["what"] for peer, failed in case["failed"].items() if failed}
        return f"| {work.title} | {reasons or 'nothing was measured'} | | | |"
    ratios = [b / a for a, b in zip(turns[OURS], theirs, strict=True)]
    return (
        f"| {work.title} | {median(turns[OURS]):.3g} s | {median(theirs):.3g} s | "
        f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
        f"{work.figures['captum']:g} |"
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="threads of each peer (2)")
    parser.add_argument("--rounds", type=int, help="turns of each peer (5; quick: 1)")
    parser.add_argument("--only", default="", help="works, kinds or networks, with commas between")
    parser.add_argument("--quick", action="store_true", help="tiny images: see that it runs")
    parser.add_argument("--out", type=Path, default=Path("attribution-results.json"))
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 5)
    only = {name for name in options.only.split(",") if name}
    options.works = [w for w in WORKS if not only or only & {w.name, w.kind, w.network}]
    if not options.works:
        parser.error(f"no such work; there are {', '.join(work.name for work in WORKS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen works and print the table."""
    options = parsed(arguments)
    results: dict[str, Any] = {"machine": {}, "works": []}
    lines = ["| work | ours | Captum | ratio (least to greatest) | figure to reach |",
             "|---|---|---|---|---|"]  # fmt: skip
    with Crew([OURS, *CAPTUM], options.threads) as crew:
        results["machine"] = machine(crew)
        for work in options.works:
            say(work.name)
            case = measure(crew, work, 0, options.rounds, options.quick)
            results["works"].append({"name": work.name, "case": case})
            lines.append(row(work, case))
            write(options.out, json.dumps(results, indent=1))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
