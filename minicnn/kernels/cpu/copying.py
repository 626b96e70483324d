"""Copies with an epilogue, and copies into channels-last order.

finished    y = finish(x)        ReLU, masks, sums, scales by channel: what the epilogue can do
relaid      any order of the axes to channels last, with zeros around it
checked     whether all numbers are finite
unfolded    blocks of pixels that stand as channels, back in their places, with an epilogue
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import kernel
from minicnn.kernels.cpu.dense_lanes import load_some, store_some
from minicnn.kernels.cpu.ending import finish_line, mode_of
from minicnn.kernels.cpu.laid import Laid
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.team import threads
from minicnn.kernels.cpu.vector import (
    LANES,
    either,
    load_one,
    some,
    spread,
    store,
    store_byte,
    store_one,
)

__all__ = ["all_finite", "lay_finished", "lay_relaid", "lay_unfolded"]


@kernel
def finished(
    worker, item, x, x_image, x_row, x_pixel, height, width, channels, rows_an_item, ending
):  # fmt: skip
    """Some rows of one image."""
    parts = (height + rows_an_item - 1) // rows_an_item
    image, first = item // parts, item % parts * rows_an_item
    mode = mode_of(ending, image)
    for row in range(first, min(first + rows_an_item, height)):
        for column in range(width):
            source = x + image * x_image + row * x_row + column * x_pixel
            finish_line(source, ending, mode, image, row, column, channels)


@kernel
def relaid(
    worker, item, x, by_image, by_channel, by_row, by_pixel, height, width, channels, top, left,
    y, rows, columns,
):  # fmt: skip
    """One row of y; element (c, i, j) of x goes to pixel (top + i, left + j)."""
    image, row = item // rows, item % rows
    target = y + 4 * item * columns * channels
    for column in range(columns):
        i, j = row - top, column - left
        inside = 0 <= i < height and 0 <= j < width
        source = x + image * by_image + i * by_row + j * by_pixel
        for channel in range(channels):
            value = load_one(source + channel * by_channel) if inside else 0.0
            store_one(value, target + 4 * channel)
        target += 4 * channels


@kernel
def unfolded(
    worker, item, x, x_image, x_row, x_pixel, down, across, height, width, channels, ending
):  # fmt: skip
    """One row of y: pixel (i, j) stands in block (i / down, j / across)."""
    image, row = item // height, item % height
    mode = mode_of(ending, image)
    source = x + image * x_image + row // down * x_row + 4 * channels * across * (row % down)
    for column in range(width):
        at = source + column // across * x_pixel + 4 * channels * (column % across)
        finish_line(at, ending, mode, image, row, column, channels)


@kernel
def unfolded_runs(
    worker, item, x, x_image, x_row, x_pixel, down, height, runs, numbers, y
):  # fmt: skip
    """The same without an epilogue: y's row is `runs` runs of `numbers`, one a block."""
    image, row = item // height, item % height
    source = x + image * x_image + row // down * x_row + 4 * numbers * (row % down)
    target = y + 4 * item * runs * numbers
    end = target + 4 * runs * numbers
    for run in range(runs):
        for i in range(0, numbers, LANES):
            left = numbers - i
            value = load_some(source + run * x_pixel + 4 * i, left)
            if target + 4 * (i + LANES) <= end:  # what is too much the next runs write over
                store(value, target + 4 * i)
            else:
                store_some(value, target + 4 * i, left)
        target += 4 * numbers


@kernel
def checked(worker, item, x, size, block, flags):
    """Whether some number of one block is not finite: x - x is 0 for others, and NaN for it."""
    first, last = item * block, min(size, (item + 1) * block)
    found = spread(0.0)
    for i in range(first, last, LANES):
        value = load_some(x + 4 * i, last - i)
        found = either(found, value - value)
    store_byte(1 if some(found) else 0, flags + item)


def lay_unfolded(
    program: Program, x: Image, down: int, across: int, y: Image, **epilogue: Any
) -> None:
    """Add y[i, j, c] = x[i / down, j / across, (i % down, j % across, c)]."""
    dense = y.pixel == y.channels and y.row == y.width * y.pixel and y.image == y.height * y.row
    if dense and y.width % across == 0 and y.width * y.channels >= 2 * LANES and not epilogue:
        program.step(
            unfolded_runs,
            y.batch * y.height,
            **x.steps("x"),
            down=down,
            height=y.height,
            runs=y.width // across,
            numbers=across * y.channels,
            y=y.place,
        )
        return
    program.step(
        unfolded,
        y.batch * y.height,
        **x.steps("x"),
        down=down,
        across=across,
        height=y.height,
        width=y.width,
        channels=y.channels,
        ending=program.ending(y, **epilogue),
    )


def _in_lines(x: Image, y: Image, epilogue: dict[str, Any]) -> bool:
    """Whether a row of pixels can be treated as one pixel of many channels."""
    by_channel = {"bias", "scale", "shift"} & epilogue.keys()
    whole_bytes = x.channels % 8 == 0 or not {"mask", "signs"} & epilogue.keys()
    pixel = epilogue.get("residual_pixel", 4 * x.channels)
    dense = x.pixel == y.pixel == x.channels and pixel == 4 * x.channels
    return dense and whole_bytes and not by_channel


def lay_finished(program: Program, x: Image, y: Image, **epilogue: Any) -> None:
    """Add y = finish(x)."""
    if _in_lines(x, y, epilogue):
        x = replace(x, channels=x.width * x.channels, pixel=x.row, width=1)
    rows = max(1, min(x.height, 4096 // max(1, x.width * x.channels)))
    program.step(
        finished,
        x.batch * -(-x.height // rows),
        **x.steps("x"),
        height=x.height,
        width=x.width,
        channels=x.channels,
        rows_an_item=rows,
        ending=program.ending(y, **epilogue),
    )


def lay_relaid(
    program: Program,
    x: Place,
    shape: Sequence[int],
    strides: Sequence[int],
    y: Place,
    pads: Sequence[int] = (0, 0, 0, 0),
) -> None:
    """Add a copy of x, of shape (N, C, H, W) and strides in bytes, into channels-last order.

    Zeros surround it: (top, left, bottom, right).
    """
    batch, channels, height, width = shape
    rows, columns = height + pads[0] + pads[2], width + pads[1] + pads[3]
    by_image, by_channel, by_row, by_pixel = strides
    program.step(
        relaid,
        batch * rows,
        x=x,
        by_image=by_image,
        by_channel=by_channel,
        by_row=by_row,
        by_pixel=by_pixel,
        height=height,
        width=width,
        channels=channels,
        top=pads[0],
        left=pads[1],
        y=y,
        rows=rows,
        columns=columns,
    )


BLOCK = 1 << 15  # numbers an item checks


@lru_cache(maxsize=64)
def _laid_check(size: int, workers: int) -> Laid:
    program = Program(workers)
    program.step(
        checked, -(-size // BLOCK), x=Place("x"), size=size, block=BLOCK, flags=Place("flags")
    )
    return Laid(program)


def all_finite(x: np.ndarray) -> bool:
    """Whether all numbers are finite, of a float32 array whose memory has no gaps."""
    flags = np.empty(-(-x.size // BLOCK), np.uint8)
    _laid_check(x.size, threads())(x=x, flags=flags)
    return not flags.any()
