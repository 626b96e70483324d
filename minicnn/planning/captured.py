"""A card's plan as a CUDA graph, with the memory that it reads and writes.

A run copies the inputs in, launches the graph, and copies the results out. Where all graphs of a
card hold more than a quarter of its memory, those that ran longest ago give theirs back, and all
others where a new one finds none; their plans capture anew when they are used again.

All masks and switches of a run lie in one buffer, so that they leave in one copy; and those that
come from another network (a reversed network gets its forward run's) enter in one, if they come as
they left.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from itertools import count
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels import Packed
from minicnn.kernels.devices import module_of
from minicnn.kernels.gpu.graphs import Graph, capture
from minicnn.kernels.gpu.images import card_memory, empty, new_image

__all__ = ["Captured", "KeptBits", "give_way"]

Values = dict[str, Any]
Bits = Mapping[str, Packed]
Statistics = dict[str, Packed]

SHARE = 0.25  # of a card's memory, for graphs
_graphs: weakref.WeakSet[Captured] = weakref.WeakSet()
_making_room = threading.Lock()
_turns = count()


class KeptBits:
    """Where in one buffer the bits of a run lie.

    Parameters
    ----------
    shapes : mapping
        For each node, the shape of its values and how many of them there are.
    """

    def __init__(self, shapes: Mapping[str, tuple[tuple[int, ...], int]]) -> None:
        self.size = 0
        self._places: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], int]] = {}
        for name, (shape, levels) in shapes.items():
            planes = Packed.planes_shape(shape, levels)
            self._places[name] = (self.size, planes, shape, levels)
            self.size = -(-(self.size + prod(planes)) // 64) * 64

    def buffer(self, like: Any) -> Any:
        """Memory for them on the card of an array."""
        return empty(like, (self.size,), np.uint8)

    def within(self, buffer: Any) -> Statistics:
        """The bits that lie in a buffer."""
        return {
            name: Packed(buffer[first : first + prod(planes)].reshape(planes), shape, levels)
            for name, (first, planes, shape, levels) in self._places.items()
        }


class Captured:
    """A plan as a graph.

    Parameters
    ----------
    compute : callable
        Runs kernel by kernel: of inputs, bits given, and the buffer for bits kept.
    kept : KeptBits
        The bits that a run leaves.
    inputs, bits : mapping
        Those of a first run, of whose shapes all others are.

    Raises
    ------
    Uncapturable
        If what `compute` does cannot be captured.
    MemoryError
        If the card has none left.
    """

    def __init__(
        self,
        compute: Callable[[Mapping[str, Any], Bits, Any], Values],
        kept: KeptBits,
        inputs: Mapping[str, Any],
        bits: Bits,
    ) -> None:
        first = next(iter(inputs.values()))
        self.device = int(first.device.id)
        self._kept, self._buffer = kept, kept.buffer(first)
        self._inputs = {name: _room_for(x) for name, x in inputs.items()}
        self._store, self._layout = _store(bits)
        self._bits = {
            name: Packed(self._room(name, b), b.shape, b.levels) for name, b in bits.items()
        }
        self._done: Any = None  # when the last run will be
        self._lock, self.turn = threading.Lock(), next(_turns)
        self._fill(inputs, bits)
        self.graph: Graph | None = capture(
            module_of(first), lambda: compute(self._inputs, self._bits, self._buffer)
        )
        own = [*self._inputs.values(), *(b.planes for b in self._bits.values()), self._buffer]
        self.nbytes = self.graph.nbytes + sum(array.nbytes for array in own)
        with _making_room:
            most = int(SHARE * card_memory(first)) - self.nbytes
            _release_beyond(most, self.device)
            _graphs.add(self)

    def release(self) -> int:
        """Give the memory back, and say how much it was; 0 from a graph that is being run."""
        if not self._lock.acquire(blocking=False):
            return 0
        try:
            if self._done is not None:
                self._done.synchronize()
            held, self.graph, self.nbytes = self.nbytes, None, 0
            self._inputs, self._bits, self._store, self._buffer = {}, {}, None, None
            return held
        finally:
            self._lock.release()

    def _room(self, name: str, bits: Packed) -> Any:
        """Memory for bits given: at their place in the store, or by themselves."""
        planes = bits.planes
        if self._store is None:
            return empty(planes, planes.shape)
        first = self._layout[name]
        return self._store[first : first + planes.size].reshape(planes.shape)

    def _fill(self, inputs: Mapping[str, Any], bits: Bits) -> None:
        for name, x in inputs.items():
            self._inputs[name][...] = x
        source, layout = _origin(bits)
        if self._store is not None and layout == self._layout and source.size == self._store.size:
            self._store[...] = source
            return
        for name, packed in bits.items():
            self._bits[name].planes[...] = packed.planes

    def run(self, inputs: Mapping[str, Any], bits: Bits) -> tuple[Values, Statistics] | None:
        """Copy in, launch, copy out; after the run before, which may be another stream's.

        None from a graph that gave its memory back.
        """
        with self._lock:
            if self.graph is None:
                return None
            self.turn = next(_turns)
            stream = module_of(self._buffer).cuda.get_current_stream()
            if self._done is not None:
                stream.wait_event(self._done)
            self._fill(inputs, bits)
            self.graph.launch()
            values = {name: _copy(value) for name, value in self.graph.result.items()}
            kept = self._kept.within(self._buffer.copy())
            self._done = stream.record()
            return values, kept


def _release_beyond(most: int, device: int) -> None:
    """Have a card's graphs give memory back until they hold no more; the longest unused first."""
    own = [each for each in list(_graphs) if each.device == device]
    held = sum(each.nbytes for each in own)
    for each in sorted(own, key=lambda each: each.turn):
        if held > most:
            held -= each.release()


def give_way(like: Any) -> None:
    """Free what memory can be freed on the card of an array: all graphs', and what CuPy keeps."""
    with _making_room:
        _release_beyond(0, int(like.device.id))
    with like.device:
        module_of(like).get_default_memory_pool().free_all_blocks()


def _origin(bits: Bits) -> tuple[Any, dict[str, int]]:
    """The buffer in which all bits lie, and where; None if they do not lie in one."""
    arrays: dict[str, Any] = {name: packed.planes for name, packed in bits.items()}
    bases = [planes.base for planes in arrays.values()]
    base = bases[0] if bases else None
    if base is None or any(other is not base for other in bases) or base.ndim != 1:
        return None, {}
    start = base.data.ptr
    return base, {name: planes.data.ptr - start for name, planes in arrays.items()}


def _store(bits: Bits) -> tuple[Any, dict[str, int]]:
    """A copy of that buffer, and where bits lie in it."""
    base, layout = _origin(bits)
    return (None, {}) if base is None else (base.copy(), layout)


def _room_for(x: Any) -> Any:
    """Memory for an input, in the order that kernels like."""
    return new_image(x, x.shape) if x.ndim == 4 else empty(x, x.shape)


def _copy(value: Any) -> Any:
    room = _room_for(value)
    room[...] = value
    return room
