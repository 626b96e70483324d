"""Definitions written out one number at a time: what blocks and kernels are compared with.

Nothing here imports the package, and nothing is clever. A `window` is anything with the fields
kernel, stride, pads (all begins, then all ends), dilation and ceil_mode.
"""

import itertools
import math

import numpy as np


def box(*sizes):
    return itertools.product(*map(range, sizes))


# Windows


def starts(n, begin, end, extent, stride, ceil_mode):
    """Where the windows of one axis start, counted from the padded image's first position."""
    found, at = [], 0
    while at + extent <= begin + n + end:
        found.append(at)
        at += stride
    reached = found[-1] + extent if found else 0
    if ceil_mode and reached < begin + n + end and at < begin + n:
        found.append(at)
    return found


def standing(window, size):
    """Each window's position in the output, with its taps and the image positions they read."""
    rank = len(size)
    axes = [
        starts(size[a], window.pads[a], window.pads[a + rank],
               window.dilation[a] * (window.kernel[a] - 1) + 1, window.stride[a], window.ceil_mode)
        for a in range(rank)
    ]  # fmt: skip
    for position in box(*map(len, axes)):
        first = [axes[a][position[a]] - window.pads[a] for a in range(rank)]
        yield (
            position,
            [
                (tap, tuple(first[a] + window.dilation[a] * tap[a] for a in range(rank)))
                for tap in box(*window.kernel)
            ],
        )


def output_size(window, size):
    last = list(standing(window, size))[-1][0]
    return tuple(i + 1 for i in last)


def within(at, size, before=None, after=None):
    before, after = before or [0] * len(size), after or [0] * len(size)
    return all(-b <= i < n + e for i, n, b, e in zip(at, size, before, after))


# Convolution: one triple product, seen from three sides


def conv_terms(window, size, groups, filters, per_group):
    """Index triples (p's, w's, x's), batch left out, whose product is summed in <p, conv(x, w)>."""
    for position, taps in standing(window, size):
        for o, c, (tap, at) in itertools.product(range(filters), range(per_group), taps):
            if within(at, size):
                group = o // (filters // groups)
                yield (o, *position), (o, c, *tap), (group * per_group + c, *at)


def conv(x, w, b=None, *, window, groups=1):
    size = x.shape[2:]
    y = np.zeros((x.shape[0], w.shape[0], *output_size(window, size)))
    for i, j, k in conv_terms(window, size, groups, *w.shape[:2]):
        for n in range(len(x)):
            y[(n, *i)] += w[j] * x[(n, *k)]
    for o in range(w.shape[0] if b is not None else 0):
        y[:, o] += b[o]
    return y


def conv_transpose(p, w, b=None, *, window, groups, size):
    x = np.zeros((p.shape[0], w.shape[1] * groups, *size))
    for i, j, k in conv_terms(window, size, groups, *w.shape[:2]):
        for n in range(len(p)):
            if within(i[1:], p.shape[2:]):
                x[(n, *k)] += w[j] * p[(n, *i)]
    for c in range(x.shape[1] if b is not None else 0):
        x[:, c] += b[c]
    return x


def conv_filter(p, x, *, window, groups):
    w = np.zeros((p.shape[1], x.shape[1] // groups, *window.kernel))
    for i, j, k in conv_terms(window, x.shape[2:], groups, *w.shape[:2]):
        for n in range(len(p)):
            w[j] += p[(n, *i)] * x[(n, *k)]
    return w


# Pooling


def max_pool(x, *, window):
    """Maximum, and the row-major number of the first tap that has it."""
    size = x.shape[2:]
    y = np.zeros((*x.shape[:2], *output_size(window, size)))
    switch = np.zeros(y.shape, int)
    for (n, c), (position, taps) in itertools.product(box(*x.shape[:2]), standing(window, size)):
        best, winner = -math.inf, 0
        for number, (_, at) in enumerate(taps):
            if within(at, size) and x[(n, c, *at)] > best:
                best, winner = x[(n, c, *at)], number
        y[(n, c, *position)], switch[(n, c, *position)] = best, winner
    return y, switch


def unpool(p, *, switch, window, size):
    x = np.zeros((*p.shape[:2], *size))
    for (n, c), (position, taps) in itertools.product(box(*p.shape[:2]), standing(window, size)):
        at = taps[switch[(n, c, *position)]][1]
        if within(at, size):
            x[(n, c, *at)] += p[(n, c, *position)]
    return x


def gather(x, *, switch, window):
    y = np.zeros(switch.shape)
    for position, taps in standing(window, x.shape[2:]):
        for n, c in box(*x.shape[:2]):
            at = taps[switch[(n, c, *position)]][1]
            y[(n, c, *position)] = x[(n, c, *at)] if within(at, x.shape[2:]) else 0
    return y


def unpool_center(p, *, window, size):
    center = tuple(math.ceil(k / 2) - 1 for k in window.kernel)  # of 1 .. k, the ceil(k/2)-th
    x = np.zeros((*p.shape[:2], *size))
    for position, taps in standing(window, size):
        at = dict(taps)[center]
        if within(at, size):
            x[(slice(None), slice(None), *at)] += p[(slice(None), slice(None), *position)]
    return x


def average_weights(window, size, include_pad):
    """(output position, image position, 1 / how many taps count) for every tap in the image."""
    rank = len(size)
    pads = (window.pads[:rank], window.pads[rank:]) if include_pad else (None, None)
    for position, taps in standing(window, size):
        count = sum(within(at, size, *pads) for _, at in taps)
        yield from ((position, at, 1 / count) for _, at in taps if within(at, size))


def average_pool(x, *, window, include_pad):
    y = np.zeros((*x.shape[:2], *output_size(window, x.shape[2:])))
    for position, at, share in average_weights(window, x.shape[2:], include_pad):
        for n, c in box(*x.shape[:2]):
            y[(n, c, *position)] += x[(n, c, *at)] * share
    return y


def average_unpool(p, *, window, include_pad, size):
    x = np.zeros((*p.shape[:2], *size))
    for position, at, share in average_weights(window, size, include_pad):
        for n, c in box(*p.shape[:2]):
            x[(n, c, *at)] += p[(n, c, *position)] * share
    return x


def max_pool_indices(x, *, window, column_major):
    _, switch = max_pool(x, window=window)
    y, size = np.zeros(switch.shape), x.shape[2:]
    for (n, c), (position, taps) in itertools.product(box(*x.shape[:2]), standing(window, size)):
        at = taps[switch[(n, c, *position)]][1]
        pairs = list(zip(at, size))
        within = 0
        for i, length in reversed(pairs) if column_major else pairs:
            within = within * length + i
        y[(n, c, *position)] = (n * x.shape[1] + c) * math.prod(size) + within
    return y


# Normalisation


def channel_sum(x, before, after):
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        for j in range(max(0, c - before), min(x.shape[1], c + after + 1)):
            y[:, c] += x[:, j]
    return y


def lrn(x, size, alpha, beta, bias):
    """ONNX: channels max(0, c - floor((size - 1) / 2)) to min(C - 1, c + ceil((size - 1) / 2))."""
    y = np.zeros(x.shape)
    for n, c, *at in box(*x.shape):
        first = max(0, c - math.floor((size - 1) / 2))
        last = min(x.shape[1] - 1, c + math.ceil((size - 1) / 2))
        squares = sum(x[(n, j, *at)] ** 2 for j in range(first, last + 1))
        y[(n, c, *at)] = x[(n, c, *at)] / (bias + alpha / size * squares) ** beta
    return y


def lrn_transposed(p, x, size, alpha, beta, bias):
    """Sum over outputs i of p_i dy_i/dx_c, by the quotient rule."""
    q = np.zeros(p.shape)
    for n, i, *at in box(*x.shape):
        first = max(0, i - math.floor((size - 1) / 2))
        last = min(x.shape[1] - 1, i + math.ceil((size - 1) / 2))
        s = bias + alpha / size * sum(x[(n, j, *at)] ** 2 for j in range(first, last + 1))
        for c in range(first, last + 1):
            slope = -beta * s ** (-beta - 1) * 2 * alpha / size * x[(n, c, *at)] * x[(n, i, *at)]
            q[(n, c, *at)] += p[(n, i, *at)] * (slope + (s**-beta if c == i else 0))
    return q


def batch_norm(x, g, b, mean, var, *, eps):
    y = np.zeros(x.shape)
    for i in box(*x.shape):
        c = i[1]
        y[i] = (x[i] - mean[c]) / math.sqrt(var[c] + eps) * g[c] + b[c]
    return y


def normalise(x, *, axes, eps):
    y = np.zeros(x.shape)
    for rest in box(*(1 if a in axes else n for a, n in enumerate(x.shape))):
        members = [
            i for i in box(*x.shape) if all(i[a] == rest[a] for a in range(x.ndim) if a not in axes)
        ]
        mean = sum(x[i] for i in members) / len(members)
        variance = sum((x[i] - mean) ** 2 for i in members) / len(members)
        for i in members:
            y[i] = (x[i] - mean) / math.sqrt(variance + eps)
    return y


def softmax(x, axis):
    y = np.zeros(x.shape)
    for i in box(*x.shape):
        line = [math.exp(v) for v in x[(*i[:axis], slice(None), *i[axis + 1 :])]]
        y[i] = math.exp(x[i]) / sum(line)
    return y


def log_softmax(x, axis):
    return each(math.log, softmax(x, axis))


def cross_entropy(x, labels):
    losses = [
        -math.log(math.exp(row[k]) / sum(map(math.exp, row))) for row, k in zip(x, labels)
    ]  # fmt: skip
    return np.asarray(sum(losses) / len(losses))


# Elementwise


def each(function, *operands):
    """A function of numbers applied to each, with broadcasting."""
    operands = np.broadcast_arrays(*operands)
    y = np.zeros(operands[0].shape)
    for i in box(*y.shape):
        y[i] = function(*(float(operand[i]) for operand in operands))
    return y


def leaky_relu(x, slope):
    return x if x > 0 else slope * x


def hard_sigmoid(x, alpha, beta):
    return max(0.0, min(1.0, alpha * x + beta))


def hard_swish(x):
    return x * max(0.0, min(6.0, x + 3)) / 6


def quantised(x, scale, zero_point, axis, low, high):
    y = np.zeros(x.shape)
    for i in box(*x.shape):
        s, z = (float(v) if v.ndim == 0 else float(v[i[axis]]) for v in (scale, zero_point))
        y[i] = min(max(round(x[i] / s) + z, low), high)
    return y


# Sums and products


def linear(x, w, b=None):
    y = np.zeros((*x.shape[:-1], len(w)))
    for *at, o in box(*y.shape):
        y[(*at, o)] = sum(w[o][i] * x[(*at, i)] for i in range(x.shape[-1]))
        y[(*at, o)] += 0 if b is None else b[o]
    return y


def matmul(a, b):
    """Vectors are a row and a column; leading axes broadcast."""
    rows, columns = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    lead = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    left = np.broadcast_to(rows, (*lead, *rows.shape[-2:]))
    right = np.broadcast_to(columns, (*lead, *columns.shape[-2:]))
    y = np.zeros((*lead, rows.shape[-2], columns.shape[-1]))
    for *at, i, j in box(*y.shape):
        y[(*at, i, j)] = sum(left[(*at, i, k)] * right[(*at, k, j)] for k in range(left.shape[-1]))
    y = y[..., 0, :] if a.ndim == 1 else y
    return y[..., 0] if b.ndim == 1 else y


def reduced(x, axes, keepdims, mean=False):
    y = np.zeros([1 if a in axes else n for a, n in enumerate(x.shape)])
    for i in box(*x.shape):
        y[tuple(0 if a in axes else i[a] for a in range(x.ndim))] += x[i]
    y = y * y.size / x.size if mean else y
    return y if keepdims else y.reshape([n for a, n in enumerate(x.shape) if a not in axes])


def repeated(x, target):
    y = np.zeros(target)
    lead = len(target) - x.ndim
    for i in box(*target):
        y[i] = x[tuple(0 if n == 1 else j for j, n in zip(i[lead:], x.shape))]
    return y


def sum_to(x, target):
    y = np.zeros(target)
    lead = x.ndim - len(target)
    for i in box(*x.shape):
        y[tuple(0 if n == 1 else j for j, n in zip(i[lead:], target))] += x[i]
    return y


# Reductions that are not linear, running sums, products over named axes


def folded(x, axes, keepdims, function):
    """A function of the list of values that share the place of one output."""
    lists = {}
    for i in box(*x.shape):
        at = tuple(0 if a in axes else i[a] for a in range(x.ndim))
        lists.setdefault(at, []).append(float(x[i]))
    y = np.zeros([1 if a in axes else n for a, n in enumerate(x.shape)])
    for at, members in lists.items():
        y[at] = function(members)
    return y if keepdims else y.reshape([n for a, n in enumerate(x.shape) if a not in axes])


def cumulated(x, axis, exclusive, reverse):
    y = np.zeros(x.shape)
    for i in box(*x.shape):
        for j in range(x.shape[axis]):
            ahead = j > i[axis] if reverse else j < i[axis]
            if ahead or (j == i[axis] and not exclusive):
                y[i] += x[(*i[:axis], j, *i[axis + 1 :])]
    return y


def einsum(*operands, terms, output):
    """For terms without an ellipsis; an index of length 1 is repeated."""
    lengths = {}
    for term, operand in zip(terms, operands):
        for letter, n in zip(term, operand.shape):
            lengths[letter] = max(n, lengths.get(letter, 1))
    y = np.zeros([lengths[letter] for letter in output])
    for numbers in box(*lengths.values()):
        at = dict(zip(lengths, numbers))
        value = 1.0
        for term, operand in zip(terms, operands):
            value *= operand[tuple(min(at[c], n - 1) for c, n in zip(term, operand.shape))]
        y[tuple(at[c] for c in output)] += value
    return y


# Units


def gelu(x):
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def gelu_by_tanh(x):
    return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def mish(x):
    return x * math.tanh(math.log(1 + math.exp(x)))


def elu(x, alpha=1.0, gamma=1.0, rate=1.0):
    return gamma * (x if x > 0 else alpha * (math.exp(x * rate) - 1))


def group_normalise(x, groups, eps):
    parts = x.reshape(len(x), groups, -1)
    return normalise(parts, axes=(2,), eps=eps).reshape(x.shape)
