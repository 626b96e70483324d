"""Writers of reading and writing at indices that are values."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.conv import explicit_ends, padded
from minicnn.onnx.writers.pool import is_plain, lowest
from minicnn.onnx.writers.registry import writer


@writer(B.TakeElements)
def take_elements(call: Any) -> Any:
    return call.node("GatherElements", call[0], call[1], axis=call.block.axis)


@writer(B.PutElements)
def put_elements(call: Any) -> Any:
    """What is assigned twice is left out where indices are known; ONNX promises no order."""
    block, p = call.block, call[0]
    indices = call.known(1)
    if not block.adds and indices is not None:
        turns = np.arange(1.0, indices.size + 1).reshape(indices.shape)
        winners = B.TakeElements(block.axis).forward(block.forward(turns, indices)[0], indices)[0]
        p = call.node("Mul", p, (winners == turns).astype(call.dtype))
    adds = block.adds or indices is not None
    empty = call.zeros(block.target)
    reduction = "add" if adds else None
    return call.node("ScatterElements", empty, call[1], p, axis=block.axis, reduction=reduction)


@writer(B.TopKIndices)
def top_k_indices(call: Any) -> Any:
    block = call.block
    settings = {"axis": block.axis, "largest": int(block.largest)}
    found = call.node("TopK", call[0], (block.k,), output=1, **settings)
    if block.sort:
        return found
    order = call.node("TopK", found, (block.k,), output=1, axis=block.axis, largest=0)
    return call.node("GatherElements", found, order, axis=block.axis)


@writer(B.MaxPoolIndices)
def max_pool_indices(call: Any) -> Any:
    """Where pads have to be written out, indices into the padded image are looked up."""
    window, column_major = call.block.window, call.block.column_major
    if window is None:
        size = call.fixed(0, slice(2, None))
        window = B.MaxPool(None).over((1, 1, *size))
    settings = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation if set(window.dilation) != {1} else None,
    }
    if is_plain(window) and not window.ceil_mode:
        order = int(column_major) or None
        return call.node(
            "MaxPool", call[0], output=1, pads=window.pads, storage_order=order, **settings
        )
    size = call.fixed(0, slice(2, None))
    ends = explicit_ends(window, size)
    x = padded(call, call[0], window.begins, ends, lowest(call.dtype))
    found = call.node("MaxPool", x, output=1, **settings)
    wide = [n + b + e for n, b, e in zip(size, window.begins, ends, strict=True)]
    places = np.indices(wide).reshape(len(size), -1) - np.array(window.begins)[:, None]
    table = np.ravel_multi_index(
        tuple(places), size, mode="clip", order="F" if column_major else "C"
    )
    area = np.array(prod(wide), np.int64)
    within = call.node("Gather", table.astype(np.int64), call.node("Mod", found, area))
    plane = call.node("Div", found, area)
    return call.node("Add", call.node("Mul", plane, np.array(prod(size), np.int64)), within)
