"""Linear layers and matrix products.

    linear              y = x W^T + b      x (N, in), W (out, in)
    linear_transposed   x = p W            p (N, out)
    linear_filter       dW = p^T x
    matmul              c = a b            stacks of matrices, as numpy.matmul

With few rows, up to FEW, the product is as fast as memory gives the weights, which are read once
and as they stand: W^T in blocks of LANES x LANES that are turned round in registers, W in a few
rows at a time, of which a span of columns is added up in the nearest cache. With more rows the
product goes in blocks (see `blocked`).

Either way each number is one chain of additions in the order of the inner index, so an image gives
the same bits alone and in any batch.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.cpu.blocked import ENDING, Matrix, lay_blocked, split, turned
from minicnn.kernels.cpu.compiled import arguments, inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.laid import Laid, workers_for
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import (
    LANES,
    load,
    load_one,
    multiply_add,
    spread,
    store,
)

__all__ = [
    "lay_linear",
    "lay_linear_filter",
    "lay_linear_transposed",
    "lay_product",
    "linear",
    "linear_filter",
    "linear_transposed",
    "matmul",
]

FEW = 16  # rows of x that are computed in one reading of the weights
GRAIN = max(8, LANES)  # items begin at whole bytes of sign bits


@inline
def _add_block(numbers, step, batch, block, sums):  # type: ignore[no-untyped-def]
    """Add the products of LANES numbers of some rows of x with a turned block of W."""
    for n in range(0, batch - 1, 2):
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
):  # type: ignore[no-untyped-def]  # fmt: skip
    """y = x W^T for some blocks of LANES rows of W."""
    end = arguments(ending, ENDING)
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
            turned(line + 4 * k, w_row, rows, LANES, block, VECTOR, corner)
            _add_block(x + 4 * k, x_row, batch, block, sums)
        if whole < inside:
            turned(line + 4 * whole, w_row, rows, inside - whole, block, VECTOR, corner)
        for n in range(batch):
            value = load(sums + n * VECTOR)
            for i in range(inside - whole):
                number = load_one(x + n * x_row + 4 * (whole + i))
                value = multiply_add(spread(number), load(block + i * VECTOR), value)
            finish(value, end, mode_of(end, n), n, 0, 0, channel, rows)


@inline
def _add_row(number, line, sums, width):  # type: ignore[no-untyped-def]
    """Add a number times a row, or some columns of it."""
    for i in range(0, width, LANES):
        value = multiply_add(number, load_some(line + 4 * i, width - i), load(sums + 4 * i))
        store(value, sums + 4 * i)


@inline
def _add_four(p, line, step, sums, width):  # type: ignore[no-untyped-def]
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
def _add_four_twice(p, p_row, line, step, sums, sums_row, width):  # type: ignore[no-untyped-def]
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
):  # type: ignore[no-untyped-def]  # fmt: skip
    """x = p W for a span of columns of W."""
    end = arguments(ending, ENDING)
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
        mode = mode_of(end, n)
        for i in range(0, width, LANES):
            value = load(target + 4 * i)
            finish(value, end, mode, n, 0, 0, first + i, min(LANES, width - i))


# Layouts


def lay_linear(
    program: Program, x: Image, weight: Place, y: Image, out: int, inside: int, **epilogue: Any
) -> None:
    """Add y = finish(x W^T); W of shape (out, inside) as it stands at `weight`."""
    a = Matrix(x.place, x.batch, inside, x.image)
    lay_product(program, a, Matrix(weight, out, inside, inside).turned, y, **epilogue)


def lay_linear_transposed(
    program: Program, p: Image, weight: Place, y: Image, out: int, inside: int, **epilogue: Any
) -> None:
    """Add y = finish(p W), from N x out to N x inside."""
    a = Matrix(p.place, p.batch, out, p.image)
    lay_product(program, a, Matrix(weight, out, inside, inside), y, **epilogue)


def lay_linear_filter(
    program: Program, p: Image, x: Image, y: Image, out: int, inside: int, **epilogue: Any
) -> None:
    """Add y = finish(p^T x), of shape (out, inside)."""
    a = Matrix(p.place, p.batch, out, p.image).turned
    lay_product(program, a, Matrix(x.place, x.batch, inside, x.image), y, **epilogue)


def lay_product(
    program: Program,
    a: Matrix,
    b: Matrix,
    y: Image,
    places: np.ndarray | None = None,
    **epilogue: Any,
) -> None:
    """Add y = finish(a b), for each line of `places`: offsets in bytes of an a and a b."""
    if places is not None or a.rows > FEW or a.column != 1:
        alone = np.zeros((1, 2), np.int64)
        lay_blocked(program, a, b, y, alone if places is None else places, **epilogue)
        return
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
    most = 6144 // a.rows // LANES * LANES  # sums of a span stay in the nearest cache
    span = split(b.columns, max(4 * LANES, min(most, b.columns // 8, 2048)), GRAIN)
    program.step(
        few_by_columns, -(-b.columns // span), p=a.place, p_row=4 * a.row, w=b.place,
        w_row=4 * b.row, batch=a.rows, inside=b.columns, out=b.rows, span=span,
        scratch=program.scratch_memory(4 * span * a.rows * program.workers),
        scratch_size=4 * span * a.rows, ending=ending,
    )  # fmt: skip


# On arrays


def _rows(x: np.ndarray) -> np.ndarray:
    """As float32 with rows one after the other."""
    return np.ascontiguousarray(x, np.float32)


@lru_cache(maxsize=256)
def _laid_linear(kind: str, batch: int, out: int, inside: int, bias: bool, workers: int) -> Laid:
    program = Program(workers)
    wide, narrow = (batch, inside), (batch, out)
    end = {"bias": Place("b")} if bias else {}
    if kind == "linear":
        x, y = Image.whole("x", wide), Image.whole("y", narrow)
        lay_linear(program, x, Place("w"), y, out, inside, **end)
    elif kind == "transposed":
        p, y = Image.whole("p", narrow), Image.whole("y", wide)
        lay_linear_transposed(program, p, Place("w"), y, out, inside)
    else:
        p, x = Image.whole("p", narrow), Image.whole("x", wide)
        lay_linear_filter(program, p, x, Image.whole("y", (out, inside)), out, inside)
    return Laid(program)


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """y = x W^T + b of x (..., in) and W (out, in)."""
    x, w = _rows(x), _rows(w)
    (out, inside), batch = w.shape, prod(x.shape[:-1])
    y = np.empty((*x.shape[:-1], out), np.float32)
    if y.size == 0 or inside == 0:
        y[...] = 0 if b is None else b
        return y
    workers = workers_for(2 * batch * out * inside)
    laid = _laid_linear("linear", batch, out, inside, b is not None, workers)
    if b is None:
        laid(x=x, w=w, y=y)
    else:
        laid(x=x, w=w, b=_rows(np.broadcast_to(b, (out,))), y=y)
    return y


def linear_transposed(p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x = p W of p (..., out) and W (out, in)."""
    p, w = _rows(p), _rows(w)
    (out, inside), batch = w.shape, prod(p.shape[:-1])
    y = np.empty((*p.shape[:-1], inside), np.float32)
    if y.size == 0 or out == 0:
        y[...] = 0
        return y
    workers = workers_for(2 * batch * out * inside)
    _laid_linear("transposed", batch, out, inside, False, workers)(p=p, w=w, y=y)
    return y


def linear_filter(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dW = p^T x of p (..., out) and x (..., in): (out, in)."""
    p, x = _rows(p), _rows(x)
    out, inside, batch = p.shape[-1], x.shape[-1], prod(x.shape[:-1])
    y = np.empty((out, inside), np.float32)
    if y.size == 0 or batch == 0:
        y[...] = 0
        return y
    workers = workers_for(2 * batch * out * inside)
    _laid_linear("filter", batch, out, inside, False, workers)(p=p, x=x, y=y)
    return y


def _stack(a: np.ndarray) -> np.ndarray:
    """As float32 whose matrices are stored row by row or column by column."""
    a = np.asarray(a, np.float32)
    row, column = a.strides[-2:]
    good = min(a.strides) >= 0 and not any(step % 4 for step in a.strides)
    return a if good and 4 in (row, column) and min(row, column) > 0 else _rows(a)


@lru_cache(maxsize=256)
def _laid_product(
    a_shape: tuple[int, ...],
    a_strides: tuple[int, ...],
    b_shape: tuple[int, ...],
    b_strides: tuple[int, ...],
    workers: int,
) -> Laid:
    lead = np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    index = np.indices(lead).reshape(len(lead), prod(lead))  # (axes, matrices)
    places = np.empty((index.shape[1], 2), np.int64)
    for i, (shape, strides) in enumerate(((a_shape, a_strides), (b_shape, b_strides))):
        own = np.zeros(len(lead), np.int64)
        for axis in range(2, len(shape)):
            if shape[-axis - 1] > 1:
                own[-axis + 1] = strides[-axis - 1]
        places[:, i] = own @ index
    program = Program(workers)
    y = Image.whole("y", (len(places) * a_shape[-2], b_shape[-1]))
    a = Matrix(Place("a"), *a_shape[-2:], *(step // 4 for step in a_strides[-2:]))
    b = Matrix(Place("b"), *b_shape[-2:], *(step // 4 for step in b_strides[-2:]))
    lay_product(program, a, b, y, places if len(places) > 1 else None)
    return Laid(program)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of matrices or stacks of matrices; vectors are a row and a column."""
    left, right = _stack(a[None] if a.ndim == 1 else a), _stack(b[:, None] if b.ndim == 1 else b)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    c = np.empty((*lead, left.shape[-2], right.shape[-1]), np.float32)
    if c.size == 0 or left.shape[-1] == 0:
        c[...] = 0
    else:
        workers = workers_for(2 * c.size * left.shape[-1])
        _laid_product(left.shape, left.strides, right.shape, right.strides, workers)(
            a=left, b=right, y=c
        )
    if a.ndim == 1:
        c = c[..., 0, :]
    return c[..., 0] if b.ndim == 1 else c
