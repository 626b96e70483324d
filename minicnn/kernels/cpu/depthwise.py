"""Depthwise convolution: each channel has filters of its own, one or a few.

    conv         y[i, j, o] = sum_t   x[s i + u_t, s j + v_t, o // m]  w[o, t]      o < C m
    transposed   x[i, j, c] = sum_t,q p[i + u_t, j + v_t, c m + q]  w[c m + q, t]   by residues

Vectors lie along the channels computed, taps are inside. The transpose is the same sum over the
taps that reach an output pixel, for each residue of the pixel (see `taps`), so one kernel serves
both. With m = 1 the channels read are those computed; otherwise a table says which they are.

Filters are packed [term][channel], terms being taps, or pairs (t, q). Each number of y is one chain
of additions in the order of the terms; those that lie in the padding are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.kernels.cpu.blocked import split
from minicnn.kernels.cpu.compiled import inline, kernel
from minicnn.kernels.cpu.dense_lanes import gather, load_some
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.laid import Laid, pixels, planar, workers_for
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.taps import Phase, conv_phases, transposed_phases
from minicnn.kernels.cpu.vector import LANES, load, load_int, multiply_add, spread, store_int
from minicnn.kernels.geometry import Window
from minicnn.kernels.memory import empty

__all__ = ["depthwise", "depthwise_transposed", "lay_depthwise", "on_lattice", "packed"]

CHANNELS, NUMBERS = 64, 16384  # channels and results an item
TERM = 32  # bytes: u, v, offset of the first channel read, offset of the filters


@inline
def _reaching(terms, number, row, height, x_row, x_pixel, found):
    """The terms whose row lies in the image, as lines of (offset in the image, v, filters)."""
    reached = 0
    for term in range(number):
        line = terms + term * TERM
        at, v = row + load_int(line), load_int(line + 8)
        if 0 <= at < height:
            store_int(at * x_row + v * x_pixel + load_int(line + 16), found + 24 * reached)
            store_int(v, found + 24 * reached + 8)
            store_int(load_int(line + 24), found + 24 * reached + 16)
            reached += 1
    return reached


@inline
def _four_sums(found, reached, pixel, step, w):
    """Sums of LANES channels of four pixels, none of whose terms lies in the padding."""
    a, b, c, d = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    for line in range(found, found + 24 * reached, 24):
        there = pixel + load_int(line)
        factor = load(w + load_int(line + 16))
        a = multiply_add(load(there), factor, a)
        b = multiply_add(load(there + step), factor, b)
        c = multiply_add(load(there + 2 * step), factor, c)
        d = multiply_add(load(there + 3 * step), factor, d)
    return a, b, c, d


@inline
def _sum(found, reached, pixel, column, width, w, channels, channel, count):
    """The sum of up to LANES channels of any pixel, which reads from `column` on."""
    value = spread(0.0)
    for line in range(found, found + 24 * reached, 24):
        if 0 <= column + load_int(line + 8) < width:
            there = pixel + load_int(line)
            if channels != 0:
                numbers = gather(there, channels + 8 * channel)
            else:
                numbers = load_some(there + 4 * channel, count)
            value = multiply_add(numbers, load_some(w + load_int(line + 16), count), value)
    return value


@kernel
def sums_by_channel(
    worker, item, x, x_image, x_row, x_pixel, height, width, channels, terms, number, filters,
    rows, columns, step_row, step_column, inside_first, inside_last, count, rows_an_item,
    channels_an_item, scratch, scratch_size, ending,
):  # fmt: skip
    """Some rows and channels of one image; there are `count` channels.

    `channels` is a table of which channel each result reads, in bytes, or 0. All terms of columns
    inside_first .. inside_last - 1 lie between the image's left and right.
    """
    found = scratch + worker * scratch_size
    row_parts = (rows + rows_an_item - 1) // rows_an_item
    first_row = item % row_parts * rows_an_item
    item //= row_parts
    channel_parts = (count + channels_an_item - 1) // channels_an_item
    first_channel = item % channel_parts * channels_an_item
    image = item // channel_parts
    last_row = min(first_row + rows_an_item, rows)
    last_channel = min(first_channel + channels_an_item, count)
    source = x + image * x_image
    mode = mode_of(ending, image)
    step = step_column * x_pixel
    for channel in range(first_channel, last_channel, LANES):
        left = min(LANES, count - channel)
        w = filters + 4 * channel
        simple = left == LANES and channels == 0
        for row in range(first_row, last_row):
            reached = _reaching(terms, number, row * step_row, height, x_row, x_pixel, found)
            column = 0
            while column < columns:
                pixel = source + column * step
                if simple and column >= inside_first and column + 4 <= inside_last:
                    a, b, c, d = _four_sums(found, reached, pixel + 4 * channel, step, w)
                    finish(a, ending, mode, image, row, column, channel, LANES)
                    finish(b, ending, mode, image, row, column + 1, channel, LANES)
                    finish(c, ending, mode, image, row, column + 2, channel, LANES)
                    finish(d, ending, mode, image, row, column + 3, channel, LANES)
                    column += 4
                else:
                    at = column * step_column
                    value = _sum(found, reached, pixel, at, width, w, channels, channel, left)
                    finish(value, ending, mode, image, row, column, channel, left)
                    column += 1


def on_lattice(y: Image, phase: Phase, epilogue: dict[str, Any]) -> dict[str, Any]:
    """An epilogue's fields for the pixels of a phase: moved to its origin and spaced as it is."""
    fields = {**y.steps("y"), **epilogue}
    (top, left), (down, across) = phase.origin, phase.spacing
    for name in ("y", "residual", "mask", "signs"):
        if fields.get(name):
            row, pixel = fields[f"{name}_row"], fields[f"{name}_pixel"]
            fields[name] = fields[name] + (top * row + left * pixel)
            fields[f"{name}_row"], fields[f"{name}_pixel"] = down * row, across * pixel
    return fields


def packed(w: np.ndarray, channels: int, transposed: bool) -> np.ndarray:
    """Filters (O, 1, *kernel) as [term][channel computed]."""
    filters = w.shape[0]
    if not transposed or channels == filters:
        return np.ascontiguousarray(w.reshape(filters, -1).T, np.float32)
    split = w.reshape(channels, filters // channels, -1)
    return np.ascontiguousarray(split.transpose(2, 1, 0), np.float32)  # (T, m, C)


def lay_depthwise(
    program: Program,
    x: Image,
    filters: Place,
    y: Image,
    window: Window,
    transposed: bool = False,
    **epilogue: Any,
) -> None:
    """Add y = finish(depthwise convolution of x, or its transpose), with `packed` filters."""
    size = (y.height, y.width)
    phases = transposed_phases(window, size) if transposed else conv_phases(window, size)
    times = max(x.channels, y.channels) // min(x.channels, y.channels)
    lanes = np.arange(-(-y.channels // LANES) * LANES)
    lanes[y.channels :] = 0
    read = 4 * (lanes * times if transposed else lanes // times)
    table = program.constant(read) if times > 1 else 0
    line = 4 * y.channels
    for phase in phases:
        terms = [
            (u, v, 4 * q, (tap * each + q) * line)
            for (u, v), tap in zip(phase.offsets, phase.taps, strict=True)
            for each in [times if transposed else 1]
            for q in range(each)
        ]
        step = phase.step[1]
        first = max([0, *(-(v // step) for _, v in phase.offsets)])
        last = min([phase.size[1], *(-((v - x.width) // step) for _, v in phase.offsets)])
        deep = split(y.channels, CHANNELS, max(8, LANES))
        rows = max(1, min(phase.size[0], NUMBERS // (phase.size[1] * min(deep, y.channels))))
        scratch_size = 24 * len(terms) // 64 * 64 + 64
        items = x.batch * -(-phase.size[0] // rows) * -(-y.channels // deep)
        program.step(
            sums_by_channel, items, **x.steps("x"), height=x.height, width=x.width, channels=table,
            terms=program.constant(np.array(terms or [(0,) * 4], np.int64)), number=len(terms),
            filters=filters, rows=phase.size[0], columns=phase.size[1], step_row=phase.step[0],
            step_column=step, inside_first=first, inside_last=last, count=y.channels,
            rows_an_item=rows, channels_an_item=deep, scratch_size=scratch_size,
            scratch=program.scratch_memory(scratch_size * program.workers),
            ending=program.ending(y, **on_lattice(y, phase, epilogue)),
        )  # fmt: skip


# On arrays


@lru_cache(maxsize=256)
def _laid(
    x: tuple[int, ...],
    y: tuple[int, ...],
    window: Window,
    transposed: bool,
    bias: bool,
    workers: int,
) -> Laid:
    program = Program(workers)
    lay_depthwise(
        program, Image.whole("x", x), Place("w"), Image.whole("y", y), planar(window), transposed,
        **({"bias": Place("b")} if bias else {}),
    )  # fmt: skip
    return Laid(program)


def _run(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    window: Window,
    channels: int,
    size: Sequence[int],
    transposed: bool,
) -> np.ndarray:
    y = empty((x.shape[0], *size, channels))
    result = np.moveaxis(y, -1, 1)
    if y.size == 0:
        return result
    groups = channels if transposed else x.shape[1]
    workers = workers_for(8 * w.size * y.size // channels)
    laid = _laid(x.shape, result.shape, window, transposed, b is not None, workers)
    end = {} if b is None else {"b": np.ascontiguousarray(b, np.float32)}
    laid(x=pixels(x), w=packed(w, groups, transposed), y=y, **end)
    return result


def depthwise(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window) -> np.ndarray:
    """conv(x, w) + b with as many groups as channels: w (O, 1, *kernel), y (N, O, *out)."""
    return _run(x, w, b, window, w.shape[0], window.output_size(x.shape[2:]), False)


def depthwise_transposed(
    p: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, channels: int,
    size: Sequence[int],
) -> np.ndarray:  # fmt: skip
    """Its transpose with respect to x, to (N, channels, *size), plus b."""
    return _run(p, w, b, window, channels, size, True)
