"""Writers of sampling at the places of a grid.

ONNX has GridSample, but not its transposes. Where the grid is an array of the network, as it is in
a reversed network, their taps and slopes are constants too.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import OutputError
from minicnn.onnx.writers.registry import writer


@writer(B.GridSample)
def grid_sample(call: Any) -> Any:
    block = call.block
    corners = int(block.align_corners)
    settings = {"mode": block.mode, "padding_mode": block.padding, "align_corners": corners}
    return call.node("GridSample", call[0], call[1], **settings)


@writer(B.GridPut)
def grid_put(call: Any) -> Any:
    """Tap by tap, added where the grid says."""
    block, grid = call.block, _constant(call, 1)
    images, channels = call.fixed(0, slice(2))
    x, shape = call.zeros((images, channels, prod(block.size))), (images, channels, -1)
    p = call.node("Reshape", call[0], shape)
    wide = (images, channels, prod(grid.shape[1:-1]))
    for index, weight in block.taps(grid, block.size):
        indices = call.node("Expand", index[:, None], wide)
        part = call.node("Mul", p, weight[:, None])
        x = call.node("ScatterElements", x, indices, part, axis=2, reduction="add")
    return call.node("Reshape", x, (images, channels, *block.size))


@writer(B.GridSlope)
def grid_slope(call: Any) -> Any:
    columns = [
        call.node("ReduceSum", call.node("Mul", call[0], slope), (1,), keepdims=0)
        for slope in _slopes(call)
    ]
    columns = [call.node("Unsqueeze", column, (-1,)) for column in columns]
    return call.node("Concat", *columns, axis=-1)


@writer(B.GridSlide)
def grid_slide(call: Any) -> Any:
    parts = []
    for i, slope in enumerate(_slopes(call)):
        column = call.node("Gather", call[0], np.array(i), axis=-1)
        parts.append(call.node("Mul", call.node("Unsqueeze", column, (1,)), slope))
    return call.node("Sum", *parts)


def _slopes(call: Any) -> list[np.ndarray]:
    """How the samples change along each coordinate, (N, C, *places) each."""
    x, grid = _constant(call, 1), _constant(call, 2)
    block = call.block
    slide = B.GridSlide(block.mode, block.padding, block.align_corners)
    units = np.eye(grid.shape[-1], dtype=grid.dtype)
    return [slide.forward(np.broadcast_to(unit, grid.shape), x, grid)[0] for unit in units]


def _constant(call: Any, index: int) -> np.ndarray:
    array = call.known(index)
    if array is None:
        raise OutputError(
            f"At {call.name}: ONNX has no {call.block.kind}; it can be written where its "
            f"{call.block.operand_names[index]} is an array of the network, as in a reversed "
            f"network, not where the network computes it ({call[index].name})."
        )
    return array
