"""Batch norm by a batch's own statistics.

    forwards     y = h gain + shift,   h = (x - mean) inverse,   inverse = 1 / sqrt(variance + eps)
    transposed   dshift = sum p,  dgain = sum p h,  dx = gain inverse (p - dshift/n - h dgain/n)

Sums over a batch are taken in blocks of pixels, whose number depends on nothing but the shape, then
over blocks in order. Variances are exact sums of squares around each block's own mean, put together
as

    n variance = sum over blocks of  squares_b + n_b (mean_b - mean)^2

Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979, for the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some, root, store_some
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.laid import pixels
from minicnn.kernels.cpu.normalise import bits, count_pixels
from minicnn.kernels.cpu.pooling import by_lines, on_arrays
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import (
    LANES,
    as_float,
    load,
    multiply_add,
    spread,
    store,
)

__all__ = [
    "batch_norm", "batch_norm_transposed", "batch_statistics", "lay_batch_norm",
    "lay_batch_norm_transposed", "lay_pixel_sum", "lay_statistics", "pixel_sum",
]  # fmt: skip

# Sums


@kernel
def block_moments(
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
def moments(
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
def block_products(
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
def products(
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


@kernel
def block_totals(
    worker, item, p, p_pixel, channels, pixels, block, partial, partial_line
):  # fmt: skip
    """Sums of p over one block of pixels, in four chains."""
    first, number = p + item * block * p_pixel, min(block, pixels - item * block)
    fours = number // 4 * 4
    for channel in range(0, channels, LANES):
        count, at = min(LANES, channels - channel), first + 4 * channel
        a = b = c = d = spread(0.0)
        for pixel in range(at, at + fours * p_pixel, 4 * p_pixel):
            a = a + load_some(pixel, count)
            b = b + load_some(pixel + p_pixel, count)
            c = c + load_some(pixel + 2 * p_pixel, count)
            d = d + load_some(pixel + 3 * p_pixel, count)
        for pixel in range(fours, number):
            a = a + load_some(at + pixel * p_pixel, count)
        store((a + b) + (c + d), partial + item * partial_line + 4 * channel)


@kernel
def totals(worker, item, channels, blocks, partial, partial_line, sums):
    """Sums over all blocks of LANES channels."""
    count, offset = min(LANES, channels - item * LANES), item * VECTOR
    value = spread(0.0)
    for line in range(partial + offset, partial + offset + blocks * partial_line, partial_line):
        value = value + load(line)
    store_some(value, sums + offset, count)


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


def lay_pixel_sum(prog: Program, p: Image, y: Image) -> None:
    """Add the sum of each channel of p over all pixels of all images."""
    blocks, sums = _blocks(prog, p)
    prog.step(block_totals, blocks, p=p.place, p_pixel=4 * p.pixel, **sums)
    prog.step(
        totals, -(-p.channels // LANES), channels=p.channels, blocks=blocks,
        partial=sums["partial"], partial_line=sums["partial_line"], sums=y.place,
    )  # fmt: skip


# Batch norm: pixels


@kernel
def normalised(
    worker, item, x, x_image, x_row, x_pixel, rows, columns, channels, lines, lines_an_item, mean,
    inverse, gain, shift, ending,
):  # fmt: skip
    """Batch norm: some rows of y."""
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(ending, image)
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
                finish(value, ending, mode, image, row, column, channel, count)


@kernel
def normalised_back(
    worker, item, p, p_image, p_row, p_pixel, x, x_image, x_row, x_pixel, rows, columns, channels,
    lines, lines_an_item, mean, inverse, gain, dgain, dshift, part, ending,
):  # fmt: skip
    """Batch norm transposed: some rows of dx. `part` is 1/n."""
    part_of = spread(as_float(part))
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(ending, image)
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
                finish(value * factor, ending, mode, image, row, column, channel, count)


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


def _lay_statistics_alone(prog: Program, x: Image, mean: Image) -> None:
    lay_statistics(prog, x, mean.place, Place("variance"))


def _lay_batch_norm_whole(prog: Program, x: Image, y: Image, eps: float) -> None:
    mean, inverse, gain, shift = map(Place, ("mean", "inverse", "gain", "shift"))
    lay_statistics(prog, x, mean, None, inverse, eps)
    lay_batch_norm(prog, x, y, mean, inverse, gain, shift)


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def pixel_sum(p: np.ndarray) -> np.ndarray:
    """The sum of each channel of p (N, C, H, W)."""
    return on_arrays(lay_pixel_sum, p, (1, p.shape[1], 1, 1)).reshape(-1)


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
