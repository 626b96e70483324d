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


# Moving values


def permuted(x, axes):
    y = np.zeros([x.shape[a] for a in axes])
    for i in box(*y.shape):
        source = [0] * x.ndim
        for place, axis in enumerate(axes):
            source[axis] = i[place]
        y[i] = x[tuple(source)]
    return y


def concat(*operands, axis):
    members = [np.moveaxis(operand, axis, 0) for operand in operands]
    return np.moveaxis(np.array([row for member in members for row in member]), 0, axis)


def kept_places(shape, index):
    """For each place in x[index], the place in x."""
    ranges = [list(range(n)) for n in shape]
    ranges = [r[s] for r, s in zip(ranges, index)] + ranges[len(index) :]
    lengths = tuple(map(len, ranges))
    return lengths, [(i, tuple(r[j] for r, j in zip(ranges, i))) for i in box(*lengths)]


def sliced(x, index):
    lengths, places = kept_places(x.shape, index)
    y = np.zeros(lengths)
    for i, source in places:
        y[i] = x[source]
    return y


def placed(p, index, target):
    x = np.zeros(target)
    for i, source in kept_places(target, index)[1]:
        x[source] = p[i]
    return x


def padded(x, pads, value):
    y = np.zeros([n + b + e for n, (b, e) in zip(x.shape, pads)])
    for i in box(*y.shape):
        source = tuple(j - b for j, (b, _) in zip(i, pads))
        y[i] = x[source] if within(source, x.shape) else value
    return y


def padded_from_inside(x, pads, mode):
    def source(j, n):
        if mode == "edge":
            return min(max(j, 0), n - 1)
        if mode == "wrap":
            return j % n
        while not 0 <= j < n:  # a mirror at the first and at the last value
            j = -j if j < 0 else 2 * (n - 1) - j
        return j

    y = np.zeros([n + b + e for n, (b, e) in zip(x.shape, pads)])
    for i in box(*y.shape):
        y[i] = x[tuple(source(j - b, n) for j, (b, _), n in zip(i, pads, x.shape))]
    return y


def taken(x, indices, axis):
    y = np.zeros((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    for at in box(*indices.shape):
        y[(slice(None),) * axis + at] = x[(slice(None),) * axis + (indices[at],)]
    return y


def put_add(p, indices, axis, size):
    x = np.zeros((*p.shape[:axis], size, *p.shape[axis + indices.ndim :]))
    for at in box(*indices.shape):
        x[(slice(None),) * axis + (indices[at],)] += p[(slice(None),) * axis + at]
    return x


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


# Elements at computed indices


def elements(x, indices, axis):
    y = np.zeros(indices.shape)
    for i in box(*indices.shape):
        y[i] = x[(*i[:axis], indices[i], *i[axis + 1 :])]
    return y


def put_elements(p, indices, axis, target, adds):
    x = np.zeros(target)
    for i in box(*indices.shape):
        at = (*i[:axis], indices[i], *i[axis + 1 :])
        x[at] = p[i] + (x[at] if adds else 0)
    return x


def along_lines(x, axis, function, length):
    """A function of each list of values along an axis, which gives a list of that length."""
    lines = np.moveaxis(x, axis, -1)
    y = np.zeros((*lines.shape[:-1], length))
    for i in box(*lines.shape[:-1]):
        y[i] = function(lines[i].tolist())
    return np.moveaxis(y, -1, axis)


def top_k(line, k, largest, sort):
    best = sorted(range(len(line)), key=lambda i: (-line[i] if largest else line[i], i))[:k]
    return best if sort else sorted(best)


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


def quantised(x, scale, zero_point, axis, low, high):
    y = np.zeros(x.shape)
    for i in box(*x.shape):
        s, z = (float(v) if v.ndim == 0 else float(v[i[axis]]) for v in (scale, zero_point))
        y[i] = min(max(round(x[i] / s) + z, low), high)
    return y


# Resampling


def resampled(x, axis, indices, weights):
    y = np.zeros([len(indices) if a == axis else n for a, n in enumerate(x.shape)])
    for i in box(*y.shape):
        for j, w in zip(indices[i[axis]], weights[i[axis]]):
            y[i] += w * x[(*i[:axis], j, *i[axis + 1 :])]
    return y


def resampled_transposed(p, axis, indices, weights, size):
    x = np.zeros([size if a == axis else n for a, n in enumerate(p.shape)])
    for i in box(*p.shape):
        for j, w in zip(indices[i[axis]], weights[i[axis]]):
            x[(*i[:axis], j, *i[axis + 1 :])] += w * p[i]
    return x


def cubic(d, a=-0.75):
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0


def brought_in(u, n, padding, align_corners):
    """A coordinate within the image's edges, and the direction in which it then runs."""
    low, high = (0, n - 1) if align_corners else (-0.5, n - 0.5)
    direction = 1
    if padding == "border" and not low <= u <= high:
        return min(max(u, 0), n - 1), 0
    while padding == "reflection" and not low <= u <= high:
        u, direction = (2 * low - u if u < low else 2 * high - u), -direction
    return u, direction


def grid_axis(g, n, mode, padding, align_corners):
    """(pixel, weight, slope of the weight in g) of the taps along one axis."""
    rise = (n - 1) / 2 if align_corners else n / 2
    u = (g + 1) * rise - (0 if align_corners else 0.5)
    u = round(u) if mode == "nearest" else u
    if not (mode == "cubic" and padding == "border"):  # its taps are held, not its place
        u, direction = brought_in(u, n, padding, align_corners)
    first = math.floor(u)
    if mode == "nearest":
        taps = [(first, 1, 0)]
    elif mode == "linear":
        taps = [(first, first + 1 - u, -direction * rise), (first + 1, u - first, direction * rise)]
    else:
        taps = [(first + s, cubic(first + s - u), 0) for s in (-1, 0, 1, 2)]
    for at, weight, slope in taps:
        if padding == "zeros" and not 0 <= at < n:
            continue
        at, _ = brought_in(at, n, padding, align_corners)
        yield int(min(max(at, 0), n - 1)), weight, slope


def grid_terms(grid, size, how, along=None):
    """(image, place, pixel, weight), or with `along` the weight's slope in that column."""
    for n, *place in box(*grid.shape[:-1]):
        axes = []
        for axis, length in enumerate(size):
            column = len(size) - 1 - axis
            taps = grid_axis(grid[(n, *place, column)], length, *how)
            axes.append([(at, slope if column == along else w) for at, w, slope in taps])
        for taps in itertools.product(*axes):
            yield n, tuple(place), tuple(at for at, _ in taps), math.prod(w for _, w in taps)


def grid_sample(x, grid, *, how, along=None):
    y = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for n, place, pixel, weight in grid_terms(grid, x.shape[2:], how, along):
        for c in range(x.shape[1]):
            y[(n, c, *place)] += weight * x[(n, c, *pixel)]
    return y


def grid_put(p, grid, *, how, size):
    x = np.zeros((*p.shape[:2], *size))
    for n, place, pixel, weight in grid_terms(grid, size, how):
        for c in range(p.shape[1]):
            x[(n, c, *pixel)] += weight * p[(n, c, *place)]
    return x


def grid_slope(p, x, grid, *, how):
    columns = [p * grid_sample(x, grid, how=how, along=i) for i in range(grid.shape[-1])]
    return np.stack([column.sum(1) for column in columns], -1)


def grid_slide(v, x, grid, *, how):
    return sum(
        grid_sample(x, grid, how=how, along=i) * v[:, None, ..., i] for i in range(v.shape[-1])
    )


# Units


def gelu(x):
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def gelu_by_tanh(x):
    return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def mish(x):
    return x * math.tanh(math.log(1 + math.exp(x)))


def elu(x, alpha=1.0, gamma=1.0, rate=1.0):
    return gamma * (x if x > 0 else alpha * (math.exp(x * rate) - 1))


def depth_to_space(x, b, depth_first):
    n, channels, h, w = x.shape
    c = channels // (b * b)
    y = np.zeros((n, c, h * b, w * b))
    for i, k, r, s in box(*y.shape):
        place = r % b * b + s % b
        source = place * c + k if depth_first else k * b * b + place
        y[i, k, r, s] = x[i, source, r // b, s // b]
    return y


def space_to_depth(x, b, depth_first):
    n, c, h, w = x.shape
    y = np.zeros((n, c * b * b, h // b, w // b))
    for i, k, r, s in box(*x.shape):
        place = r % b * b + s % b
        target = place * c + k if depth_first else k * b * b + place
        y[i, target, r // b, s // b] = x[i, k, r, s]
    return y


def group_normalise(x, groups, eps):
    parts = x.reshape(len(x), groups, -1)
    return normalise(parts, axes=(2,), eps=eps).reshape(x.shape)
