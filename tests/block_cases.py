"""The table of blocks: each with operands and the slow definition it must agree with.

Here: how a case is entered, convolutions, pooling, units, normalisation, arithmetic, moving values.
`block_cases_more` goes on from here, and has the whole table; `test_blocks` says what is proved.
"""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import slow
import slow_moving

from minicnn import blocks
from minicnn.blocks import Packed, Window

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
    case(block, (normal(2, 3, 4),), lambda x, a=axes: slow_moving.permuted(x, a), f"{axes}")
for axis, lengths in [(1, (2, 1, 3)), (0, (1, 2)), (-1, (2, 2)), (1, (4,))]:
    shapes = [[2, 2, 2] for _ in lengths]
    for shape, n in zip(shapes, lengths):
        shape[axis] = n
    operands, joined = [normal(*shape) for shape in shapes], partial(slow_moving.concat, axis=axis)
    case(blocks.Concat(axis), operands, joined, f"{axis} {lengths}")
for index in [np.s_[1:3, ::2], np.s_[:, ::-1], np.s_[-1:, 4:0:-2, 1:2], np.s_[::-3,], np.s_[9:,]]:
    case(
        blocks.Slice(index),
        (normal(4, 5, 2),),
        lambda x, i=index: slow_moving.sliced(x, i),
        f"{index}",
    )
    lengths, _ = slow_moving.kept_places((4, 5, 2), index)
    case(
        blocks.Place(index, (4, 5, 2)), (normal(*lengths),),
        lambda p, i=index: slow_moving.placed(p, i, (4, 5, 2)), f"{index}",
    )  # fmt: skip
for pads in [((1, 2), (0, 3)), ((-1, 2), (3, -2)), ((-1, -1), (0, -2)), ((0, 0), (0, 0))]:
    for value in (0.0, 1.5):
        padded = partial(slow_moving.padded, pads=pads, value=value)
        case(blocks.Pad(pads, value), (normal(4, 5),), padded, f"{pads} {value}")
for mode in ("reflect", "edge", "wrap"):
    pads = ((0, 2), (1, 3), (4, 0))
    padded = partial(slow_moving.padded_from_inside, pads=pads, mode=mode)
    case(blocks.PadFromInside(pads, mode), (normal(3, 2, 4),), padded, mode)
for indices, axis in [
    (np.array([2, 0, 2, 2]), 0), (np.array([[1, 3], [3, -1]]), 1), (np.array([-1, 0]), -1),
    (np.array(1), 1),
]:  # fmt: skip
    shape, front = (3, 4, 2), axis % 3
    whole = indices % shape[front]
    case(
        blocks.Take(indices, axis), (normal(*shape),),
        lambda x, i=whole, a=front: slow_moving.taken(x, i, a), f"{indices.tolist()} {axis}",
    )  # fmt: skip
    case(
        blocks.PutAdd(whole, front, shape[front]),
        (normal(*shape[:front], *indices.shape, *shape[front + 1 :]),),
        lambda p, i=whole, a=front, n=shape[front]: slow_moving.put_add(p, i, a, n),
        f"{indices.tolist()} {axis}",
    )  # fmt: skip
