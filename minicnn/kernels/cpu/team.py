"""The team: threads that follow one list of steps together.

A step is a kernel, its number of items and its block of arguments. All threads walk the same list;
each has a share of a step's items, the same part of the work in every step, so that it finds in its
cache what it wrote before; who is done takes items from the others' shares. They go on when all
items of the step are finished:

    taken = next[share]++         while taken is in the share: do it
    finished += what was done     wait until finished = items

Nobody counts threads: one that starts late finds its items taken and moves on. Which thread does
which item has no influence on results, so they are the same bits for any number of threads.

A list runs in parallel where that is safe: Numba's threads may not be entered from a process that
was forked after they had started, nor (with some threading layers) from two threads at once. A
forked child, and a second Python thread while the first is in a list, follow theirs alone.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.errors import InputError
from minicnn.kernels.cpu import compiled, vector

__all__ = ["follow", "set_threads", "threads"]

LINE = 64  # bytes of a cache line; counters that others write stand in lines of their own

_busy = threading.Lock()
_home = os.getpid()


def _in_child() -> None:
    """A forked child starts with a lock of its own: the parent's may have been held."""
    global _busy
    _busy = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def threads() -> int:
    """How many threads follow a list: NUMBA_NUM_THREADS, or what `set_threads` said."""
    return int(numba.get_num_threads())


def set_threads(number: int) -> None:
    """Use this many threads from now on, in the calling thread."""
    most = int(numba.config.NUMBA_NUM_THREADS)
    if not 1 <= number <= most:
        raise InputError(
            f"{number} threads were asked for; there are 1 to {most}. Set NUMBA_NUM_THREADS before "
            f"minicnn is started to have more."
        )
    numba.set_num_threads(number)


@intrinsic
def _finished(typingctx: Any, address: Any) -> Any:
    """An atomic read."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = b.inttoptr(args[0], vector.I64.as_pointer())
        return b.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _pause(typingctx: Any) -> Any:
    """Tell the processor that this is a waiting loop."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if vector.FEATURES == "NEON":
            vector.call(b, "llvm.aarch64.hint", ir.VoidType(), ir.Constant(vector.I32, 1))
        elif platform.machine().lower() in ("x86_64", "amd64"):
            vector.call(b, "llvm.x86.sse2.pause", ir.VoidType())
        return ctx.get_dummy_value()

    return types.void(), generate


_give_way = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


def _walk(worker, number, steps, count, counters):
    """One thread's way through the list; `steps` holds kernel, items, block for each step."""
    for step in range(count):
        line, own = steps + 24 * step, counters + LINE * (number + 1) * step
        kernel = vector.load_int(line)
        items = vector.load_int(line + 8)
        block = vector.load_int(line + 16)
        done = 0
        for turn in range(number):
            share = (worker + turn) % number
            taken = own + LINE * share
            first, last = share * items // number, (share + 1) * items // number
            item = first + vector.fetch_add(taken, 1)
            while item < last:
                compiled.call_kernel(kernel, worker, item, block)
                done += 1
                item = first + vector.fetch_add(taken, 1)
        finished = own + LINE * number
        if done > 0:
            vector.fetch_add(finished, done)
        patience = 20_000
        while _finished(finished) < items:
            _pause()
            patience -= 1
            if patience <= 0:  # a thread at work has lost its core: let it have this one
                _give_way()


_walk_compiled = numba.njit(nogil=True, error_model="numpy")(_walk)


def _together(number, steps, count, counters):
    for worker in numba.prange(number):
        _walk_compiled(worker, number, steps, count, counters)


def _alone(steps, count, counters):
    _walk_compiled(0, 1, steps, count, counters)


class _Dispatcher:
    """The two compiled walks, made when first needed."""

    lock = threading.Lock()
    ready: Any = None

    @classmethod
    def get(cls) -> Any:
        with cls.lock:
            if cls.ready is None:
                number, signature = types.int64, types.void
                together = numba.njit(parallel=True, nogil=True, error_model="numpy")(_together)
                alone = numba.njit(nogil=True, error_model="numpy")(_alone)
                for function in (together, alone):
                    function._cache = compiled.kept(function.py_func)
                together.compile(signature(number, number, number, number))
                alone.compile(signature(number, number, number))
                cls.ready = together, alone
        return cls.ready


def follow(steps: np.ndarray, workers: int) -> None:
    """Run a list of steps.

    Parameters
    ----------
    steps : numpy.ndarray of int64, shape (steps, 3)
        Kernel address, number of items, address of the block of arguments.
    workers : int
        How many threads the scratch memory in the blocks is made for.
    """
    together, alone = _Dispatcher.get()
    count, number = len(steps), workers
    parallel = number > 1 and os.getpid() == _home and _busy.acquire(blocking=False)
    if not parallel:
        number = 1
    try:
        counters = np.zeros(LINE // 8 * ((number + 1) * count + 1), np.int64)
        at = steps.__array_interface__["data"][0]
        base = -(-counters.__array_interface__["data"][0] // LINE) * LINE
        if parallel:
            together(number, at, count, base)
        else:
            alone(at, count, base)
    finally:
        if parallel:
            _busy.release()
