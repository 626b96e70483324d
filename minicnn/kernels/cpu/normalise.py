"""Normalisation across channels: LRN and softmax.

LRN          y = x s^-beta,   s = bias + alpha/size W(x^2),   W sums channels around each
transposed   p s^-beta - 2 alpha beta/size x W^T(p x s^(-beta-1))
softmax      y_c = e^(x_c - m) / sum_j e^(x_j - m),   m = max_j x_j
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some, store_some
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.laid import pixels
from minicnn.kernels.cpu.lanes import (
    exponential,
    highest,
    lanes_below,
    load_between,
    power,
)
from minicnn.kernels.cpu.pooling import by_lines, on_arrays, share
from minicnn.kernels.cpu.program import Image, Program
from minicnn.kernels.cpu.vector import (
    LANES,
    as_float,
    choose,
    greater,
    load,
    multiply_add,
    spread,
    store,
    total,
)

__all__ = [
    "bits", "count_pixels", "lay_lrn", "lay_lrn_transposed", "lay_softmax", "log_softmax", "lrn",
    "lrn_transposed", "softmax",
]  # fmt: skip

TOGETHER = 8  # pixels whose intermediate results are kept at a time


def bits(number: float) -> int:
    """A float32 as a kernel's argument."""
    return int(np.float32(number).view(np.int32))


def count_pixels(*images: Image) -> int:
    """Pixels of each of some images, which must follow each other in memory."""
    for image in images:
        steps = (image.channel, image.row, image.image)
        if steps != (1, image.width * image.pixel, image.height * image.row):
            raise ValueError(f"pixels must follow each other, channels last: {image}")
    return images[0].batch * images[0].height * images[0].width


# Across neighbouring channels


@inline
def window_load(line, first, channels):
    """Channels `first` and on of one pixel, zeros outside of 0 .. channels - 1."""
    if first >= 0 and first + LANES <= channels:
        return load(line + 4 * first)
    return load_between(line + 4 * first, -first, channels - first)


@inline
def scale(line, channel, channels, before, after, share, bias):
    """s = bias + share * sum of x^2 over each channel's window."""
    squares = spread(0.0)
    for first in range(channel - before, channel + after + 1):
        x = window_load(line, first, channels)
        squares = multiply_add(x, x, squares)
    return multiply_add(squares, spread(as_float(share)), spread(as_float(bias)))


@kernel
def lrn_forwards(
    worker, item, x, x_image, x_row, x_pixel, rows, columns, channels, lines, lines_an_item,
    before, after, share, bias, beta, scratch, scratch_size, ending,
):  # fmt: skip
    """LRN: some rows of y; `share` is alpha/size."""
    memory = scratch + worker * scratch_size
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(ending, image)
        for column in range(columns):
            source = x + image * x_image + row * x_row + column * x_pixel
            for channel in range(0, channels, LANES):
                count = min(LANES, channels - channel)
                s = scale(source, channel, channels, before, after, share, bias)
                y = load_some(source + 4 * channel, count) * power(s, as_float(beta), memory)
                finish(y, ending, mode, image, row, column, channel, count)


@inline
def weigh(p, x, channels, before, after, share, bias, beta, direct, around, memory):
    """For one pixel p s^-beta, stored at `direct`, and p x s^(-beta-1), at `around`."""
    for channel in range(0, channels, LANES):
        at, count = 4 * channel, min(LANES, channels - channel)
        s = scale(x, channel, channels, before, after, share, bias)
        value = load_some(p + at, count) * power(s, as_float(beta), memory)
        store(value, direct + at)
        store(value * load_some(x + at, count) / s, around + at)


@kernel
def lrn_backwards(
    worker, item, p, p_image, p_row, p_pixel, x, x_images, x_image, x_row, x_pixel, rows, columns,
    channels, lines, lines_an_item, before, after, share, bias, beta, factor, scratch, scratch_size,
    ending,
):  # fmt: skip
    """LRN transposed: some rows, some pixels at a time. `factor` is -2 alpha beta/size."""
    memory = scratch + worker * scratch_size
    size = (channels + LANES - 1) // LANES * VECTOR
    direct = memory + VECTOR
    around = direct + TOGETHER * size
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(ending, image)
        signal = p + image * p_image + row * p_row
        stored = x + image % x_images * x_image + row * x_row
        for begin in range(0, columns, TOGETHER):
            some = min(TOGETHER, columns - begin)
            for k in range(some):
                weigh(
                    signal + (begin + k) * p_pixel, stored + (begin + k) * x_pixel, channels,
                    before, after, share, bias, beta, direct + k * size, around + k * size, memory,
                )  # fmt: skip
            for k in range(some):
                for channel in range(0, channels, LANES):
                    at, count = 4 * channel, min(LANES, channels - channel)
                    sums = spread(0.0)
                    for first in range(channel - after, channel + before + 1):
                        sums = sums + window_load(around + k * size, first, channels)
                    here = load_some(stored + (begin + k) * x_pixel + at, count)
                    here = here * spread(as_float(factor))
                    value = multiply_add(sums, here, load(direct + k * size + at))
                    finish(value, ending, mode, image, row, begin + k, channel, count)


def _window(size: int, alpha: float, beta: float, bias: float) -> dict[str, int]:
    """What both directions know of a window of `size` channels."""
    return {
        "before": (size - 1) // 2,
        "after": size // 2,
        "share": bits(alpha / size),
        "bias": bits(bias),
        "beta": bits(beta),
    }


def lay_lrn(
    prog: Program, x: Image, y: Image, size: int, alpha: float, beta: float, bias: float,
    **epilogue: Any,
) -> None:  # fmt: skip
    """Add LRN of x into y."""
    by_lines(
        prog, lrn_forwards, y, size, **x.steps("x"), **_window(size, alpha, beta, bias),
        scratch=prog.scratch_memory(VECTOR * prog.workers), scratch_size=VECTOR,
        ending=prog.ending(y, **epilogue),
    )  # fmt: skip


def lay_lrn_transposed(
    prog: Program, p: Image, y: Image, x: Image, size: int, alpha: float, beta: float, bias: float,
    **epilogue: Any,
) -> None:  # fmt: skip
    """Add LRN's transpose of p at stored x into y; image n goes by x's image n modulo its batch."""
    memory = VECTOR + 2 * TOGETHER * -(-p.channels // LANES) * VECTOR
    by_lines(
        prog, lrn_backwards, y, 2 * size, **p.steps("p"), **x.steps("x"), x_images=x.batch,
        **_window(size, alpha, beta, bias), factor=bits(-2 * alpha * beta / size),
        scratch=prog.scratch_memory(memory * prog.workers), scratch_size=memory,
        ending=prog.ending(y, **epilogue),
    )  # fmt: skip


# Softmax


@inline
def highest_of(line, channels):
    """The largest of a pixel's channels."""
    lowest = spread(-math.inf)
    best = lowest
    for channel in range(0, channels, LANES):
        count = min(LANES, channels - channel)
        value = choose(lanes_below(count), load_some(line + 4 * channel, count), lowest)
        best = choose(greater(value, best), value, best)
    return highest(best)


@kernel
def softmaxes(
    worker, item, x, x_pixel, y, y_pixel, channels, pixels, pixels_an_item, logarithm
):  # fmt: skip
    """Softmax of some pixels, or its logarithm."""
    for pixel in range(item * pixels_an_item, min((item + 1) * pixels_an_item, pixels)):
        source, target = x + pixel * x_pixel, y + pixel * y_pixel
        best = spread(highest_of(source, channels))
        sums = spread(0.0)
        for channel in range(0, channels, LANES):
            count = min(LANES, channels - channel)
            value = exponential(load_some(source + 4 * channel, count) - best)
            sums = sums + choose(lanes_below(count), value, spread(0.0))
            if logarithm == 0:
                store_some(value, target + 4 * channel, count)
        whole = total(sums)
        log_whole = spread(math.log(whole)) if logarithm else spread(0.0)
        for channel in range(0, channels, LANES):
            count = min(LANES, channels - channel)
            if logarithm:
                value = load_some(source + 4 * channel, count) - best - log_whole
            else:
                value = load_some(target + 4 * channel, count) / spread(whole)
            store_some(value, target + 4 * channel, count)


def lay_softmax(prog: Program, x: Image, y: Image, logarithm: bool = False) -> None:
    """Add softmax of x over channels into y, or its logarithm."""
    pixels = count_pixels(x, y)
    an_item = share(pixels, 4 * x.channels)
    prog.step(
        softmaxes, -(-pixels // an_item), x=x.place, x_pixel=4 * x.pixel, y=y.place,
        y_pixel=4 * y.pixel, channels=x.channels, pixels=pixels, pixels_an_item=an_item,
        logarithm=logarithm,
    )  # fmt: skip


# On arrays


def lrn(x: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """LRN of x (N, C, H, W)."""
    return on_arrays(lay_lrn, x, x.shape, size, alpha, beta, bias)


def lrn_transposed(
    p: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, bias: float
) -> np.ndarray:
    """LRN's transpose of p (N, C, H, W) at x, whose batch may be shorter and is then repeated."""
    stored = Image.whole("stored", x.shape)
    return on_arrays(
        lay_lrn_transposed, p, p.shape, stored, size, alpha, beta, bias, stored=pixels(x)
    )


def _along_channels(x: np.ndarray, logarithm: bool) -> np.ndarray:
    if x.ndim == 4:
        return on_arrays(lay_softmax, x, x.shape, logarithm)
    return on_arrays(lay_softmax, x[:, :, None, None], (*x.shape, 1, 1), logarithm)[:, :, 0, 0]


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over channels of x (N, C) or (N, C, H, W)."""
    return _along_channels(x, False)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Logarithm of softmax over channels of x (N, C) or (N, C, H, W)."""
    return _along_channels(x, True)
