"""Operators that move values: concatenate, split, slice, reshape, pad."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import ShapeError, UnsupportedOperatorError
from minicnn.onnx.registry import operator

MOST_REPEATS = 4096  # of one axis by Tile


@operator("Concat")
def concat(node: Any) -> Any:
    block = B.Concat(node.attribute("axis", 1))
    return node.add(block, *range(len(node.inputs)))


def _split(node: Any, sizes: Any) -> Any:
    axis = node.attribute("axis", 0) % len(node.shape())
    total = node.shape()[axis]
    if sizes is None:
        parts = node.attribute("num_outputs", len(node.proto.output))
        each = -(-total // parts)
        sizes = [min(each, total - start) for start in range(0, total, each)]
    ends = np.cumsum([int(n) for n in sizes]).tolist()
    if not ends or ends[-1] != total:
        raise ShapeError(f"cannot split axis {axis} of length {total} into {list(sizes)}")
    if len(ends) != len(node.proto.output):
        raise ShapeError(f"{len(node.proto.output)} outputs for a split into {list(sizes)}")
    starts = [0, *ends[:-1]]
    results: list[Any] = []
    for a, b, name in zip(starts, ends, node.proto.output, strict=False):
        if not name:  # nobody reads this part
            results.append(None)
            continue
        part = node.add(B.Slice((slice(None),) * axis + (slice(a, b),)))
        results.append(node.finished(part, name))
    return results


@operator("Split")
def split_attributes(node: Any) -> Any:
    return _split(node, node.attribute("split"))


@operator("Split", since=13)
def split(node: Any) -> Any:
    return _split(node, node.constant(1, "split"))


def _slice(node: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    rank = len(node.shape())
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -rank <= axis < rank:
            raise ShapeError(f"cannot slice axis {axis} of {node.shape()}")
        n = node.shape()[int(axis) % rank]
        if step < 0:
            node.depends_on_size()
        index[int(axis) % rank] = _python_slice(int(start), int(end), int(step), n)
    return node.add(B.Slice(tuple(index)))


def _python_slice(start: int, end: int, step: int, n: int) -> slice:
    """ONNX clamps where Python would wrap: backwards, an end below -n means "all"."""
    if step > 0:
        return slice(start, min(end, 2**31), step)
    start, end = start + n * (start < 0), end + n * (end < 0)
    first, last = min(max(start, 0), n - 1), min(max(end, -1), n - 1)
    return slice(first, None if last < 0 else last, step)


@operator("Slice")
def slice_attributes(node: Any) -> Any:
    return _slice(
        node, node.attribute("starts"), node.attribute("ends"), node.attribute("axes"), None
    )


@operator("Slice", since=10)
def slice_inputs(node: Any) -> Any:
    names = ("starts", "ends", "axes", "steps")
    return _slice(node, *(node.constant(i + 1, name) for i, name in enumerate(names)))


@operator("Reshape", since=5)
def reshape(node: Any) -> Any:
    """A target that repeats the first axis is made to copy it, so that other batches work too.

    So is one that repeats the batch that the file fixes: it copies the first axis where that is the
    batch, else it takes what is left. What a literal target means for an open batch is not touched:
    `load` compares the graphs of two batches.
    """
    target = [int(n) for n in node.constant(1, "target shape")]
    copy_zero = not node.attribute("allowzero", 0)
    x, fixed = node.shape(), node.lowering.batch
    if target and x and not node.is_constant() and 0 not in target:
        if target[0] == x[0] or (target[0] == fixed and x[0] == node.lowering.images):
            target, copy_zero = [0, *target[1:]], True
        elif target[0] == fixed and -1 not in target:
            target[0] = -1
    return node.add(B.Reshape(tuple(target), copy_zero))


@operator("Flatten")
def flatten(node: Any) -> Any:
    x = node.shape()
    axis = node.attribute("axis", 1)
    if not -len(x) <= axis <= len(x):
        raise ShapeError(f"cannot flatten {x} at axis {axis}")
    axis = axis + len(x) if axis < 0 else axis
    if axis == 1 and len(x) > 1:
        return node.add(B.Flatten(1))
    return node.add(B.Reshape((-1, int(np.prod(x[axis:]))) if axis else (1, -1)))


@operator("Transpose")
def transpose(node: Any) -> Any:
    return node.add(B.Transpose(node.attribute("perm", tuple(range(len(node.shape())))[::-1])))


def _axes(values: Any) -> tuple[int, ...] | None:
    return None if values is None else tuple(int(axis) for axis in np.atleast_1d(values))


def _squeeze(node: Any, axes: tuple[int, ...] | None) -> Any:
    """Without axes all of length 1 go; which these are is settled now, for this shape."""
    if axes is None:
        axes = tuple(i for i, n in enumerate(node.shape()) if n == 1)
    return node.add(B.Squeeze(axes))


@operator("Squeeze")
def squeeze_attributes(node: Any) -> Any:
    return _squeeze(node, _axes(node.attribute("axes")))


@operator("Squeeze", since=13)
def squeeze(node: Any) -> Any:
    return _squeeze(node, _axes(node.constant(1, "axes")))


@operator("Unsqueeze")
def unsqueeze_attributes(node: Any) -> Any:
    return node.add(B.Unsqueeze(_axes(node.attribute("axes")) or ()))


@operator("Unsqueeze", since=13)
def unsqueeze(node: Any) -> Any:
    return node.add(B.Unsqueeze(_axes(node.constant(1, "axes")) or ()))


def _pad(node: Any, pads: Any, value: float, axes: Any) -> Any:
    rank = len(node.shape())
    axes = range(rank) if axes is None else [int(a) % rank for a in axes]
    half = len(pads) // 2
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[axis] = (int(pads[i]), int(pads[i + half]))
    mode = node.attribute("mode", "constant")
    if mode == "constant":
        return node.add(B.Pad(tuple(pairs), value))
    if mode not in ("reflect", "edge", "wrap"):
        raise UnsupportedOperatorError(f"padding by {mode} is not read")
    inner, cuts = node.inputs[0], tuple((min(0, a), min(0, b)) for a, b in pairs)
    if np.any(cuts):  # what a negative pad takes away is not there to be repeated
        inner = node.add(B.Pad(cuts))
    added = tuple((max(0, a), max(0, b)) for a, b in pairs)
    return node.add(B.PadFromInside(added, mode), inner)


@operator("Pad", since=2)
def pad_attributes(node: Any) -> Any:
    return _pad(node, node.attribute("pads"), node.attribute("value", 0.0), None)


@operator("Pad", since=11)
def pad(node: Any) -> Any:
    value = node.constant(2, "value")
    return _pad(
        node, node.constant(1, "pads"), 0.0 if value is None else value.item(),
        node.constant(3, "axes"),
    )  # fmt: skip


@operator("Expand", since=8)
def expand(node: Any) -> Any:
    target = tuple(int(n) for n in node.constant(1, "shape"))
    shape = np.broadcast_shapes(node.shape(), target)
    return node.add(B.Identity() if shape == node.shape() else B.BroadcastTo(shape))


@operator("Tile", since=6)
def tile(node: Any) -> Any:
    """The input beside itself, axis by axis."""
    repeats = [int(n) for n in node.constant(1, "repeats")]
    if len(repeats) != len(node.shape()) or min(repeats, default=1) < 1:
        raise ShapeError(f"{repeats} repeats of an array of shape {node.shape()}")
    node.lowering.allowance.ask([n * r for n, r in zip(node.shape(), repeats, strict=True)])
    value = node.inputs[0]
    for axis, count in enumerate(repeats):
        if count > MOST_REPEATS:
            raise UnsupportedOperatorError(f"{count} repeats of axis {axis} are not read")
        value = value if count == 1 else node.add(B.Concat(axis), *[value] * count)
    return node.add(B.Identity()) if value is node.inputs[0] else value
