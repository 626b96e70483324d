"""Winograd's convolution: 3x3 filters at stride 1 with fewer multiplications.

Tiles of m x m outputs, m = 2 or 4, from tiles of e x e inputs, e = m + 2 (one axis; two axes are
one after the other):

    y = A^T [ (G w) * (B^T x) ]        * element by element, summed over channels

    F(2,3)  B^T = 1  0 -1  0     G = 1    0    0      A^T = 1  1  1  0
                  0  1  1  0         1/2  1/2  1/2          0  1 -1 -1
                  0 -1  1  0         1/2 -1/2  1/2
                  0  1  0 -1         0    0    1

    F(4,3)  the matrices below, with points 0, 1, -1, 2, -2, infinity

The sums over channels are e^2 matrix products, pixels being tiles: 4/9 of direct convolution's
multiplications for m = 2, 1/4 for m = 4. Filters are transformed once, in float64. The transforms
make errors larger: about 1e-6 of max|y| for m = 2, 1e-5 for m = 4.

The transpose of a stride-1 convolution is one too, with the filters turned round.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiled import inline, within
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some
from minicnn.kernels.cpu.ending import finish_tile, mode_of
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.vector import (
    LANES,
    either,
    load,
    some,
    spread,
    store,
)

__all__ = ["FILTER", "LINE", "store_zeros", "transform_input", "transform_output"]

FILTER = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}
"""G for m = 2 and 4."""

LINE = 4 * COLUMNS  # bytes of a panel's line


@within
def _input_2(source, step, target, target_step):
    """B^T x for m = 2, of four vectors; gives the bits that any of them has."""
    x0, x1 = load(source), load(source + step)
    x2, x3 = load(source + 2 * step), load(source + 3 * step)
    store(x0 - x2, target)
    store(x1 + x2, target + target_step)
    store(x2 - x1, target + 2 * target_step)
    store(x1 - x3, target + 3 * target_step)
    return either(either(x0, x1), either(x2, x3))


@within
def _input_4(source, step, target, target_step):
    """B^T x for m = 4, of six vectors; gives the bits that any of them has."""
    x0, x1, x2 = load(source), load(source + step), load(source + 2 * step)
    x3, x4, x5 = load(source + 3 * step), load(source + 4 * step), load(source + 5 * step)
    two, four, five = spread(2.0), spread(4.0), spread(5.0)
    even, odd = x4 - four * x2, x3 - four * x1
    store(four * x0 - five * x2 + x4, target)
    store(even + odd, target + target_step)
    store(even - odd, target + 2 * target_step)
    even, odd = x4 - x2, two * (x3 - x1)
    store(even + odd, target + 3 * target_step)
    store(even - odd, target + 4 * target_step)
    store(four * x1 - five * x3 + x5, target + 5 * target_step)
    return either(either(either(x0, x1), either(x2, x3)), either(x4, x5))


@within
def _output_2(source, step, target, target_step):
    """A^T p for m = 2, of four vectors."""
    p1, p2 = load(source + step), load(source + 2 * step)
    store(load(source) + p1 + p2, target)
    store(p1 - p2 - load(source + 3 * step), target + target_step)


@within
def _output_4(source, step, target, target_step):
    """A^T p for m = 4, of six vectors."""
    p1, p2 = load(source + step), load(source + 2 * step)
    p3, p4 = load(source + 3 * step), load(source + 4 * step)
    two, four, eight = spread(2.0), spread(4.0), spread(8.0)
    plus, minus, plus_far, minus_far = p1 + p2, p1 - p2, p3 + p4, p3 - p4
    store(load(source) + plus + plus_far, target)
    store(minus + two * minus_far, target + target_step)
    store(plus + four * plus_far, target + 2 * target_step)
    store(minus + eight * minus_far + load(source + 5 * step), target + 3 * target_step)


@within
def transform_input(
    m, tile, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column, across, down,
    v, v_step, patch,
):  # fmt: skip
    """B^T x B of a tile into v[place][channel]; gives whether any of its inputs is not zero.

    `patch` is memory for one tile of inputs and one half-transformed one.
    """
    e = m + 2
    half = patch + e * e * VECTOR
    column = tile % across * m - pad_column
    row = tile // across
    image, row = row // down, row % down * m - pad_row
    inside = row >= 0 and column >= 0 and row + e <= height and column + e <= width
    bits = spread(0.0)
    for channel in range(0, channels, LANES):
        count = min(LANES, channels - channel)
        source = x + image * x_image + row * x_row + column * x_pixel + 4 * channel
        source_row, source_pixel = x_row, x_pixel
        if not inside or count < LANES:
            for i in range(e):
                for j in range(e):
                    at = patch + (i * e + j) * VECTOR
                    if 0 <= row + i < height and 0 <= column + j < width:
                        store(load_some(source + i * x_row + j * x_pixel, count), at)
                    else:
                        store(spread(0.0), at)
            source, source_row, source_pixel = patch, e * VECTOR, VECTOR
        target = v + 4 * channel
        for j in range(e):
            at = source + j * source_pixel
            if m == 4:
                found = _input_4(at, source_row, half + j * VECTOR, e * VECTOR)
            else:
                found = _input_2(at, source_row, half + j * VECTOR, e * VECTOR)
            bits = either(bits, found)
        for i in range(e):
            if m == 4:
                _input_4(half + i * e * VECTOR, VECTOR, target + i * e * v_step, v_step)
            else:
                _input_2(half + i * e * VECTOR, VECTOR, target + i * e * v_step, v_step)
    return some(bits)


@within
def transform_output(
    m, tile, products, p_step, p_panel, first_panel, last_panel, filters, rows, columns, across,
    down, half, ending,
):  # fmt: skip
    """A^T p A of a tile, finished and stored; `products` is its line.

    `half` is memory for a half-transformed tile and for the lines of pixels to be finished.
    """
    e = m + 2
    whole = half + e * m * VECTOR
    column = tile % across * m
    row = tile // across
    image, row = row // down, row % down * m
    mode = mode_of(ending, image)
    high, wide = min(m, rows - row), min(m, columns - column)
    for panel in range(first_panel, last_panel):
        for v in range(0, LINE, VECTOR):
            source = products + panel * p_panel + v
            for j in range(e):
                if m == 4:
                    _output_4(source + j * p_step, e * p_step, half + j * VECTOR, e * VECTOR)
                else:
                    _output_2(source + j * p_step, e * p_step, half + j * VECTOR, e * VECTOR)
            for i in range(high):  # a line too long is written over by the next
                line = whole + i * wide * LINE + v
                if m == 4:
                    _output_4(half + i * e * VECTOR, VECTOR, line, LINE)
                else:
                    _output_2(half + i * e * VECTOR, VECTOR, line, LINE)
        channel = panel * COLUMNS
        finish_tile(
            whole, high * wide, ending, mode, image, row, column, column, column + wide, channel,
            filters - channel,
        )  # fmt: skip


@inline
def store_zeros(m, tile, filters, rows, columns, across, down, whole, ending):
    """A tile whose inputs are all zero, finished and stored."""
    column = tile % across * m
    row = tile // across
    image, row = row // down, row % down * m
    mode = mode_of(ending, image)
    high, wide = min(m, rows - row), min(m, columns - column)
    for i in range(0, high * wide * LINE, VECTOR):
        store(spread(0.0), whole + i)
    for channel in range(0, filters, COLUMNS):
        finish_tile(
            whole, high * wide, ending, mode, image, row, column, column, column + wide, channel,
            filters - channel,
        )  # fmt: skip
