"""Matrix products with few rows, as fast as memory gives the weights.

    y = finish(x W^T)      W (out, in) packed as panels [panel][in][COLUMNS], for networks that keep
                           them; or as it stands, in blocks of LANES x LANES, turned round
    y = finish(p W)        W in four rows at a time, of which a span of columns is added up in the
                           nearest cache; signals are sparse, and rows times 0 are left out

W is read once, as it stands, for all rows of x or p. Each number is one chain of additions in the
order of the inner index, as in `blocked`: the same bits with any number of rows.
"""

from __future__ import annotations

from typing import Any

from minicnn.kernels.cpu.blocked import LINE, TILE, Matrix, add_to_tile, split
from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some, turn
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import (
    LANES,
    ROWS,
    load,
    load_int,
    load_one,
    multiply_add,
    prefetch,
    spread,
    store,
    store_int,
)

__all__ = ["FEW", "lay_panels", "lay_streamed"]

FEW = 16  # rows of x that are computed in one reading of the weights
CHUNK = 4096 // LANES  # numbers of a row that are read in one run: those of LANES rows are 16 KiB
RUN = 4 * CHUNK + 64  # bytes from line to line of their copies, which must not share cache sets
TABLE = -(-8 * (ROWS + 1) // 64) * 64  # bytes of the micro-kernel's table of addresses
GRAIN = max(8, LANES)  # items begin at whole bytes of sign bits


@inline
def _add_block(numbers, step, batch, block, sums):
    """Add the products of LANES numbers of some rows of x with a turned block of W."""
    for _ in range(0, batch - 1, 2):
        first, second = load(sums), load(sums + VECTOR)
        for i in range(LANES):
            column = load(block + i * VECTOR)
            first = multiply_add(spread(load_one(numbers + 4 * i)), column, first)
            second = multiply_add(spread(load_one(numbers + step + 4 * i)), column, second)
        store(first, sums)
        store(second, sums + VECTOR)
        numbers += 2 * step
        sums += 2 * VECTOR
    if batch & 1:
        value = load(sums)
        for i in range(LANES):
            number = spread(load_one(numbers + 4 * i))
            value = multiply_add(number, load(block + i * VECTOR), value)
        store(value, sums)


@inline
def _fetch(line, w_row, rows, k, numbers, target, ahead):
    """Copy `numbers` numbers of some rows, from the k-th on, to lines RUN apart.

    Each row is read as one run of memory while the next one, and at last `ahead`, is asked for.
    """
    for i in range(rows):
        source, line_of = line + i * w_row + 4 * k, target + i * RUN
        coming = source + w_row if i + 1 < rows else ahead
        for at in range(0, 4 * (numbers // LANES * LANES), VECTOR):
            prefetch(coming + at)
            store(load(source + at), line_of + at)
        left = numbers % LANES
        if left > 0:
            whole = 4 * (numbers - left)
            store(load_some(source + whole, left), line_of + whole)


@kernel
def few_by_rows(
    worker, item, x, x_row, w, w_row, batch, inside, out, blocks_an_item, scratch, scratch_size,
    ending,
):  # fmt: skip
    """y = x W^T for some blocks of LANES rows of W."""
    block = scratch + worker * scratch_size
    sums = block + LANES * VECTOR
    lines = sums + batch * VECTOR
    first = item * blocks_an_item * LANES
    for channel in range(first, min(out, first + blocks_an_item * LANES), LANES):
        rows = min(LANES, out - channel)
        line = w + channel * w_row
        for n in range(batch):
            store(spread(0.0), sums + n * VECTOR)
        for k in range(0, inside, CHUNK):
            numbers = min(CHUNK, inside - k)
            following = line + 4 * (k + CHUNK) if k + CHUNK < inside else line + LANES * w_row
            _fetch(line, w_row, rows, k, numbers, lines, following)
            whole = numbers // LANES * LANES
            for i in range(0, whole, LANES):
                turn(lines + 4 * i, RUN, block, VECTOR)
                _add_block(x + 4 * (k + i), x_row, batch, block, sums)
            if whole < numbers:
                turn(lines + 4 * whole, RUN, block, VECTOR)
                for n in range(batch):
                    value = load(sums + n * VECTOR)
                    for i in range(numbers - whole):
                        number = load_one(x + n * x_row + 4 * (k + whole + i))
                        value = multiply_add(spread(number), load(block + i * VECTOR), value)
                    store(value, sums + n * VECTOR)
        for n in range(batch):
            value = load(sums + n * VECTOR)
            finish(value, ending, mode_of(ending, n), n, 0, 0, channel, rows)


@kernel
def few_by_panels(
    worker, item, x, x_row, w, batch, inside, out, panels_an_item, scratch, scratch_size, ending
):  # fmt: skip
    """y = x W^T for some panels of W; each is read once for every ROWS rows of x."""
    table = scratch + worker * scratch_size
    tile = table + TABLE
    panels = (out + COLUMNS - 1) // COLUMNS
    for panel in range(item * panels_an_item, min((item + 1) * panels_an_item, panels)):
        store_int(w + panel * inside * LINE, table + 8 * ROWS)
        channel = panel * COLUMNS
        left = out - channel
        for first in range(0, batch, ROWS):
            rows = min(ROWS, batch - first)
            for m in range(ROWS):
                store_int(x + (first + min(m, rows - 1)) * x_row, table + 8 * m)
            add_to_tile(table, 1, tile, inside, 4, LINE, rows, left, 0)
            for m in range(rows):
                n = first + m
                mode, sums = mode_of(ending, n), tile + m * LINE
                finish(load(sums), ending, mode, n, 0, 0, channel, min(left, LANES))
                if left > LANES:
                    rest = min(left - LANES, LANES)
                    sums += VECTOR
                    finish(load(sums), ending, mode, n, 0, 0, channel + LANES, rest)


@inline
def _add_row(number, line, sums, width):
    """Add a number times a row, or some columns of it."""
    for i in range(0, width, LANES):
        value = multiply_add(number, load_some(line + 4 * i, width - i), load(sums + 4 * i))
        store(value, sums + 4 * i)


@inline
def _find_rows(p, p_row, batch, out, target):
    """Write down which rows of W count: those whose number is not 0 in every row of p."""
    count = 0
    for k in range(out):
        for n in range(batch):
            if load_one(p + n * p_row + 4 * k) != 0:
                store_int(k, target + 8 * count)
                count += 1
                break
    return count


@inline
def _add_four(p, rows, line, step, sums, width):
    """Add four numbers times four rows, whose numbers stand at `rows`; whole vectors."""
    k0, k1, k2, k3 = load_int(rows), load_int(rows + 8), load_int(rows + 16), load_int(rows + 24)
    p0, p1 = spread(load_one(p + 4 * k0)), spread(load_one(p + 4 * k1))
    p2, p3 = spread(load_one(p + 4 * k2)), spread(load_one(p + 4 * k3))
    w0, w1, w2, w3 = line + k0 * step, line + k1 * step, line + k2 * step, line + k3 * step
    for i in range(0, 4 * width, VECTOR):
        value = multiply_add(p0, load(w0 + i), load(sums + i))
        value = multiply_add(p1, load(w1 + i), value)
        value = multiply_add(p2, load(w2 + i), value)
        store(multiply_add(p3, load(w3 + i), value), sums + i)


@kernel
def few_by_columns(
    worker, item, p, p_row, w, w_row, batch, inside, out, span, scratch, scratch_size, ending
):  # fmt: skip
    """x = p W for a span of columns of W; rows that are multiplied by 0 are not read."""
    sums, sums_row = scratch + worker * scratch_size, 4 * span
    rows = sums + sums_row * batch
    first = item * span
    width = min(span, inside - first)
    whole = width // LANES * LANES
    for at in range(0, sums_row * batch, VECTOR):
        store(spread(0.0), sums + at)
    count = _find_rows(p, p_row, batch, out, rows)
    fours = count // 4 * 4
    line = w + 4 * first
    for k in range(0, fours, 4):
        for n in range(batch):
            _add_four(p + n * p_row, rows + 8 * k, line, w_row, sums + n * sums_row, whole)
    for n in range(batch):  # what is left: the last columns, then the last rows
        numbers, target = p + n * p_row, sums + n * sums_row
        for at in range(fours if whole < width else 0):
            k = load_int(rows + 8 * at)
            number = spread(load_one(numbers + 4 * k))
            _add_row(number, line + k * w_row + 4 * whole, target + 4 * whole, width - whole)
        for at in range(fours, count):
            k = load_int(rows + 8 * at)
            number = spread(load_one(numbers + 4 * k))
            _add_row(number, line + k * w_row, target, width)
        mode = mode_of(ending, n)
        for i in range(0, width, LANES):
            value = load(target + 4 * i)
            finish(value, ending, mode, n, 0, 0, first + i, min(LANES, width - i))


def lay_streamed(program: Program, a: Matrix, b: Matrix, y: Image, **epilogue: Any) -> None:
    """Add y = finish(a b), a being a few rows, its columns side by side."""
    ending = program.ending(y, **epilogue)
    if b.row == 1:
        blocks = max(GRAIN // LANES, 4096 // (b.rows * LANES))
        size = LANES * VECTOR + a.rows * VECTOR + LANES * RUN
        program.step(
            few_by_rows, -(-b.columns // (blocks * LANES)), x=a.place, x_row=4 * a.row, w=b.place,
            w_row=4 * b.column, batch=a.rows, inside=b.rows, out=b.columns, blocks_an_item=blocks,
            scratch=program.scratch_memory(size * program.workers), scratch_size=size,
            ending=ending,
        )  # fmt: skip
        return
    most = min(6144 // a.rows // LANES * LANES, 4096)  # sums of a span stay in the nearest cache
    span = split(b.columns, max(4 * LANES, min(most, b.columns // (2 * program.workers))), GRAIN)
    size = 4 * span * a.rows + 8 * b.rows
    program.step(
        few_by_columns, -(-b.columns // span), p=a.place, p_row=4 * a.row, w=b.place,
        w_row=4 * b.row, batch=a.rows, inside=b.columns, out=b.rows, span=span,
        scratch=program.scratch_memory(size * program.workers), scratch_size=size, ending=ending,
    )  # fmt: skip


def lay_panels(
    program: Program, x: Image, w: Place, y: Image, out: int, inside: int, **epilogue: Any
) -> None:
    """Add y = finish(x W^T), W being packed as panels."""
    panels = -(-out // COLUMNS)
    each = max(1, min(-(-panels // 8), (1 << 20) // (inside * LINE)))
    size = TABLE + TILE
    program.step(
        few_by_panels, -(-panels // each), x=x.place, x_row=4 * x.image, w=w, batch=x.batch,
        inside=inside, out=out, panels_an_item=each,
        scratch=program.scratch_memory(size * program.workers), scratch_size=size,
        ending=program.ending(y, **epilogue),
    )  # fmt: skip
