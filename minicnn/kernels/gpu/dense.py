"""Linear layers on the card without cuBLAS: for graphs, and the same bits for any batch."""

from __future__ import annotations

from typing import Any

from minicnn.kernels.devices import module_of
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.convolution import as_matrix, finish_product, product, splits_of
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import empty

__all__ = ["linear", "pack"]

FEW = 16  # rows up to which weights are what takes the time
_ROWS = Kernel("dense", "rows_times_matrix")

pack = as_matrix


def linear(x: Any, packed: Any, y: Any, ending: Ending) -> None:
    """y = x w for rows x (N, K) and `pack(w)`, ended as the epilogue says; y (N, M) in C order."""
    x = module_of(x).ascontiguousarray(x)
    rows, depth = x.shape
    stack, result = x.reshape(1, rows, depth), y.reshape(1, *y.shape)
    if rows > FEW:
        product(stack, packed, result, ending)
        return
    padded, splits = packed.shape[2], splits_of(x, 1, packed.shape[2], 1, depth)
    partial = empty(x, (splits, rows, padded))
    together = min(8, 1 << (rows - 1).bit_length())
    _ROWS(
        (blocks_of(padded // 4, 64), splits, blocks_of(rows, together)), 64, x.dtype,
        {"ROWS": together}, x=x, x_row=depth, w=packed, rows=rows, depth=depth, padded=padded,
        splits=splits, rows_each=rows, partial=partial,
    )  # fmt: skip
    finish_product(stack, packed, result, ending, partial, splits, rows)
