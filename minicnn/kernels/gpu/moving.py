"""Adding at indices on the card; see `sources/moving.cu`."""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn.kernels.devices import counting, module_of, on_gpu, table
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import empty

__all__ = ["put_add"]

BLOCK = 256
_PUT_ADD = Kernel("moving", "put_add")


def put_add(p: Any, indices: Any, axis: int, size: int) -> Any:
    """x[indices[i]] += p[i] along an axis; see `reference.put_add`."""
    module = module_of(p)
    places = (indices if on_gpu(indices) else table(indices, p)).reshape(-1)
    taken = places.size
    # each key once: index first, then place, so that no sort can change the order of equal indices
    keys = module.sort(places * taken + counting(taken, p))
    starts = module.searchsorted(keys, counting(size + 1, p) * taken)
    lead, tail = p.shape[:axis], p.shape[axis + indices.ndim :]
    x = empty(p, (*lead, size, *tail))
    _PUT_ADD(
        (blocks_of(x.size, BLOCK),), BLOCK, p.dtype, None,
        p=module.ascontiguousarray(p), order=keys % max(1, taken), starts=starts, x=x, taken=taken,
        size=size, tail=prod(tail), items=x.size,
    )  # fmt: skip
    return x
