"""Vectors: the processor's registers as values in Numba code.

A `Vector` holds LANES floats. Loads and stores take addresses (int64); the last, shorter vector of
a row is loaded and stored in part, lanes beyond `count` being zero and untouched. Arithmetic is
written with the usual operators. Masks pass between registers and memory as bits, lane i being
bit i.

LLVM splits wider vectors than the processor has, so this code is right on any processor; LANES and
ROWS are chosen so that it is fast:

    processor      lanes   registers   tile rows x columns
    AVX-512          16        32            14 x 32
    AVX2, FMA         8        16             6 x 16
    NEON              4        32            14 x 8
    any other         4        16             6 x 8

The features are those that Numba compiles for, so NUMBA_CPU_NAME and NUMBA_CPU_FEATURES overrule
the processor's own (for tests and study).
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

__all__ = ["FEATURES", "FUSED", "LANES", "ROWS"]

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
FLOAT = ir.FloatType()


def _features() -> str:
    """Which row of the table above serves."""
    import platform

    found = config.CPU_FEATURES
    if found is None:
        found = get_host_cpu_features() if config.CPU_NAME in (None, "host") else ""
    have = {part[1:] for part in found.split(",") if part.startswith("+")}
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "NEON"
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= have:
        return "AVX-512"
    return "AVX2" if {"avx2", "fma"} <= have else "plain"


FEATURES = _features()
LANES = {"AVX-512": 16, "AVX2": 8, "NEON": 4, "plain": 4}[FEATURES]
ROWS = 14 if FEATURES in ("AVX-512", "NEON") else 6  # pixels in a register tile
FUSED = FEATURES != "plain"  # whether there is an instruction that multiplies and adds

REGISTER = ir.VectorType(FLOAT, LANES)
INTEGERS = ir.VectorType(I32, LANES)
BITS = ir.IntType(LANES)
FLAGS = ir.VectorType(I1, LANES)


class VectorType(types.Type):
    """Numba's type of a register of floats."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


class FlagsType(types.Type):
    """Numba's type of one truth value a lane."""

    def __init__(self) -> None:
        super().__init__(name=f"flags{LANES}")


vector, flags = VectorType(), FlagsType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, REGISTER)


@register_model(FlagsType)
class _FlagsModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, FLAGS)


# Helpers for code generation


def constant(number: int) -> ir.Constant:
    """An int64 constant."""
    return ir.Constant(I64, number)


def call(builder: Any, name: str, result: Any, *operands: Any) -> Any:
    """Call an LLVM intrinsic."""
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def read(builder: Any, address: Any, kind: Any = REGISTER, align: int = 4) -> Any:
    """Load from an address."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def write(builder: Any, value: Any, address: Any, align: int = 4) -> None:
    """Store to an address."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def repeat(builder: Any, scalar: Any, kind: Any = REGISTER) -> Any:
    """A vector of one number."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, kind.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c with one rounding, or with two where the processor has no such instruction."""
    if FUSED:
        return call(builder, f"llvm.fma.v{LANES}f32", REGISTER, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


def _first_lanes(builder: Any, count: Any) -> Any:
    """Flags of the lanes below count."""
    numbers = ir.Constant(INTEGERS, [ir.Constant(I32, i) for i in range(LANES)])
    limit = repeat(builder, builder.trunc(count, I32), INTEGERS)
    return builder.icmp_signed("<", numbers, limit)


# Numbers from and to memory


@intrinsic
def load(typingctx: Any, address: Any) -> Any:
    """LANES floats at an address."""
    return vector(types.int64), lambda ctx, b, sig, args: read(b, args[0])


@intrinsic
def store(typingctx: Any, value: Any, address: Any) -> Any:
    """Write LANES floats."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        write(b, *args)
        return ctx.get_dummy_value()

    return types.void(vector, types.int64), generate


@intrinsic
def load_part(typingctx: Any, address: Any, count: Any) -> Any:
    """The first `count` floats at an address, zeros in the other lanes."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = b.inttoptr(args[0], REGISTER.as_pointer())
        name = f"llvm.masked.load.v{LANES}f32.p0"
        lanes = _first_lanes(b, args[1])
        return call(
            b, name, REGISTER, pointer, ir.Constant(I32, 4), lanes, ir.Constant(REGISTER, None)
        )

    return vector(types.int64, types.int64), generate


@intrinsic
def store_part(typingctx: Any, value: Any, address: Any, count: Any) -> Any:
    """Write the first `count` lanes."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = b.inttoptr(args[1], REGISTER.as_pointer())
        lanes = _first_lanes(b, args[2])
        name = f"llvm.masked.store.v{LANES}f32.p0"
        call(b, name, ir.VoidType(), args[0], pointer, ir.Constant(I32, 4), lanes)
        return ctx.get_dummy_value()

    return types.void(vector, types.int64, types.int64), generate


@intrinsic
def spread(typingctx: Any, number: Any) -> Any:
    """A vector of one number."""
    return vector(types.float32), lambda ctx, b, sig, args: repeat(b, args[0])


@intrinsic
def load_one(typingctx: Any, address: Any) -> Any:
    """One float."""
    return types.float32(types.int64), lambda ctx, b, sig, args: read(b, args[0], FLOAT)


@intrinsic
def load_double(typingctx: Any, address: Any) -> Any:
    """One double."""
    double = ir.DoubleType()
    return types.float64(types.int64), lambda ctx, b, sig, args: read(b, args[0], double, 8)


@intrinsic
def load_int(typingctx: Any, address: Any) -> Any:
    """One int64."""
    return types.int64(types.int64), lambda ctx, b, sig, args: read(b, args[0], I64, 8)


@intrinsic
def store_one(typingctx: Any, value: Any, address: Any) -> Any:
    """Write one float."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        write(b, *args)
        return ctx.get_dummy_value()

    return types.void(types.float32, types.int64), generate


@intrinsic
def store_int(typingctx: Any, value: Any, address: Any) -> Any:
    """Write one int64."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        write(b, args[0], args[1], 8)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def as_float(typingctx: Any, bits: Any) -> Any:
    """A float32 out of the low bits of an int64 argument."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.bitcast(b.trunc(args[0], I32), FLOAT)

    return types.float32(types.int64), generate


@intrinsic
def multiply_add(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c."""
    return vector(vector, vector, vector), lambda ctx, b, sig, args: fused(b, *args)


@intrinsic
def total(typingctx: Any, value: Any) -> Any:
    """The sum of the lanes, halves added pairwise: the same order on every processor."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        x, lanes = args[0], LANES
        while lanes > 1:
            lanes //= 2
            undefined = ir.Constant(x.type, ir.Undefined)
            halves = [
                b.shuffle_vector(
                    x,
                    undefined,
                    ir.Constant(
                        ir.VectorType(I32, lanes),
                        [ir.Constant(I32, first + i) for i in range(lanes)],
                    ),
                )
                for first in (0, lanes)
            ]
            x = b.fadd(*halves)
        return b.extract_element(x, ir.Constant(I32, 0))

    return types.float32(vector), generate


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the cache line at an address."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = b.inttoptr(args[0], I8.as_pointer())
        read_soon = [ir.Constant(I32, n) for n in (0, 3, 1)]  # read, keep in all caches, data
        call(b, "llvm.prefetch.p0", ir.VoidType(), pointer, *read_soon)
        return ctx.get_dummy_value()

    return types.void(types.int64), generate


# Flags: comparisons, choices, bits


def _comparison(name: str, how: str) -> Any:
    @intrinsic
    def compare(typingctx: Any, a: Any, b: Any) -> Any:
        def generate(ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
            if how in ("uno", "ord"):
                return builder.fcmp_unordered(how, *args)
            return builder.fcmp_ordered(how, *args)

        return flags(vector, vector), generate

    compare.__doc__ = name
    return compare


greater = _comparison("Where a > b; false for NaN.", ">")


@intrinsic
def choose(typingctx: Any, where: Any, a: Any, b: Any) -> Any:
    """Where flags are set a, else b."""
    return vector(flags, vector, vector), lambda ctx, b, sig, args: b.select(*args)


@intrinsic
def either(typingctx: Any, a: Any, b: Any) -> Any:
    """The bits that are set in a or in b: zero where both are."""

    def generate(ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, second = (builder.bitcast(value, INTEGERS) for value in args)
        return builder.bitcast(builder.or_(first, second), REGISTER)

    return vector(vector, vector), generate


@intrinsic
def some(typingctx: Any, value: Any) -> Any:
    """Whether any lane is neither 0 nor -0; NaN counts."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        bits = b.bitcast(args[0], INTEGERS)
        size = repeat(b, ir.Constant(I32, 0x7FFFFFFF), INTEGERS)
        nonzero = b.icmp_signed("!=", b.and_(bits, size), ir.Constant(INTEGERS, None))
        return b.icmp_signed("!=", b.bitcast(nonzero, BITS), ir.Constant(BITS, 0))

    return types.boolean(vector), generate


@intrinsic
def pack(typingctx: Any, where: Any) -> Any:
    """Flags as the low bits of an int64."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.zext(b.bitcast(args[0], BITS), I64)

    return types.int64(flags), generate


@intrinsic
def unpack(typingctx: Any, bits: Any) -> Any:
    """Flags from the low bits of an int64."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.bitcast(b.trunc(args[0], BITS), FLAGS)

    return flags(types.int64), generate


@intrinsic
def load_byte(typingctx: Any, address: Any) -> Any:
    """One byte, as an int64."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.zext(read(b, args[0], I8, 1), I64)

    return types.int64(types.int64), generate


@intrinsic
def store_byte(typingctx: Any, value: Any, address: Any) -> Any:
    """Write the low byte of an int64."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        write(b, b.trunc(args[0], I8), args[1], 1)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64), generate


# Threads


@intrinsic
def fetch_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Atomically add to an int64 in memory; gives what stood there before."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        pointer = b.inttoptr(args[0], I64.as_pointer())
        return b.atomic_rmw("add", pointer, args[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


# Operators


def _operator(function: Any, build: str) -> None:
    @type_callable(function)
    def typed(context: Any) -> Any:
        def typer(a: Any, b: Any) -> Any:
            return vector if isinstance(a, VectorType) and isinstance(b, VectorType) else None

        return typer

    @lower_builtin(function, vector, vector)
    def lower(ctx: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, build)(*args)


for _function, _build in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
    (operator.iadd, "fadd"),
):
    _operator(_function, _build)
