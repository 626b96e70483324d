"""CUDA graphs: work that is the same in every run, captured once and launched as one.

    graph = capture(cupy, work)      runs work() twice: to allocate and compile, and to capture
    graph.launch()                   on the current stream; graph.result is what work() gave

A graph reads and writes the addresses that it was captured with, so its memory is its own: a pool
that lives as long as the graph does. Tables that caches handed out stay with it too. While it is
captured nothing may be copied from or to the host, wait for the card, or call a library that CuPy
cannot capture (cuBLAS); what does so is not captured, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.errors import DeviceError
from minicnn.kernels.devices import no_transfers, remembering

__all__ = ["Graph", "Uncapturable", "capture"]


class Uncapturable(Exception):
    """Why work cannot be captured."""


class Graph:
    """Captured work, its result, and the memory that both live in.

    Attributes
    ----------
    nbytes : int
        Bytes of the card's memory that it holds.
    """

    def __init__(self, graph: Any, result: Any, pool: Any, tables: list[Any]) -> None:
        self._graph, self.result, self._pool, self._tables = graph, result, pool, tables
        self.nbytes = int(pool.total_bytes())  # of the current card, on which it was captured

    def launch(self) -> None:
        """Do the work again, on the current stream."""
        self._graph.launch()


def capture(cupy: Any, work: Callable[[], Any]) -> Graph:
    """Capture what `work` does on the current card.

    Raises
    ------
    Uncapturable
        If it does something that cannot be captured; says what.
    MemoryError
        If the card has none left.
    """
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()  # what work reads is there
    with cupy.cuda.using_allocator(pool.malloc), stream:
        failure: Exception | None = None
        work()  # compiles and allocates; what it gives goes back to the pool
        stream.synchronize()
        result = None
        stream.begin_capture()
        try:
            with no_transfers(), remembering() as tables:
                result = work()
        except (DeviceError, NotImplementedError, RuntimeError, MemoryError) as error:
            failure = error
        try:
            graph = stream.end_capture()
        except RuntimeError as error:  # CUDA's errors are runtime errors
            failure = failure or error
    try:
        if isinstance(failure, MemoryError):
            raise failure
        if failure is not None:
            raise Uncapturable(" ".join(str(failure).split())) from failure
    finally:
        del failure  # whose frames hold this one, and with it the pool
    return Graph(graph, result, pool, tables)
