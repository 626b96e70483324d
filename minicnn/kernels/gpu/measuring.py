"""Measuring on a card: times by events, and the card's ceilings.

Events are moments in the stream of work, so a time between two is the card's own. A run is timed as
many times in a row as fill a few milliseconds, captured as one CUDA graph, for Python takes longer
to launch a small kernel than the card to run it. What cannot be captured (libraries) is launched
run by run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.kernels.devices import cuda, to_device, to_host
from minicnn.kernels.gpu.code import Kernel
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.graphs import Uncapturable, capture
from minicnn.kernels.gpu.images import new_image, processors

if TYPE_CHECKING:
    from minicnn.kernels.cases import Case
    from minicnn.kernels.registry import Entry

__all__ = ["arithmetic_peak", "copy_bandwidth", "run_on_card", "times"]

CHAINS, BLOCK, TIMES = 16, 256, 4096  # as in ceilings.cu
COPIED = 1 << 28  # bytes, more than a card's caches hold
_MULTIPLY_ADD, _COPY = Kernel("ceilings", "multiply_add"), Kernel("ceilings", "copy")


def times(cupy: Any, run: Callable[[], Any], seconds: float = 0.2) -> list[float]:
    """Seconds of a run, one number or more, until so much time has passed."""

    def spent(work: Callable[[], Any]) -> float:
        first, last = cupy.cuda.Event(), cupy.cuda.Event()
        first.record()
        work()
        last.record()
        last.synchronize()
        return float(cupy.cuda.get_elapsed_time(first, last)) / 1e3

    spent(run)
    repeats = max(1, min(100, int(5e-3 / max(spent(run), 1e-7))))

    def many() -> None:
        for _ in range(repeats):
            run()

    try:
        work: Callable[[], Any] = capture(cupy, many).launch
    except (Uncapturable, MemoryError):
        work = many
    found: list[float] = []
    begun = time.perf_counter()
    while not found or time.perf_counter() < begun + seconds:
        found.append(spent(work) / repeats)
    return found


def arithmetic_peak(index: int = 0, seconds: float = 0.2) -> float:
    """float32 operations a second on registers; a multiply-add counts as two."""
    cupy = cuda(index)
    with cupy.cuda.Device(index):
        blocks = 8 * processors(cupy.empty((1,), np.float32))
        y = cupy.empty((blocks * BLOCK,), np.float32)
        found = times(
            cupy,
            lambda: _MULTIPLY_ADD((blocks,), BLOCK, np.float32, None, y=y, a=0.5, times=TIMES),
            seconds,
        )
    return 2 * blocks * BLOCK * CHAINS * TIMES / min(found)


def copy_bandwidth(index: int = 0, seconds: float = 0.2, size: int = COPIED) -> float:
    """Bytes a second, read and written, of a copy larger than the caches."""
    cupy = cuda(index)
    with cupy.cuda.Device(index):
        x = cupy.zeros((size // 4,), np.float32)
        y = cupy.empty((size // 4,), np.float32)
        quads = size // 16
        found = times(
            cupy,
            lambda: _COPY((-(-quads // BLOCK),), BLOCK, np.float32, None, x=x, y=y, quads=quads),
            seconds,
        )
    return 2 * size / min(found)


def run_on_card(
    entry: Entry, case: Case, index: int, seconds: float
) -> tuple[np.ndarray, list[float], float, float]:
    """A kernel's result for a case, its times, and what the first call and packing took.

    A kernel with a `method` is timed as it serves planned networks, its filters packed beforehand.
    """
    cupy = cuda(index)
    with cupy.cuda.Device(index):
        operands = [to_device(array, f"cuda:{index}") for array in case.operands]
        rest = case.arguments[len(operands) :]
        packing = 0.0
        begun = time.perf_counter()
        if entry.method is None:

            def run() -> Any:
                return entry.run(*operands, *rest)
        else:
            problem, (x, w, *bias) = case.problem, operands
            y = new_image(x, case.shape)
            packed = entry.method.pack(w, problem.groups, problem.transposed)
            ending = Ending(bias=bias[0] if bias else None)
            packing = median(
                times(cupy, lambda: entry.method.pack(w, problem.groups, problem.transposed), 0.0)
            )

            def run() -> Any:
                entry.method.run(x, packed, problem, y, ending)
                return y

        result = to_host(run())
        first = time.perf_counter() - begun
        return result, times(cupy, run, seconds), first, packing
