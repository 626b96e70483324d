"""What the functions take: numbers one an axis or for all, and tensors or arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.blocks import Expression

__all__ = ["Ints", "array_of"]

Ints = int | Sequence[int]


def array_of(x: Any) -> np.ndarray:
    """The numbers of a tensor or array."""
    return x.values() if isinstance(x, Expression) else x
