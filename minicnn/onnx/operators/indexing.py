"""Operators that pick and place values by index."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import ShapeError, UnsupportedOperatorError
from minicnn.onnx.registry import operator


@operator("Gather")
def gather(node: Any) -> Any:
    """All of the first axis in order is a change of shape: so torch writes as_strided."""
    indices = np.asarray(node.constant(1, "indices")).astype(np.int64)
    axis, shape = node.attribute("axis", 0), node.shape()
    if axis == 0 and not node.is_constant() and _takes_all(node, indices):
        inner = (*indices.shape[1:], *shape[1:])
        return node.add(B.Identity() if indices.ndim == 1 else B.Reshape((-1, *inner)))
    return node.add(B.Take(indices, axis))


def _takes_all(node: Any, indices: np.ndarray) -> bool:
    """Whether indices name the whole first axis in order.

    Those of a file that fixes the batch do so for that batch; as with a baked reshape, it is taken
    to mean all of it for other batches too.
    """
    length, lowering = node.shape()[0], node.lowering
    images, fixed = lowering.images or 1, lowering.batch or lowering.images or 1
    whole = indices.size == length or indices.size * images == length * fixed
    in_order = np.array_equal(indices.reshape(-1), np.arange(indices.size))
    return bool(indices.ndim and indices.size and whole and in_order)


@operator("GatherElements", since=11)
def gather_elements(node: Any) -> Any:
    return node.add(B.TakeElements(node.attribute("axis", 0)), 0, _whole(node, 1))


def _whole(node: Any, index: int) -> Any:
    """Indices: an input of whole numbers."""
    if node.dtype(index).kind not in "iu":
        raise UnsupportedOperatorError(f"indices of type {node.dtype(index)} make no sense")
    return node.inputs[index]


def _rows(shape: tuple[int, ...], indices: np.ndarray) -> tuple[np.ndarray, int, tuple[int, ...]]:
    """Index tuples as row numbers: rows (..., ), how many there are, and what one row is."""
    depth = indices.shape[-1]
    if depth > len(shape):
        raise ShapeError(f"index tuples of {depth} numbers for an array of shape {shape}")
    sizes = np.array(shape[:depth], np.int64)
    if (indices < -sizes).any() or (indices >= sizes).any():
        raise ShapeError(f"an index lies outside of the array's shape {shape}")
    steps = np.array([prod(shape[i + 1 : depth]) for i in range(depth)], np.int64)
    return (indices % sizes * steps).sum(-1), prod(shape[:depth]), shape[depth:]


@operator("GatherND", since=11)
def gather_nd(node: Any) -> Any:
    indices = np.asarray(node.constant(1, "indices")).astype(np.int64)
    lead = node.attribute("batch_dims", 0)
    if lead:  # the numbers of the images join the index tuples
        grid = np.indices(indices.shape[:-1])[:lead]
        indices = np.concatenate([*(g[..., None] for g in grid), indices], axis=-1)
    rows, count, rest = _rows(node.shape(), indices)
    flat = node.add(B.Reshape((count, *rest)))
    return node.add(B.Take(rows, 0), flat)


@operator("Scatter", since=9)
@operator("ScatterElements", since=11)
def scatter_elements(node: Any) -> Any:
    """Add, or put in place of what was there."""
    axis, target = node.attribute("axis", 0), node.shape()
    reduction = node.attribute("reduction", "none")
    put = B.PutElements(axis, target, adds=reduction == "add")
    moved = node.add(put, 2, _whole(node, 1))
    if reduction == "add":
        return node.add(B.Add(), 0, moved)
    if reduction != "none":
        raise UnsupportedOperatorError(f"scattering by {reduction} is not read, only add and none")
    if node.is_constant(0) and not node.inputs[0].array.any():
        return moved  # onto zeros: what is not put stays 0
    indices = np.asarray(node.constant(1, "indices"))
    kept = np.ones(target, bool)
    np.put_along_axis(_corner(kept, indices.shape, axis), indices, False, axis)
    return node.add(B.Where(), node.make(kept), 0, moved)


def _corner(array: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The part of an array that indices of a shape speak of, whole along the axis."""
    axis %= array.ndim
    return array[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(shape))]


@operator("ScatterND", since=11)
def scatter_nd(node: Any) -> Any:
    reduction = node.attribute("reduction", "none")
    if reduction not in ("none", "add"):
        raise UnsupportedOperatorError(f"scattering by {reduction} is not read, only add and none")
    indices = np.asarray(node.constant(1, "indices")).astype(np.int64)
    rows, count, rest = _rows(node.shape(), indices)
    rows = rows.reshape(-1)
    if reduction == "none":  # of rows named twice the last one stays
        rows, last = np.unique(rows[::-1], return_index=True)
        last = indices[..., 0].size - 1 - last
    updates = node.add(B.Reshape((indices[..., 0].size, *rest)), 2)
    if reduction == "none":
        updates = node.add(B.Take(last, 0), updates)
    moved = node.add(B.Reshape(node.shape()), node.add(B.PutAdd(rows, 0, count), updates))
    if reduction == "add":
        return node.add(B.Add(), 0, moved)
    kept = np.ones((count, *rest), bool)
    kept[rows] = False
    return node.add(B.Where(), node.make(kept.reshape(node.shape())), 0, moved)


@operator("TopK")
def top_k_attribute(node: Any) -> Any:
    return _top(node, node.attribute("k"))


@operator("TopK", since=10)
def top_k(node: Any) -> Any:
    return _top(node, int(np.asarray(node.constant(1, "number k")).item()))


def _top(node: Any, k: int) -> Any:
    """The values are gathered at the indices, so that signals find their way back."""
    axis = node.attribute("axis", -1)
    largest, order = bool(node.attribute("largest", 1)), bool(node.attribute("sorted", 1))
    indices = node.add(B.TopKIndices(k, axis, largest, order))
    return [node.add(B.TakeElements(axis), 0, indices), indices]


@operator("OneHot", since=9)
def one_hot(node: Any) -> Any:
    depth = int(np.asarray(node.constant(1, "depth")).item())
    off, on = (node.add(B.Slice((slice(i, i + 1),)), 2) for i in (0, 1))
    rank = len(node.shape()) + 1
    axis = node.attribute("axis", -1) % rank
    node.lowering.allowance.ask((*node.shape(), depth))
    numbers = np.arange(depth).reshape([-1 if i == axis else 1 for i in range(rank)])
    index = node.add(B.Cast("int64")) if node.dtype().kind == "f" else node.inputs[0]
    wide = node.add(B.Unsqueeze((axis,)), index)
    wrapped = node.add(B.Modulo(False), wide, node.integers(depth, wide.dtype))
    inside = [
        node.add(B.Compare(name), wide, node.integers(bound, wide.dtype))
        for name, bound in (("greater_or_equal", -depth), ("less", depth))
    ]
    hit = node.add(B.Compare("equal"), wrapped, node.integers(numbers, wide.dtype))
    for bound in inside:
        hit = node.add(B.Logic("and"), hit, bound)
    return node.add(B.Where(), hit, on, off)


@operator("Trilu", since=14)
def triangle(node: Any) -> Any:
    k, shape = node.constant(1, "diagonal"), node.shape()
    k = 0 if k is None else int(k.item())
    if len(shape) < 2:
        raise ShapeError(f"a triangle of an array of shape {shape}")
    node.lowering.allowance.ask(shape[-2:])
    upper = bool(node.attribute("upper", 1))
    below = np.tri(shape[-2], shape[-1], k - 1 if upper else k, dtype=bool)
    kept = ~below if upper else below
    return node.add(B.Where(), node.make(kept), 0, node.make(np.zeros((), node.dtype())))
