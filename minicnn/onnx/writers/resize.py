"""Writers of resampling.

Resampling along an axis is a product with a matrix of few weights, and its transpose the product
with the matrix transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer

_OF_ANY_LENGTH = ("half_pixel", "asymmetric")
_OF_WHOLE_LENGTH = ("align_corners", "pytorch_half_pixel")  # runtimes differ where it is rounded


@writer(B.Resize)
def resize(call: Any) -> Any:
    """ONNX's Resize in the settings that runtimes agree on; else the taps of one size."""
    block, x = call.block, call[0]
    axis = block.axis % x.rank
    size = x.shape[axis]
    plain = not (block.antialias or block.exclude_outside)
    whole = block.factor is None or (size is not None and (block.factor * size) % 1 == 0)
    known = _OF_ANY_LENGTH + (_OF_WHOLE_LENGTH if whole else ())
    images = block.mode == "nearest" or (x.rank == 4 and axis > 1)
    same = block.ratio is None or (size is not None and block.ratio == block.out / size)
    exact = block.factor is None or float(np.float32(block.factor)) == block.factor
    if not (plain and images and same and exact and block.coordinates in known):
        return call.write(block.taken_at(call.fixed(0, slice(axis, axis + 1))[0]), x)
    by_factor = block.factor is not None
    return call.node(
        "Resize",
        x,
        None,
        call.array(np.array([block.factor], np.float32)) if by_factor else None,
        None if by_factor else (block.out,),
        axes=(axis,),
        mode=block.mode,
        coordinate_transformation_mode=block.coordinates,
        nearest_mode=block.nearest if block.mode == "nearest" else None,
        cubic_coeff_a=float(block.cubic_a) if block.mode == "cubic" else None,
    )


@writer(B.Resample)
def resample(call: Any) -> Any:
    block = call.block
    if block.plain:
        return call.write(B.Take(block.indices[:, 0], block.axis), call[0])
    return _product(call, _matrix(block))


@writer(B.ResampleTransposed)
def resample_transposed(call: Any) -> Any:
    return _product(call, _matrix(call.block).T)


def _matrix(block: Any) -> np.ndarray:
    """y = M x along the axis, (out, size)."""
    matrix = np.zeros((len(block.indices), block.size))
    np.add.at(matrix, (np.arange(len(matrix))[:, None], block.indices), block.weights)
    return matrix


def _product(call: Any, matrix: np.ndarray) -> Any:
    """A matrix times each line along the axis."""
    rank = call[0].rank
    axis = call.block.axis % rank
    if axis == rank - 1:
        return call.node("MatMul", call[0], matrix.T)
    if axis == rank - 2:
        return call.node("MatMul", matrix, call[0])
    swap = list(range(rank))
    swap[axis], swap[-1] = rank - 1, axis
    y = call.node("MatMul", call.node("Transpose", call[0], perm=swap), matrix.T)
    return call.node("Transpose", y, perm=swap)


@writer(B.DepthToSpace)
def depth_to_space(call: Any) -> Any:
    mode = "DCR" if call.block.depth_first else "CRD"
    return call.node("DepthToSpace", call[0], blocksize=call.block.block, mode=mode)


@writer(B.SpaceToDepth)
def space_to_depth(call: Any) -> Any:
    """ONNX puts depth first; the other order permutes the channels afterwards."""
    y = call.node("SpaceToDepth", call[0], blocksize=call.block.block)
    if call.block.depth_first:
        return y
    taps, channels = call.block.block**2, call.channels()
    order = np.arange(taps * channels).reshape(taps, channels).T.reshape(-1)
    return call.node("Gather", y, order, axis=1)
