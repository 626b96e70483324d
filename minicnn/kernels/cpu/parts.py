"""Parts of an image, in which changed boxes are pasted: what an incremental run reads.

For each n, a box of h x w places cut out of one image, with `filling` beyond its border, and a
changed box laid over it:

    y[n, :, i, j] = changed[n] where it lies there, else clean where that lies there, else filling

Source: materialised views of a network's layers, Nakandala et al., SIGMOD 2019 (Krypton).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import load_some, store_some
from minicnn.kernels.cpu.laid import Laid, pixels, workers_for
from minicnn.kernels.cpu.program import Place, Program
from minicnn.kernels.cpu.vector import LANES, load_int, load_one, spread
from minicnn.kernels.memory import empty_image

__all__ = ["parts"]


@inline
def _copied(source, target, count):
    for i in range(0, count, LANES):
        store_some(load_some(source + 4 * i, count - i), target + 4 * i, count - i)


@inline
def _filled(value, target, count):
    for i in range(0, count, LANES):
        store_some(value, target + 4 * i, count - i)


@inline
def _clean_run(source, row, first, last, height, width, channels, value, target):
    """Places first .. last of one row of the clean image, which may lie beyond it."""
    begin, end = min(max(first, 0), last), max(min(last, width), first)
    if row < 0 or row >= height or begin >= end:
        _filled(value, target, (last - first) * channels)
        return
    pixel = 4 * channels
    _filled(value, target, (begin - first) * channels)
    _copied(
        source + (row * width + begin) * pixel,
        target + (begin - first) * pixel,
        (end - begin) * channels,
    )
    _filled(value, target + (end - first) * pixel, (last - end) * channels)


@kernel
def pasted(
    worker, item, clean, height, width, channels, changed, inner_rows, inner_columns, places,
    filling, rows, columns, y,
):  # fmt: skip
    """One row of one part."""
    image, row = item // rows, item % rows
    own = places + 32 * image
    top, left = load_int(own), load_int(own + 8)
    inner_top, inner_left = load_int(own + 16), load_int(own + 24)
    value = spread(load_one(filling))
    pixel = 4 * channels
    target = y + item * columns * pixel
    at = top + row
    first = min(max(inner_left - left, 0), columns)  # the changed run, in columns of the part
    last = min(max(inner_left + inner_columns - left, first), columns)
    if at < inner_top or at >= inner_top + inner_rows or first == last:
        _clean_run(clean, at, left, left + columns, height, width, channels, value, target)
        return
    _clean_run(clean, at, left, left + first, height, width, channels, value, target)
    source = changed + ((image * inner_rows + at - inner_top) * inner_columns) * pixel
    _copied(
        source + (left + first - inner_left) * pixel,
        target + first * pixel,
        (last - first) * channels,
    )
    _clean_run(
        clean, at, left + last, left + columns, height, width, channels, value,
        target + last * pixel,
    )  # fmt: skip


@lru_cache(maxsize=512)
def _laid(
    clean: tuple[int, ...], changed: tuple[int, ...], size: tuple[int, int], workers: int
) -> Laid:
    program = Program(workers)
    program.step(
        pasted,
        changed[0] * size[0],
        clean=Place("clean"),
        height=clean[2],
        width=clean[3],
        channels=clean[1],
        changed=Place("changed"),
        inner_rows=changed[2],
        inner_columns=changed[3],
        places=Place("places"),
        filling=Place("filling"),
        rows=size[0],
        columns=size[1],
        y=Place("y"),
    )
    return Laid(program)


def parts(
    clean: np.ndarray,
    changed: np.ndarray,
    places: np.ndarray,
    size: tuple[int, int],
    filling: float,
) -> np.ndarray:
    """Parts of an image with changed boxes pasted in; see `reference.parts`."""
    y = empty_image((*changed.shape[:2], *size))
    laid = _laid(clean.shape, changed.shape, size, workers_for(y.size))
    laid(
        clean=pixels(clean),
        changed=pixels(changed),
        places=np.ascontiguousarray(places, np.int64),
        filling=np.array([filling], np.float32),
        y=y,
    )
    return y
