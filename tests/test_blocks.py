"""Every block, over a sweep of geometries, against its slow definition and its adjointness.

`CASES` is the table: a block, operands, and the definition it must agree with. Every test below
runs over all of it, and the last section fails where a block is missing from the table.

    <p, J v> = <J^T p, v>       J v by central differences, or exactly where the block is affine
"""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import slow

import minicnn
from minicnn import Tensor, blocks, grad
from minicnn.blocks import Kept, Packed, Window
from minicnn.errors import InputError, NotDifferentiableError, ShapeError

RNG = np.random.default_rng(7)
CASES = []


def case(block, operands, definition, label="", curved=(), refused=(), once=()):
    """Enter a case; `curved` lists the operands in which the block is not affine.

    `refused` lists operands that see and yet have no transpose, `once` those whose transpose has
    none itself.
    """
    for operand in operands:
        operand.setflags(write=False)  # blocks are pure: none may write into what it is given
    label = f"{type(block).__name__} {label or len(CASES)}"
    made = Case(block, tuple(operands), definition, tuple(curved), tuple(refused), tuple(once))
    CASES.append(pytest.param(made, id=label))


@dataclasses.dataclass(frozen=True)
class Case:
    block: blocks.Block
    operands: tuple
    definition: object
    curved: tuple
    refused: tuple
    once: tuple

    @property
    def seeing(self):
        """The operands that get a signal."""
        none = {*self.block.blind, *self.refused}
        return [i for i in range(len(self.operands)) if i not in none]

    @property
    def single(self):
        """The operands in float32, integers and truth values as they are."""
        return [o.astype(np.float32) if o.dtype == np.float64 else o for o in self.operands]


def normal(*shape):
    return RNG.standard_normal(shape)


def positive(*shape):
    return RNG.uniform(0.5, 2, shape)


def distinct(*shape):
    """A permutation: no ties, nothing at zero, and negative values too."""
    size = math.prod(shape)
    return (RNG.permutation(size) - size // 2 + 0.25).reshape(shape)


def window(kernel, stride=None, pads=None, dilation=None, ceil_mode=False):
    ones = (1,) * len(kernel)
    pads = pads or (0,) * 2 * len(kernel)
    return Window(kernel, stride or ones, pads, dilation or ones, ceil_mode)


# Convolutions: label -> window, input size, groups, input channels and filters a group

CONVS = {
    "plain": (window((3, 3)), (5, 4), 1, 2, 3),
    "1x1, stride 2": (window((1, 1), (2, 2)), (4, 5), 1, 2, 3),
    "strides and four pads": (window((3, 2), (2, 3), (1, 0, 2, 1)), (6, 7), 1, 2, 2),
    "rows left over": (window((3, 3), (4, 4), (1, 1, 0, 1)), (9, 8), 1, 1, 2),
    "dilation": (window((2, 3), (1, 2), (1, 2, 0, 1), (3, 2)), (6, 7), 1, 2, 2),
    "groups": (window((2, 2), (2, 1), (1, 0, 0, 1)), (5, 4), 2, 2, 3),
    "depthwise": (window((3, 3), (1, 1), (1, 1, 1, 1)), (4, 4), 3, 1, 1),
    "depthwise, two filters a channel": (window((3, 2), (2, 2)), (5, 5), 3, 1, 2),
    "1x7": (window((1, 7), (1, 1), (0, 3, 0, 3)), (3, 6), 1, 2, 2),
    "window as large as the image": (window((4, 5)), (4, 5), 1, 2, 3),
    "pads larger than the kernel": (window((2, 2), (2, 2), (3, 3, 2, 4)), (3, 2), 1, 1, 2),
    "negative pads crop": (window((2, 2), (1, 2), (-1, 1, 0, -2)), (6, 7), 1, 2, 1),
    "1-D": (window((3,), (2,), (2, 0), (2,)), (9,), 2, 1, 2),
    "3-D": (window((2, 1, 2), (1, 2, 1), (0, 1, 0, 1, 0, 1), (1, 1, 2)), (3, 3, 4), 1, 2, 2),
}

for label, (win, size, groups, per_group, per_out) in CONVS.items():
    x, w = normal(2, per_group * groups, *size), normal(per_out * groups, per_group, *win.kernel)
    p = normal(2, per_out * groups, *slow.output_size(win, size))
    extra = tuple(
        n - (s * (o - 1) + d * (k - 1) + 1 - b - e)
        for n, s, o, d, k, b, e in zip(
            size, win.stride, p.shape[2:], win.dilation, win.kernel, win.begins, win.ends
        )
    )
    convolved = partial(slow.conv, window=win, groups=groups)
    filtered = partial(slow.conv_filter, window=win, groups=groups)
    spread = partial(slow.conv_transpose, window=win, groups=groups, size=size)
    case(blocks.Conv(win, groups), (x, w), convolved, label)
    case(blocks.Conv(win, groups), (x, w, normal(len(w))), convolved, f"{label}, bias")
    case(blocks.ConvFilter(win, groups), (p, x), filtered, label)
    back = blocks.ConvTranspose(win, groups, extra)
    case(back, (p, w), spread, label)
    case(back, (p, w, normal(x.shape[1])), spread, f"{label}, bias")

# Output padding as a choice: (1, 2) leaves room for one more window of stride 1, dilation 3.
for label, win, extra, size in [
    ("output padding below stride", window((3, 3), (2, 3), (1, 0, 1, 1)), (1, 2), (6, 10)),
    ("output padding above stride", window((2, 2), (1, 1), (1, 0, 0, 1), (2, 3)), (1, 2), (5, 7)),
    ("output padding of one axis only", window((2, 2), (2, 1), None, (1, 3)), (0, 2), (6, 8)),
]:
    spread = partial(slow.conv_transpose, window=win, groups=1, size=size)
    block = blocks.ConvTranspose(win, 1, extra)
    case(block, (normal(2, 2, 3, 3), normal(2, 2, *win.kernel)), spread, label)

# Pooling: label -> window, input size

POOLS = {
    "2x2 stride 2": (window((2, 2), (2, 2)), (4, 6)),
    "overlapping": (window((3, 3), (2, 2)), (7, 9)),
    "overlapping, ceil": (window((3, 3), (2, 2), None, None, True), (6, 8)),
    "ceil drops a window in the padding": (window((2, 2), (2, 2), (1,) * 4, None, True), (5, 4)),
    "four pads": (window((3, 2), (2, 1), (1, 0, 2, 1)), (5, 4)),
    "four pads, ceil": (window((3, 3), (2, 3), (0, 1, 2, 1), None, True), (6, 6)),
    "dilation": (window((2, 2), (1, 2), (1, 1, 1, 1), (2, 3)), (6, 7)),
    "gaps between windows": (window((1, 2), (3, 3)), (5, 6)),
    "one tap": (window((1, 1), (2, 2)), (3, 4)),
    "1x7": (window((1, 7), (1, 1), (0, 3, 0, 3)), (2, 5)),
    "1-D": (window((3,), (2,), (1, 1)), (6,)),
    "3-D": (window((2, 1, 2), (1, 2, 2), (0, 0, 1, 1, 0, 0)), (3, 2, 4)),
}

for label, (win, size) in POOLS.items():
    x = distinct(2, 2, *size)
    y, switch = slow.max_pool(x, window=win)
    packed, p = Packed.pack(switch, win.volume), normal(*y.shape)
    onto = {"window": win, "size": size}
    case(blocks.MaxPool(win), (x,), lambda x, w=win: slow.max_pool(x, window=w)[0], label, [0])
    case(blocks.Unpool(packed, win, size), (p,), partial(slow.unpool, switch=switch, **onto), label)
    case(
        blocks.Gather(packed, win, size), (normal(2, 2, *size),),
        partial(slow.gather, switch=switch, window=win), label,
    )  # fmt: skip
    case(blocks.UnpoolCenter(win, size), (p,), partial(slow.unpool_center, **onto), label)
    for include in (False, True):
        averaged = partial(slow.average_pool, window=win, include_pad=include)
        shared = partial(slow.average_unpool, include_pad=include, **onto)
        name = f"{label}, {'with' if include else 'without'} pads"
        case(blocks.AveragePool(win, include), (normal(2, 2, *size),), averaged, name)
        case(blocks.AverageUnpool(win, size, include), (p,), shared, name)

case(
    blocks.MaxPool(None), (distinct(2, 3, 3, 4),), lambda x: x.max((2, 3), keepdims=True),
    "global", curved=[0],
)  # fmt: skip

# ReLU and relatives: sixths between -4 and 4, so that both branches and both bounds occur

BITS = np.arange(30).reshape(2, 3, 5) % 3 == 0


def around(*shape):
    return distinct(*shape) / 6


def elementwise(block, x, function, label="", curved=(0,)):
    case(block, (x,), partial(slow.each, function), label, curved)


elementwise(blocks.ReLU(), around(2, 4, 6), lambda x: max(x, 0))
elementwise(blocks.LeakyReLU(0.1), around(2, 4, 6), lambda x: slow.leaky_relu(x, 0.1))
elementwise(blocks.Clip(0, 2.5), around(2, 4, 6), lambda x: min(max(x, 0), 2.5), "two bounds")
elementwise(blocks.Clip(None, 1), around(2, 4, 6), lambda x: min(x, 1), "no lower bound")
elementwise(blocks.Clip(-1, None), around(2, 4, 6), lambda x: max(x, -1), "no upper bound")
elementwise(blocks.Clip(), around(2, 4), lambda x: x, "no bounds")
elementwise(blocks.HardSigmoid(), around(2, 4, 6), lambda x: slow.hard_sigmoid(x, 0.2, 0.5))
elementwise(
    blocks.HardSigmoid(0.3, 0.4), around(2, 24), lambda x: slow.hard_sigmoid(x, 0.3, 0.4), "others"
)
elementwise(blocks.HardSwish(), around(2, 4, 6), slow.hard_swish)
for label, shape in {"one slope": (1,), "a slope a channel": (1, 3, 1), "scalar slope": ()}.items():
    leaky = partial(slow.each, slow.leaky_relu)
    case(blocks.PReLU(), (around(2, 3, 8), positive(*shape)), leaky, label, curved=[0])
case(
    blocks.Stacked(
        ((blocks.Mask(Packed.pack(BITS)),), (), (blocks.Scale(2.0), blocks.Mask(Packed.pack(BITS))))
    ),
    (normal(6, 3, 5),),
    lambda x: np.concatenate([x[:2] * BITS, x[2:4], 2 * x[4:] * BITS]),
)
case(
    blocks.Mask(Packed.pack(BITS), inside=2.0, outside=-0.5), (normal(2, 3, 5),),
    lambda x: slow.each(lambda v, bit: 2 * v if bit else -0.5 * v, x, BITS),
)  # fmt: skip
case(
    blocks.Mask(Packed.pack(BITS)), (normal(2, 3, 5),),
    lambda x: slow.each(lambda v, bit: v if bit else 0, x, BITS), "by default",
)  # fmt: skip
COINS = np.random.default_rng(3).random((4, 25), np.float32)
for rate in (0.3, 0.0, 1.0):
    case(
        blocks.Dropout(rate, 3), (normal(4, 25),),
        lambda x, r=rate: slow.each(lambda v, coin: v / (1 - r) if coin >= r else 0, x, COINS),
        f"rate {rate}",
    )  # fmt: skip

# Smooth functions, losses, normalisation

elementwise(blocks.Sigmoid(), normal(3, 4), lambda x: 1 / (1 + math.exp(-x)))
elementwise(blocks.Tanh(), normal(3, 4), math.tanh)
elementwise(blocks.Exp(), normal(3, 4), math.exp)
elementwise(blocks.Log(), positive(3, 4), math.log)
for axis in (0, 1, -1):
    x, front = normal(2, 3, 4), axis % 3
    softmax, log_softmax = partial(slow.softmax, axis=front), partial(slow.log_softmax, axis=front)
    case(blocks.Softmax(axis), (x,), softmax, f"axis {axis}", [0])
    case(blocks.LogSoftmax(axis), (x,), log_softmax, f"axis {axis}", [0])
LABELS = np.array([1, 0, 3])
entropy = partial(slow.cross_entropy, labels=LABELS)
case(blocks.CrossEntropy(LABELS), (normal(3, 4),), entropy, curved=[0])
for size in (1, 2, 3, 4, 5, 9):
    lrn = partial(slow.lrn, size=size, alpha=0.7, beta=0.6, bias=1.5)
    case(blocks.LRN(size, 0.7, 0.6, 1.5), (normal(2, 5, 2, 3),), lrn, f"size {size}", [0])
    back = blocks.LRNTransposed(size, 0.7, 0.6, 1.5)
    definition = partial(slow.lrn_transposed, size=size, alpha=0.7, beta=0.6, bias=1.5)
    case(back, (normal(2, 5, 2, 3), normal(2, 5, 2, 3)), definition, f"size {size}", [1])
for pair in [(0, 0), (1, 2), (2, 0), (7, 7)]:
    block = blocks.ChannelSum(*pair)
    case(block, (normal(2, 5, 2),), lambda x, p=pair: slow.channel_sum(x, *p), f"{pair}")
for shape in [(3, 4), (2, 4, 3), (2, 4, 2, 3)]:
    operands = (normal(*shape), normal(4), normal(4), normal(4), positive(4))
    case(blocks.BatchNorm(0.1), operands, partial(slow.batch_norm, eps=0.1), f"{shape}", [4])
for axes in [(0, 2), (1,), (0, 1, 2)]:
    normalise = partial(slow.normalise, axes=axes, eps=0.1)
    case(blocks.Normalise(axes, 0.1), (normal(3, 2, 4),), normalise, f"over {axes}", [0])
case(
    blocks.BatchNormTraining(0.1), (normal(3, 2, 4), positive(2), normal(2)),
    lambda x, g, b: slow.normalise(x, axes=(0, 2), eps=0.1) * g[:, None] + b[:, None], curved=[0],
)  # fmt: skip

# Arithmetic with broadcasting, products, sums

SHAPES = [((2, 3), (2, 3)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((), (2, 2)), ((4, 1, 2), (3, 1))]
for a, b in SHAPES:
    for block, function, curved in [
        (blocks.Add(), lambda a, b: a + b, ()),
        (blocks.Subtract(), lambda a, b: a - b, ()),
        (blocks.Multiply(), lambda a, b: a * b, ()),
        (blocks.Divide(), lambda a, b: a / b, (1,)),
    ]:
        definition = partial(slow.each, function)
        case(block, (normal(*a), positive(*b)), definition, f"{a} {b}", curved)
elementwise(blocks.Scale(-2.5), normal(2, 3), lambda x: -2.5 * x, curved=())
for exponent in (2, 3, 0.5, -1.5, 1):
    elementwise(
        blocks.Power(exponent), positive(2, 3), lambda x, e=exponent: x**e, f"to {exponent}"
    )
for small, large in [((3,), (2, 3)), ((2, 1), (2, 3)), ((1,), (2, 3)), ((), (2,)), ((2,), (2,))]:
    to, back = blocks.BroadcastTo(large), blocks.SumTo(small)
    case(to, (normal(*small),), lambda x, t=large: slow.repeated(x, t), f"{small} {large}")
    case(back, (normal(*large),), lambda x, t=small: slow.sum_to(x, t), f"{large} {small}")
for a, b in [((2, 3), (3, 4)), ((3,), (3, 2)), ((2, 3), (3,)), ((3,), (3,)),
             ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((4, 1, 2, 3), (5, 3, 2)),
             ((3,), (4, 3, 2)), ((4, 2, 3), (3,))]:  # fmt: skip
    case(blocks.MatMul(), (normal(*a), normal(*b)), slow.matmul, f"{a} {b}")
for lead in [(2,), (), (2, 3)]:
    x, w, b = normal(*lead, 4), normal(3, 4), normal(3)
    case(blocks.Linear(), (x, w), slow.linear, f"{(*lead, 4)}")
    case(blocks.Linear(), (x, w, b), slow.linear, f"{(*lead, 4)}, bias")
for axes in [None, (1,), (0, -1), ()]:
    for keepdims in (False, True):
        front = (0, 1, 2) if axes is None else tuple(a % 3 for a in axes)
        for kind, mean in [(blocks.Sum, False), (blocks.Mean, True)]:
            reduced = partial(slow.reduced, axes=front, keepdims=keepdims, mean=mean)
            case(kind(axes, keepdims), (normal(2, 3, 4),), reduced, f"{axes} {keepdims}")

# Moving values


def reshaping(block, shape, target):
    case(block, (normal(*shape),), lambda x: x.copy().reshape(target), f"{shape}")


case(blocks.Identity(), (normal(2, 3),), lambda x: x)
reshaping(blocks.Reshape((3, -1)), (2, 3, 2), (3, 4))
reshaping(blocks.Reshape((0, -1), copy_zero=True), (2, 3, 4), (2, 12))
reshaping(blocks.Reshape(()), (1, 1), ())
reshaping(blocks.Flatten(), (2, 3, 4), (2, 12))
reshaping(blocks.Flatten(0, 1), (2, 3, 4, 5), (6, 4, 5))
reshaping(blocks.Squeeze(), (1, 2, 1, 3), (2, 3))
reshaping(blocks.Squeeze((-2,)), (1, 2, 1, 3), (1, 2, 3))
reshaping(blocks.Unsqueeze((0, -1)), (2, 3), (1, 2, 3, 1))
for axes in [(1, 0, 2), (2, 0, 1), (0, 1, 2)]:
    block = blocks.Transpose(axes)
    case(block, (normal(2, 3, 4),), lambda x, a=axes: slow.permuted(x, a), f"{axes}")
for axis, lengths in [(1, (2, 1, 3)), (0, (1, 2)), (-1, (2, 2)), (1, (4,))]:
    shapes = [[2, 2, 2] for _ in lengths]
    for shape, n in zip(shapes, lengths):
        shape[axis] = n
    operands, joined = [normal(*shape) for shape in shapes], partial(slow.concat, axis=axis)
    case(blocks.Concat(axis), operands, joined, f"{axis} {lengths}")
for index in [np.s_[1:3, ::2], np.s_[:, ::-1], np.s_[-1:, 4:0:-2, 1:2], np.s_[::-3,], np.s_[9:,]]:
    case(blocks.Slice(index), (normal(4, 5, 2),), lambda x, i=index: slow.sliced(x, i), f"{index}")
    lengths, _ = slow.kept_places((4, 5, 2), index)
    case(
        blocks.Place(index, (4, 5, 2)), (normal(*lengths),),
        lambda p, i=index: slow.placed(p, i, (4, 5, 2)), f"{index}",
    )  # fmt: skip
for pads in [((1, 2), (0, 3)), ((-1, 2), (3, -2)), ((-1, -1), (0, -2)), ((0, 0), (0, 0))]:
    for value in (0.0, 1.5):
        padded = partial(slow.padded, pads=pads, value=value)
        case(blocks.Pad(pads, value), (normal(4, 5),), padded, f"{pads} {value}")
for mode in ("reflect", "edge", "wrap"):
    pads = ((0, 2), (1, 3), (4, 0))
    padded = partial(slow.padded_from_inside, pads=pads, mode=mode)
    case(blocks.PadFromInside(pads, mode), (normal(3, 2, 4),), padded, mode)
for indices, axis in [
    (np.array([2, 0, 2, 2]), 0), (np.array([[1, 3], [3, -1]]), 1), (np.array([-1, 0]), -1),
    (np.array(1), 1),
]:  # fmt: skip
    shape, front = (3, 4, 2), axis % 3
    whole = indices % shape[front]
    case(
        blocks.Take(indices, axis), (normal(*shape),),
        lambda x, i=whole, a=front: slow.taken(x, i, a), f"{indices.tolist()} {axis}",
    )  # fmt: skip
    case(
        blocks.PutAdd(whole, front, shape[front]),
        (normal(*shape[:front], *indices.shape, *shape[front + 1 :]),),
        lambda p, i=whole, a=front, n=shape[front]: slow.put_add(p, i, a, n),
        f"{indices.tolist()} {axis}",
    )  # fmt: skip

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
        y = slow.along_lines(x, a, winner, 1)
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
    taken = partial(slow.elements, axis=axis % len(shape))
    case(blocks.TakeElements(axis), (normal(*shape), indices), taken, f"{axis}")
    for adds in (True, False):
        put = partial(slow.put_elements, axis=axis % len(shape), target=shape, adds=adds)
        block = blocks.PutElements(axis, shape, adds)
        case(block, (normal(*indices.shape), indices), put, f"{axis} {adds}")
for k, axis, largest, sort in [(2, -1, True, True), (3, 0, False, True), (2, 1, True, False)]:
    best = partial(slow.top_k, k=k, largest=largest, sort=sort)
    case(
        blocks.TopKIndices(k, axis, largest, sort), (RNG.integers(0, 4, (3, 4, 5)),),
        lambda x, a=axis % 3, k=k, best=best: slow.along_lines(x, a, best, k), f"{k} {axis}",
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
        case(block, (x,), partial(slow.resampled, **how), f"{label} {axis}")
        case(
            blocks.Resize(axis, out=out, mode=mode, **settings), (x,),
            partial(slow.resampled, **how), f"{label} {axis}",
        )  # fmt: skip
        case(
            blocks.ResampleTransposed(axis, indices, weights, size), (p,),
            partial(slow.resampled_transposed, **how, size=size), f"{label} {axis}",
        )  # fmt: skip
for block in (2, 3):
    for depth_first in (False, True):
        there = partial(slow.depth_to_space, b=block, depth_first=depth_first)
        back = partial(slow.space_to_depth, b=block, depth_first=depth_first)
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
    case(block, (x, grid), partial(slow.grid_sample, how=how), label, curved, refused, [1])
    put = partial(slow.grid_put, how=how, size=size)
    case(blocks.GridPut(*how, size), (p, grid), put, label, curved, refused, [1])
    if mode == "linear":
        slope = partial(slow.grid_slope, how=how)
        slide = partial(slow.grid_slide, how=how)
        motion = normal(*grid.shape)
        case(blocks.GridSlope(*how), (p, x, grid), slope, label, refused=[1, 2])
        case(blocks.GridSlide(*how), (motion, x, grid), slide, label, refused=[1, 2])


# What is proved of each

every_case = pytest.mark.parametrize("case", CASES)
OPERANDS = [
    pytest.param(param.values[0], wrt, id=f"{param.id} wrt {wrt}")
    for param in CASES
    for wrt in param.values[0].seeing
]
every_operand = pytest.mark.parametrize(("case", "wrt"), OPERANDS)
every_operand_twice = pytest.mark.parametrize(
    ("case", "wrt"), [p for p in OPERANDS if p.values[1] not in p.values[0].once]
)
every_case_twice = pytest.mark.parametrize(
    "case", [p for p in CASES if (c := p.values[0]).seeing and not (c.refused or c.once)]
)


def honest(case, wrt, operands=None):
    """Output, and what was kept: reading more of it than `uses(wrt)` declares is an error."""
    operands = operands or case.operands
    y, statistic = case.block.forward(*operands)
    read = set()

    def reader(index):
        assert index in case.block.uses(wrt), f"reads {index}, declares {case.block.uses(wrt)}"
        read.add(index)
        return [*operands, y][index]

    return y, Kept(statistic, [o.shape for o in operands], reader), read


def pushed(case, wrt, v, step=1e-5):
    """J v: exact where the block is affine in the operand, else by central differences."""

    def at(operand):
        operands = list(case.operands)
        operands[wrt] = operand
        return case.block(*operands)

    if wrt not in case.curved:
        return at(v) - at(np.zeros_like(v))
    x = case.operands[wrt]
    return (at(x + step * v) - at(x - step * v)) / (2 * step)


def like(array, seed):
    made = np.random.default_rng(seed).standard_normal(np.shape(array))
    made.setflags(write=False)
    return made


@every_case
def test_forward_agrees_with_the_slow_definition(case):
    y, expected = case.block(*case.operands), case.definition(*case.operands)
    if y.dtype.kind == "f":
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(y, expected)


@every_case
def test_dtype_is_that_of_the_output(case):
    for operands in (case.operands, case.single):
        y, _ = case.block.forward(*operands)
        assert y.dtype == case.block.dtype(*(o.dtype for o in operands))


@every_case
def test_an_operand_that_gets_no_signal_says_so(case):
    _, kept, _ = honest(case, 0)
    for wrt in {*range(len(case.operands))} - {*case.seeing}:
        with pytest.raises(NotDifferentiableError, match=case.block.kind):
            case.block.transposed(kept, wrt)


@every_case
def test_shape_is_that_of_the_output(case):
    y = case.block(*case.operands)
    assert case.block.shape(*(o.shape for o in case.operands)) == np.shape(y)


@every_case
def test_a_statistic_is_kept_where_one_is_named(case):
    _, statistic = case.block.forward(*case.operands)
    assert (statistic is not None) == bool(case.block.statistic)


@every_operand
def test_transpose_is_adjoint_to_the_derivative(case, wrt):
    y, kept, _ = honest(case, wrt)
    p, v = like(y, 1), like(case.operands[wrt], 2)
    back = case.block.transposed(kept, wrt)(p)
    assert np.shape(back) == case.operands[wrt].shape
    forth = pushed(case, wrt, v)
    scale = 1 + np.abs(p).sum() * np.abs(forth).max(initial=0)
    assert abs((p * forth).sum() - (back * v).sum()) < 1e-9 * scale


@every_operand
def test_transpose_is_linear_in_the_top_signal(case, wrt):
    y, kept, _ = honest(case, wrt)
    p, q = like(y, 1), like(y, 2)
    back = case.block.transposed(kept, wrt)
    np.testing.assert_allclose(back(2 * p - 3 * q), 2 * back(p) - 3 * back(q), atol=1e-11)


@every_operand
def test_transpose_reads_what_it_declares(case, wrt):
    y, kept, read = honest(case, wrt)
    case.block.transposed(kept, wrt)(like(y, 1))
    assert read == set(case.block.uses(wrt))


@every_operand
def test_float32_stays_float32(case, wrt):
    y, kept, _ = honest(case, wrt, case.single)
    p = like(y, 1)
    back = case.block.transposed(kept, wrt)(p.astype(y.dtype))
    exact, kept, _ = honest(case, wrt)
    assert back.dtype == np.float32
    assert y.dtype == np.float32 or isinstance(case.block, blocks.Cast)
    np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, case.block.transposed(kept, wrt)(p), rtol=1e-3, atol=1e-3)


@every_operand_twice
def test_the_transpose_is_made_of_blocks_whose_transpose_is_the_derivative(case, wrt):
    """On a tensor p the transpose is recorded; transposing it again must give J back."""
    y, kept, _ = honest(case, wrt)
    v, p = like(case.operands[wrt], 2), Tensor(like(y, 1), requires_grad=True)
    (forth,) = grad(case.block.transposed(kept, wrt)(p), [p], gradient=v)
    expected = pushed(case, wrt, v)
    np.testing.assert_allclose(forth.data, expected, rtol=1e-8, atol=1e-8)


@every_operand
def test_tensors_get_the_gradients_that_arrays_get(case, wrt):
    y, kept, _ = honest(case, wrt)
    p = like(y, 1)
    tensors = [
        Tensor(o, requires_grad=i == wrt) if i in case.seeing else o
        for i, o in enumerate(case.operands)
    ]
    (got,) = grad(case.block(*tensors), [tensors[wrt]], gradient=p)
    np.testing.assert_array_equal(got.data, case.block.transposed(kept, wrt)(p))


@every_case_twice
def test_gradients_of_gradients_are_exact(case):
    """The Hessian of <p, f> along a random direction, by central differences of gradients."""
    p = like(case.block(*case.operands), 1)
    along = {i: like(case.operands[i], 5 + i) for i in case.seeing}

    def gradients(step, create_graph=False):
        operands = list(case.operands)
        for i, v in along.items():
            point = np.asarray(operands[i] + step * v)
            operands[i] = Tensor(point, requires_grad=True)
        moved = [operands[i] for i in along]
        return moved, grad(case.block(*operands), moved, p, create_graph=create_graph)

    step = 1e-5
    expected = [
        (a.data - b.data) / (2 * step) for a, b in zip(gradients(step)[1], gradients(-step)[1])
    ]
    x, first = gradients(0, create_graph=True)
    projected = sum((g * v).sum() for g, v in zip(first, along.values()))
    second = (
        grad(projected, x) if projected.requires_grad else [Tensor(np.zeros(o.shape)) for o in x]
    )
    for got, wanted in zip(second, expected):
        np.testing.assert_allclose(got.data, wanted, rtol=1e-6, atol=1e-6)


# What the table must hold


def test_every_block_is_in_the_table():
    exported = [getattr(blocks, name) for name in blocks.__all__]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, blocks.Block)}
    missing = kinds - {blocks.Block} - {type(param.values[0].block) for param in CASES}
    assert not missing, "add a case for each: block, operands, slow definition"


def test_every_block_class_is_exported():
    def below(kind):
        return {kind} | {c for child in kind.__subclasses__() for c in below(child)}

    kinds = {k for k in below(minicnn.blocks.Block) if k.__module__.startswith("minicnn.")}
    hidden = {k.__name__ for k in kinds if not k.__name__.startswith("_")} - set(blocks.__all__)
    assert not hidden


# What the table does not show


def test_tails_are_finite_and_quiet():
    """No overflow (a warning fails the suite), and slopes that go to 0 or 1."""
    for dtype in (np.float32, np.float64):
        x = np.array([-1e30, -1e4, -90, 0, 90, 1e4, 1e30], dtype)
        for block in [
            blocks.Erf(), blocks.Gelu(), blocks.Gelu("tanh"), blocks.Softplus(), blocks.Softsign(),
            blocks.Mish(), blocks.Swish(), blocks.Elu(), blocks.Selu(), blocks.Celu(0.5),
            blocks.Abs(),
        ]:  # fmt: skip
            y, kept = block.record(x)
            slope = block.transposed(kept)(np.ones_like(x))
            assert y.dtype == slope.dtype == dtype
            assert np.isfinite([y, slope]).all(), block
            ends = [0, 1, -1, dtype(getattr(block, "gamma", 1))]
            assert np.isclose(slope[[0, -1], None], ends).any(1).all(), block


def test_erf_is_exact_in_both_precisions():
    x = np.linspace(-5, 5, 1001)
    expected = [math.erf(v) for v in x]
    np.testing.assert_allclose(blocks.Erf()(x), expected, rtol=1e-15)
    single = [math.erf(v) for v in x.astype(np.float32)]
    np.testing.assert_allclose(blocks.Erf()(x.astype(np.float32)), single, rtol=3e-7)


def test_casts_of_what_does_not_fit_are_quiet_and_signals_come_back_in_their_type():
    x = np.array([np.nan, np.inf, -1e300, 3.7, -3.7])
    assert blocks.Cast("int64").forward(x)[0][3:].tolist() == [3, -3]
    assert np.isinf(blocks.Cast("float32").forward(x)[0][2])
    y, kept = blocks.Cast("float32").record(x)
    back = blocks.Cast("float32").transposed(kept)(np.ones_like(y))
    assert (y.dtype, back.dtype) == (np.float32, np.float64)
    whole, _ = blocks.Cast("float32").forward(np.arange(3))
    assert whole.dtype == np.float32
    with pytest.raises(InputError, match="no type"):
        blocks.Cast("float31")


def test_maxima_of_integers_and_ties():
    a, b = np.array([1, 5, 3]), np.array([4, 5, 2])
    assert blocks.Maximum().forward(a, b)[0].tolist() == [4, 5, 3]
    assert blocks.Minimum().forward(a, b)[0].tolist() == [1, 5, 2]
    assert blocks.Max((0,)).forward(a)[0] == 5
    x = Tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    (got,) = grad(blocks.Max((1,))(x), [x], gradient=np.ones(2, np.float32))
    np.testing.assert_allclose(got.data, [[0, 0.5, 0.5], [1 / 3] * 3])
    a, b = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    first, second = grad(blocks.Maximum()(a, b), [a, b], gradient=np.ones(2, np.float32))
    assert (first.data.tolist(), second.data.tolist()) == ([1, 1], [0, 0])


def test_a_norm_of_nothing_has_gradient_nothing():
    x = Tensor(np.array([[0.0, 0.0], [3.0, 4.0]]), requires_grad=True)
    (got,) = grad(blocks.Norm(2, (1,))(x).sum(), [x])
    np.testing.assert_allclose(got.data, [[0, 0], [0.6, 0.8]])


def test_minus_infinity_is_the_logarithm_of_nothing():
    x = np.array([[-np.inf, -np.inf], [1000.0, 1000.0]])
    np.testing.assert_allclose(blocks.LogSumExp((1,))(x), [-np.inf, 1000 + math.log(2)])


def test_whole_numbers_are_not_divided_by_zero():
    for block in (blocks.IntegerDivide(), blocks.Modulo()):
        with pytest.raises(InputError, match="divided by 0"):
            block(np.array([1, 2]), np.array([1, 0]))


@pytest.mark.parametrize(
    ("equation", "shapes", "reason"),
    [
        ("i1->i", [(2, 2)], "letters"), ("ij->ii", [(2, 2)], "twice"), ("ij->k", [(2, 2)], "no op"),
        ("ij,jk->ik", [(2, 2)], "needs 2 operands"), ("ij->i", [(2,)], "does not name"),
        ("ij->...", [(2, 2)], "ellipsis"), ("ij,jk", [(2, 3), (4, 2)], "lengths 3 and 4"),
        ("i->i->i", [(2,)], "letters"),
    ],
)  # fmt: skip
def test_malformed_equations_are_explained(equation, shapes, reason):
    with pytest.raises(ShapeError, match=reason):
        blocks.Einsum(equation)(*(np.ones(shape) for shape in shapes))


def test_a_diagonal_can_be_read_but_has_no_transpose():
    x = Tensor(np.arange(9.0).reshape(3, 3), requires_grad=True)
    y = blocks.Einsum("ii->i")(x)
    assert y.data.tolist() == [0, 4, 8]
    with pytest.raises(NotDifferentiableError, match="twice"):
        y.sum().backward()


def test_indices_that_lie_outside_are_refused():
    with pytest.raises(InputError, match="axis 0 of length 3"):
        blocks.TakeElements(0)(np.zeros((3, 2)), np.array([[3, 0]]))
    with pytest.raises(ShapeError, match="fit"):
        blocks.TakeElements(0)(np.zeros((3, 2)), np.zeros((1, 3), int))
    with pytest.raises(ShapeError, match="no 4 values"):
        blocks.TopKIndices(4)(np.zeros(3))


def test_a_grid_may_hold_anything():
    x, grid = np.ones((1, 1, 2, 2)), np.array([np.nan, np.inf, -1e30, 1e30]).reshape(1, 1, 2, 2)
    for padding in ("zeros", "border", "reflection"):
        y = blocks.GridSample("linear", padding)(x, grid)
        assert np.isfinite(y).all()
    assert (blocks.GridSample()(x, grid) == 0).all()
