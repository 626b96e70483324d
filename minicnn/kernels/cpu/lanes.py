"""More of what registers can do: parts of them, their bits, and functions of numbers.

    e^x    2^n e^r,  n = round(x / ln 2),  r = x - n ln 2,  e^r by a polynomial of degree 6

Integers travel in the lanes of a `Vector` as bit patterns (`as_float`), which are chosen among and
taken apart into bits but never computed with.

Source: the splitting of ln 2 and the polynomial are those of Cephes' expf (Moshier 1992).
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.compiled import inline
from minicnn.kernels.cpu.dense_lanes import root
from minicnn.kernels.cpu.ending import store_bits
from minicnn.kernels.cpu.vector import (
    FEATURES,
    FLOAT,
    I32,
    I64,
    INTEGERS,
    LANES,
    REGISTER,
    call,
    choose,
    flags,
    greater,
    load,
    load_one,
    multiply_add,
    pack,
    read,
    repeat,
    spread,
    store,
    store_one,
    vector,
    write,
)

__all__ = [
    "apart",
    "bit",
    "exponential",
    "highest",
    "lanes_below",
    "load_between",
    "load_word",
    "power",
    "save_bits",
    "takes",
]

NUMBERS = ir.Constant(INTEGERS, [ir.Constant(I32, i) for i in range(LANES)])


# Parts of a register


@intrinsic
def apart(typingctx: Any, value: Any) -> Any:
    """The same value, loaded before anything is chosen of it.

    For AVX-512, LLVM makes one instruction of a load and a choice, which loads what was chosen. It
    has to wait for the choice, and on Zen 5 the prefetcher learns nothing from it: from memory it
    is three times slower. An empty piece of assembly between the two keeps them apart.
    """

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if FEATURES != "AVX-512":
            return args[0]
        kind = ir.FunctionType(REGISTER, [REGISTER])
        return b.asm(kind, "", "=v,0", args, side_effect=False)

    return vector(vector), generate


def _limit(b: Any, number: Any) -> Any:
    return repeat(b, b.trunc(number, I32), INTEGERS)


@intrinsic
def lanes_below(typingctx: Any, count: Any) -> Any:
    """Flags of the first `count` lanes."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.icmp_signed("<", NUMBERS, _limit(b, args[0]))

    return flags(types.int64), generate


@intrinsic
def load_between(typingctx: Any, address: Any, first: Any, last: Any) -> Any:
    """The floats at an address in lanes first .. last - 1, zeros in the others."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        address, first, last = args
        above = b.icmp_signed(">=", NUMBERS, _limit(b, first))
        below = b.icmp_signed("<", NUMBERS, _limit(b, last))
        pointer = b.inttoptr(address, REGISTER.as_pointer())
        name, align = f"llvm.masked.load.v{LANES}f32.p0", ir.Constant(I32, 4)
        zeros = ir.Constant(REGISTER, None)
        return call(b, name, REGISTER, pointer, align, b.and_(above, below), zeros)

    return vector(types.int64, types.int64, types.int64), generate


# Bits


@intrinsic
def bit(typingctx: Any, value: Any, number: Any) -> Any:
    """Where bit `number` of the lanes' bit patterns is set."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        one = b.shl(ir.Constant(I32, 1), b.trunc(args[1], I32))
        found = b.and_(b.bitcast(args[0], INTEGERS), repeat(b, one, INTEGERS))
        return b.icmp_signed("!=", found, ir.Constant(INTEGERS, None))

    return flags(vector, types.int64), generate


def _integers(bits: int) -> Any:
    """Functions that load and store an integer of so many bits, wherever it begins."""
    kind = ir.IntType(bits)

    @intrinsic
    def load_integer(typingctx: Any, address: Any) -> Any:
        def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            return b.zext(read(b, args[0], kind, 1), I64)

        return types.int64(types.int64), generate

    @intrinsic
    def store_integer(typingctx: Any, value: Any, address: Any) -> Any:
        def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            write(b, b.trunc(args[0], kind), args[1], 1)
            return ctx.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return load_integer, store_integer


_load_8, _ = _integers(8)
_load_16, _ = _integers(16)
_load_32, _ = _integers(32)
_load_64, _ = _integers(64)
_, _store_lanes = _integers(LANES)


@inline
def load_word(address, count):
    """Up to 8 bytes as an int64, lowest first."""
    if count == 8:
        return _load_64(address)
    word, bits = 0, 0
    if count & 4:
        word, bits = _load_32(address), 32
    if count & 2:
        word |= _load_16(address + (bits >> 3)) << bits
        bits += 16
    if count & 1:
        word |= _load_8(address + (bits >> 3)) << bits
    return word


@inline
def save_bits(found, address, channel, count):
    """Write flags as bits, one a channel; lower channels of a byte must be written first."""
    if count == LANES and LANES >= 8:  # whole bytes
        _store_lanes(pack(found), address + (channel >> 3))
    else:
        store_bits(pack(found), address, channel, count)


# Maxima


@intrinsic
def takes(typingctx: Any, value: Any, best: Any) -> Any:
    """Where a value takes over as the maximum: it is greater, or the first NaN."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        value, best = args
        return b.and_(b.fcmp_ordered("ord", best, best), b.fcmp_unordered(">", value, best))

    return flags(vector, vector), generate


# Functions of numbers


@intrinsic
def highest(typingctx: Any, value: Any) -> Any:
    """The largest of the lanes that are no NaN."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return call(b, f"llvm.vector.reduce.fmax.v{LANES}f32", FLOAT, *args)

    return types.float32(vector), generate


@intrinsic
def _double(typingctx: Any, value: Any, counts: Any) -> Any:
    """The lanes times 2^n, n being the low bits of the bit pattern in `counts`."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        value, counts = (b.bitcast(arg, INTEGERS) for arg in args)
        shift = repeat(b, ir.Constant(I32, 23), INTEGERS)  # where a float's exponent begins
        return b.bitcast(b.add(value, b.shl(counts, shift)), REGISTER)

    return vector(vector, vector), generate


@inline
def exponential(x):
    """e^x for x below 88; 0 where the result would be no normal number. NaN stays NaN."""
    magic = spread(12582912.0)  # 1.5 2^23: a float this large has its integer in its low bits
    shifted = multiply_add(x, spread(1.44269504088896341), magic)
    n = shifted - magic
    r = multiply_add(n, spread(-0.693359375), x)
    r = multiply_add(n, spread(2.12194440e-4), r)
    y = multiply_add(spread(1.9875691500e-4), r, spread(1.3981999507e-3))
    y = multiply_add(y, r, spread(8.3334519073e-3))
    y = multiply_add(y, r, spread(4.1665795894e-2))
    y = multiply_add(y, r, spread(1.6666665459e-1))
    y = multiply_add(y, r, spread(5.0000001201e-1))
    y = multiply_add(y, r * r, r) + spread(1.0)
    return choose(greater(spread(-87.3), x), spread(0.0), _double(y, shifted))


@inline
def power(s, exponent, memory):
    """s^-exponent for s > 0; exponents 3/4, 1/2 and 1 without logarithms.

    `memory` has room for a register.
    """
    if exponent == 0.75:
        half = root(s)
        return spread(1.0) / (half * root(half))
    if exponent == 0.5:
        return spread(1.0) / root(s)
    if exponent == 1:
        return spread(1.0) / s
    store(s, memory)
    for at in range(memory, memory + 4 * LANES, 4):
        store_one(math.pow(float(load_one(at)), -float(exponent)), at)
    return load(memory)
