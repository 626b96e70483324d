"""Linear layers and matrix products.

    linear              y = x W^T + b      x (N, in), W (out, in)
    linear_transposed   x = p W            p (N, out)
    linear_filter       dW = p^T x
    matmul              c = a b            stacks of matrices, as numpy.matmul

With up to FEW rows the weights are read once, as they stand (see `streamed`); with more the product
goes in blocks (see `blocked`). Either way each number is one chain of additions in the order of the
inner index, so an image gives the same bits alone and in any batch.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.cpu.blocked import Matrix, lay_blocked
from minicnn.kernels.cpu.laid import Laid, workers_for
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.streamed import FEW, lay_streamed
from minicnn.kernels.memory import empty

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
    lay_streamed(program, a, b, y, **epilogue)


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
    y = empty((*x.shape[:-1], out))
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
    y = empty((*p.shape[:-1], inside))
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
    y = empty((out, inside))
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
    c = empty((*lead, left.shape[-2], right.shape[-1]))
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
