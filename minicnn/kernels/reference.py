"""Reference kernels in plain NumPy: the definitions that every other kernel is held to.

Arrays are (N, C, *spatial) of any spatial rank, filters (O, C/groups, *kernel), cross-correlation.
The three convolution kernels are one trilinear form seen from its three sides,

    <p, conv(x, w)>  =  <conv_transpose(p, w), x>  =  <conv_filter(p, x), w>,

and images are taken one at a time, so a result never depends on what else is in the batch.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.devices import place_of, to_device
from minicnn.kernels.geometry import Window
from minicnn.kernels.packed import Packed

Size = tuple[int, ...]


def _unfold(image: np.ndarray, window: Window, out: Size) -> np.ndarray:
    """Windows of one padded image (C, *buffer) as columns: (C, taps, positions) ("im2col")."""
    columns = np.empty_like(image, shape=(image.shape[0], window.volume, *out))
    for t, tap in enumerate(window.taps(out)):
        columns[:, t] = image[tap]
    return columns.reshape(image.shape[0], window.volume, -1)


def _fold(columns: np.ndarray, window: Window, size: Size, out: Size) -> np.ndarray:
    """Transpose of padding and unfolding: columns (C, taps, positions) added up to (C, *size)."""
    channels = columns.shape[0]
    buffer = np.zeros_like(columns, shape=(channels, *window.buffer_size(size, out)))
    columns = columns.reshape(channels, window.volume, *out)
    for t, tap in enumerate(window.taps(out)):
        buffer[tap] += columns[:, t]
    return window.cropped(buffer, size)


def conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """y[o] = sum_c,t w[o,c,t] x[c, s i - pad + d t] + b[o]; returns (N, O, *out)."""
    out = window.output_size(x.shape[2:])
    filters, per_group = w.shape[0], w.shape[1]
    matrix = w.reshape(groups, filters // groups, per_group * window.volume)  # (G, O/G, CK/G)
    y = np.empty_like(x, shape=(x.shape[0], filters, *out), dtype=np.result_type(x, w))
    padded = window.padded(x)
    for n in range(x.shape[0]):
        columns = _unfold(padded[n], window, out).reshape(groups, matrix.shape[2], -1)
        y[n] = (matrix @ columns).reshape(filters, *out)
    if b is not None:
        y += b.reshape(-1, *[1] * window.rank)
    return y


def conv_transpose(
    p: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int, size: Size
) -> np.ndarray:
    """x[c, s i - pad + d t] += sum_o w[o,c,t] p[o,i]; returns (N, C, *size), plus b[c]."""
    filters, per_group = w.shape[0], w.shape[1]
    out = p.shape[2:]
    channels = groups * per_group
    matrix = w.reshape(groups, filters // groups, per_group * window.volume).transpose(0, 2, 1)
    x = np.empty_like(p, shape=(p.shape[0], channels, *size), dtype=np.result_type(p, w))
    for n in range(p.shape[0]):
        columns = matrix @ p[n].reshape(groups, filters // groups, -1)  # (G, CK/G, positions)
        x[n] = _fold(columns.reshape(channels, window.volume, -1), window, size, out)
    if b is not None:
        x += b.reshape(-1, *[1] * window.rank)
    return x


def conv_filter(p: np.ndarray, x: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """w[o,c,t] = sum_n,i p[o,i] x[c, s i - pad + d t]; returns (O, C/groups, *kernel)."""
    filters, per_group = p.shape[1], x.shape[1] // groups
    out = p.shape[2:]
    shape = (groups, filters // groups, per_group * window.volume)
    w = np.zeros_like(p, shape=shape, dtype=np.result_type(p, x))
    padded = window.padded(x)
    for n in range(p.shape[0]):
        columns = _unfold(padded[n], window, out).reshape(groups, w.shape[2], -1)
        w += p[n].reshape(groups, filters // groups, -1) @ columns.transpose(0, 2, 1)
    return w.reshape(filters, per_group, *window.kernel)


def max_pool(x: np.ndarray, window: Window) -> tuple[np.ndarray, Packed]:
    """Maximum over each window and its switch (which tap won); padding is minus infinity.

    Of equal values the first in row-major order wins. NaN wins over everything.
    """
    out = window.output_size(x.shape[2:])
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = window.padded(x, least)
    y, switch = None, None
    for t, tap in enumerate(window.taps(out)):
        value = padded[tap]
        if y is None or switch is None:
            y = value.copy()
            switch = np.zeros_like(value, dtype=np.min_scalar_type(window.volume - 1))
            continue
        better = (value > y) | ((value != value) & (y == y))
        np.copyto(y, value, where=better)
        np.copyto(switch, switch.dtype.type(t), where=better)
    if y is None or switch is None:
        raise ValueError("a window has at least one tap")
    return y, Packed.pack(switch, window.volume)


def unpool(p: np.ndarray, switches: Packed, window: Window, size: Size) -> np.ndarray:
    """Transpose of max-pooling: add each p to the tap that its switch names; (N, C, *size)."""
    out = p.shape[2:]
    switch = switches.unpack()
    buffer = np.zeros_like(p, shape=(*p.shape[:2], *window.buffer_size(size, out)))
    for t, tap in enumerate(window.taps(out)):
        buffer[tap] += np.where(switch == t, p, p.dtype.type(0))
    return window.cropped(buffer, size)


def gather(x: np.ndarray, switches: Packed, window: Window) -> np.ndarray:
    """Read from each window the tap that its switch names, 0 in the padding: unpool's transpose."""
    switch = switches.unpack()
    y = np.zeros_like(x, shape=(*x.shape[:2], *switch.shape[2:]))
    padded = window.padded(x)
    for t, tap in enumerate(window.taps(switch.shape[2:])):
        np.copyto(y, padded[tap], where=switch == t)
    return y


def center_tap(window: Window) -> int:
    """Row-major index of the tap that deconvnet_analysis calls the centre, ceil(k/2) from 1."""
    index = 0
    for k in window.kernel:
        index = index * k + (k - 1) // 2
    return index


def unpool_center(p: np.ndarray, window: Window, size: Size) -> np.ndarray:
    """Unpool without switches: add each p at its window's centre; (N, C, *size)."""
    out = p.shape[2:]
    buffer = np.zeros_like(p, shape=(*p.shape[:2], *window.buffer_size(size, out)))
    tap = list(window.taps(out))[center_tap(window)]
    buffer[tap] += p
    return window.cropped(buffer, size)


def _divisor(window: Window, size: Size, include_pad: bool, like: np.ndarray) -> np.ndarray:
    """How many taps of each window count, shape *out: those in the image, or in image and pads.

    Taps beyond the padded image (a last window in ceil mode) never count.
    """
    divisor = np.ones((1,) * window.rank, like.dtype)
    for axis, pixels in enumerate(window.pixels_by_axis(size, include_pad)):  # (out, kernel)
        shape = [1] * window.rank
        shape[axis] = len(pixels)
        divisor = divisor * np.maximum(pixels.sum(1), 1).reshape(shape).astype(like.dtype)
    return to_device(divisor, place_of(like))


def average_pool(x: np.ndarray, window: Window, include_pad: bool) -> np.ndarray:
    """Mean over each window; `include_pad` counts the zeros of the padding."""
    out = window.output_size(x.shape[2:])
    padded = window.padded(x)
    y = np.zeros_like(x, shape=(*x.shape[:2], *out))
    for tap in window.taps(out):
        y += padded[tap]
    y /= _divisor(window, x.shape[2:], include_pad, x)
    return y


def average_unpool(p: np.ndarray, window: Window, include_pad: bool, size: Size) -> np.ndarray:
    """Transpose of average pooling: spread each p evenly over its window; (N, C, *size)."""
    out = p.shape[2:]
    share = p / _divisor(window, size, include_pad, p)
    buffer = np.zeros_like(p, shape=(*p.shape[:2], *window.buffer_size(size, out)))
    for tap in window.taps(out):
        buffer[tap] += share
    return window.cropped(buffer, size)


def channel_sum(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """y[c] = sum of x[c - before] .. x[c + after], channels outside counting as zero."""
    channels = x.shape[1]
    y = np.zeros_like(x)
    for shift in range(-before, after + 1):
        first, last = max(0, -shift), min(channels, channels - shift)
        if first < last:
            y[:, first:last] += x[:, first + shift : last + shift]
    return y


def put_add(p: np.ndarray, indices: np.ndarray, axis: int, size: int) -> np.ndarray:
    """x[indices[i]] += p[i] along an axis of the given size: the transpose of taking indices."""
    lead, tail = p.shape[:axis], p.shape[axis + indices.ndim :]
    x = np.zeros_like(p, shape=(*lead, size, *tail))
    flat = p.reshape(*lead, indices.size, *tail)
    here, there = np.moveaxis(x, axis, 0), np.moveaxis(flat, axis, 0)  # views
    for i, index in enumerate(indices.reshape(-1)):
        here[index] += there[i]
    return x


def relu(x: np.ndarray) -> tuple[np.ndarray, Packed]:
    """max(x, 0), and where x > 0."""
    return np.maximum(x, x.dtype.type(0)), Packed.pack(x > 0)


def masked(x: np.ndarray, mask: Packed) -> np.ndarray:
    """x where the mask is set, else 0; a mask of fewer images is repeated."""
    bits = mask.unpack()
    if bits.ndim > 1 and 1 < len(bits) < len(x):
        times = len(x) // len(bits)
        bits = np.broadcast_to(bits, (times, *bits.shape)).reshape(-1, *bits.shape[1:])
    return np.where(bits, x, x.dtype.type(0))


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """y = x w^T + b for w (out, in), over the last axis."""
    y = x @ w.T
    return y if b is None else y + b


def lrn(x: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """y = x s^-beta, s = bias + alpha/size sum of x^2 over channels c-(size-1)/2 .. c+size/2."""
    s = channel_sum(x * x, (size - 1) // 2, size // 2) * (alpha / size) + bias
    return x * s**-beta


def lrn_transposed(
    p: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, bias: float
) -> np.ndarray:
    """p s^-beta - 2 alpha beta/size x W^T(p x s^(-beta-1)) for the x that LRN was called on."""
    before, after = (size - 1) // 2, size // 2
    s = channel_sum(x * x, before, after) * (alpha / size) + bias
    around = channel_sum(p * (x * s ** (-beta - 1)), after, before)
    return p * s**-beta - around * (x * (2 * alpha / size * beta))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """y = e^x / sum e^x along an axis, the largest x subtracted first."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """y = x - log sum e^x along an axis."""
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def sgd(
    w: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray | None = None,
    *,
    rate: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """g += decay w;  v = momentum v + (1 - dampening) g;  w -= rate (v, or g + momentum v)."""
    step = gradient + decay * w
    if velocity is not None:
        velocity *= momentum
        velocity += (1 - dampening) * step
        step = step + momentum * velocity if nesterov else velocity
    w -= rate * step


def adam(
    w: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    step: int,
    *,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate m' / (sqrt(v') + epsilon).

    m' = m / (1 - b1^step), v' alike; the decay is added to g, or (AdamW) taken off w by itself.
    """
    if decoupled:
        w *= 1 - rate * decay
    else:
        gradient = gradient + decay * w
    for held, new, beta in ((mean, gradient, betas[0]), (square, gradient * gradient, betas[1])):
        held *= beta
        held += (1 - beta) * new
    root = np.sqrt(square / (1 - betas[1] ** step)) + epsilon
    w -= rate / (1 - betas[0] ** step) * mean / root


def _over_batch(x: np.ndarray) -> Size:
    return (0, *range(2, x.ndim))


def _per_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def batch_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel of (N, C, ...)."""
    return x.mean(_over_batch(x)), x.var(_over_batch(x))


def batch_norm(x: np.ndarray, gain: np.ndarray, shift: np.ndarray, eps: float) -> np.ndarray:
    """y = (x - mean) / sqrt(variance + eps) gain + shift, by the batch's own statistics."""
    mean, variance = batch_statistics(x)
    inverse = (variance + eps) ** -0.5
    normal = (x - _per_channel(mean, x)) * _per_channel(inverse, x)
    return normal * _per_channel(gain, x) + _per_channel(shift, x)


def batch_norm_transposed(
    p: np.ndarray, x: np.ndarray, gain: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p with respect to x, gain and shift: J^T p of `batch_norm`."""
    mean, variance = batch_statistics(x)
    inverse = (variance + eps) ** -0.5
    normal = (x - _per_channel(mean, x)) * _per_channel(inverse, x)
    dshift, dgain = p.sum(_over_batch(x)), (p * normal).sum(_over_batch(x))
    count = x.size // x.shape[1]
    centred = p - _per_channel(dshift / count, x) - normal * _per_channel(dgain / count, x)
    return centred * _per_channel(gain * inverse, x), dgain, dshift


def parts(
    clean: np.ndarray, changed: np.ndarray, places: np.ndarray, size: Size, filling: float
) -> np.ndarray:
    """Parts of an image with changed boxes pasted in.

    Parameters
    ----------
    clean : array (1, C, H, W)
        The image.
    changed : array (N, C, h', w')
        What stands in its stead in each part.
    places : array of int (N, 4)
        Top and left of the part, top and left of the changed box, as places of the image; parts
        and boxes may reach beyond it, and beyond each other.
    size : (int, int)
        Height and width of a part.
    filling : float
        What lies beyond the image.

    Returns
    -------
    array (N, C, height, width)
    """
    y = np.full_like(clean, filling, shape=(*changed.shape[:2], *size))
    for n, (top, left, inner_top, inner_left) in enumerate(places):
        for source, first, at in (
            (clean[0], top, left),
            (changed[n], top - inner_top, left - inner_left),
        ):  # the part begins at place (first, at) of the source
            rows = slice(max(0, first), max(0, min(source.shape[1], first + size[0])))
            columns = slice(max(0, at), max(0, min(source.shape[2], at + size[1])))
            found = source[:, rows, columns]
            if found.size:
                down, across = rows.start - first, columns.start - at
                y[n, :, down : down + found.shape[1], across : across + found.shape[2]] = found
    return y
