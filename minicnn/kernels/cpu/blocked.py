"""The general matrix product, in blocks that stay in the cache of one core.

    c = finish(a b)        of matrices, or of stacks of matrices

An item is a block of rows by a block of columns of c. It goes along the inner index in blocks of
DEPTH: copies its part of a and b to memory where lines follow each other, b in panels of COLUMNS,
and lets the micro-kernel add to its tiles. Either operand may be stored row by row or column by
column: a by columns serves the micro-kernel as it is, b by columns is turned round while copied.

Each number of c is one chain of additions in the order of the inner index, whatever the blocks.

Source: Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, copy, load_some, turn
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.product import COLUMNS, multiply, multiply_half, multiply_narrow
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import LANES, ROWS, load, load_int, store, store_int

__all__ = [
    "LINE",
    "TILE",
    "Matrix",
    "add_to_tile",
    "copy_panels",
    "lay_blocked",
    "spaced",
    "split",
    "turned",
]

DEPTH = 256  # of the inner index, at a time
HIGH, WIDE = 12 * ROWS, 8 * COLUMNS  # rows and columns an item, at most
LINE = 4 * COLUMNS  # bytes of a panel's or tile's line
TILE = ROWS * LINE
CORNER = -(-8 * (ROWS + 1) // 64) * 64  # where in scratch memory, after the table of addresses,
PACKED = CORNER + LANES * VECTOR  # a block to be turned and packed operands begin


def spaced(size: int) -> int:
    """A distance in bytes, at least `size`, at which many lines do not share their cache sets."""
    return -(-size // 128) * 128 + 64


def split(length: int, most: int, multiple: int) -> int:
    """Parts of equal size, multiples of a number and at most `most`, that make up a length."""
    parts = max(1, -(-length // most))
    return -(-length // (parts * multiple)) * multiple


@inline
def add_to_tile(table, terms, tile, depth, a_step, b_step, rows, columns, again):
    """The micro-kernel that suits the rows and columns left; `again`: add to what stands there."""
    if columns <= LANES:
        multiply_narrow(table, terms, tile, depth, a_step, b_step, again)
    elif rows <= ROWS // 2:
        multiply_half(table, terms, tile, depth, a_step, b_step, again)
    else:
        multiply(table, terms, tile, depth, a_step, b_step, again)


@inline
def turned(source, step, rows, count, target, target_step, corner):
    """Turn up to LANES rows of up to LANES numbers; LANES lines are written.

    Whole blocks are read where they stand. Others are copied to `corner` first, and filled up.
    """
    if rows < LANES or count < LANES:
        for i in range(LANES):
            row = min(i, rows - 1)
            store(load_some(source + row * step, count), corner + i * VECTOR)
        source, step = corner, VECTOR
    turn(source, step, target, target_step)


@inline
def copy_panels(source, target, panel_bytes, columns):
    """Copy a row of numbers into one line of each panel; zeros fill the last vector."""
    whole = columns // COLUMNS
    for panel in range(whole):
        for v in range(0, LINE, VECTOR):
            store(load(source + panel * LINE + v), target + panel * panel_bytes + v)
    if whole * COLUMNS < columns:
        copy(source + whole * LINE, target + whole * panel_bytes, columns - whole * COLUMNS)


@inline
def _pack_panels(source, step, by_column, depth, columns, target, corner):
    """Copy depth x columns numbers of b into panels [panel][depth][COLUMNS]."""
    panel_bytes = depth * LINE
    if by_column == 4:
        for k in range(depth):
            copy_panels(source + k * step, target + k * LINE, panel_bytes, columns)
        return
    for first in range(0, columns, LANES):
        panel = target + first // COLUMNS * panel_bytes + 4 * (first % COLUMNS)
        rows = min(LANES, columns - first)
        for k in range(0, depth, LANES):  # the lines too many of a panel are the next one's first
            there = source + first * by_column + 4 * k
            turned(there, by_column, rows, min(LANES, depth - k), panel + k * LINE, LINE, corner)


@kernel
def blocked(
    worker, item, places, a, a_row, a_step, b, b_step, b_column, rows, columns, depth,
    rows_an_item, columns_an_item, spacing, panels, tiles, scratch, scratch_size, ending,
):  # fmt: skip
    """Some rows and columns of one product of a stack.

    `places` holds the offsets of each a and b in bytes. Steps are in bytes; one of a's is 4, and
    one of b's. `spacing` is the distance of packed lines of a; `panels` and `tiles` say where in
    scratch memory packed panels of b and tiles of c begin.
    """
    table = scratch + worker * scratch_size
    lines = table + PACKED
    panels += table
    tiles += table

    row_parts = (rows + rows_an_item - 1) // rows_an_item
    column_parts = (columns + columns_an_item - 1) // columns_an_item
    first_row = item % row_parts * rows_an_item
    item //= row_parts
    first_column = item % column_parts * columns_an_item
    matrix = item // column_parts
    high = min(rows_an_item, rows - first_row)
    wide = min(columns_an_item, columns - first_column)
    a += load_int(places + 16 * matrix) + first_row * a_row
    b += load_int(places + 16 * matrix + 8) + first_column * b_column
    panel_tiles = (rows_an_item + ROWS - 1) // ROWS * TILE

    for k in range(0, depth, DEPTH):
        count = min(DEPTH, depth - k)
        if a_step == 4:
            row, step = spacing, 4
            for m in range(high):
                copy(a + m * a_row + 4 * k, lines + m * spacing, count)
        else:
            row, step = 4, spacing
            for i in range(count):
                copy(a + (k + i) * a_step, lines + i * spacing, high)
        _pack_panels(b + k * b_step, b_step, b_column, count, wide, panels, table + CORNER)
        for first in range(0, wide, COLUMNS):
            panel = first // COLUMNS
            store_int(panels + panel * count * LINE, table + 8 * ROWS)
            for m in range(0, high, ROWS):
                for i in range(ROWS):
                    store_int(lines + min(m + i, high - 1) * row, table + 8 * i)
                tile = tiles + panel * panel_tiles + m // ROWS * TILE
                add_to_tile(table, 1, tile, count, step, LINE, high - m, wide - first, k)

    for m in range(high):
        image = matrix * rows + first_row + m
        mode = mode_of(ending, image)
        line = tiles + m // ROWS * TILE + m % ROWS * LINE
        for first in range(0, wide, LANES):
            sums = load(line + first // COLUMNS * panel_tiles + 4 * (first % COLUMNS))
            left = min(LANES, wide - first)
            finish(sums, ending, mode, image, 0, 0, first_column + first, left)


@dataclass(frozen=True)
class Matrix:
    """A matrix in memory, or the first of a stack.

    Parameters
    ----------
    place : Place
    rows, columns : int
    row, column : int
        Floats from one row, or column, to the next; one of them is 1.
    """

    place: Place
    rows: int
    columns: int
    row: int
    column: int = 1

    @property
    def turned(self) -> Matrix:
        """The transpose."""
        return Matrix(self.place, self.columns, self.rows, self.column, self.row)


def lay_blocked(
    program: Program, a: Matrix, b: Matrix, y: Image, places: np.ndarray, **epilogue: Any
) -> None:
    """Add y = finish(a b), for each line of `places`: offsets in bytes of an a and a b.

    Row m of product i is image i a.rows + m of y; columns are channels.
    """
    matrices = len(places)
    high = split(a.rows, HIGH, ROWS)
    wide = split(b.columns, WIDE, COLUMNS)

    def items() -> int:
        return matrices * -(-a.rows // high) * -(-b.columns // wide)

    while items() < 8 and wide > 2 * COLUMNS:
        wide = split(wide, wide // 2, COLUMNS)
    while items() < 8 and high > 2 * ROWS:
        high = split(high, high // 2, ROWS)
    depth = min(a.columns, DEPTH)
    by_rows = a.column == 1
    spacing = spaced(4 * (depth if by_rows else high))
    panels = PACKED + spacing * (high if by_rows else depth)
    tiles = panels + (depth * (wide // COLUMNS) + LANES) * LINE
    size = spaced(tiles + -(-high // ROWS) * TILE * (wide // COLUMNS))
    program.step(
        blocked,
        items(),
        places=program.constant(places),
        a=a.place,
        a_row=4 * a.row,
        a_step=4 * a.column,
        b=b.place,
        b_step=4 * b.row,
        b_column=4 * b.column,
        rows=a.rows,
        columns=b.columns,
        depth=a.columns,
        rows_an_item=high,
        columns_an_item=wide,
        spacing=spacing,
        panels=panels,
        tiles=tiles,
        scratch=program.scratch_memory(size * program.workers),
        scratch_size=size,
        ending=program.ending(y, **epilogue),
    )
