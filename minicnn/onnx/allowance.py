"""What a file may make its reader spend: memory for constants, and work on them.

One allowance serves all lowerings of a file, so that many small wishes count together: a few bytes
can ask for petabytes, or for hours, in one node or in a thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import ModelFileError
from minicnn.limits import check_bytes

__all__ = ["Allowance", "check_rank"]

MOST_WORK = 4 * 10**9  # operations on constants: seconds
MOST_AXES = 32


@dataclass
class Allowance:
    """Bytes and operations spent so far."""

    bytes: int = 0
    work: int = 0

    def ask(self, shape: Sequence[int], dtype: Any = np.float64) -> None:
        """Refuse a constant before it is made, if all of them together are too many bytes.

        Raises
        ------
        ModelFileError
            If they exceed the budget (`limits`), or the array has too many axes.
        """
        check_rank(shape)
        size = prod(int(n) for n in shape) * np.dtype(dtype).itemsize
        check_bytes(self.bytes + size, f"a constant of shape {tuple(map(int, shape))}")

    def made(self, array: np.ndarray, *sources: np.ndarray) -> None:
        """Count a constant's memory, if it is not that of what it was made of."""
        if not any(np.may_share_memory(array, source) for source in sources):
            self.bytes += array.nbytes
            check_bytes(self.bytes, "all constants that the file asks for")

    def done(self, operations: int) -> None:
        """Count work, before it is done.

        Raises
        ------
        ModelFileError
            If there is too much of it.
        """
        self.work += operations
        if self.work > MOST_WORK:
            raise ModelFileError(
                f"the file asks for {self.work:,} operations on constants when loading; at most "
                f"{MOST_WORK:,} are done"
            )


def check_rank(shape: Sequence[int]) -> None:
    """Refuse more axes than arrays have."""
    if len(shape) > MOST_AXES:
        raise ModelFileError(f"it asks for an array of {len(shape)} axes; {MOST_AXES} are read")
