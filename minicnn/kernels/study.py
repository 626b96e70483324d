"""Kernels that are there to be studied: the definition as loops, and convolution by Fourier.

    naive    seven nested loops, compiled as they stand
    fft      y = F^-1( sum over channels of F(x) conj F(w) ), one image at a time

The Fourier kernel costs the same for any filter size, so it wins for large filters only.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minicnn.kernels.geometry import Window

__all__ = ["fft_conv", "fft_conv_transpose", "naive_conv", "naive_conv_filter", "naive_transpose"]


def _conv_loops(x, w, y, stride, pads, dilation, groups):  # type: ignore[no-untyped-def]
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            first = o // (y.shape[1] // groups) * w.shape[1]
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = y[n, o, i, j]
                    for c in range(w.shape[1]):
                        for u in range(w.shape[2]):
                            for v in range(w.shape[3]):
                                row = i * stride[0] + u * dilation[0] - pads[0]
                                column = j * stride[1] + v * dilation[1] - pads[1]
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    total += w[o, c, u, v] * x[n, first + c, row, column]
                    y[n, o, i, j] = total


def _transpose_loops(p, w, x, stride, pads, dilation, groups):  # type: ignore[no-untyped-def]
    for n in range(p.shape[0]):
        for o in range(p.shape[1]):
            first = o // (p.shape[1] // groups) * w.shape[1]
            for i in range(p.shape[2]):
                for j in range(p.shape[3]):
                    for c in range(w.shape[1]):
                        for u in range(w.shape[2]):
                            for v in range(w.shape[3]):
                                row = i * stride[0] + u * dilation[0] - pads[0]
                                column = j * stride[1] + v * dilation[1] - pads[1]
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    x[n, first + c, row, column] += w[o, c, u, v] * p[n, o, i, j]


def _filter_loops(p, x, w, stride, pads, dilation, groups):  # type: ignore[no-untyped-def]
    for n in range(p.shape[0]):
        for o in range(p.shape[1]):
            first = o // (p.shape[1] // groups) * w.shape[1]
            for i in range(p.shape[2]):
                for j in range(p.shape[3]):
                    for c in range(w.shape[1]):
                        for u in range(w.shape[2]):
                            for v in range(w.shape[3]):
                                row = i * stride[0] + u * dilation[0] - pads[0]
                                column = j * stride[1] + v * dilation[1] - pads[1]
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    w[o, c, u, v] += p[n, o, i, j] * x[n, first + c, row, column]


@cache
def _compiled(loops: Any) -> Any:
    from minicnn.kernels.cpu.compiled import jitted

    return jitted(loops)


def _started(shape: tuple[int, ...], b: np.ndarray | None, dtype: Any) -> np.ndarray:
    y = np.zeros(shape, dtype)
    return y if b is None else y + b.reshape(-1, 1, 1).astype(dtype)


def naive_conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """Convolution by its definition."""
    shape = (x.shape[0], w.shape[0], *window.output_size(x.shape[2:]))
    y = _started(shape, b, np.result_type(x, w))
    _compiled(_conv_loops)(x, w, y, window.stride, window.pads, window.dilation, groups)
    return y


def naive_transpose(
    p: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    window: Window,
    groups: int,
    size: tuple[int, ...],
) -> np.ndarray:
    """Transposed convolution by its definition."""
    x = _started((p.shape[0], w.shape[1] * groups, *size), b, np.result_type(p, w))
    _compiled(_transpose_loops)(p, w, x, window.stride, window.pads, window.dilation, groups)
    return x


def naive_conv_filter(p: np.ndarray, x: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """The filters' gradient by its definition."""
    w = np.zeros((p.shape[1], x.shape[1] // groups, *window.kernel), np.result_type(p, x))
    _compiled(_filter_loops)(p, x, w, window.stride, window.pads, window.dilation, groups)
    return w


def _spread_filters(w: np.ndarray, window: Window) -> np.ndarray:
    """Filters with zeros between their taps, as dilation means."""
    spread = np.zeros((*w.shape[:2], *window.extent), w.dtype)
    spread[:, :, :: window.dilation[0], :: window.dilation[1]] = w
    return spread


def _transform_size(n: int) -> int:
    """The next size with factors 2, 3 and 5 only, for which transforms are fast."""
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 1


def fft_conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """Convolution by Fourier transforms of the padded image and the filters."""
    out = window.output_size(x.shape[2:])
    padded = window.padded(x)
    size = [_transform_size(n) for n in padded.shape[2:]]
    filters = w.shape[0] // groups
    spectrum = np.fft.rfft2(_spread_filters(w, window), size).conj()
    spectrum = spectrum.reshape(groups, filters, *spectrum.shape[1:])
    y = np.empty((x.shape[0], w.shape[0], *out), np.result_type(x, w))
    for n in range(x.shape[0]):
        image = np.fft.rfft2(padded[n], size)
        image = image.reshape(groups, 1, -1, *image.shape[1:])
        full = np.fft.irfft2((spectrum * image).sum(2), size)
        rows, columns = (slice(0, s * (o - 1) + 1, s) for s, o in zip(window.stride, out))
        y[n] = full[..., rows, columns].reshape(w.shape[0], *out)
    return y if b is None else y + b.reshape(-1, 1, 1)


def fft_conv_transpose(
    p: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    window: Window,
    groups: int,
    size: tuple[int, ...],
) -> np.ndarray:
    """Transposed convolution: the same products without the conjugate, p spread by the stride."""
    out = p.shape[2:]
    buffer = window.buffer_size(size, out)
    full = [_transform_size(n) for n in buffer]
    channels, filters = w.shape[1], w.shape[0] // groups
    spectrum = np.fft.rfft2(_spread_filters(w, window), full)
    spectrum = spectrum.reshape(groups, filters, *spectrum.shape[1:])
    x = np.empty((p.shape[0], channels * groups, *size), np.result_type(p, w))
    for n in range(p.shape[0]):
        spread = np.zeros((p.shape[1], *buffer), p.dtype)
        rows, columns = (slice(0, s * (o - 1) + 1, s) for s, o in zip(window.stride, out))
        spread[:, rows, columns] = p[n]
        signal = np.fft.rfft2(spread, full)
        signal = signal.reshape(groups, filters, 1, *signal.shape[1:])
        image = np.fft.irfft2((spectrum * signal).sum(1), full)
        image = image[..., : buffer[0], : buffer[1]].reshape(-1, *buffer)
        x[n] = window.cropped(image, size)
    return x if b is None else x + b.reshape(-1, 1, 1)
