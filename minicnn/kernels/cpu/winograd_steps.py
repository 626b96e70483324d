"""The steps of Winograd's convolution: tiles in, products, tiles out.

together    all three for some tiles at a time, in memory that stays near one core
apart       one after the other for all tiles, so that each filter is read once

Kernels that transform tiles are made for one m, which is then a constant of their code.
"""

from __future__ import annotations

from functools import cache

from minicnn.kernels.cpu.compiled import Kernel, inline, kernel, variant
from minicnn.kernels.cpu.dense_lanes import VECTOR
from minicnn.kernels.cpu.direct import multiply_tile
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.vector import ROWS, load_int, store_int
from minicnn.kernels.cpu.winograd import LINE, store_zeros, transform_input, transform_output

__all__ = [
    "HELD",
    "MOST",
    "PATCH",
    "TABLE",
    "apart_input",
    "apart_output",
    "apart_product",
    "together",
]

TABLE = 8 * (ROWS + 1) + 8  # bytes for the products' table of addresses
MOST = 56  # tiles held by a core
HELD = 8 * MOST
PATCH = 2 * 36 * VECTOR + 64  # and for a tile of inputs and a half-transformed one


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
                target = products + place * p_step + panel * p_panel + tile * LINE
                left = filters_left - panel * COLUMNS
                multiply_tile(table, 1, target, channels, 4, LINE, tiles - tile, left)


@cache
def together(m: int) -> Kernel:
    """The kernel for tiles of m x m outputs."""

    @variant(m)
    def together_kernel(
        worker, item, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
        tiles, tiles_an_item, held, across, down, filters, panels, columns_out, rows, columns,
        scratch, scratch_size, v_step, v_tile, p_step, p_panel, ending,
    ):  # fmt: skip
        """Some tiles from input to output, in memory that stays near one core.

        Tiles without anything but zeros, as signals of single units have many, are skipped: the
        others are held until there are `held` of them, and go through the products together.
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
                if transform_input(
                    m, tile, x, x_image, x_row, x_pixel, height, width, channels, pad_row,
                    pad_column, across, down, v + count * v_tile, v_step, patch,
                ):  # fmt: skip
                    store_int(tile, numbers + 8 * count)
                    count += 1
                else:
                    store_zeros(m, tile, columns_out, rows, columns, across, down, patch, ending)
                tile += 1
            _products(
                0, places, count, v, v_step, v_tile, channels, filters, panels, 0, panels,
                columns_out, products, p_step, p_panel, table,
            )  # fmt: skip
            for number in range(count):
                transform_output(
                    m, load_int(numbers + 8 * number), products + number * LINE, p_step, p_panel,
                    0, panels, columns_out, rows, columns, across, down, patch, ending,
                )  # fmt: skip

    return together_kernel


@cache
def apart_input(m: int) -> Kernel:
    """The kernel for tiles of m x m outputs."""

    @variant(m)
    def apart_input_kernel(
        worker, item, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
        tiles, tiles_an_item, across, down, scratch, scratch_size, v, v_step, v_tile,
    ):  # fmt: skip
        """First of three steps: the inputs of some tiles."""
        first = item * tiles_an_item
        for tile in range(first, min(first + tiles_an_item, tiles)):
            transform_input(
                m, tile, x, x_image, x_row, x_pixel, height, width, channels, pad_row, pad_column,
                across, down, v + tile * v_tile, v_step, scratch + worker * scratch_size,
            )  # fmt: skip

    return apart_input_kernel


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


@cache
def apart_output(m: int) -> Kernel:
    """The kernel for tiles of m x m outputs."""

    @variant(m)
    def apart_output_kernel(
        worker, item, tiles, tiles_an_item, across, down, products, p_step, p_panel, panels,
        panels_an_item, columns_out, rows, columns, scratch, scratch_size, ending,
    ):  # fmt: skip
        """Third: the outputs of some tiles and panels."""
        parts = (panels + panels_an_item - 1) // panels_an_item
        first = item // parts * tiles_an_item
        first_panel = item % parts * panels_an_item
        for tile in range(first, min(first + tiles_an_item, tiles)):
            transform_output(
                m, tile, products + tile * LINE, p_step, p_panel, first_panel,
                min(first_panel + panels_an_item, panels), columns_out, rows, columns, across, down,
                scratch + worker * scratch_size, ending,
            )  # fmt: skip

    return apart_output_kernel
