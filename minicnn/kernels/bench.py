"""Benches: the kernels of a block on one shape after another, under the machine's ceilings.

    bench = Bench("conv2d", kernels("conv2d"), Ceilings.measured(threads()))
    run = bench.run(parse("1,64,56,56,64,3"))
    run.measured[0].seconds, bench.ceilings.roof(run.measured[0]).share

A kernel that fails, or does not apply, does not end a run: its note says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minicnn.errors import UnknownNameError, nearest
from minicnn.kernels.cases import Case
from minicnn.kernels.devices import CPU, Device
from minicnn.kernels.measure import Measurement, Roof, estimated_seconds, measure, roof
from minicnn.kernels.own import explained
from minicnn.kernels.registry import Entry, choose, entries
from minicnn.kernels.shapes import Shape

__all__ = ["LONG", "Bench", "Ceilings", "Run", "kernels"]

LONG = 3.0  # seconds a run: kernels that take longer are measured only if asked for by name


@dataclass(frozen=True)
class Ceilings:
    """What the machine reaches.

    Parameters
    ----------
    peak : float
        FLOP/s.
    bandwidth : float
        Bytes/s read from memory.
    """

    peak: float
    bandwidth: float

    @classmethod
    def measured(cls, threads: int) -> Ceilings:
        """Measure them now, in half a second and compiling, by turns: the best of two each."""
        from minicnn.kernels.cpu.ceilings import arithmetic_peak, memory_bandwidth

        turns = [(arithmetic_peak(threads, 0.1), memory_bandwidth(threads, 0.1)) for _ in range(2)]
        return cls(max(peak for peak, _ in turns), max(bandwidth for _, bandwidth in turns))

    @classmethod
    def of_card(cls, index: int) -> Ceilings:
        """A card's: multiply-adds on registers, and copies of memory."""
        from minicnn.kernels.gpu.measuring import arithmetic_peak, copy_bandwidth

        return cls(arithmetic_peak(index), copy_bandwidth(index))

    def roof(self, measurement: Measurement) -> Roof:
        """The ceiling over a measurement."""
        return roof(measurement, self.peak, self.bandwidth)


@dataclass
class Run:
    """What the kernels did on one shape.

    Parameters
    ----------
    shape : Shape
    default : str
        The kernel that serves unless somebody overrules.
    measured : list of Measurement
    failed, left_out : dict
        Why there is no measurement, by kernel.
    """

    shape: Shape
    default: str
    measured: list[Measurement] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass
class Bench:
    """Kernels to be compared.

    Parameters
    ----------
    block : str
        "conv2d", "conv_transpose2d" or "conv_filter2d".
    entries : sequence of Entry
    ceilings : Ceilings
    seconds : float
        How long to repeat each kernel on each shape.
    asked : collection of str
        Kernels that are measured even where a run takes long.
    file : path, optional
        From which kernels came: errors name its lines.
    device : Device
        Where they run.
    """

    block: str
    entries: Sequence[Entry]
    ceilings: Ceilings
    seconds: float = 0.2
    asked: frozenset[str] = frozenset()
    file: Path | None = None
    device: Device = CPU
    runs: list[Run] = field(default_factory=list)

    def run(self, shape: Shape, tell: Callable[[str], None] = lambda name: None) -> Run:
        """Measure every kernel on a shape; `tell` is called with its name before.

        The run is in `runs` from the beginning, so that an interrupt loses only one kernel.
        """
        shape = shape.of(self.block)
        run = Run(shape, choose(self.block, shape.problem, self.device.kind)[0].name)
        self.runs.append(run)
        case = Case(self.block, shape.problem, shape.batch)
        for entry in self.entries:
            tell(entry.name)
            try:
                if reason := self._left_out(entry, shape):
                    run.left_out[entry.name] = reason
                    continue
                found = measure(
                    entry, shape.problem, shape.batch, self.seconds, case, self.device.index
                )
                run.measured.append(found)
            except Exception as error:
                run.failed[entry.name] = explained(error, self.file)
        return run

    def _left_out(self, entry: Entry, shape: Shape) -> str:
        """Why a kernel is not measured; an empty string if it is."""
        if reason := entry.why_not(shape.problem):
            return reason
        seconds = estimated_seconds(entry, shape.problem, shape.batch)
        if seconds <= LONG or entry.name in self.asked:
            return ""
        return f"takes about {seconds:.0f} s; --kernel {entry.name} measures it all the same"

    @property
    def measured(self) -> list[Measurement]:
        """All measurements, shape by shape."""
        return [found for run in self.runs for found in run.measured]

    def as_dict(self) -> dict[str, Any]:
        """Ceilings, measurements with their roofs, and why others are missing, for JSON."""
        return {
            "block": self.block,
            "ceilings": {
                "arithmetic_flops_per_s": self.ceilings.peak,
                "memory_bytes_per_s": self.ceilings.bandwidth,
            },
            "measurements": [self._line(run, found) for run in self.runs for found in run.measured],
            "failed": self._missing("failed"),
            "left_out": self._missing("left_out"),
        }

    def _line(self, run: Run, found: Measurement) -> dict[str, Any]:
        roof = self.ceilings.roof(found)
        return {
            **found.as_dict(),
            "attainable_flops_per_second": roof.attainable,
            "share_of_attainable": roof.share,
            "binds": roof.binds,
            "default": found.kernel == run.default,
        }

    def _missing(self, how: str) -> list[dict[str, str]]:
        return [
            {"problem": str(run.shape.problem), "kernel": name, "why": why}
            for run in self.runs
            for name, why in getattr(run, how).items()
        ]


def kernels(
    block: str, names: Sequence[str] = (), own: Sequence[Entry] = (), device: str = "cpu"
) -> list[Entry]:
    """The kernels of a block for a kind of device, with these names or all; and one's own.

    Raises
    ------
    UnknownNameError
        If there is no such block or kernel.
    """
    own = [entry for entry in own if entry.device == device]
    known = {entry.name: entry for entry in [*entries(block, device), *own]}
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"There is no kernel {name!r} for {block} on {device}. {nearest(name, known)}"
            )
    wanted = [*names, *(entry.name for entry in own)] if names else list(known)
    return [known[name] for name in dict.fromkeys(wanted)]
