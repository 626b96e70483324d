"""The micro-kernel: one register tile of fused multiply-adds, which serves every product.

    tile[m, n]  (+)=  sum_t sum_k  A[t, m][k] B[t][k, n]        m < rows, n < columns

A and B are given by a table of addresses, one line a term t: where each of the `rows` rows of A
begins, then where B begins. From one k to the next A advances by `a_step` bytes, B by `b_step`.
What A, B, t and k mean is the caller's business:

                         t              m               k                n
    matrix product       -              row             inner index      column
    convolution          filter tap     output pixel    input channel    filter
    transposed           filter tap     input pixel     filter           input channel
    filter gradient      output row     input channel   output column    filter

A pixel in the padding points to zeros, so that stride, dilation and pads are all in the table. The
tile stays in registers through all terms: each of its numbers is one chain of additions in the
order of t and k, which depends on nothing else, so results are the same bits wherever a tile lies.

Source: the shape of the loop is that of BLIS (Van Zee and van de Geijn 2015, section 4.1); tables
of addresses instead of unfolded images, Dukhan 2019, "The Indirect Convolution Algorithm".
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.vector import (
    FLOAT,
    I64,
    LANES,
    REGISTER,
    ROWS,
    constant,
    fused,
    read,
    repeat,
    write,
)

__all__ = ["COLUMNS", "multiply", "multiply_half", "multiply_narrow"]

VECTORS = 2  # registers a tile row
COLUMNS = VECTORS * LANES


def _micro_kernel(rows: int, vectors: int) -> Any:
    """The micro-kernel for a tile of rows x (vectors LANES).

    The table's lines have ROWS + 1 addresses whatever `rows` is. The tile is stored at `tile`, its
    lines COLUMNS floats apart; with `again` not zero it is loaded from there first.
    """

    @intrinsic
    def multiply(
        typingctx: Any, table: Any, terms: Any, tile: Any, depth: Any, a_step: Any, b_step: Any,
        again: Any,
    ) -> Any:  # fmt: skip
        def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            table, terms, tile, depth, a_step, b_step, again = args
            places = [(m, v) for m in range(rows) for v in range(vectors)]
            homes = [b.add(tile, constant(4 * (m * COLUMNS + v * LANES))) for m, v in places]

            with b.if_else(b.icmp_signed("!=", again, constant(0))) as (loaded, cleared):
                with loaded:
                    before = [read(b, home) for home in homes]
                    loading = b.block
                with cleared:
                    clearing = b.block
            tiles = []
            for value in before:
                phi = b.phi(REGISTER)
                phi.add_incoming(value, loading)
                phi.add_incoming(ir.Constant(REGISTER, None), clearing)
                tiles.append(phi)

            start = b.block
            term, inner, end, done = (
                b.append_basic_block(name) for name in ("term", "inner", "term.end", "done")
            )
            some = b.and_(
                b.icmp_signed(">", terms, constant(0)), b.icmp_signed(">", depth, constant(0))
            )
            b.cbranch(some, term, done)

            def looped(value: Any, origin: Any) -> Any:
                """A value that changes from turn to turn."""
                phi = b.phi(value.type)
                phi.add_incoming(value, origin)
                return phi

            b.position_at_end(term)
            line, left = looped(table, start), looped(terms, start)
            outer = [looped(value, start) for value in tiles]
            a = [read(b, b.add(line, constant(8 * m)), I64, 8) for m in range(rows)]
            b_first = read(b, b.add(line, constant(8 * ROWS)), I64, 8)
            b.branch(inner)

            b.position_at_end(inner)
            k, a_offset, b_row = (looped(v, term) for v in (depth, constant(0), b_first))
            held = [looped(value, term) for value in outer]
            columns = [read(b, b.add(b_row, constant(4 * v * LANES))) for v in range(vectors)]
            sums = []
            for m in range(rows):
                number = repeat(b, read(b, b.add(a[m], a_offset), FLOAT))
                for v in range(vectors):
                    sums.append(fused(b, number, columns[v], held[m * vectors + v]))
            k_next = b.sub(k, constant(1))
            for phi, value in zip(
                [k, a_offset, b_row, *held],
                [k_next, b.add(a_offset, a_step), b.add(b_row, b_step), *sums],
                strict=True,
            ):
                phi.add_incoming(value, inner)
            b.cbranch(b.icmp_signed(">", k_next, constant(0)), inner, end)

            b.position_at_end(end)
            left_next = b.sub(left, constant(1))
            for phi, value in zip(
                [line, left, *outer],
                [b.add(line, constant(8 * (ROWS + 1))), left_next, *sums],
                strict=True,
            ):
                phi.add_incoming(value, end)
            b.cbranch(b.icmp_signed(">", left_next, constant(0)), term, done)

            b.position_at_end(done)
            results = [looped(value, start) for value in tiles]  # all phis stand first in a block
            for phi, value in zip(results, sums, strict=True):
                phi.add_incoming(value, end)
            for phi, home in zip(results, homes, strict=True):
                write(b, phi, home)
            return ctx.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return multiply


multiply = _micro_kernel(ROWS, VECTORS)
multiply_half = _micro_kernel(ROWS // 2, VECTORS)  # the last few rows
multiply_narrow = _micro_kernel(ROWS, 1)  # the last few columns
