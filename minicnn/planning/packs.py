"""Packed filters, made once and kept for as long as the arrays that they were made of are frozen.

An array is frozen when it cannot be written to (`flags.writeable` is off), as those of loaded
networks are; one on a card, which knows no such flag, unless `thaw` marked it as learning. A
network shares its packs with the networks cut from it and with its reversals.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ClassVar

import numpy as np

from minicnn.kernels.devices import on_gpu

__all__ = ["Packs", "freeze", "is_frozen", "may_learn", "thaw"]

Maker = Callable[[], list[np.ndarray]]


_learning: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_closed: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""Arrays on cards, by id: those that may change, and those that somebody said may not."""


def is_frozen(array: np.ndarray) -> bool:
    """Whether nobody may write to an array."""
    return id(array) not in _learning if on_gpu(array) else not array.flags.writeable


def may_learn(array: np.ndarray) -> bool:
    """Whether an optimiser may write to an array: whether nobody said that it may not."""
    return id(array) not in _closed if on_gpu(array) else array.flags.writeable


def freeze(array: np.ndarray) -> None:
    """Nobody may write to it from now on."""
    if on_gpu(array):
        _learning.pop(id(array), None)
        _closed[id(array)] = array
    else:
        array.flags.writeable = False


def thaw(array: np.ndarray) -> None:
    """It may be written to from now on."""
    if on_gpu(array):
        _closed.pop(id(array), None)
        _learning[id(array)] = array
    else:
        array.flags.writeable = True


class Packs:
    """Packed arrays by what they were made of, and how.

    Attributes
    ----------
    version : int
        Goes up when packs are forgotten: what was planned with them is outdated.
    """

    _everyone: ClassVar[weakref.WeakSet[Packs]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, tuple[np.ndarray, list[np.ndarray], Maker]] = {}
        self._tables: dict[Hashable, np.ndarray] = {}
        self.version = 0
        self._everyone.add(self)

    @classmethod
    def forget(cls, arrays: Iterable[np.ndarray]) -> None:
        """Drop whatever was made of these arrays, by any network: they are about to change."""
        changing = {id(array) for array in arrays}
        for packs in list(cls._everyone):
            with packs._lock:
                outdated = [key for key in packs._made if key[0] in changing]  # type: ignore[index]
                for key in outdated:
                    del packs._made[key]
                packs.version += 1

    def get(self, array: np.ndarray, how: Hashable, make: Maker) -> list[np.ndarray]:
        """What `make` gives for an array; kept if the array is frozen."""
        if not is_frozen(array):
            return make()
        key = (id(array), how)
        with self._lock:
            if key not in self._made:
                self._made[key] = (array, make(), make)  # holding the array keeps its id its own
            return self._made[key][1]

    def get_table(self, how: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """A small array that depends on nothing but `how`, kept."""
        with self._lock:
            if how not in self._tables:
                self._tables[how] = make()
            return self._tables[how]

    def refresh(self, arrays: Iterable[np.ndarray]) -> None:
        """Pack these arrays, whose numbers have changed, again: into the memory that plans read."""
        changed = {id(array) for array in arrays}
        with self._lock:
            for array, packed, make in self._made.values():
                if id(array) in changed:
                    for old, new in zip(packed, make(), strict=True):
                        if new is not array:  # else packed as it stands
                            np.copyto(old, new)

    @property
    def nbytes(self) -> int:
        """Bytes of all packed arrays."""
        return sum(
            p.nbytes for array, made, _ in self._made.values() for p in made if p is not array
        )

    def __repr__(self) -> str:
        return f"<Packs: {len(self._made)} arrays, {self.nbytes:,} bytes>"
