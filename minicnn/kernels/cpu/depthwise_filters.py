"""The filter gradient of a depthwise convolution.

    w[o, t] = sum over images n and pixels i   p[o, i] x[o // m, s i - pad + d t]      o < C m

Vectors lie along o. An item adds up some rows of pixels for some channels, a tap and a row at a
time; a second step adds the items' sums in order and stores them as w (O, 1, *kernel). Sizes alone
say which rows an item has.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.blocked import split
from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, gather, load_some
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.taps import conv_phases
from minicnn.kernels.cpu.vector import (
    LANES,
    load,
    load_int,
    load_one,
    multiply_add,
    spread,
    store,
    store_one,
)
from minicnn.kernels.geometry import Window

__all__ = ["lay_depthwise_filter"]

CHANNELS, ITEMS = 64, 24  # channels an item; items, so that threads have something to share
TAP = 32  # bytes: u, v, first and last column whose tap is between left and right


@inline
def _row_sum(p, p_step, x, x_step, count, value):
    """Add the products of pixels of p and x, LANES channels each, in four sums."""
    a, b, c, d = value, spread(0.0), spread(0.0), spread(0.0)
    fours = count // 4 * 4
    for j in range(0, fours, 4):
        here, there = p + j * p_step, x + j * x_step
        a = multiply_add(load(here), load(there), a)
        b = multiply_add(load(here + p_step), load(there + x_step), b)
        c = multiply_add(load(here + 2 * p_step), load(there + 2 * x_step), c)
        d = multiply_add(load(here + 3 * p_step), load(there + 3 * x_step), d)
    for j in range(fours, count):
        a = multiply_add(load(p + j * p_step), load(x + j * x_step), a)
    return (a + b) + (c + d)


@inline
def _row_sum_of(p, p_step, x, x_step, count, value, table, channels):
    """The same for fewer channels, or for those that a table names."""
    for j in range(count):
        there = x + j * x_step
        numbers = gather(there, table) if table != 0 else load_some(there, channels)
        value = multiply_add(load_some(p + j * p_step, channels), numbers, value)
    return value


@kernel
def channel_filter_sums(
    worker, item, x, x_image, x_row, x_pixel, height, p, p_image, p_row, p_pixel, batch, rows,
    step_row, step_column, taps, number, count, channels_an_item, channels, parts, sums,
    part_bytes, line,
):  # fmt: skip
    """Sums [tap][channel] over a part of the rows, for some of `count` channels.

    `channels` is a table of which channel of x belongs to each, in bytes, or 0.
    """
    part = item % parts
    lines = batch * rows
    first_channel = item // parts * channels_an_item
    sums += part * part_bytes
    for channel in range(first_channel, min(count, first_channel + channels_an_item), LANES):
        left = min(LANES, count - channel)
        target = sums + 4 * channel
        table = channels + 8 * channel if channels != 0 else 0
        of_channel = 0 if channels != 0 else 4 * channel
        for tap in range(number):
            store(spread(0.0), target + tap * line)
        for pixel_row in range(part * lines // parts, (part + 1) * lines // parts):
            image, row = pixel_row // rows, pixel_row % rows
            for tap in range(number):
                of_tap = taps + tap * TAP
                at, v = row * step_row + load_int(of_tap), load_int(of_tap + 8)
                first, last = load_int(of_tap + 16), load_int(of_tap + 24)
                if at < 0 or at >= height or first >= last:
                    continue
                signal = p + image * p_image + row * p_row + first * p_pixel + 4 * channel
                source = x + image * x_image + at * x_row + of_channel
                source += (first * step_column + v) * x_pixel
                step = step_column * x_pixel
                value = load(target + tap * line)
                if left == LANES and channels == 0:
                    value = _row_sum(signal, p_pixel, source, step, last - first, value)
                else:
                    value = _row_sum_of(
                        signal, p_pixel, source, step, last - first, value, table, left
                    )
                store(value, target + tap * line)


@kernel
def channel_filter_totals(worker, item, w, number, count, parts, sums, part_bytes, line, scratch):
    """Add up the parts for LANES channels."""
    corner = scratch + worker * VECTOR
    channel = item * LANES
    for tap in range(number):
        there = sums + tap * line + 4 * channel
        value = load(there)
        for part in range(1, parts):
            value = value + load(there + part * part_bytes)
        store(value, corner)
        for i in range(min(LANES, count - channel)):
            store_one(load_one(corner + 4 * i), w + 4 * ((channel + i) * number + tap))


def lay_depthwise_filter(program: Program, p: Image, x: Image, w: Place, window: Window) -> None:
    """Add w = the filter gradient (O, 1, *kernel) of p (N, O, *out) and x (N, C, *size)."""
    phase = conv_phases(window, (p.height, p.width))[0]
    count, times, step = p.channels, p.channels // x.channels, phase.step[1]
    taps = [
        (u, v, max(0, -(v // step)), min(p.width, -((v - x.width) // step)))
        for u, v in phase.offsets
    ]
    lanes = np.arange(-(-count // LANES) * LANES)
    lanes[count:] = 0
    deep = split(count, CHANNELS, LANES)
    blocks = -(-count // deep)
    parts = min(p.batch * p.height, -(-ITEMS // blocks))
    part_bytes = 4 * len(taps) * len(lanes)
    memory = program.scratch_memory(parts * part_bytes + program.workers * VECTOR)
    sums = memory + program.workers * VECTOR
    common = {
        "number": len(taps), "count": count, "parts": parts, "sums": sums,
        "part_bytes": part_bytes, "line": 4 * len(lanes),
    }  # fmt: skip
    program.step(
        channel_filter_sums, blocks * parts, **common, **x.steps("x"), **p.steps("p"),
        height=x.height, batch=p.batch, rows=p.height, step_row=phase.step[0], step_column=step,
        taps=program.constant(np.array(taps, np.int64)), channels_an_item=deep,
        channels=program.constant(4 * (lanes // times)) if times > 1 else 0,
    )  # fmt: skip
    program.step(channel_filter_totals, -(-count // LANES), **common, w=w, scratch=memory)
