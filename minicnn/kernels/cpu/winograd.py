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

from minicnn.kernels.cpu.compiled import inline, kernel, within
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some
from minicnn.kernels.cpu.direct import multiply_tile
from minicnn.kernels.cpu.ending import finish_tile, mode_of
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.vector import (
    LANES,
    ROWS,
    either,
    load,
    load_int,
    some,
    spread,
    store,
    store_int,
)

__all__ = ["FILTER", "apart_input", "apart_output", "apart_product", "together"]

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
def _transform_input(
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


@inline
def _input(m, *args):
    """The same with m known when it is compiled."""
    return _transform_input(4, *args) if m == 4 else _transform_input(2, *args)


@inline
def _products(
    first, last, tiles, v, v_step, v_tile, channels, filters, panels, first_panel, last_panel,
    filters_left, products, p_step, p_panel, table,
):  # fmt: skip
    """Sums over channels for places first .. last - 1: products[place][panel][tile][COLUMNS]."""
    for place in range(first, last):
        for panel in range(first_panel, last_panel):
            columns = 4 * channels * COLUMNS * (place * panels + panel)
            store_int(filters + columns, table + 8 * ROWS)
            for tile in range(0, tiles, ROWS):
                row = v + place * v_step + tile * v_tile
                for k in range(ROWS):
                    store_int(row + k * v_tile, table + 8 * k)
                target = products + place * p_step + panel * p_panel + tile * 4 * COLUMNS
                left = filters_left - panel * COLUMNS
                multiply_tile(table, 1, target, channels, 4, 4 * COLUMNS, tiles - tile, left)


@within
def _transform_output(
    m, tile, products, p_step, p_panel, first_panel, last_panel, filters, rows, columns, across,
    down, half, ending,
):  # fmt: skip
    """A^T p A of a tile, finished and stored; `products` is its line, or 0 where it is zero.

    `half` is memory for a half-transformed tile and for the lines of pixels to be finished.
    """
    e = m + 2
    whole = half + e * m * VECTOR
    column = tile % across * m
    row = tile // across
    image, row = row // down, row % down * m
    mode = mode_of(ending, image)
    high, wide = min(m, rows - row), min(m, columns - column)
    if products == 0:
        for i in range(0, high * wide * LINE, VECTOR):
            store(spread(0.0), whole + i)
    for panel in range(first_panel, last_panel):
        for v in range(0, LINE if products != 0 else 0, VECTOR):
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
def _output(m, *args):
    """The same with m known when it is compiled."""
    if m == 4:
        _transform_output(4, *args)
    else:
        _transform_output(2, *args)


TABLE = 8 * (ROWS + 1) + 8  # bytes for the products' table of addresses
MOST = 56  # tiles held by a core
HELD = 8 * MOST
PATCH = 2 * 36 * VECTOR + 64  # and for a tile of inputs and a half-transformed one


@kernel
def together(
    worker, item, m, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
    tiles, tiles_an_item, held, across, down, filters, panels, columns_out, rows, columns, scratch,
    scratch_size, v_step, v_tile, p_step, p_panel, ending,
):  # fmt: skip
    """Some tiles from input to output, in memory that stays near one core.

    Tiles without anything but zeros, as signals of single units have many, are skipped: the others
    are held until there are `held` of them, and go through the products together.
    """
    table = scratch + worker * scratch_size
    patch = table + TABLE
    numbers = patch + PATCH  # which tiles are held
    places = (m + 2) * (m + 2)
    v = numbers + HELD
    products = v + places * v_step
    tile = item * tiles_an_item
    last = min(tile + tiles_an_item, tiles)
    while tile < last:
        count = 0
        while tile < last and count < held:
            if _input(
                m, tile, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
                across, down, v + count * v_tile, v_step, patch,
            ):  # fmt: skip
                store_int(tile, numbers + 8 * count)
                count += 1
            else:
                _output(
                    m, tile, 0, 0, 0, 0, panels, columns_out, rows, columns, across, down, patch,
                    ending,
                )  # fmt: skip
            tile += 1
        _products(
            0, places, count, v, v_step, v_tile, channels, filters, panels, 0, panels, columns_out,
            products, p_step, p_panel, table,
        )  # fmt: skip
        for number in range(count):
            _output(
                m, load_int(numbers + 8 * number), products + number * 4 * COLUMNS, p_step, p_panel,
                0, panels, columns_out, rows, columns, across, down, patch, ending,
            )  # fmt: skip


@kernel
def apart_input(
    worker, item, m, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
    tiles, tiles_an_item, across, down, scratch, scratch_size, v, v_step, v_tile,
):  # fmt: skip
    """First of three steps: the inputs of some tiles."""
    first = item * tiles_an_item
    for tile in range(first, min(first + tiles_an_item, tiles)):
        _input(
            m, tile, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
            across, down, v + tile * v_tile, v_step, scratch + worker * scratch_size,
        )  # fmt: skip


@kernel
def apart_product(
    worker, item, tiles, v, v_step, v_tile, channels, filters, panels, panels_an_item, columns_out,
    products, p_step, p_panel, scratch, scratch_size,
):  # fmt: skip
    """Second: one place and some panels of all tiles; each filter is read once."""
    parts = (panels + panels_an_item - 1) // panels_an_item
    place, part = item // parts, item % parts
    first = part * panels_an_item
    _products(
        place, place + 1, tiles, v, v_step, v_tile, channels, filters, panels, first,
        min(first + panels_an_item, panels), columns_out, products, p_step, p_panel,
        scratch + worker * scratch_size,
    )  # fmt: skip


@kernel
def apart_output(
    worker, item, m, tiles, tiles_an_item, across, down, products, p_step, p_panel, panels,
    panels_an_item, columns_out, rows, columns, scratch, scratch_size, ending,
):  # fmt: skip
    """Third: the outputs of some tiles and panels."""
    parts = (panels + panels_an_item - 1) // panels_an_item
    first = item // parts * tiles_an_item
    first_panel = item % parts * panels_an_item
    for tile in range(first, min(first + tiles_an_item, tiles)):
        _output(
            m, tile, products + tile * 4 * COLUMNS, p_step, p_panel, first_panel,
            min(first_panel + panels_an_item, panels), columns_out, rows, columns, across, down,
            scratch + worker * scratch_size, ending,
        )  # fmt: skip
