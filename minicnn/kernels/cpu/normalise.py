"""Normalisations: across channels (LRN, softmax) and by a batch's own statistics (batch norm).

    LRN          y = x s^-beta,   s = bias + alpha/size W(x^2),   W sums channels around each
    transposed   p s^-beta - 2 alpha beta/size x W^T(p x s^(-beta-1))
    softmax      y_c = e^(x_c - m) / sum_j e^(x_j - m),   m = max_j x_j
    batch norm   y = h gain + shift,   h = (x - mean) inverse,   inverse = 1 / sqrt(variance + eps)
    transposed   dshift = sum p,  dgain = sum p h,  dx = gain inverse (p - dshift/n - h dgain/n)

Sums over a batch are taken in blocks of pixels, whose number depends on nothing but the shape, then
over blocks in order. Variances are exact sums of squares around each block's own mean, put together
as

    n variance = sum over blocks of  squares_b + n_b (mean_b - mean)^2

Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979, for the last.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import arguments, inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some, root
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.laid import pixels
from minicnn.kernels.cpu.lanes import (
    exponential,
    highest,
    lanes_below,
    load_between,
    power,
    store_some,
)
from minicnn.kernels.cpu.pooling import ENDING, by_lines, on_arrays, share
from minicnn.kernels.cpu.program import Image, Place, Program
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
    "batch_norm", "batch_norm_transposed", "batch_statistics", "lay_batch_norm",
    "lay_batch_norm_transposed", "lay_lrn", "lay_lrn_transposed", "lay_softmax", "lay_statistics",
    "log_softmax", "lrn", "lrn_transposed", "softmax",
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
def window_load(line, first, channels):  # type: ignore[no-untyped-def]
    """Channels `first` and on of one pixel, zeros outside of 0 .. channels - 1."""
    if first >= 0 and first + LANES <= channels:
        return load(line + 4 * first)
    return load_between(line + 4 * first, -first, channels - first)


@inline
def scale(line, channel, channels, before, after, share, bias):  # type: ignore[no-untyped-def]
    """s = bias + share * sum of x^2 over each channel's window."""
    squares = spread(0.0)
    for first in range(channel - before, channel + after + 1):
        x = window_load(line, first, channels)
        squares = multiply_add(x, x, squares)
    return multiply_add(squares, spread(as_float(share)), spread(as_float(bias)))


@kernel
def lrn_forwards(  # type: ignore[no-untyped-def]
    worker, item, x, x_image, x_row, x_pixel, rows, columns, channels, lines, lines_an_item,
    before, after, share, bias, beta, scratch, scratch_size, ending,
):  # fmt: skip
    """LRN: some rows of y; `share` is alpha/size."""
    end = arguments(ending, ENDING)
    memory = scratch + worker * scratch_size
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(end, image)
        for column in range(columns):
            source = x + image * x_image + row * x_row + column * x_pixel
            for channel in range(0, channels, LANES):
                count = min(LANES, channels - channel)
                s = scale(source, channel, channels, before, after, share, bias)
                y = load_some(source + 4 * channel, count) * power(s, as_float(beta), memory)
                finish(y, end, mode, image, row, column, channel, count)


@inline
def weigh(p, x, channels, before, after, share, bias, beta, direct, around, memory):  # type: ignore[no-untyped-def]
    """For one pixel p s^-beta, stored at `direct`, and p x s^(-beta-1), at `around`."""
    for channel in range(0, channels, LANES):
        at, count = 4 * channel, min(LANES, channels - channel)
        s = scale(x, channel, channels, before, after, share, bias)
        value = load_some(p + at, count) * power(s, as_float(beta), memory)
        store(value, direct + at)
        store(value * load_some(x + at, count) / s, around + at)


@kernel
def lrn_backwards(  # type: ignore[no-untyped-def]
    worker, item, p, p_image, p_row, p_pixel, x, x_images, x_image, x_row, x_pixel, rows, columns,
    channels, lines, lines_an_item, before, after, share, bias, beta, factor, scratch, scratch_size,
    ending,
):  # fmt: skip
    """LRN transposed: some rows, some pixels at a time. `factor` is -2 alpha beta/size."""
    end = arguments(ending, ENDING)
    memory = scratch + worker * scratch_size
    size = (channels + LANES - 1) // LANES * VECTOR
    direct = memory + VECTOR
    around = direct + TOGETHER * size
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(end, image)
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
                    finish(value, end, mode, image, row, begin + k, channel, count)


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
def highest_of(line, channels):  # type: ignore[no-untyped-def]
    """The largest of a pixel's channels."""
    lowest = spread(-math.inf)
    best = lowest
    for channel in range(0, channels, LANES):
        count = min(LANES, channels - channel)
        value = choose(lanes_below(count), load_some(line + 4 * channel, count), lowest)
        best = choose(greater(value, best), value, best)
    return highest(best)


@kernel
def softmaxes(  # type: ignore[no-untyped-def]
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


# Batch norm: sums


@kernel
def block_moments(  # type: ignore[no-untyped-def]
    worker, item, x, x_pixel, channels, pixels, block, partial, partial_line
):  # fmt: skip
    """Mean, and squares around it, of one block of pixels: two lines of `partial`."""
    first = x + item * block * x_pixel
    number = min(block, pixels - item * block)
    means = partial + 2 * item * partial_line
    for channel in range(0, channels, LANES):
        count = min(LANES, channels - channel)
        origin = load_some(first + 4 * channel, count)
        sums, squares = spread(0.0), spread(0.0)
        for at in range(number):
            sums = sums + (load_some(first + at * x_pixel + 4 * channel, count) - origin)
        mean = origin + sums / spread(float(number))
        for at in range(number):
            away = load_some(first + at * x_pixel + 4 * channel, count) - mean
            squares = multiply_add(away, away, squares)
        store(mean, means + 4 * channel)
        store(squares, means + partial_line + 4 * channel)


@kernel
def moments(  # type: ignore[no-untyped-def]
    worker, item, channels, pixels, block, partial, partial_line, mean, variance, inverse, eps
):  # fmt: skip
    """Statistics of LANES channels from those of all blocks."""
    count = min(LANES, channels - item * LANES)
    offset = item * VECTOR
    blocks = (pixels + block - 1) // block
    origin, whole = load(partial + offset), spread(float(pixels))
    sums, squares = spread(0.0), spread(0.0)
    for at in range(blocks):
        number = spread(float(min(block, pixels - at * block)))
        away = load(partial + 2 * at * partial_line + offset) - origin
        sums = multiply_add(number, away, sums)
    middle = origin + sums / whole
    for at in range(blocks):
        number = spread(float(min(block, pixels - at * block)))
        line = partial + 2 * at * partial_line + offset
        away = load(line) - middle
        squares = squares + multiply_add(number * away, away, load(line + partial_line))
    squares = squares / whole
    store_some(middle, mean + offset, count)
    if variance != 0:
        store_some(squares, variance + offset, count)
    if inverse != 0:
        deviation = root(squares + spread(as_float(eps)))
        store_some(spread(1.0) / deviation, inverse + offset, count)


@kernel
def block_products(  # type: ignore[no-untyped-def]
    worker, item, p, p_pixel, x, x_pixel, mean, inverse, channels, pixels, block, partial,
    partial_line,
):  # fmt: skip
    """Sums of p, and of p h, over one block of pixels: two lines of `partial`."""
    number = min(block, pixels - item * block)
    sums_p = partial + 2 * item * partial_line
    for channel in range(0, channels, LANES):
        count = min(LANES, channels - channel)
        middle = load_some(mean + 4 * channel, count)
        alone, along = spread(0.0), spread(0.0)
        for pixel in range(item * block, item * block + number):
            value = load_some(p + pixel * p_pixel + 4 * channel, count)
            away = load_some(x + pixel * x_pixel + 4 * channel, count) - middle
            alone = alone + value
            along = multiply_add(value, away, along)
        store(alone, sums_p + 4 * channel)
        along = along * load_some(inverse + 4 * channel, count)
        store(along, sums_p + partial_line + 4 * channel)


@kernel
def products(  # type: ignore[no-untyped-def]
    worker, item, channels, blocks, partial, partial_line, dshift, dgain
):  # fmt: skip
    """Sums over all blocks of LANES channels."""
    count, offset = min(LANES, channels - item * LANES), item * VECTOR
    alone, along = spread(0.0), spread(0.0)
    for line in range(
        partial + offset, partial + offset + 2 * blocks * partial_line, 2 * partial_line
    ):
        alone = alone + load(line)
        along = along + load(line + partial_line)
    store_some(alone, dshift + offset, count)
    store_some(along, dgain + offset, count)


def _blocks(prog: Program, x: Image, *others: Image) -> tuple[int, dict[str, Any]]:
    """Number of blocks of about 32 KiB, and the arguments that say so to the kernels that sum."""
    pixels = count_pixels(x, *others)
    block = max(16, min(256, 8192 // max(x.channels, 1)))
    blocks, line = -(-pixels // block), -(-x.channels // LANES) * VECTOR
    partial = prog.scratch_memory(2 * blocks * line)
    return blocks, {
        "channels": x.channels, "pixels": pixels, "block": block, "partial": partial,
        "partial_line": line,
    }  # fmt: skip


def lay_statistics(
    prog: Program, x: Image, mean: Place, variance: Place | None = None,
    inverse: Place | None = None, eps: float = 0.0,
) -> None:  # fmt: skip
    """Add mean, biased variance and 1/sqrt(variance + eps) of each channel of x."""
    blocks, sums = _blocks(prog, x)
    prog.step(block_moments, blocks, x=x.place, x_pixel=4 * x.pixel, **sums)
    prog.step(
        moments, -(-x.channels // LANES), mean=mean, variance=variance or 0, inverse=inverse or 0,
        eps=bits(eps), **sums,
    )  # fmt: skip


# Batch norm: pixels


@kernel
def normalised(  # type: ignore[no-untyped-def]
    worker, item, x, x_image, x_row, x_pixel, rows, columns, channels, lines, lines_an_item, mean,
    inverse, gain, shift, ending,
):  # fmt: skip
    """Batch norm: some rows of y."""
    end = arguments(ending, ENDING)
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(end, image)
        for column in range(columns):
            source = x + image * x_image + row * x_row + column * x_pixel
            for channel in range(0, channels, LANES):
                at, count = 4 * channel, min(LANES, channels - channel)
                value = load_some(source + at, count) - load_some(mean + at, count)
                factor = load_some(inverse + at, count)
                if gain != 0:
                    factor = factor * load_some(gain + at, count)
                value = value * factor
                if shift != 0:
                    value = value + load_some(shift + at, count)
                finish(value, end, mode, image, row, column, channel, count)


@kernel
def normalised_back(  # type: ignore[no-untyped-def]
    worker, item, p, p_image, p_row, p_pixel, x, x_image, x_row, x_pixel, rows, columns, channels,
    lines, lines_an_item, mean, inverse, gain, dgain, dshift, part, ending,
):  # fmt: skip
    """Batch norm transposed: some rows of dx. `part` is 1/n."""
    end = arguments(ending, ENDING)
    part_of = spread(as_float(part))
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(end, image)
        for column in range(columns):
            signal = p + image * p_image + row * p_row + column * p_pixel
            source = x + image * x_image + row * x_row + column * x_pixel
            for channel in range(0, channels, LANES):
                at, count = 4 * channel, min(LANES, channels - channel)
                factor = load_some(inverse + at, count)
                h = (load_some(source + at, count) - load_some(mean + at, count)) * factor
                common = load_some(dshift + at, count)
                common = multiply_add(h, load_some(dgain + at, count), common)
                value = load_some(signal + at, count) - common * part_of
                if gain != 0:
                    factor = factor * load_some(gain + at, count)
                finish(value * factor, end, mode, image, row, column, channel, count)


def lay_batch_norm(
    prog: Program, x: Image, y: Image, mean: Place, inverse: Place, gain: Place | None = None,
    shift: Place | None = None, **epilogue: Any,
) -> None:  # fmt: skip
    """Add (x - mean) inverse gain + shift into y."""
    by_lines(
        prog, normalised, y, 1, **x.steps("x"), mean=mean, inverse=inverse, gain=gain or 0,
        shift=shift or 0, ending=prog.ending(y, **epilogue),
    )  # fmt: skip


def lay_batch_norm_transposed(
    prog: Program, p: Image, dx: Image, x: Image, mean: Place, inverse: Place, gain: Place | None,
    dgain: Place, dshift: Place, **epilogue: Any,
) -> None:  # fmt: skip
    """Add the gradients of batch norm by its own statistics: dgain and dshift, and dx from them."""
    blocks, sums = _blocks(prog, p, x)
    prog.step(
        block_products, blocks, p=p.place, p_pixel=4 * p.pixel, x=x.place, x_pixel=4 * x.pixel,
        mean=mean, inverse=inverse, **sums,
    )  # fmt: skip
    prog.step(
        products, -(-p.channels // LANES), channels=p.channels, blocks=blocks,
        partial=sums["partial"], partial_line=sums["partial_line"], dshift=dshift, dgain=dgain,
    )  # fmt: skip
    by_lines(
        prog, normalised_back, dx, 2, **p.steps("p"), **x.steps("x"), mean=mean, inverse=inverse,
        gain=gain or 0, dgain=dgain, dshift=dshift, part=bits(1 / max(sums["pixels"], 1)),
        ending=prog.ending(dx, **epilogue),
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


def _lay_statistics_alone(prog: Program, x: Image, mean: Image) -> None:
    lay_statistics(prog, x, mean.place, Place("variance"))


def _lay_batch_norm_whole(prog: Program, x: Image, y: Image, eps: float) -> None:
    mean, inverse, gain, shift = map(Place, ("mean", "inverse", "gain", "shift"))
    lay_statistics(prog, x, mean, None, inverse, eps)
    lay_batch_norm(prog, x, y, mean, inverse, gain, shift)


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def batch_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel of x (N, C, H, W)."""
    variance = np.empty(x.shape[1], np.float32)
    shape = (1, x.shape[1], 1, 1)
    return on_arrays(_lay_statistics_alone, x, shape, variance=variance).reshape(-1), variance


def batch_norm(
    x: np.ndarray, gain: np.ndarray, shift: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch norm of x (N, C, H, W) by its own statistics; gives y, mean and 1/sqrt(var + eps)."""
    mean, inverse = np.empty(x.shape[1], np.float32), np.empty(x.shape[1], np.float32)
    y = on_arrays(
        _lay_batch_norm_whole, x, x.shape, eps, mean=mean, inverse=inverse, gain=_floats(gain),
        shift=_floats(shift),
    )  # fmt: skip
    return y, mean, inverse


def batch_norm_transposed(
    p: np.ndarray, x: np.ndarray, gain: np.ndarray, mean: np.ndarray, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients dx, dgain and dshift of `batch_norm`, of which `mean` and `inverse` are."""
    dgain, dshift = np.empty(x.shape[1], np.float32), np.empty(x.shape[1], np.float32)
    dx = on_arrays(
        lay_batch_norm_transposed, p, x.shape, Image.whole("stored", x.shape),
        *map(Place, ("mean", "inverse", "gain", "dgain", "dshift")), stored=pixels(x),
        mean=_floats(mean), inverse=_floats(inverse), gain=_floats(gain), dgain=dgain,
        dshift=dshift,
    )  # fmt: skip
    return dx, dgain, dshift
