"""Writers of blocks that move values without changing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer

_FAR = np.iinfo(np.int64).max  # "to the end" in Slice; its negative, backwards


@writer(B.Reshape)
def reshape(call: Any) -> Any:
    target = call.block.target
    literal_zero = 0 in target and not call.block.copy_zero
    return call.node("Reshape", call[0], target, allowzero=1 if literal_zero else None)


@writer(B.Flatten)
def flatten(call: Any) -> Any:
    rank = call[0].rank
    if not rank:
        return call.node("Reshape", call[0], (1,))
    start, end = call.block.start % rank, call.block.end % rank
    if (start, end) == (1, rank - 1):
        return call.node("Flatten", call[0], axis=1)
    return call.node("Reshape", call[0], (*[0] * start, -1, *call.fixed(0, slice(end + 1, None))))


@writer(B.Squeeze, B.Unsqueeze)
def squeeze(call: Any) -> Any:
    """No axes are all axes to runtimes; to a block they are none, and nothing happens."""
    axes = call.block.axes
    return call[0] if axes == () else call.node(call.block.kind, call[0], axes)


@writer(B.Transpose)
def transpose(call: Any) -> Any:
    axes = call.block.axes
    return call.node("Transpose", call[0], perm=axes) if axes else call[0]


@writer(B.Concat)
def concat(call: Any) -> Any:
    return call.node("Concat", *call.operands, axis=call.block.axis)


@writer(B.Slice)
def cut(call: Any) -> Any:
    starts, ends, axes, steps = [], [], [], []
    for axis, s in enumerate(call.block.index):
        step = 1 if s.step is None else s.step
        if (s.start, s.stop, step) != (None, None, 1):
            starts.append((0 if step > 0 else _FAR) if s.start is None else s.start)
            ends.append((_FAR if step > 0 else -_FAR) if s.stop is None else s.stop)
            axes.append(axis)
            steps.append(step)
    if not axes:
        return call[0]
    return call.node("Slice", call[0], starts, ends, axes, steps if set(steps) != {1} else None)


@writer(B.Place)
def place(call: Any) -> Any:
    """Zeros around, where the places lie side by side; else put one by one along the axis."""
    target, x = call.block.target, call[0]
    begins, ends = [0] * len(target), [0] * len(target)
    for axis, (s, n) in enumerate(zip(call.block.index, target, strict=False)):
        places = range(*s.indices(n))
        if places.step == 1 or len(places) == 1:
            begins[axis] = places[0] if places else n
            ends[axis] = n - begins[axis] - len(places)
        else:
            x = call.write(B.PutAdd(np.array(places, np.int64), axis, n), x)
    if not any(begins) and not any(ends):
        return x
    return call.node("Pad", x, (*begins, *ends))


@writer(B.Pad)
def pad(call: Any) -> Any:
    if not call.block.pads:
        return call[0]
    begins, ends = zip(*call.block.pads, strict=True)
    return call.node("Pad", call[0], (*begins, *ends), call.block.value or None)


@writer(B.PadFromInside)
def pad_from_inside(call: Any) -> Any:
    """Runtimes reflect no more than once; what goes further is taken by index."""
    pads, mode, shape = call.block.pads, call.block.mode, call[0].shape
    most = {"reflect": -1, "wrap": 0, "edge": np.inf}[mode]
    if all(n is None or max(pair) <= n + most for pair, n in zip(pads, shape, strict=True)):
        begins, ends = zip(*pads, strict=True)
        return call.node("Pad", call[0], (*begins, *ends), mode=mode)
    x = call[0]
    for axis, (pair, n) in enumerate(zip(pads, call.fixed(), strict=True)):
        if any(pair):
            x = call.write(B.Take(np.pad(np.arange(n), pair, mode=mode), axis), x)
    return x


@writer(B.Take)
def take(call: Any) -> Any:
    return call.node("Gather", call[0], call.block.indices.astype(np.int64), axis=call.block.axis)


@writer(B.PutAdd)
def put_add(call: Any) -> Any:
    """Indices are repeated by Expand when the file runs: it holds them once."""
    block, p = call.block, call.fixed()
    indices, axis = block.indices.astype(np.int64), block.axis
    lead, tail = p[:axis], p[axis + indices.ndim :]
    if 0 in p:
        return call.zeros((*lead, block.size, *tail))
    flat = (*lead, indices.size, *tail)
    values = call[0] if indices.ndim == 1 else call.node("Reshape", call[0], flat)
    column = indices.reshape(-1, *[1] * len(tail))
    repeated = call.node("Expand", column, flat)
    empty = call.zeros((*lead, block.size, *tail))
    return call.node("ScatterElements", empty, repeated, values, axis=axis, reduction="add")
