"""Memory for results, used again.

    empty(shape)       like numpy.empty, beginning at a cache line
    empty_image(shape) the same for (N, C, ...) with channels last in memory

The system gives new memory page by page, clearing each when it is first touched, which takes as
long as many kernels do. So large results live in blocks that come back when the last array that
shows them is gone, and then serve for others. Not more than MOST bytes wait to be used again.
"""

from __future__ import annotations

import ctypes
import weakref
from math import prod
from typing import Any

import numpy as np

__all__ = ["empty", "empty_image"]

LINE = 64  # bytes of a cache line
LARGE = 1 << 18  # bytes from which on memory is used again
MOST = 1 << 30  # bytes that may wait

_waiting: dict[int, list[np.ndarray]] = {}  # blocks by size; lists change in single, atomic steps


def _block(size: int) -> np.ndarray:
    """New bytes that begin at a cache line."""
    memory = np.empty(size + LINE, np.uint8)
    first = -memory.__array_interface__["data"][0] % LINE
    return memory[first : first + size]


def _take(size: int) -> np.ndarray:
    """A block that waits, or a new one."""
    try:
        return _waiting[size].pop()
    except (KeyError, IndexError):
        return _block(size)


def _give_back(block: np.ndarray) -> None:
    """Let a block wait for its next use, or let it go where too many wait."""
    size = block.size
    if size + sum(bytes_each * len(blocks) for bytes_each, blocks in [*_waiting.items()]) <= MOST:
        _waiting.setdefault(size, []).append(block)


def _rounded(size: int) -> int:
    """The next size of eight to a doubling, so that blocks fit many results."""
    step = 1 << max(6, size.bit_length() - 4)
    return -(-size // step) * step


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """A new array in C order, of arbitrary content, in memory that no other array uses.

    Examples
    --------
    >>> empty((2, 3)).shape
    (2, 3)
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.ndarray(shape, dtype, _block(size))
    block = _take(_rounded(size))
    content: Any = block  # lends its bytes to an owner that lives as long as any view of it
    owner: Any = (ctypes.c_char * block.size).from_buffer(content)
    weakref.finalize(owner, _give_back, block).atexit = False
    return np.ndarray(shape, dtype, owner)


def empty_image(shape: tuple[int, ...]) -> np.ndarray:
    """A new float32 array of shape (N, C, ...) with channels-last memory."""
    batch, channels, *size = shape
    return empty((batch, *size, channels)).transpose(0, -1, *range(1, len(shape) - 1))
