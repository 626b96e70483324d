"""Values moved, not changed: joined, cut, turned, padded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import InputError, ShapeError
from minicnn.functional.operands import Ints

__all__ = [
    "cat",
    "flatten",
    "pad",
    "pixel_shuffle",
    "reshape",
    "split",
    "squeeze",
    "transpose",
    "unsqueeze",
]


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after the other along an axis."""
    if not len(tensors):
        raise InputError("cat needs at least one tensor.")
    return B.Concat(dim)(*tensors)


def split(tensor: Any, split_size_or_sections: Ints, dim: int = 0) -> list[Any]:
    """Cut a tensor along an axis into parts of the given length, or of the given lengths."""
    if not -len(tensor.shape) <= dim < len(tensor.shape):
        raise ShapeError(f"Cannot split axis {dim} of a tensor of shape {tensor.shape}.")
    axis = dim % len(tensor.shape)
    total, sizes = tensor.shape[axis], split_size_or_sections
    if isinstance(sizes, (int, np.integer)):
        if sizes < 1:
            raise InputError(f"split needs a length of 1 or more; it got {sizes}.")
        sizes = [min(int(sizes), total - start) for start in range(0, total, int(sizes))]
    if not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise InputError(f"split needs whole lengths; it got {list(sizes)}.")
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise ShapeError(f"Cannot split axis {dim} of length {total} into {list(sizes)}.")
    starts = np.cumsum([0, *sizes]).tolist()
    return [B.Slice((slice(None),) * axis + (slice(a, b),))(tensor) for a, b in pairwise(starts)]


def reshape(input: Any, shape: Sequence[int]) -> Any:
    """The same values in another shape; one -1 is inferred."""
    return B.Reshape(tuple(shape))(input)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes start_dim .. end_dim made one."""
    return B.Flatten(start_dim, end_dim)(input)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged."""
    order = list(range(len(input.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return B.Transpose(tuple(order))(input)


def squeeze(input: Any, dim: Ints | None = None) -> Any:
    """Without the given axes of length 1, or without all of them."""
    axes = (dim,) if isinstance(dim, int) else dim if dim is None else tuple(dim)
    return B.Squeeze(axes)(input)


def unsqueeze(input: Any, dim: int) -> Any:
    """With a new axis of length 1."""
    return B.Unsqueeze((dim,))(input)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Any:
    """Pad like torch: (left, right, top, bottom, ...), last axis first.

    Modes are constant, reflect, replicate and circular.
    """
    rank = len(input.shape)
    if len(pad) % 2 or len(pad) > 2 * rank:
        raise InputError(f"pad needs pairs of numbers for at most {rank} axes; it got {pad}.")
    pairs = [(0, 0)] * (rank - len(pad) // 2)
    pairs += [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode == "constant":
        return B.Pad(tuple(pairs), value)(input)
    if mode not in names:
        raise InputError(f"Unknown pad mode {mode!r}: constant, reflect, replicate or circular.")
    return B.PadFromInside(tuple(pairs), names[mode])(input)


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(N, C r r, H, W) to (N, C, H r, W r): channels become pixels."""
    return B.DepthToSpace(upscale_factor, depth_first=False)(input)
