"""The machine's ceilings: how fast it multiplies and adds, and how fast it reads memory.

    arithmetic   the micro-kernel of `product` on operands that stay in the L1 cache
    memory       the sum of an array that is larger than the caches

What does F operations on B bytes from memory takes no less than max(F / arithmetic, B / memory)
seconds. Both are measured with this engine's own threads, the best of several short runs: a ceiling
is what the machine reaches when nothing disturbs it.

Source: the roofline model, Williams, Waterman and Patterson 2009, "Roofline: an insightful visual
performance model for multicore architectures".
"""

from __future__ import annotations

import time

import numpy as np

from minicnn.kernels.cpu.compiled import kernel
from minicnn.kernels.cpu.product import COLUMNS, multiply
from minicnn.kernels.cpu.program import Bound, Program, aligned
from minicnn.kernels.cpu.vector import LANES, ROWS, load, spread, store_one, total

__all__ = ["arithmetic_peak", "memory_bandwidth"]

DEPTH, TERMS, TIMES = 128, 16, 16  # A and B take 23 kB together at most
FLOPS = 2 * ROWS * COLUMNS * DEPTH * TERMS * TIMES  # of an item
ITEMS = 32  # for each thread
SHARE = 1 << 20  # bytes that an item reads


@kernel
def multiply_in_cache(worker, item, table, terms, depth, tile, tile_size, times):
    """One product again and again, into a tile of each thread's own."""
    for _ in range(times):
        multiply(table, terms, tile + worker * tile_size, depth, 4, 4 * COLUMNS, 0)


@kernel
def add_up(worker, item, x, share, sums):
    """The sum of an item's share, in eight chains, so that no addition waits for another."""
    first = x + item * share
    a, b, c, d = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    e, f, g, h = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    for at in range(first, first + share, 32 * LANES):
        a += load(at)
        b += load(at + 4 * LANES)
        c += load(at + 8 * LANES)
        d += load(at + 12 * LANES)
        e += load(at + 16 * LANES)
        f += load(at + 20 * LANES)
        g += load(at + 24 * LANES)
        h += load(at + 28 * LANES)
    store_one(total(((a + b) + (c + d)) + ((e + f) + (g + h))), sums + 4 * item)


def arithmetic_peak(threads: int, seconds: float = 0.2) -> float:
    """Floating-point operations a second that all threads reach together.

    Parameters
    ----------
    threads : int
        How many take part; no more than `team.threads()` do.
    seconds : float
        How long to try, apart from compiling.

    Returns
    -------
    float
        FLOP/s, a multiplication with its addition counting as two.
    """
    a, b = np.ones((ROWS, DEPTH), np.float32), np.ones((DEPTH, COLUMNS), np.float32)
    line = [a[m].ctypes.data for m in range(ROWS)] + [b.ctypes.data]
    program = Program(threads)
    tile_size = 4 * ROWS * COLUMNS
    program.step(
        multiply_in_cache,
        ITEMS * threads,
        table=program.constant(np.array([line] * TERMS, np.int64)),
        terms=TERMS,
        depth=DEPTH,
        tile=program.scratch_memory(tile_size * threads),
        tile_size=tile_size,
        times=TIMES,
    )
    return ITEMS * threads * FLOPS / _least(Bound(program), seconds)


def memory_bandwidth(threads: int, seconds: float = 0.2, size: int = 1 << 28) -> float:
    """Bytes a second that all threads read together from memory.

    Parameters
    ----------
    threads : int
        How many take part; no more than `team.threads()` do.
    seconds : float
        How long to try, apart from compiling and from filling the array.
    size : int
        Of the array, in bytes: a multiple of 1 MiB, larger than the caches.

    Returns
    -------
    float
        Bytes/s.
    """
    x = aligned(size)
    x.view(np.float32).fill(1)  # pages never written to are all the same one
    items = size // SHARE
    sums = np.zeros(items, np.float32)
    program = Program(threads)
    program.step(add_up, items, x=program.constant(x), share=SHARE, sums=program.constant(sums))
    return size / _least(Bound(program), seconds)


def _least(bound: Bound, seconds: float) -> float:
    """Of runs for about this long, three or more, the shortest; the first is not timed."""
    bound.run({})
    begun = time.perf_counter()
    found: list[float] = []
    while len(found) < 3 or time.perf_counter() < begun + seconds:
        before = time.perf_counter()
        bound.run({})
        found.append(time.perf_counter() - before)
    return min(found)
