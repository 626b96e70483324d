"""Matrix products with few rows, as fast as memory gives the weights.

    y = finish(x W^T)      W (out, in) in blocks of LANES x LANES, turned round in registers
    y = finish(p W)        W in four rows at a time, of which a span of columns is added up in the
                           nearest cache

W is read once, as it stands, for all rows of x or p. Each number is one chain of additions in the
order of the inner index, as in `blocked`: the same bits with any number of rows.
"""

from __future__ import annotations

from typing import Any

from minicnn.kernels.cpu.blocked import Matrix, split, turned
from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.program import Image, Program
from minicnn.kernels.cpu.vector import LANES, load, load_one, multiply_add, prefetch, spread, store

__all__ = ["FEW", "lay_streamed"]

FEW = 16  # rows of x that are computed in one reading of the weights
CHUNK = LANES * LANES  # numbers of a row that are asked for together, before they are needed
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


@kernel
def few_by_rows(
    worker, item, x, x_row, w, w_row, batch, inside, out, blocks_an_item, scratch, scratch_size,
    ending,
):  # fmt: skip
    """y = x W^T for some blocks of LANES rows of W."""
    block = scratch + worker * scratch_size
    corner = block + LANES * VECTOR
    sums = corner + LANES * VECTOR
    first = item * blocks_an_item * LANES
    whole = inside // LANES * LANES
    for channel in range(first, min(out, first + blocks_an_item * LANES), LANES):
        rows = min(LANES, out - channel)
        line = w + channel * w_row
        for n in range(batch):
            store(spread(0.0), sums + n * VECTOR)
        for k in range(0, whole, LANES):
            row, chunk = k % CHUNK // LANES, k // CHUNK + 1
            ahead = line + row * w_row + 4 * CHUNK * chunk
            for i in range(LANES):
                prefetch(ahead + i * VECTOR)
            turned(line + 4 * k, w_row, rows, LANES, block, VECTOR, corner)
            _add_block(x + 4 * k, x_row, batch, block, sums)
        if whole < inside:
            turned(line + 4 * whole, w_row, rows, inside - whole, block, VECTOR, corner)
        for n in range(batch):
            value = load(sums + n * VECTOR)
            for i in range(inside - whole):
                number = load_one(x + n * x_row + 4 * (whole + i))
                value = multiply_add(spread(number), load(block + i * VECTOR), value)
            finish(value, ending, mode_of(ending, n), n, 0, 0, channel, rows)


@inline
def _add_row(number, line, sums, width):
    """Add a number times a row, or some columns of it."""
    for i in range(0, width, LANES):
        value = multiply_add(number, load_some(line + 4 * i, width - i), load(sums + 4 * i))
        store(value, sums + 4 * i)


@inline
def _add_four(p, line, step, sums, width):
    """Add four numbers times four rows; whole vectors."""
    p0, p1 = spread(load_one(p)), spread(load_one(p + 4))
    p2, p3 = spread(load_one(p + 8)), spread(load_one(p + 12))
    for i in range(0, width, LANES):
        at = line + 4 * i
        value = multiply_add(p0, load(at), load(sums + 4 * i))
        value = multiply_add(p1, load(at + step), value)
        value = multiply_add(p2, load(at + 2 * step), value)
        store(multiply_add(p3, load(at + 3 * step), value), sums + 4 * i)


@inline
def _add_four_twice(p, p_row, line, step, sums, sums_row, width):
    """The same for two rows of p."""
    q = p + p_row
    p0, p1 = spread(load_one(p)), spread(load_one(p + 4))
    p2, p3 = spread(load_one(p + 8)), spread(load_one(p + 12))
    q0, q1 = spread(load_one(q)), spread(load_one(q + 4))
    q2, q3 = spread(load_one(q + 8)), spread(load_one(q + 12))
    for i in range(0, width, LANES):
        at, target = line + 4 * i, sums + 4 * i
        w0, w1 = load(at), load(at + step)
        w2, w3 = load(at + 2 * step), load(at + 3 * step)
        first = multiply_add(p1, w1, multiply_add(p0, w0, load(target)))
        second = multiply_add(q1, w1, multiply_add(q0, w0, load(target + sums_row)))
        store(multiply_add(p3, w3, multiply_add(p2, w2, first)), target)
        store(multiply_add(q3, w3, multiply_add(q2, w2, second)), target + sums_row)


@kernel
def few_by_columns(
    worker, item, p, p_row, w, w_row, batch, inside, out, span, scratch, scratch_size, ending
):  # fmt: skip
    """x = p W for a span of columns of W."""
    sums, sums_row = scratch + worker * scratch_size, 4 * span
    first = item * span
    width = min(span, inside - first)
    whole = width // LANES * LANES
    for at in range(0, sums_row * batch, VECTOR):
        store(spread(0.0), sums + at)
    fours = out // 4 * 4
    for k in range(0, fours, 4):
        line = w + k * w_row + 4 * first
        for n in range(0, batch - 1, 2):
            numbers, target = p + n * p_row + 4 * k, sums + n * sums_row
            _add_four_twice(numbers, p_row, line, w_row, target, sums_row, whole)
        if batch & 1:
            numbers, target = p + (batch - 1) * p_row + 4 * k, sums + (batch - 1) * sums_row
            _add_four(numbers, line, w_row, target, whole)
    for n in range(batch):  # what is left: the last columns, then the last rows
        numbers, target = p + n * p_row, sums + n * sums_row
        for k in range(fours if whole < width else 0):
            number = spread(load_one(numbers + 4 * k))
            line = w + k * w_row + 4 * (first + whole)
            _add_row(number, line, target + 4 * whole, width - whole)
        for k in range(fours, out):
            number = spread(load_one(numbers + 4 * k))
            _add_row(number, w + k * w_row + 4 * first, target, width)
        mode = mode_of(ending, n)
        for i in range(0, width, LANES):
            value = load(target + 4 * i)
            finish(value, ending, mode, n, 0, 0, first + i, min(LANES, width - i))


def lay_streamed(program: Program, a: Matrix, b: Matrix, y: Image, **epilogue: Any) -> None:
    """Add y = finish(a b), a being a few rows, its columns side by side."""
    ending = program.ending(y, **epilogue)
    if b.row == 1:
        blocks = max(GRAIN // LANES, 4096 // (b.rows * LANES))
        size = 2 * LANES * VECTOR + a.rows * VECTOR
        program.step(
            few_by_rows, -(-b.columns // (blocks * LANES)), x=a.place, x_row=4 * a.row, w=b.place,
            w_row=4 * b.column, batch=a.rows, inside=b.rows, out=b.columns, blocks_an_item=blocks,
            scratch=program.scratch_memory(size * program.workers), scratch_size=size,
            ending=ending,
        )  # fmt: skip
        return
    most = min(6144 // a.rows // LANES * LANES, 2048)  # sums of a span stay in the nearest cache
    span = split(b.columns, max(4 * LANES, min(most, b.columns // 8)), GRAIN)
    size = 4 * span * a.rows
    program.step(
        few_by_columns, -(-b.columns // span), p=a.place, p_row=4 * a.row, w=b.place,
        w_row=4 * b.row, batch=a.rows, inside=b.columns, out=b.rows, span=span,
        scratch=program.scratch_memory(size * program.workers), scratch_size=size, ending=ending,
    )  # fmt: skip
