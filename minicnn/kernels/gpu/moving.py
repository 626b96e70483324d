"""Adding at indices on the card; see `sources/moving.cu`."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import InputError
from minicnn.kernels.devices import (
    counting,
    module_of,
    on_gpu,
    place_of,
    remembered,
    to_device,
)
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import empty

__all__ = ["put_add"]

BLOCK = 256
LATEST = 128  # orders of indices that stay on cards
_PUT_ADD = Kernel("moving", "put_add")


def put_add(p: Any, indices: Any, axis: int, size: int) -> Any:
    """x[indices[i]] += p[i] along an axis; see `reference.put_add`.

    Indices of the host are sorted there, once for equal ones, and their order kept on the card.
    """
    if on_gpu(indices):
        order, starts = _order_on_card(indices, size)
    else:
        numbers = np.ascontiguousarray(indices, np.int64)
        order, starts = remembered(_order(numbers.tobytes(), size, module_of(p), place_of(p)))
    lead, tail = p.shape[:axis], p.shape[axis + indices.ndim :]
    x = empty(p, (*lead, size, *tail))
    _PUT_ADD(
        (blocks_of(x.size, BLOCK),), BLOCK, p.dtype, None,
        p=module_of(p).ascontiguousarray(p), order=order, starts=starts, x=x, taken=indices.size,
        size=size, tail=prod(tail), items=x.size,
    )  # fmt: skip
    return x


@lru_cache(LATEST)
def _order(numbers: bytes, size: int, module: Any, device: Any) -> tuple[Any, Any]:
    """Places sorted by their index, and where those of each index begin; int64, on the card."""
    indices = np.frombuffer(numbers, np.int64)
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise InputError(f"Indices run from {indices.min()} to {indices.max()} of {size} places.")
    indices = indices % max(1, size)
    order = np.argsort(indices, kind="stable")
    starts = np.searchsorted(indices[order], np.arange(size + 1))
    return to_device(order, device), to_device(starts, device)


def _order_on_card(indices: Any, size: int) -> tuple[Any, Any]:
    """The same of indices on the card, which are 0 .. size - 1: nobody looks."""
    module, places = module_of(indices), indices.reshape(-1).astype(np.int64, copy=False)
    taken = max(1, places.size)
    # each key once: index first, then place, so that no sort can change the order of equal indices
    keys = module.sort(places * taken + counting(places.size, places))
    return keys % taken, module.searchsorted(keys, counting(size + 1, places) * taken)
