"""More of what vectors can do: turning blocks round, gathering, square roots, copying rows.

turn      the transpose of a block of LANES x LANES numbers, in registers: log2(LANES) rounds
          of shuffles, in each of which pairs of rows exchange halves, quarters, ... (Eklundh)
gather    LANES numbers from LANES places
root      square roots
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.compiled import inline
from minicnn.kernels.cpu.vector import (
    FLOAT,
    I32,
    I64,
    LANES,
    REGISTER,
    call,
    constant,
    load,
    load_part,
    read,
    spread,
    store,
    store_part,
    vector,
    write,
)

__all__ = [
    "VECTOR",
    "clear",
    "copy",
    "copy_row",
    "gather",
    "load_some",
    "root",
    "store_some",
    "turn",
]

VECTOR = 4 * LANES
"""Bytes in a register."""


def _mixed(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """Lanes of a (0 .. LANES - 1) and b (LANES .. 2 LANES - 1)."""
    chosen = ir.Constant(ir.VectorType(I32, LANES), [ir.Constant(I32, i) for i in lanes])
    return builder.shuffle_vector(a, b, chosen)


@intrinsic
def turn(typingctx: Any, source: Any, step: Any, target: Any, target_step: Any) -> Any:
    """Transpose a block; its rows are `step` bytes apart at source, `target_step` at target."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        source, step, target, target_step = args
        rows = [read(b, b.add(source, b.mul(step, constant(i)))) for i in range(LANES)]
        width = LANES // 2
        while width:
            low = [i if not i & width else LANES + (i ^ width) for i in range(LANES)]
            high = [i ^ width if not i & width else LANES + i for i in range(LANES)]
            for i in range(LANES):
                if not i & width:
                    first, second = rows[i], rows[i + width]
                    rows[i] = _mixed(b, first, second, low)
                    rows[i + width] = _mixed(b, first, second, high)
            width //= 2
        for i, row in enumerate(rows):
            write(b, row, b.add(target, b.mul(target_step, constant(i))))
        return ctx.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def gather(typingctx: Any, base: Any, offsets: Any) -> Any:
    """The numbers at base + offset, for LANES int64 offsets in memory."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        base, offsets = args
        value = ir.Constant(REGISTER, ir.Undefined)
        for i in range(LANES):
            offset = read(b, b.add(offsets, constant(8 * i)), I64, 8)
            number = read(b, b.add(base, offset), FLOAT)
            value = b.insert_element(value, number, ir.Constant(I32, i))
        return value

    return vector(types.int64, types.int64), generate


@intrinsic
def root(typingctx: Any, value: Any) -> Any:
    """The square root of each lane."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return call(b, f"llvm.sqrt.v{LANES}f32", REGISTER, args[0])

    return vector(vector), generate


@inline
def load_some(address, count):
    """LANES floats, or the first `count` and zeros."""
    return load(address) if count >= LANES else load_part(address, count)


@inline
def store_some(value, address, count):
    """Write the first `count` lanes; a whole vector at once, since some processors mask slowly."""
    if count >= LANES:
        store(value, address)
    else:
        store_part(value, address, count)


@inline
def copy(source, target, count):
    """Copy floats; zeros fill the last vector at the target."""
    whole = count // LANES * VECTOR
    for at in range(0, whole, VECTOR):
        store(load(source + at), target + at)
    if whole < 4 * count:
        store(load_part(source + whole, count - whole // 4), target + whole)


@inline
def clear(target, size):
    """Zeros; the last vector may reach further."""
    for at in range(0, size, VECTOR):
        store(spread(0.0), target + at)


@inline
def copy_row(source, pixel, first, last, width, channels, target, step):
    """Copy pixels first .. last - 1 of a row; there are `width`, and zeros on both sides."""
    begin, end = min(max(0, -first), last - first), max(0, min(last, width) - first)
    clear(target, begin * step)
    if pixel == step == 4 * channels:
        if end > begin:
            copy(source + (first + begin) * pixel, target + begin * step, (end - begin) * channels)
    else:
        for j in range(begin, end):
            copy(source + (first + j) * pixel, target + j * step, channels)
    if last - first > end:
        end = max(begin, end)
        clear(target + end * step, (last - first - end) * step)
