"""Programs laid out once for some shapes, and run on any arrays of these shapes.

Laying out and binding cost more than a small kernel. A `Laid` program keeps what it bound: a call
writes the arrays' addresses into the arguments and runs. It holds no array after the call, and may
be called from several Python threads at once: each takes a bound program of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn.kernels.cpu.program import SCRATCH, Bound, Program, aligned
from minicnn.kernels.cpu.team import threads
from minicnn.kernels.geometry import Window

__all__ = ["Laid", "pixels", "planar", "workers_for"]

LARGE = 1 << 26  # bytes of scratch memory that are not kept from call to call
SMALL = 200_000  # operations that one thread does sooner than two can agree on

_spare: list[np.ndarray] = []  # scratch memory between calls


def workers_for(operations: int) -> int:
    """How many threads a program of so many operations is worth."""
    return 1 if operations < SMALL else threads()


def _take(size: int) -> np.ndarray:
    """Scratch memory of at least this size."""
    try:
        memory = _spare.pop()
    except IndexError:
        return aligned(size)
    return memory if memory.size >= size else aligned(size)


class Laid:
    """A program that is bound anew in each call.

    Parameters
    ----------
    program : Program
        Complete: nothing is added to it afterwards.
    """

    def __init__(self, program: Program) -> None:
        self._program = replace(program, scratch=0)
        self._scratch = program.scratch
        self._idle: list[Bound] = []

    def __call__(self, **buffers: np.ndarray) -> None:
        """Run with these arrays, by key; all the program's buffers must be named."""
        try:
            ready = self._idle.pop()
        except IndexError:
            ready = Bound(self._program)
        if not self._scratch:
            ready.run(buffers)
        else:
            memory = _take(self._scratch)
            ready.run({SCRATCH: memory, **buffers})
            if memory.size < LARGE and not _spare:
                _spare.append(memory)
        self._idle.append(ready)


def pixels(x: np.ndarray) -> np.ndarray:
    """An array (N, C, *size) in channels-last order, (N, *size, C); copied only if need be."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1), np.float32)


def planar(window: Window) -> Window:
    """A window over rows of length 1 for a window over a line."""
    if window.rank == 2:
        return window
    if window.rank != 1:
        raise ValueError(f"compiled kernels know one and two spatial axes, not {window.rank}")
    return window.lifted()
