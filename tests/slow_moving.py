"""Definitions of what moves values: placing, padding, indexing, resampling, one number at a time.

The rest is in `slow`, and as there nothing imports the package and nothing is clever.
"""

import itertools
import math

import numpy as np
from slow import box, within

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
