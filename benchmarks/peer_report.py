"""From the raw turns of the peer benchmark to ratios, and to a table for the README.

    python benchmarks/peer_report.py results.json      # prints the table of a run

A ratio is the peer's time over ours in the same round, the fastest of the peer's layouts counting;
of the rounds' ratios the median is given, with the least and the greatest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

from peer_works import OURS, PEERS

__all__ = ["summary", "table"]

RATIO = "ratio (least to greatest)"
CEILINGS = ("arithmetic_flops_per_s", "memory_bytes_per_s")
DISTURBED = 0.2  # cores taken by other processes: torch's threads then wait for each other longest


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": median(values), "least": min(values), "greatest": max(values)}


def geometric_mean(values: Sequence[float]) -> float:
    """The n-th root of the product."""
    return exp(sum(map(log, values)) / len(values))


def summary(work: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a work makes.

    Parameters
    ----------
    work : mapping
        A work as it stands in the results: kind, title, figures and cases with their turns.

    Returns
    -------
    list of dict
        For each row its title, unit and figures, our value, and by column the peer's value and
        ratio, or what became of the peer.
    """
    if work["kind"] == "conv":
        return _convolution_rows(work)
    case = work["cases"][0]
    row: dict[str, Any] = {"title": work["title"], "figures": work["figures"]}
    row["unit"] = "bytes" if work["kind"] == "kept" else "seconds"
    row[OURS] = _value(case, [OURS])
    for column, workers in work.get("peers", PEERS[work["kind"]]).items():
        row[column] = _compared(case, workers)
    return [row]


def _convolution_rows(work: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The geometric mean over all shapes, round by round, and the shape where we fare worst."""
    workers, figures = PEERS["conv"]["torch"], {"torch": None, "worst": None, **work["figures"]}
    compared = [(case, _compared(case, workers)) for case in work["cases"]]
    found = [(case, peer) for case, peer in compared if "ratio" in peer]
    count = f"{len(found)} {work['title']}"
    if len(found) < len(compared):
        count += f" (of {len(compared)}; the others failed)"
    mean: dict[str, Any] = {"title": f"{count}, geometric mean", "unit": "seconds"}
    mean["figures"] = {"torch": figures["torch"]} if figures["torch"] else {}
    if not found:
        return [{**mean, OURS: None, "torch": compared[0][1] if compared else {}}]
    rounds = list(zip(*(peer["ratio"]["rounds"] for _, peer in found), strict=False))
    ratios = [geometric_mean(ratios) for ratios in rounds]
    mean[OURS] = geometric_mean([_value(case, [OURS]) for case, _ in found])
    mean["torch"] = {
        "value": geometric_mean([peer["value"] for _, peer in found]),
        "ratio": {"rounds": ratios, **spread(ratios)},
    }
    case, peer = min(found, key=lambda pair: pair[1]["ratio"]["median"])
    worst = {
        "title": f"the worst of them, {case['title']}",
        "unit": "seconds",
        "figures": {"torch": figures["worst"]} if figures["worst"] else {},
        OURS: _value(case, [OURS]),
        "torch": peer,
    }
    return [mean, worst]


def _turns(case: Mapping[str, Any], workers: Sequence[str]) -> list[float]:
    """Round by round what the fastest worker took: seconds, or bytes."""
    found = [case["turns"][name] for name in workers if name in case["turns"]]
    measured = [[turn["value"] for turn in turns] for turns in found]
    return [min(turns) for turns in zip(*measured, strict=False)]


def _value(case: Mapping[str, Any], workers: Sequence[str]) -> float | None:
    """Median over the rounds; None where nothing was measured."""
    turns = _turns(case, workers)
    return median(turns) if turns else None


def _compared(case: Mapping[str, Any], workers: Sequence[str]) -> dict[str, Any]:
    """A peer's value and ratio to ours, or why there is none."""
    ours, theirs = _turns(case, [OURS]), _turns(case, workers)
    failed = case["failed"]
    found: dict[str, Any] = {name: failed[name] for name in workers if name in failed}
    found = {"failed": found} if found else {}
    if theirs:
        found["value"] = median(theirs)
    ratios = [b / a for a, b in zip(ours, theirs, strict=False)]
    if ratios:
        found["ratio"] = {"rounds": ratios, **spread(ratios)}
    return found


def table(results: Mapping[str, Any]) -> str:
    """A Markdown table of all works of a run, and a line about the machine below it."""
    on_card = results["settings"].get("device", "cpu") != "cpu"
    columns = ("torch", "torch.compile" if on_card else "onnxruntime")
    head = ["work", "ours", "torch, best layout", RATIO, columns[1], RATIO, "figure to reach"]
    lines = [_line(head), _line(["---"] + ["---:"] * (len(head) - 1))]
    for work in results["works"]:
        lines += [_line(_cells(row, columns)) for row in work["rows"]]
    return "\n".join([*lines, "", _about(results)])


def _about(results: Mapping[str, Any]) -> str:
    """What the run was measured on, and whether it was left alone."""
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    where = f"{machine['cpu']}, {machine['cores']} cores, {settings['threads']} threads"
    if machine.get("card"):
        where = f"{machine['card']['card']}, driver {machine['card']['cuda driver']}"
    said = [f"{where}; {versions}; {settings['rounds']} round(s), {machine['date'][:10]}."]
    if settings["quick"]:
        said.insert(0, "**Tiny images and single calls: this only shows that it runs.**")
    if machine["ceilings"]:
        flops, memory = (machine["ceilings"][name] for name in CEILINGS)
        said.append(f"Ceilings: {flops / 1e9:.0f} GFLOP/s, {memory / 1e9:.1f} GB/s.")
    cases = [case for work in results["works"] for case in work["cases"]]
    turns = [turn for case in cases for turns in case["turns"].values() for turn in turns]
    disturbed = sum((turn.get("others") or 0) > DISTURBED for turn in turns)
    if disturbed and not settings["quick"]:  # single calls are shorter than a tick of the count
        said.append(
            f"**Disturbed: in {disturbed} of {len(turns)} turns other processes took more than "
            f"{DISTURBED} cores.**"
        )
    return " ".join(said)


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    show: Callable[[float | None], str] = _bytes if row["unit"] == "bytes" else _milliseconds
    cells = [row["title"], "failed" if row[OURS] is None else show(row[OURS])]
    for column in columns:
        peer = row.get(column)
        if peer is None:
            cells += ["", ""]
        elif "value" in peer:
            without = "".join(f"; {name} failed" for name in peer.get("failed", ()))
            cells += [show(peer["value"]) + without, _ratio(peer.get("ratio"))]
        else:
            reasons = {reason["what"] for reason in peer.get("failed", {}).values()}
            cells += [" / ".join(sorted(reasons)) or "not measured", ""]
    goals = [f"{row['figures'][c]:g} ({c})" for c in columns if c in row["figures"]]
    return [*cells, ", ".join(goals)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _ratio(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['greatest']:.2f})"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3g} ms"


def _bytes(count: float | None) -> str:
    return "" if count is None else f"{count / 1e6:.3g} MB"


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())))
