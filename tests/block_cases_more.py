"""The table of blocks, continued from `block_cases`: `CASES` of this module is all of it.

Here: more units, choosing and rounding, reductions, products over named axes, computed indices,
resampling.
"""

import math
from functools import partial

import numpy as np
import slow
import slow_moving
from block_cases import (
    CASES,
    POOLS,
    RNG,
    SHAPES,
    around,
    case,
    distinct,
    elementwise,
    normal,
    positive,
)

from minicnn import blocks

__all__ = ["CASES"]

# More smooth functions and units

elementwise(blocks.Sqrt(), positive(3, 4), math.sqrt)
elementwise(blocks.Erf(), normal(3, 4), math.erf)
elementwise(blocks.Sin(), normal(3, 4), math.sin)
elementwise(blocks.Cos(), normal(3, 4), math.cos)
elementwise(blocks.Abs(), around(2, 4, 6), abs)
elementwise(blocks.Softplus(), normal(3, 4), lambda x: math.log(1 + math.exp(x)))
elementwise(blocks.Softsign(), around(2, 4, 6), lambda x: x / (1 + abs(x)))
elementwise(blocks.Gelu(), normal(3, 4), slow.gelu)
elementwise(blocks.Gelu("tanh"), normal(3, 4), slow.gelu_by_tanh, "tanh")
elementwise(blocks.Mish(), normal(3, 4), slow.mish)
for beta in (1.0, -0.7):
    swish = partial(lambda x, b: x / (1 + math.exp(-b * x)), b=beta)
    elementwise(blocks.Swish(beta), normal(3, 4), swish, f"{beta}")
elementwise(blocks.Elu(), around(2, 4, 6), slow.elu)
elementwise(blocks.Elu(0.3), around(2, 4, 6), partial(slow.elu, alpha=0.3), "others")
selu = partial(slow.elu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875)
elementwise(blocks.Selu(), around(2, 4, 6), selu)
elementwise(blocks.Selu(0.5, 2), around(2, 4, 6), partial(slow.elu, alpha=0.5, gamma=2), "others")
elementwise(blocks.Celu(), around(2, 4, 6), slow.elu)
elementwise(blocks.Celu(2.0), around(2, 4, 6), partial(slow.elu, alpha=2, rate=0.5), "others")
elementwise(blocks.ThresholdedReLU(), around(2, 4, 6), lambda x: x if x > 1 else 0)
for a, b in SHAPES:
    power = partial(slow.each, lambda a, b: a**b)
    case(blocks.Pow(), (positive(*a), normal(*b)), power, f"{a} {b}", [0, 1])
for groups in (1, 2, 4):
    normalise = partial(slow.group_normalise, groups=groups, eps=0.1)
    case(blocks.GroupNormalise(groups, 0.1), (normal(2, 4, 3),), normalise, f"{groups}", [0])

# Choosing, and what only jumps

for a, b in SHAPES:
    condition = RNG.random((2, 1) if (a, b) == SHAPES[0] else a) < 0.5
    chosen = partial(slow.each, lambda c, a, b: a if c else b)
    case(blocks.Where(), (condition, normal(*a), normal(*b)), chosen, f"{a} {b}")
    case(blocks.Maximum(), (normal(*a), normal(*b)), partial(slow.each, max), f"{a} {b}", [0, 1])
    case(blocks.Minimum(), (normal(*a), normal(*b)), partial(slow.each, min), f"{a} {b}", [0, 1])
FEW = RNG.integers(-1, 2, (3, 4)), RNG.integers(-1, 2, (4,))
for relation, function in {
    "equal": lambda a, b: a == b, "greater": lambda a, b: a > b, "less": lambda a, b: a < b,
    "greater_or_equal": lambda a, b: a >= b, "less_or_equal": lambda a, b: a <= b,
}.items():  # fmt: skip
    case(blocks.Compare(relation), FEW, partial(slow.each, function), relation)
    operands = [o.astype(float) for o in FEW]
    case(blocks.Compare(relation), operands, partial(slow.each, function), f"{relation} of floats")
for operation, function in {
    "and": lambda a, b: a and b, "or": lambda a, b: a or b, "xor": lambda a, b: a != b,
}.items():  # fmt: skip
    operands = RNG.random((3, 4)) < 0.5, RNG.random((4,)) < 0.5
    case(blocks.Logic(operation), operands, partial(slow.each, function), operation)
case(blocks.Not(), (RNG.random((3, 4)) < 0.5,), partial(slow.each, lambda a: not a))
HALVES = np.array([-2.5, -1.5, -0.5, -0.2, 0.0, 0.5, 0.7, 1.5, 2.5, 254.5, 300.0])
elementwise(blocks.Round(), HALVES, round, curved=())
elementwise(blocks.Floor(), HALVES, math.floor, curved=())
elementwise(blocks.Ceil(), HALVES, math.ceil, curved=())
elementwise(blocks.Sign(), HALVES, lambda x: (x > 0) - (x < 0), curved=())
elementwise(blocks.Cast("float64"), HALVES, lambda x: x, "float64", curved=())
elementwise(blocks.Cast("int64"), HALVES, math.trunc, "int64", curved=())
elementwise(blocks.Cast("uint8"), HALVES[3:-1], math.trunc, "uint8", curved=())
elementwise(blocks.Cast("bool"), HALVES, bool, "bool", curved=())
ODD = np.array([0.0, 1.0, np.nan, np.inf, -np.inf])
elementwise(blocks.IsNaN(), ODD, math.isnan, curved=())
elementwise(blocks.IsInf(), ODD, math.isinf, curved=())
elementwise(blocks.IsInf(negative=False), ODD, lambda x: x == math.inf, "positive", curved=())
elementwise(blocks.IsInf(positive=False), ODD, lambda x: x == -math.inf, "negative", curved=())
WHOLE = np.arange(-7, 8)[:, None], np.array([-5, -3, -1, 2, 7])
case(blocks.IntegerDivide(), WHOLE, partial(slow.each, lambda a, b: math.trunc(a / b)))
case(blocks.Modulo(), WHOLE, partial(slow.each, lambda a, b: a - b * math.floor(a / b)))
case(blocks.Modulo(True), WHOLE, partial(slow.each, math.fmod), "fmod")
case(blocks.Modulo(True), (normal(3, 4), positive(4)), partial(slow.each, math.fmod), "floats")
DIVISORS = positive(4)
case(  # away from the jumps
    blocks.Remainder(),
    ((RNG.integers(-3, 4, (3, 4)) + RNG.uniform(0.2, 0.8, (3, 4))) * DIVISORS, DIVISORS),
    partial(slow.each, math.fmod), curved=(0, 1),
)  # fmt: skip
for axis, keepdims, last, largest in [
    (1, True, False, True), (-1, False, True, True), (0, False, False, False),
    (2, True, True, False),
]:  # fmt: skip

    def winner(line, last=last, largest=largest):
        best = max(line) if largest else min(line)
        return [len(line) - 1 - line[::-1].index(best) if last else line.index(best)]

    def winners(x, a=axis % 3, keepdims=keepdims, winner=winner):
        y = slow_moving.along_lines(x, a, winner, 1)
        return y if keepdims else y.squeeze(a)

    case(
        blocks.ArgMax(axis, keepdims, last, largest),
        (RNG.integers(0, 3, (3, 4, 5)).astype(float),), winners, f"{axis} {last} {largest}",
    )  # fmt: skip
for label, to, scale, zero_point in [
    ("one scale", "uint8", np.array(0.25), np.array(3, np.uint8)),
    ("a scale a channel", "int8", np.array([0.5, 0.02, 2.0]), np.array([0, -5, 9], np.int8)),
    ("many bits", "int32", np.array(1e-9), np.array(0, np.int32)),
]:
    definition = partial(slow.quantised, axis=1, low=np.iinfo(to).min, high=np.iinfo(to).max)
    case(blocks.Quantize(1, to), (4 * normal(2, 3, 4), scale, zero_point), definition, label)

# Reductions that are not linear, running sums, products over named axes

for axes in [None, (1,), (0, -1), ()]:
    for keepdims in (False, True):
        front = (0, 1, 2) if axes is None else tuple(a % 3 for a in axes)
        for block, function, curved in [
            (blocks.Max(axes, keepdims), max, [0]), (blocks.Min(axes, keepdims), min, [0]),
            (blocks.Norm(1, axes, keepdims), lambda v: sum(map(abs, v)), [0]),
            (blocks.Norm(2, axes, keepdims), lambda v: math.sqrt(sum(x * x for x in v)), [0]),
            (blocks.Product(axes, keepdims), math.prod, [0]),
            (blocks.LogSumExp(axes, keepdims), lambda v: math.log(sum(map(math.exp, v))), [0]),
        ]:  # fmt: skip
            x = around(2, 3, 4) if isinstance(block, (blocks.Max, blocks.Min)) else normal(2, 3, 4)
            folded = partial(slow.folded, axes=front, keepdims=keepdims, function=function)
            case(block, (x,), folded, f"{block} {axes} {keepdims}", curved)
for zeros in (1, 2):
    x = normal(2, 4)
    x[0, :zeros] = 0
    folded = partial(slow.folded, axes=(1,), keepdims=False, function=math.prod)
    case(blocks.Product((1,)), (x,), folded, f"{zeros} zeros", [0])
for axis in (0, -1):
    for exclusive in (False, True):
        for reverse in (False, True):
            sums = partial(
                slow.cumulated, axis=axis % 2, exclusive=exclusive, reverse=reverse
            )  # fmt: skip
            block = blocks.CumSum(axis, exclusive, reverse)
            case(block, (normal(3, 4),), sums, f"{axis} {exclusive} {reverse}")
for equation, terms, output, shapes in [
    ("ij,jk->ik", ("ij", "jk"), "ik", [(2, 3), (3, 4)]),
    ("ij , jk", ("ij", "jk"), "ik", [(2, 3), (3, 4)]),
    ("ba,ca", ("ba", "ca"), "bc", [(2, 3), (4, 3)]),
    ("...ij,...jk->...ik", ("zij", "zjk"), "zik", [(2, 2, 3), (2, 3, 2)]),
    ("...i,i", ("yzi", "i"), "yz", [(2, 2, 3), (3,)]),
    ("...i,...i->...", ("yzi", "zi"), "yz", [(2, 3, 2), (1, 2)]),
    ("ij->j", ("ij",), "j", [(2, 3)]),
    ("ij->ji", ("ij",), "ji", [(2, 3)]),
    ("i,j,k->ki", ("i", "j", "k"), "ki", [(2,), (3,), (4,)]),
    ("ij,jk->i", ("ij", "jk"), "i", [(2, 1), (3, 2)]),
    (",i->i", ("", "i"), "i", [(), (3,)]),
    ("i...->i", ("iyz",), "i", [(2, 3, 2)]),
]:
    definition = partial(slow.einsum, terms=terms, output=output)
    case(blocks.Einsum(equation), [normal(*s) for s in shapes], definition, equation)

# Elements at computed indices

for axis, indices, shape in [
    (0, RNG.integers(-3, 3, (4, 2)), (3, 2)), (1, RNG.integers(0, 4, (2, 5, 2)), (3, 4, 2)),
    (-1, np.array([[1, 1, 0], [-1, 2, 2]]), (2, 3)),
]:  # fmt: skip
    taken = partial(slow_moving.elements, axis=axis % len(shape))
    case(blocks.TakeElements(axis), (normal(*shape), indices), taken, f"{axis}")
    for adds in (True, False):
        put = partial(slow_moving.put_elements, axis=axis % len(shape), target=shape, adds=adds)
        block = blocks.PutElements(axis, shape, adds)
        case(block, (normal(*indices.shape), indices), put, f"{axis} {adds}")
for k, axis, largest, sort in [(2, -1, True, True), (3, 0, False, True), (2, 1, True, False)]:
    best = partial(slow_moving.top_k, k=k, largest=largest, sort=sort)
    case(
        blocks.TopKIndices(k, axis, largest, sort), (RNG.integers(0, 4, (3, 4, 5)),),
        lambda x, a=axis % 3, k=k, best=best: slow_moving.along_lines(x, a, best, k), f"{k} {axis}",
    )  # fmt: skip
for label, (win, size) in POOLS.items():
    for column_major in (False, True):
        places = partial(slow.max_pool_indices, window=win, column_major=column_major)
        block = blocks.MaxPoolIndices(win, column_major)
        case(block, (distinct(2, 2, *size),), places, f"{label} {column_major}")

# Resampling

for label, mode, size, out, settings in [
    ("nearest", "nearest", 4, 7, {}), ("linear", "linear", 4, 7, {}),
    ("cubic", "cubic", 5, 3, {}), ("antialias", "linear", 9, 4, {"antialias": True}),
]:  # fmt: skip
    indices, weights, _ = blocks.resize_taps(size, out, out / size, mode, **settings)
    for axis in (2, -1):
        x = normal(*(size if a == axis % 4 else 2 for a in range(4)))
        p = normal(*(out if a == axis % 4 else 2 for a in range(4)))
        how = {"axis": axis % 4, "indices": indices, "weights": weights}
        block = blocks.Resample(axis, indices, weights, size)
        case(block, (x,), partial(slow_moving.resampled, **how), f"{label} {axis}")
        case(
            blocks.Resize(axis, out=out, mode=mode, **settings), (x,),
            partial(slow_moving.resampled, **how), f"{label} {axis}",
        )  # fmt: skip
        case(
            blocks.ResampleTransposed(axis, indices, weights, size), (p,),
            partial(slow_moving.resampled_transposed, **how, size=size), f"{label} {axis}",
        )  # fmt: skip
for block in (2, 3):
    for depth_first in (False, True):
        there = partial(slow_moving.depth_to_space, b=block, depth_first=depth_first)
        back = partial(slow_moving.space_to_depth, b=block, depth_first=depth_first)
        label, wide = f"{block} {depth_first}", normal(2, 2, 2 * block, block)
        case(blocks.DepthToSpace(block, depth_first), (back(wide),), there, label)
        case(blocks.SpaceToDepth(block, depth_first), (wide,), back, label)
for mode, padding, align, size, out in [
    ("linear", "zeros", False, (4, 5), (3, 2)), ("linear", "zeros", True, (4, 5), (3, 2)),
    ("linear", "border", False, (4, 5), (3, 2)), ("linear", "reflection", True, (4, 3), (3, 2)),
    ("linear", "reflection", False, (4, 5), (3, 2)), ("nearest", "zeros", False, (4, 5), (3, 2)),
    ("nearest", "border", True, (4, 5), (3, 2)), ("nearest", "reflection", False, (4, 5), (3, 2)),
    ("cubic", "zeros", False, (4, 5), (3, 2)), ("cubic", "border", False, (4, 5), (3, 2)),
    ("cubic", "reflection", True, (4, 5), (3, 2)), ("cubic", "reflection", False, (4, 5), (3, 2)),
    ("linear", "zeros", False, (2, 3, 2), (2, 1, 2)),
    ("nearest", "border", False, (2, 3, 2), (2, 1, 2)),
]:  # fmt: skip
    how = (mode, padding, align)
    label = " ".join(map(str, (*how, len(size))))
    x, p = normal(2, 2, *size), normal(2, 2, *out)
    grid = RNG.uniform(-1.4, 1.4, (2, *out, len(size)))
    curved, refused = ([1], ()) if mode == "linear" else ((), [1])
    block = blocks.GridSample(*how)
    case(block, (x, grid), partial(slow_moving.grid_sample, how=how), label, curved, refused, [1])
    put = partial(slow_moving.grid_put, how=how, size=size)
    case(blocks.GridPut(*how, size), (p, grid), put, label, curved, refused, [1])
    if mode == "linear":
        slope = partial(slow_moving.grid_slope, how=how)
        slide = partial(slow_moving.grid_slide, how=how)
        motion = normal(*grid.shape)
        case(blocks.GridSlope(*how), (p, x, grid), slope, label, refused=[1, 2])
        case(blocks.GridSlide(*how), (motion, x, grid), slide, label, refused=[1, 2])

# A gate by rank: the images' thresholds are their own; activations of one image serve a batch


def rank_gate(p, a, percentile):
    y = np.zeros_like(p)
    for n in range(len(p)):
        product = p[n] * a[n % len(a)]
        tau = sorted(product.reshape(-1))[round((product.size - 1) * percentile / 100)]
        for place in np.ndindex(product.shape):
            y[(n, *place)] = p[(n, *place)] if product[place] > tau else 0
    return y


for images, percentile in [(2, 98.0), (2, 60.0), (1, 0.0), (1, 100.0)]:
    gated = partial(rank_gate, percentile=percentile)
    operands = distinct(2, 3, 4) / 7, np.abs(distinct(images, 3, 4)) / 5
    case(blocks.RankGate(percentile), operands, gated, f"{images} {percentile}", curved=[0])
