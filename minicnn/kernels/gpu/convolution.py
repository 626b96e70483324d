"""Convolution and its transpose on the card, for any geometry; see `sources/convolution.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import aligned, empty, processors, steps
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.problems import Convolution

__all__ = [
    "COLUMNS",
    "IMPLICIT",
    "as_matrix",
    "finish_product",
    "geometry",
    "largest_phase",
    "pack",
    "product",
    "run",
    "splits_of",
]

COLUMNS, DEPTH = 64, 8
TILES = {128: 3, 64: 6}  # rows of a block's tile, and how many such blocks a processor holds
WORTH = 512  # inner indices that are worth a split of their own
_PRODUCT, _FINISH = Kernel("convolution", "convolution"), Kernel("convolution", "finish")

Size = tuple[int, ...]


def pack(w: Any, groups: int, transposed: bool) -> Any:
    """Filters (O, C/groups, h, w) as the kernel reads them: (groups, taps, depth, columns).

    Columns are filled up with zeros to a multiple of eight.
    """
    filters, channels = w.shape[0] // groups, w.shape[1]
    by_tap = w.reshape(groups, filters, channels, -1)
    by_tap = by_tap.transpose(0, 3, 1, 2) if transposed else by_tap.transpose(0, 3, 2, 1)
    packed = empty(w, (*by_tap.shape[:3], -(-by_tap.shape[3] // 8) * 8))
    packed[..., by_tap.shape[3] :] = 0
    packed[..., : by_tap.shape[3]] = by_tap
    return packed


def geometry(window: Window, batch: int) -> dict[str, int]:
    """A window as the parameters of `walk.cuh`."""
    names = ("kernel", "stride", "dilation")
    pairs = (window.kernel, window.stride, window.dilation)
    found = {"batch": batch, "pad_top": window.pads[0], "pad_left": window.pads[1]}
    for name, (down, across) in zip(names, pairs, strict=True):
        found[f"{name}_height"], found[f"{name}_width"] = down, across
    return found


def run(x: Any, packed: Any, problem: Convolution, y: Any, ending: Ending) -> None:
    """Compute a problem for a batch of images with channels last, into `y`.

    Parameters
    ----------
    x : array (N, C, H, W)
        The image; of the transposed problem, the signal.
    packed : array
        What `pack` gave.
    problem : Convolution
        What is computed for each image.
    y : array
        The result, channels last.
    ending : Ending
        What happens to results before they are stored.
    """
    window, groups = problem.window, problem.groups
    _, taps, depth, padded = packed.shape
    phases = window.stride[0] * window.stride[1] if problem.transposed else 1
    pixels = y.shape[2] * y.shape[3]
    single = -(-pixels // phases)  # pixels of a phase of one image
    tile, splits = _tiling(x, single, y.shape[0], padded, groups * phases, taps * depth)
    whole = aligned(y) and (groups == 1 or problem.columns % 4 == 0)
    constants = {"TRANSPOSED": int(problem.transposed), "ALIGNED": int(whole)}
    vector = int(depth % 4 == 0 and aligned(x) == 1)
    rows = y.shape[0] * largest_phase(y.shape[2:], window, problem.transposed)
    row_blocks, parts = blocks_of(rows, tile), groups * phases
    own = problem.columns
    shared = {**geometry(window, y.shape[0]), **ending.arguments(y, own)}
    groupwise = {"columns": own, "padded": padded, "groups": groups, "phases": phases,
                 "splits": splits, "y_group": own}  # fmt: skip
    partial = None
    if splits > 1:
        partial = empty(x, (parts * splits, row_blocks * tile, padded))
    _PRODUCT(
        (row_blocks * parts * splits, blocks_of(padded, COLUMNS)), tile * COLUMNS // 64, x.dtype,
        {**constants, "VECTOR": vector, **_tile_constants(tile, x.dtype)},
        **steps("x", x), x_group=depth, height=x.shape[2], width=x.shape[3], weights=packed,
        depth=depth, partial=partial, row_blocks=row_blocks, **groupwise, **shared,
    )  # fmt: skip
    if splits > 1:
        items = blocks_of(rows * padded // 8, 128)
        _FINISH(
            (items * parts,), 128, x.dtype,
            {**constants, "VECTOR": 0, **_tile_constants(64, x.dtype)}, partial=partial,
            rows_each=row_blocks * tile, item_blocks=items, **groupwise, **shared,
        )  # fmt: skip


def largest_phase(size: Size, window: Window, transposed: bool) -> int:
    """Pixels of the largest phase of an image of a size."""
    if not transposed:
        return size[0] * size[1]
    return -(-size[0] // window.stride[0]) * -(-size[1] // window.stride[1])


def _tile_constants(tile: int, dtype: Any) -> dict[str, int]:
    blocks = TILES[tile] if np.dtype(dtype) == np.float32 else 1
    return {"ROWS": tile, "COLUMNS": COLUMNS, "BLOCKS": blocks}


def _tiling(
    like: Any, pixels: int, batch: int, padded: int, parts: int, inner: int
) -> tuple[int, int]:
    """Rows of a block, and into how many parts the inner index is split.

    The split, and with it the last bits of a result, depends on one image and not on the batch.
    """
    blocks = blocks_of(pixels * batch, 128) * blocks_of(padded, COLUMNS) * parts
    tile = 128 if blocks >= TILES[128] * processors(like) else 64
    return tile, splits_of(like, pixels, padded, parts, inner)


def splits_of(like: Any, pixels: int, padded: int, parts: int, inner: int) -> int:
    """Into how many parts the inner index is split, so that one image keeps the card busy."""
    blocks = blocks_of(pixels, 64) * blocks_of(padded, COLUMNS) * parts
    return max(1, min(inner // WORTH, processors(like) * TILES[64] // max(1, blocks), 16))


IMPLICIT = Method("implicit", pack, run)


def product(a: Any, b: Any, c: Any, ending: Ending | None = None) -> None:
    """c = a b for stacks of matrices (S, M, K), (S, K, N filled up to eights), (S, M, N).

    The same kernel with one tap. Unlike cuBLAS it can be captured into graphs, and a row's result
    does not depend on the other rows.
    """
    stack, rows, depth = a.shape
    single, batch = (1, rows) if stack == 1 else (rows, 1)
    tile, splits = _tiling(a, single, batch, b.shape[2], stack, depth)
    _multiply(a, b, c, ending or Ending(), tile, splits)


def _multiply(a: Any, b: Any, c: Any, ending: Ending, tile: int, splits: int) -> None:
    stack, rows, depth = a.shape
    padded, number = b.shape[2], a.itemsize
    row_step = a.strides[1] // number
    vector = depth % 4 == 0 and row_step % 4 == 0 and a.data.ptr % 16 == 0
    row_blocks = blocks_of(rows, tile)
    partial = None if splits == 1 else empty(a, (stack * splits, row_blocks * tile, padded))
    shared, constants = _as_pixels(a, b, c, ending, splits)
    _PRODUCT(
        (row_blocks * stack * splits, blocks_of(padded, COLUMNS)), tile * COLUMNS // 64, a.dtype,
        {**constants, "VECTOR": int(vector), **_tile_constants(tile, a.dtype)},
        x=a, x_image=row_step, x_row=0, x_pixel=0, x_group=a.strides[0] // number,
        height=1, width=1, weights=b, depth=depth, partial=partial, row_blocks=row_blocks, **shared,
    )  # fmt: skip
    if splits > 1:
        finish_product(a, b, c, ending, partial, splits, row_blocks * tile)


def finish_product(
    a: Any, b: Any, c: Any, ending: Ending, partial: Any, splits: int, rows_each: int
) -> None:
    """Add up what splits of a product left in `partial`, and end."""
    stack, rows, _ = a.shape
    shared, constants = _as_pixels(a, b, c, ending, splits)
    items = blocks_of(rows * b.shape[2] // 8, 128)
    _FINISH(
        (items * stack,), 128, a.dtype,
        {**constants, "VECTOR": 0, **_tile_constants(64, a.dtype)},
        partial=partial, rows_each=rows_each, item_blocks=items, **shared,
    )  # fmt: skip


def _as_pixels(
    a: Any, b: Any, c: Any, ending: Ending, splits: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """Rows of a product as the images of a 1x1 convolution, so that bits and modes go by rows."""
    stack, rows, columns = c.shape
    flat = geometry(Window((1, 1), (1, 1), (0,) * 4, (1, 1)), rows)
    own = ending.arguments(c.reshape(stack * rows, columns), columns)
    groupwise = {"columns": 0, "padded": b.shape[2], "groups": stack, "phases": 1,
                 "splits": splits, "y_group": rows * columns}  # fmt: skip
    whole = columns % 4 == 0 and c.data.ptr % 16 == 0
    return {**flat, **own, **groupwise}, {"TRANSPOSED": 0, "ALIGNED": int(whole)}


def as_matrix(w: Any) -> Any:
    """A matrix (K, N) as `product` reads it: (1, K, N filled up to a multiple of eight)."""
    packed = empty(w, (1, w.shape[0], -(-w.shape[1] // 8) * 8))
    packed[0, :, w.shape[1] :] = 0
    packed[0, :, : w.shape[1]] = w
    return packed
