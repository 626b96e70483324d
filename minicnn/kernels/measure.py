"""Measuring kernels: time, work, error, and how near they come to the machine's ceilings.

    measurement = measure(entry, problem)
    roof(measurement, arithmetic_peak(2), memory_bandwidth(2)).share

A kernel with a `method` is timed as it serves planned networks: filters packed beforehand (that
time is reported apart), its program bound to memory once, run many times. Others are timed by
calling `entry.run`. The first call is not among the times: it compiles, or reads code from disk.

Operations and bytes are those of the definition, for every kernel alike, so that speeds compare: F
multiplications and additions, and B bytes of images, filters and results, each read or written
once. At best a machine reaches

    attainable = min(peak, bandwidth F / B)   FLOP/s

Two things may pass that roof: Winograd kernels, since they do fewer multiplications than the
definition has (up to 4 times fewer), and small problems, whose data stay in the caches from one run
to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from minicnn.kernels.cases import Case
from minicnn.kernels.memory import empty_image
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import Entry

__all__ = ["Measurement", "Roof", "estimated_seconds", "measure", "roof"]

PLAIN = 1e9  # operations a second of kernels that are there to be studied, about


@dataclass(frozen=True)
class Measurement:
    """What a kernel did on a problem.

    Parameters
    ----------
    block, kernel, problem : str
        Which block, by which kernel, on which shapes.
    batch, threads : int
        Images; threads of the CPU, 0 for kernels of cards.
    seconds, least : float
        Median and shortest run.
    runs : int
        How many were timed.
    compile_seconds : float
        What the first call took longer than the median: compiling, or reading code from disk.
    pack_seconds : float
        For packing the filters, once for each network; 0 for kernels that do it in every run.
    flops : int
        Multiplications and additions of the definition.
    bytes : int
        That must be read and written at least.
    error : float
        max |y - reference| / max |reference|, against float64.
    """

    block: str
    kernel: str
    problem: str
    batch: int
    threads: int
    seconds: float
    least: float
    runs: int
    compile_seconds: float
    pack_seconds: float
    flops: int
    bytes: int
    error: float

    @property
    def flops_per_second(self) -> float:
        """Operations of the definition a second."""
        return self.flops / self.seconds

    @property
    def bytes_per_second(self) -> float:
        """Least bytes a second."""
        return self.bytes / self.seconds

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            **asdict(self),
            "flops_per_second": self.flops_per_second,
            "bytes_per_second": self.bytes_per_second,
        }


@dataclass(frozen=True)
class Roof:
    """What the machine allows.

    Parameters
    ----------
    attainable : float
        FLOP/s.
    share : float
        Of it, what was reached; above 1 where a kernel does less than the definition.
    binds : str
        Which ceiling: "arithmetic" or "memory".
    """

    attainable: float
    share: float
    binds: str


def roof(measurement: Measurement, peak: float, bandwidth: float) -> Roof:
    """The ceiling over a measurement.

    Parameters
    ----------
    measurement : Measurement
        What a kernel did.
    peak : float
        FLOP/s, see `cpu.ceilings.arithmetic_peak`.
    bandwidth : float
        Bytes/s, see `cpu.ceilings.memory_bandwidth`.

    Examples
    --------
    >>> found = Measurement("conv2d", "mine", "", 1, 2, 0.01, 0.01, 9, 0, 0, 10**9, 10**8, 1e-7)
    >>> roof(found, peak=5e11, bandwidth=3e10)  # 10 operations a byte
    Roof(attainable=300000000000.0, share=0.3333333333333333, binds='memory')
    """
    by_memory = bandwidth * measurement.intensity
    attainable = min(peak, by_memory)
    binds = "memory" if by_memory < peak else "arithmetic"
    return Roof(attainable, measurement.flops_per_second / attainable, binds)


def estimated_seconds(entry: Entry, problem: Convolution, batch: int = 1) -> float:
    """About how long a run takes: by the kernel's own estimate, or at 1 GFLOP/s without one."""
    cost = entry.cost(problem)
    return batch * (cost if cost < float("inf") else problem.flops / PLAIN)


def measure(
    entry: Entry,
    problem: Convolution,
    batch: int = 1,
    seconds: float = 0.2,
    reference: Case | None = None,
    index: int = 0,
) -> Measurement:
    """Time a kernel on seeded operands and hold its result to the reference.

    Parameters
    ----------
    entry : Entry
        The kernel.
    problem : Convolution
        What it is to compute.
    batch : int
        Number of images.
    seconds : float
        How long to repeat it; at least once after the first call.
    reference : Case, optional
        Operands and expected numbers, where several kernels are measured on the same.
    index : int
        Which card, for kernels of cards.

    Returns
    -------
    Measurement

    Raises
    ------
    ShapeError
        If the result does not have the shape of the reference.
    """
    from minicnn.kernels.cpu.team import threads  # imports Numba

    case = reference or Case(entry.block, problem, batch)
    if entry.device == "cuda":
        return _on_card(entry, case, index, seconds)
    planned = entry.method is not None and entry.block != "conv_filter2d"
    packed, pack_seconds, compiling = _packed(entry, case) if planned else ([], 0.0, 0.0)
    begun = time.perf_counter()
    run = _bound(entry, case, packed) if planned else lambda: entry.run(*case.arguments)
    result = run()
    first = time.perf_counter() - begun
    error = case.error(result)
    times = _times(run, seconds)
    middle = median(times)
    return Measurement(
        block=case.block,
        kernel=entry.name,
        problem=str(problem),
        batch=case.batch,
        threads=threads(),
        seconds=middle,
        least=min(times),
        runs=len(times),
        compile_seconds=compiling + max(0.0, first - middle),
        pack_seconds=pack_seconds,
        flops=case.flops,
        bytes=case.bytes,
        error=error,
    )


def _on_card(entry: Entry, case: Case, index: int, seconds: float) -> Measurement:
    """The same on a card, where events tell the time."""
    from minicnn.kernels.gpu.measuring import run_on_card

    result, found, first, packing = run_on_card(entry, case, index, seconds)
    middle = median(found)
    return Measurement(
        block=case.block, kernel=entry.name, problem=str(case.problem), batch=case.batch,
        threads=0, seconds=middle, least=min(found), runs=len(found),
        compile_seconds=max(0.0, first - middle), pack_seconds=packing, flops=case.flops,
        bytes=case.bytes, error=case.error(result),
    )  # fmt: skip


def _packed(entry: Entry, case: Case) -> tuple[list[np.ndarray], float, float]:
    """Packed filters, the seconds that packing takes, and those that it took longer at first."""
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        packed = entry.method.pack(case.operands[1], case.problem)
        times.append(time.perf_counter() - begun)
    return packed, times[1], max(0.0, times[0] - times[1])


def _bound(entry: Entry, case: Case, packed: list[np.ndarray]) -> Callable[[], np.ndarray]:
    """A kernel's program, bound to memory."""
    from minicnn.kernels.cpu.program import Bound, Image, Place, Program
    from minicnn.kernels.cpu.running import as_image

    x, _, *bias = case.operands
    y = empty_image(case.shape)
    keys = [f"filters {i}" for i in range(len(packed))]
    buffers: dict[Hashable, np.ndarray] = {"x": x, "y": y, **dict(zip(keys, packed, strict=True))}
    ending = {}
    if bias:
        buffers["b"], ending["bias"] = bias[0], Place("b")
    program = Program()
    source, target = as_image("x", x.shape, x.strides), Image.whole("y", case.shape)
    entry.method.lay(program, case.problem, source, target, [Place(key) for key in keys], **ending)
    bound = Bound(program, buffers)

    def run() -> np.ndarray:
        bound.run({})
        return y

    return run


def _times(run: Callable[[], np.ndarray], seconds: float) -> list[float]:
    """Seconds of each run, one or more, until so much time has passed."""
    times: list[float] = []
    begun = time.perf_counter()
    while not times or time.perf_counter() < begun + seconds:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return times
