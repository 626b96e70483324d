"""Trace: one run there and back, block by block, with the numbers that explain it.

Beside each block stands what its transposed block did: the signal it sent below, its range, its
time; and what the transpose cost to remember, against the activation itself and against the full
Jacobian, whose size is why backpropagation never forms it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from minicnn import kernels
from minicnn.graph import Mirror
from minicnn.look.fields import Field, receptive_fields
from minicnn.network import Network
from minicnn.rules import Rule
from minicnn.seeds import Seed, default
from minicnn.tape import Tape

__all__ = ["Range", "Trace", "TraceRow", "trace"]


@dataclass(frozen=True)
class Range:
    """Smallest and largest value, and the fraction above zero."""

    low: float
    high: float
    positive: float

    @classmethod
    def of(cls, array: np.ndarray) -> Range:
        """Of an array."""
        return cls(float(array.min()), float(array.max()), float((array > 0).mean()))


@dataclass(frozen=True)
class TraceRow:
    """One block and its mirror image.

    Parameters
    ----------
    name, kind, settings : str
        The block.
    shape : tuple of int
        Of its output.
    field : Field or None
        What its units see of the input; None where this is no image.
    parameters, flops : int
        Counted once where shared; FLOPs of this run.
    kept_bytes, activation_bytes : int
        What its transpose needs kept, and what its output takes.
    jacobian : int
        Elements of the full Jacobian with respect to its inputs.
    forward : Range
        Of its output.
    seconds : float
        Time of its forward run.
    back_kind : str
        The blocks that ran in its stead on the way back; empty if none was needed.
    backward : Range or None
        Of the signal sent below; None where no signal passed.
    back_seconds : float
        Time of the way back.
    """

    name: str
    kind: str
    settings: str
    shape: tuple[int, ...]
    field: Field | None
    parameters: int
    flops: int
    kept_bytes: int
    activation_bytes: int
    jacobian: int
    forward: Range
    seconds: float
    back_kind: str
    backward: Range | None
    back_seconds: float


@dataclass(frozen=True)
class Trace:
    """All rows of a run, from input to output.

    Parameters
    ----------
    network, rule, seed : str
        What was traced, how it was reversed, and from where.
    rows : list of TraceRow
        From input to output.
    back_seconds : float
        Time of the whole way back, the sums where signals meet included.
    """

    network: str
    rule: str
    seed: str
    rows: list[TraceRow]
    back_seconds: float


def trace(
    network: Network,
    x: np.ndarray,
    rule: Rule | str = "salinet",
    seed: Seed | Callable[[Tape], Seed] = default,
) -> Trace:
    """Run a network forwards and its reversed network backwards, noting every block.

    Parameters
    ----------
    network : Network
        What to run.
    x : array
        Its input.
    rule : Rule or str
        How to reverse it.
    seed : Seed or callable
        What to send back, or what chooses it from the tape; see `seeds.default`.

    Returns
    -------
    Trace
    """
    with kernels.evenly(kernels.has_flat_areas(x)):  # as record does
        list(network.steps(x))  # kernels are loaded or compiled now, and not while timed
    tape = network.record(x, keep="all", timed=True)
    seed = seed if isinstance(seed, Seed) else seed(tape)
    reversed_network = tape.reverse(seed.at, rule)
    mirror = reversed_network.mirror or Mirror({}, {}, {})
    back: dict[str, list[tuple[str, float]]] = {}
    ranges = {name: (Range.of(seed.p), seed.p.size) for name in reversed_network.inputs}
    back_seconds = 0.0
    list(reversed_network.steps(seed.p))  # the same
    for step in reversed_network.steps(seed.p):
        ranges[step.name] = (Range.of(step.value), step.value.size)
        back_seconds += step.seconds
        mirrored = mirror.nodes.get(step.name, "")
        back.setdefault(mirrored, []).append((step.block.kind, step.seconds))
    fields = receptive_fields(network, x.shape) if x.ndim > 2 else {}
    own, counted = network.state_dict(), set[str]()
    rows = []
    for call in tape.calls:
        inputs = [str(o) for o in call.operands if o not in network.arrays]
        parameters = [str(o) for o in call.operands if o in own and o not in counted]
        counted.update(parameters)
        value = tape[call.name]
        steps = back.get(call.name, [])
        arrived = [ranges[name] for name in mirror.sent.get(call.name, ())]
        rows.append(
            TraceRow(
                name=call.name,
                kind=call.block.kind,
                settings=call.block.settings(),
                shape=value.shape,
                field=fields.get(call.name),
                parameters=sum(network.arrays[name].size for name in parameters),
                flops=call.block.flops(*call.kept.shapes),
                kept_bytes=tape.kept_bytes(call.name),
                activation_bytes=value.nbytes,
                jacobian=sum(prod(tape.shapes[i]) for i in inputs) * value.size,
                forward=Range.of(value),
                seconds=tape.seconds[call.name],
                back_kind=_chain([kind for kind, _ in steps]),
                backward=_union(arrived),
                back_seconds=sum(seconds for _, seconds in steps),
            )
        )
    return Trace(network.name, getattr(rule, "name", str(rule)), seed.label, rows, back_seconds)


def _chain(kinds: list[str]) -> str:
    """Kinds in the order in which they first ran; long expressions are cut."""
    shown = list(dict.fromkeys(kinds))
    return " > ".join(shown[:3]) + (" > ..." if len(shown) > 3 else "")


def _union(ranges: list[tuple[Range, int]]) -> Range | None:
    """One range over several signals of given sizes (a block with several inputs)."""
    if not ranges:
        return None
    return Range(
        min(r.low for r, _ in ranges),
        max(r.high for r, _ in ranges),
        sum(r.positive * size for r, size in ranges) / sum(size for _, size in ranges),
    )
