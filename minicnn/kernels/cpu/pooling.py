"""Pooling and its transposes, as sums and maxima over the taps that a table names.

    max pool        y[o] = max_t x[i],  switch[o] = the first t that has it       i = s o - b + d t
    unpool          x[i] = sum of p[o] over windows o whose switch names a tap at i
    gather          y[o] = x[i] at the tap that switch[o] names, 0 in the padding
    average pool    y[o] = sum_t x[i] / n[o],  n[o] counts the window's taps
    its transpose   x[i] = sum of p[o] / n[o] over windows o with a tap at i

Each axis has a table of which windows and pixels meet (`_table`), so that stride, dilation, pads
and ceil mode are settled before a kernel runs. The transposes gather too: each pixel looks at the
windows over it, in row-major order, so no two threads ever add to one number. An item is some
*lines*: rows of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import Kernel, inline, kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some, store_some
from minicnn.kernels.cpu.ending import finish, mode_of
from minicnn.kernels.cpu.laid import Laid, pixels, workers_for
from minicnn.kernels.cpu.lanes import (
    apart,
    bit,
    load_word,
    save_bits,
    takes,
)
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import (
    LANES,
    as_float,
    choose,
    load_int,
    multiply_add,
    spread,
    store_int,
    unpack,
)
from minicnn.kernels.geometry import Window
from minicnn.kernels.memory import empty, empty_image
from minicnn.kernels.packed import Packed, plane_shape
from minicnn.kernels.reference import center_tap

__all__ = [
    "average_pool", "average_unpool", "gather", "lay_average_pool", "lay_average_unpool",
    "lay_gather", "lay_max_pool", "lay_unpool", "max_pool", "unpool", "unpool_center",
]  # fmt: skip

LOWEST = -math.inf
WORD = 64  # channels whose bits are read at a time
ITEM = 1 << 15  # numbers that an item reads, about
WORK = 10  # operations a number, about

Sizes = tuple[int, ...]


# Kernels


@inline
def entries(table, position):
    """Where a table's entries for a position begin and end; each is (partner, label)."""
    line = table + 24 * position
    return table + load_int(line), table + load_int(line + 8)


@inline
def divisor(table, position):
    """The number by which a position's sum is divided."""
    return load_int(table + 24 * position + 16)


@inline
def named(switches, plane, planes, tap, count):
    """Bits of the channels whose switch is `tap`, of `count` bytes of channels."""
    found = -1
    for i in range(planes):
        word = load_word(switches + i * plane, count)
        found &= word ^ ((tap >> i & 1) - 1)  # the plane's bits, or their complement
    return found


@inline
def _largest(notes, end, offset, count):
    """The largest of some numbers, or a NaN among them; each note begins with an address."""
    best = spread(LOWEST)
    for at in range(notes, end, 16):
        value = load_some(load_int(at) + offset, count)
        best = choose(takes(value, best), value, best)
    return best


@inline
def _largest_and_where(notes, end, offset, count, switches, plane, planes, channel):
    """The same, and the tap that it comes from as bits; a note is an address and a tap."""
    best, winner = spread(LOWEST), spread(0.0)
    for at in range(notes, end, 16):
        value = load_some(load_int(at) + offset, count)
        better = takes(value, best)
        best = choose(better, value, best)
        winner = choose(better, spread(as_float(load_int(at + 8))), winner)
    for i in range(planes):
        save_bits(bit(winner, i), switches + i * plane, channel, count)
    return best


@kernel
def maxima(
    worker, item, x, x_image, x_row, x_pixel, row_table, column_table, y, y_image, y_row, y_pixel,
    rows, columns, channels, lines, lines_an_item, switches, switches_image, switches_row,
    switches_pixel, plane, planes, scratch, scratch_size,
):  # fmt: skip
    """Max pool: some rows of y, and of switches if their address is not 0."""
    notes = scratch + worker * scratch_size  # where a window's pixels stand, and which taps
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        top, bottom = entries(row_table, row)
        for column in range(columns):
            left, right = entries(column_table, column)
            end = notes
            for i in range(top, bottom, 16):
                source = x + image * x_image + load_int(i) * x_row
                for j in range(left, right, 16):
                    store_int(source + load_int(j) * x_pixel, end)
                    store_int(load_int(i + 8) + load_int(j + 8), end + 8)
                    end += 16
            target = y + image * y_image + row * y_row + column * y_pixel
            at = switches + image * switches_image + row * switches_row + column * switches_pixel
            for offset in range(0, 4 * channels, VECTOR):
                channel = offset >> 2
                count = min(LANES, channels - channel)
                if switches == 0:
                    best = _largest(notes, end, offset, count)
                else:
                    best = _largest_and_where(notes, end, offset, count, at, plane, planes, channel)
                store_some(best, target + offset, count)


@kernel
def routed(
    worker, item, p, p_image, p_row, p_pixel, row_table, column_table, rows, columns, channels,
    lines, lines_an_item, switches, switches_images, switches_image, own_row, own_pixel,
    partner_row, partner_pixel, plane, planes, centres, centre, scratch, scratch_size, ending,
):  # fmt: skip
    """Unpool or gather: some rows of x, each pixel the sum of the partners switched to it.

    Switches stand where the windows are: with the partners (unpool) or with x's pixels (gather);
    the other's steps are 0. For images marked in `centres`, switches are all `centre`.
    """
    notes = scratch + worker * scratch_size  # which partners give to which channels of a pixel
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(ending, image)
        by_centre = centres != 0 and load_int(centres + 8 * image) != 0
        chosen = switches + image % switches_images * switches_image + row * own_row
        top, bottom = entries(row_table, row)
        for column in range(columns):
            left, right = entries(column_table, column)
            for first in range(0, channels, WORD):
                last = min(first + WORD, channels)
                note = notes
                for i in range(top, bottom, 16):
                    source = p + image * p_image + load_int(i) * p_row
                    switch_row = chosen + load_int(i) * partner_row + column * own_pixel
                    for j in range(left, right, 16):
                        tap, on = load_int(i + 8) + load_int(j + 8), -1
                        if by_centre:
                            if tap != centre:
                                continue
                        else:
                            at = switch_row + load_int(j) * partner_pixel + (first >> 3)
                            on = named(at, plane, planes, tap, (last - first + 7) >> 3)
                        store_int(on, note)
                        store_int(source + load_int(j) * p_pixel, note + 8)
                        note += 16
                for channel in range(first, last, LANES):
                    count = min(LANES, last - channel)
                    total = spread(0.0)
                    for at in range(notes, note, 16):
                        value = apart(load_some(load_int(at + 8) + 4 * channel, count))
                        switched = unpack(load_int(at) >> (channel - first))
                        total = total + choose(switched, value, spread(0.0))
                    finish(total, ending, mode, image, row, column, channel, count)


@kernel
def averaged(
    worker, item, x, x_image, x_row, x_pixel, row_table, column_table, rows, columns, channels,
    lines, lines_an_item, channels_an_item, ending,
):  # fmt: skip
    """Average pool or its transpose: some rows and channels of y. Labels are weights."""
    parts = (channels + channels_an_item - 1) // channels_an_item
    first = item % parts * channels_an_item
    last = min(first + channels_an_item, channels)
    item //= parts
    for line in range(item * lines_an_item, min((item + 1) * lines_an_item, lines)):
        image, row = line // rows, line % rows
        mode = mode_of(ending, image)
        top, bottom = entries(row_table, row)
        for column in range(columns):
            left, right = entries(column_table, column)
            count_taps = float(divisor(row_table, row) * divisor(column_table, column))
            for channel in range(first, last, LANES):
                count = min(LANES, last - channel)
                total = spread(0.0)
                for i in range(top, bottom, 16):
                    source = x + image * x_image + load_int(i) * x_row + 4 * channel
                    across = spread(0.0)
                    for j in range(left, right, 16):
                        value = load_some(source + load_int(j) * x_pixel, count)
                        across = multiply_add(value, spread(as_float(load_int(j + 8))), across)
                    total = multiply_add(across, spread(as_float(load_int(i + 8))), total)
                finish(total / spread(count_taps), ending, mode, image, row, column, channel, count)


# Tables: windows that pixels, and pixels that windows meet along an axis


def _table(
    prog: Program, window: Window, axis: int, size: int, out: int, transposed: bool,
    labels: np.ndarray, divisors: np.ndarray | int = 1,
) -> Place:  # fmt: skip
    """Lay out a table of `size` pixels and `out` windows.

    For each position (a pixel if `transposed`, else a window) three numbers: where its entries
    begin and end in the table, and a divisor. Then the entries, each a partner (window or pixel)
    and its label out of `labels`, shape (out, kernel).
    """
    windows, taps = np.arange(out)[:, None], np.arange(window.kernel[axis])
    pixels = window.stride[axis] * windows - window.begins[axis] + window.dilation[axis] * taps
    met = np.nonzero((pixels >= 0) & (pixels < size))
    of, partner, positions = met[0], pixels[met], out
    if transposed:
        of, partner, positions = partner, of, size
    counts = np.bincount(of, minlength=positions)
    ends = 24 * positions + 16 * np.cumsum(counts)
    lines = np.stack([ends - 16 * counts, ends, np.broadcast_to(divisors, positions)], axis=1)
    pairs = np.stack([partner, np.broadcast_to(labels, pixels.shape)[met]], axis=1)
    pairs = pairs[np.argsort(of, kind="stable")]
    return prog.constant(np.concatenate([lines.ravel(), pairs.ravel()]))


def _tap_tables(
    prog: Program, window: Window, inside: Image, outside: Image, transposed: bool
) -> dict[str, Place]:
    """Tables of both axes with labels that add up to the tap's row-major number."""
    row_taps, column_taps = map(np.arange, window.kernel)
    sizes = (inside.height, outside.height), (inside.width, outside.width)
    return {
        "row_table": _table(prog, window, 0, *sizes[0], transposed, row_taps * window.kernel[1]),
        "column_table": _table(prog, window, 1, *sizes[1], transposed, column_taps),
    }


def _weight_tables(
    prog: Program, window: Window, inside: Image, transposed: bool, include_pad: bool
) -> dict[str, Place]:
    """Tables of both axes whose labels are weights, as bits of floats.

    Forwards they are 1, divided by at the end; transposed, 1 over the window's number of taps.
    """
    tables, size = {}, (inside.height, inside.width)
    for axis, counted in enumerate(window.pixels_by_axis(size, include_pad)):
        numbers = np.maximum(counted.sum(1), 1)
        weights = 1 / numbers[:, None] if transposed else np.ones((1, 1))
        tables[("row_table", "column_table")[axis]] = _table(
            prog, window, axis, size[axis], len(counted), transposed,
            weights.astype(np.float32).view(np.int32), 1 if transposed else numbers,
        )  # fmt: skip
    return tables


# Layout


def share(lines: int, work: float) -> int:
    """How many lines make an item, for `work` numbers read a line; a function of these alone."""
    items = min(lines, math.ceil(lines * work / ITEM))
    return -(-lines // max(items, 1))


def by_lines(
    prog: Program, step: Kernel, over: Image, taps: float, parts: int = 1, /, **arguments: Any
) -> None:
    """Add a step of which an item makes some rows of an image, reading `taps` numbers for each."""
    lines = over.batch * over.height
    an_item = share(lines, over.width * over.channels * taps)
    prog.step(
        step, -(-lines // an_item) * parts, rows=over.height, columns=over.width,
        channels=over.channels, lines=lines, lines_an_item=an_item, **arguments,
    )  # fmt: skip


def _bits(window: Window) -> int:
    """Bit planes of a window's switches."""
    return (window.volume - 1).bit_length()


def _notes(window: Window) -> int:
    """Bytes that notes on a window's taps take, with room for one note more."""
    return 16 * (window.volume + 8) // 64 * 64


def _steps(windows: Image) -> tuple[int, int, int]:
    """Bytes from one image's, row's and window's switches to the next in a plane."""
    pixel = -(-windows.channels // 8)
    row = windows.width * pixel
    return windows.height * row, row, pixel


def lay_max_pool(
    prog: Program, x: Image, y: Image, window: Window, switches: Place | None = None
) -> None:
    """Add max-pooling of x into y; its switches go where `switches` says, if anywhere."""
    image, row, pixel = _steps(y)
    by_lines(
        prog, maxima, y, window.volume, **x.steps("x"), **y.steps("y"), switches=switches or 0,
        switches_image=image, switches_row=row, switches_pixel=pixel, plane=y.batch * image,
        planes=_bits(window), scratch=prog.scratch_memory(_notes(window) * prog.workers),
        scratch_size=_notes(window), **_tap_tables(prog, window, x, y, False),
    )  # fmt: skip


def _lay_routing(
    prog: Program, p: Image, x: Image, window: Window, transposed: bool, switches: Place | None,
    switch_images: int, centres: Place | None, epilogue: dict[str, Any],
) -> None:  # fmt: skip
    """Add the step of `lay_unpool` (transposed) or `lay_gather`."""
    inside, windows = (x, p) if transposed else (p, x)
    if switches is None and centres is None:
        centres = prog.constant(np.ones(p.batch, np.int64))
    image, row, pixel = _steps(windows)
    own, partner = ((0, 0), (row, pixel)) if transposed else ((row, pixel), (0, 0))
    by_lines(
        prog, routed, x, 1 if transposed else window.volume, **p.steps("p"),
        switches=switches or 0, switches_images=switch_images, switches_image=image,
        own_row=own[0], own_pixel=own[1], partner_row=partner[0], partner_pixel=partner[1],
        plane=switch_images * image, planes=_bits(window), centres=centres or 0,
        centre=center_tap(window), scratch=prog.scratch_memory(_notes(window) * prog.workers),
        scratch_size=_notes(window), ending=prog.ending(x, **epilogue),
        **_tap_tables(prog, window, inside, windows, transposed),
    )  # fmt: skip


def lay_unpool(
    prog: Program, p: Image, x: Image, window: Window, switches: Place | None,
    switch_images: int = 1, centres: Place | None = None, **epilogue: Any,
) -> None:  # fmt: skip
    """Add unpooling of p into x, which then passes the epilogue of these fields.

    Image n goes by the switches of n modulo `switch_images`, or by its windows' centres if its
    int64 at `centres` is not 0. With neither switches nor centres given, all go by centres.
    """
    _lay_routing(prog, p, x, window, True, switches, switch_images, centres, epilogue)


def lay_gather(
    prog: Program, x: Image, y: Image, window: Window, switches: Place | None,
    switch_images: int = 1, centres: Place | None = None, **epilogue: Any,
) -> None:  # fmt: skip
    """Add reading into y what switches name in x; parameters as in `lay_unpool`."""
    _lay_routing(prog, x, y, window, False, switches, switch_images, centres, epilogue)


def _lay_averages(
    prog: Program, x: Image, y: Image, tables: dict[str, Place], taps: float,
    epilogue: dict[str, Any],
) -> None:  # fmt: skip
    """Add the step of `lay_average_pool` or `lay_average_unpool`."""
    unit = max(LANES, 8)  # channels whose bits share no byte with others
    channels = share(-(-y.channels // unit), y.width * taps * unit) * unit
    by_lines(
        prog, averaged, y, taps, -(-y.channels // channels), **x.steps("x"), **tables,
        channels_an_item=channels, ending=prog.ending(y, **epilogue),
    )  # fmt: skip


def lay_average_pool(
    prog: Program, x: Image, y: Image, window: Window, include_pad: bool, **epilogue: Any
) -> None:
    """Add average-pooling of x into y; a window as large as x gives the global average."""
    tables = _weight_tables(prog, window, x, False, include_pad)
    _lay_averages(prog, x, y, tables, window.volume, epilogue)


def lay_average_unpool(
    prog: Program, p: Image, x: Image, window: Window, include_pad: bool, **epilogue: Any
) -> None:
    """Add spreading p evenly over the windows of x."""
    tables = _weight_tables(prog, window, x, True, include_pad)
    _lay_averages(prog, p, x, tables, window.volume / prod(window.stride), epilogue)


# On arrays


@lru_cache(maxsize=512)
def _laid(
    lay: Callable[..., None], x: Sizes, y: Sizes, workers: int, settings: tuple[Any, ...]
) -> Laid:
    """One layout function's program for buffers "x" and "y" of these shapes."""
    prog = Program(workers)
    lay(prog, Image.whole("x", x), Image.whole("y", y), *settings)
    return Laid(prog)


def on_arrays(
    lay: Callable[..., None], x: np.ndarray, shape: Sizes, *settings: Any, **buffers: np.ndarray
) -> np.ndarray:
    """Run one layout function on an array (N, C, H, W); gives a new one of some shape."""
    y = empty_image(shape)
    if y.size > 0:
        workers = workers_for(WORK * max(x.size, y.size))
        _laid(lay, x.shape, shape, workers, settings)(x=pixels(x), y=y, **buffers)
    return y


def max_pool(x: np.ndarray, window: Window) -> tuple[np.ndarray, Packed]:
    """Maximum over each window and its switch; see `reference.max_pool`."""
    shape = (*x.shape[:2], *window.output_size(x.shape[2:]))
    planes = empty((_bits(window), *plane_shape(shape)), np.uint8)
    y = on_arrays(lay_max_pool, x, shape, window, Place("planes"), planes=planes)
    return y, Packed(planes, shape, window.volume)


def unpool(p: np.ndarray, switches: Packed, window: Window, size: Sizes) -> np.ndarray:
    """Add each p to the tap that its switch names; see `reference.unpool`."""
    planes, images = np.ascontiguousarray(switches.planes), switches.shape[0]
    shape = (*p.shape[:2], *size)
    return on_arrays(lay_unpool, p, shape, window, Place("planes"), images, planes=planes)


def unpool_center(p: np.ndarray, window: Window, size: Sizes) -> np.ndarray:
    """Add each p at its window's centre; see `reference.unpool_center`."""
    return on_arrays(lay_unpool, p, (*p.shape[:2], *size), window, None)


def gather(x: np.ndarray, switches: Packed, window: Window) -> np.ndarray:
    """Read from each window the tap that its switch names; see `reference.gather`."""
    planes, images = np.ascontiguousarray(switches.planes), switches.shape[0]
    shape = (*x.shape[:2], *switches.shape[2:])
    return on_arrays(lay_gather, x, shape, window, Place("planes"), images, planes=planes)


def average_pool(x: np.ndarray, window: Window, include_pad: bool) -> np.ndarray:
    """Mean over each window; see `reference.average_pool`."""
    shape = (*x.shape[:2], *window.output_size(x.shape[2:]))
    return on_arrays(lay_average_pool, x, shape, window, include_pad)


def average_unpool(p: np.ndarray, window: Window, include_pad: bool, size: Sizes) -> np.ndarray:
    """Spread each p evenly over its window; see `reference.average_unpool`."""
    return on_arrays(lay_average_unpool, p, (*p.shape[:2], *size), window, include_pad)
