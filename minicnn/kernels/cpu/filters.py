"""The filter gradient: how a signal p and an image x correlate, tap by tap.

    w[o, c, t] = sum over images n and pixels i   p[o, i] x[c, s i - pad + d t]

As a product its rows are pairs (c, t), just as each filter in w is stored, its columns filters, and
its inner index is the output pixel. An item computes some channels (all taps) by some filters from
some of the pixels. It copies these in *chunks* that stay in its cache, x with zeros around it, so
that every tap reads a whole row of pixels: a row of outputs is one term of the micro-kernel.

Where there are too few items, pixels are shared out too, and the parts' sums are added in a second
step, in order. Sizes alone say how, never the number of threads. The second step also turns sums
[(c, t)][o] round into w.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minicnn.kernels.cpu.blocked import LINE, TILE, add_to_tile, copy_panels
from minicnn.kernels.cpu.compiled import kernel
from minicnn.kernels.cpu.dense_lanes import VECTOR, clear, copy_row, turn
from minicnn.kernels.cpu.depthwise_filters import lay_depthwise_filter
from minicnn.kernels.cpu.filter_plan import plan_filters
from minicnn.kernels.cpu.laid import Laid, pixels, planar, workers_for
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import (
    LANES,
    ROWS,
    load,
    load_int,
    store,
    store_int,
    store_part,
)
from minicnn.kernels.geometry import Window
from minicnn.kernels.memory import empty

__all__ = ["conv_filter", "lay_conv_filter"]


@kernel
def filter_sums(
    worker, item, x, x_image, x_row, x_pixel, height, width, p, p_image, p_row, p_pixel, batch,
    rows, columns, stride_row, stride_column, pad_row, pad_column, extent_row, extent_column,
    groups, channels, filters, taps, channels_an_item, filters_an_item, images, band, span, parts,
    offsets, x_step, x_line, p_step, xs, ps, block, sums, part_bytes, scratch, scratch_size,
):  # fmt: skip
    """Sums over a part of the pixels for some channels and filters of one group.

    A chunk is `band` x `span` pixels of `images` images. `offsets` holds for each row (c, t) where
    in the copied chunk of x it begins; `xs` and `ps` are where in scratch memory the chunks stand,
    `x_step`, `x_line`, `p_step` the distances of pixels and of rows in them.
    """
    table = scratch + worker * scratch_size
    xs += table
    ps += table
    part = item % parts
    item //= parts
    tiles = sums + part * part_bytes + item * block
    filter_parts = (filters + filters_an_item - 1) // filters_an_item
    channel_parts = (channels + channels_an_item - 1) // channels_an_item
    first_filter = item % filter_parts * filters_an_item
    item //= filter_parts
    first_channel = item % channel_parts * channels_an_item
    group = item // channel_parts
    wide = min(filters_an_item, filters - first_filter)
    depth = min(channels_an_item, channels - first_channel)
    x += 4 * (group * channels + first_channel)
    p += 4 * (group * filters + first_filter)
    high = depth * taps
    as_it_is = p_pixel == p_step == 4 * wide  # p is one panel, and need not be copied
    tile_rows = (min(channels_an_item, channels) * taps + ROWS - 1) // ROWS

    bands = (rows + band - 1) // band
    spans = (columns + span - 1) // span
    chunks = (batch + images - 1) // images * bands * spans
    start = part * chunks // parts
    for chunk in range(start, (part + 1) * chunks // parts):
        column = chunk % spans * span
        row = chunk // spans % bands * band
        image = chunk // (spans * bands) * images
        count = min(span, columns - column)
        lines = min(band, rows - row)
        here = min(images, batch - image)
        x_lines = stride_row * (lines - 1) + extent_row
        x_columns = stride_column * (count - 1) + extent_column
        first = stride_column * column - pad_column
        p_lines = p_step * count * lines
        panel_bytes = p_lines * here
        signal = p + image * p_image + row * p_row + column * p_pixel

        for n in range(here):
            for i in range(x_lines):
                there = stride_row * row - pad_row + i
                target = xs + (n * x_lines + i) * x_line
                if 0 <= there < height:
                    source = x + (image + n) * x_image + there * x_row
                    copy_row(
                        source, x_pixel, first, first + x_columns, width, depth, target, x_step
                    )
                else:
                    clear(target, x_columns * x_step)
            for i in range(0 if as_it_is else lines):
                source = signal + n * p_image + i * p_row
                target = ps + n * p_lines + i * count * p_step
                for j in range(count):
                    copy_panels(source + j * p_pixel, target + j * p_step, panel_bytes, wide)

        for m in range(0, high, ROWS):
            for n in range(here):
                for i in range(lines):
                    begin = xs + (n * x_lines + i * stride_row) * x_line
                    line = table + (n * lines + i) * (8 * (ROWS + 1))
                    for k in range(ROWS):
                        offset = load_int(offsets + 8 * min(m + k, high - 1))
                        store_int(begin + offset, line + 8 * k)
            for k in range(0, wide, COLUMNS):
                panel = k // COLUMNS
                for i in range(here * lines):
                    line = ps + panel * panel_bytes + i * count * p_step
                    if as_it_is:
                        line = signal + i // lines * p_image + i % lines * p_row
                    store_int(line, table + i * (8 * (ROWS + 1)) + 8 * ROWS)
                tile = tiles + (panel * tile_rows + m // ROWS) * TILE
                add_to_tile(
                    table, here * lines, tile, count, stride_column * x_step, p_step, high - m,
                    wide - k, chunk - start,
                )  # fmt: skip


@kernel
def filter_totals(
    worker, item, w, groups, channels, filters, taps, channels_an_item, filters_an_item, parts,
    block, sums, part_bytes, scratch, scratch_size,
):  # fmt: skip
    """Add up the parts for one tile row of an item of `filter_sums`, and store it in w."""
    corner = scratch + worker * scratch_size
    tile_rows = (min(channels_an_item, channels) * taps + ROWS - 1) // ROWS
    tile_row = item % tile_rows
    item //= tile_rows
    tiles = sums + item * block
    filter_parts = (filters + filters_an_item - 1) // filters_an_item
    channel_parts = (channels + channels_an_item - 1) // channels_an_item
    first_filter = item % filter_parts * filters_an_item
    item //= filter_parts
    first_channel = item % channel_parts * channels_an_item
    group = item // channel_parts
    high = min(channels_an_item, channels - first_channel) * taps - tile_row * ROWS
    wide = min(filters_an_item, filters - first_filter)
    line = 4 * channels * taps
    w += (group * filters + first_filter) * line
    w += 4 * (first_channel * taps + tile_row * ROWS)
    for f in range(0, wide, LANES):
        tile = tiles + (f // COLUMNS * tile_rows + tile_row) * TILE + 4 * (f % COLUMNS)
        for m in range(0, min(high, ROWS), LANES):
            count = min(LANES, min(high, ROWS) - m)
            for i in range(LANES):
                there = tile + min(m + i, ROWS - 1) * LINE
                value = load(there)
                for part in range(1, parts):
                    value = value + load(there + part * part_bytes)
                store(value, corner + i * VECTOR)
            turn(corner, VECTOR, corner, VECTOR)
            for i in range(min(LANES, wide - f)):
                store_part(load(corner + i * VECTOR), w + (f + i) * line + 4 * m, count)


def _one_row(image: Image) -> Image:
    """All pixels of all images as one row, if they follow each other."""
    if image.row != image.width * image.pixel or image.image != image.height * image.row:
        return image
    width = image.batch * image.height * image.width
    return Image(image.place, 1, image.channels, 1, width, image.pixel)


def lay_conv_filter(
    program: Program, p: Image, x: Image, w: Place, window: Window, groups: int
) -> None:
    """Add w = the filter gradient, (O, C/groups, *kernel), of p (N, O, *out) and x."""
    if x.channels == groups > 1:
        lay_depthwise_filter(program, p, x, w, window)
        return
    if window.volume == 1 and {*window.stride} == {1} and not any(window.pads):
        flat = _one_row(p), _one_row(x)
        p, x = flat if flat[0].width == flat[1].width else (p, x)
    channels, filters, taps = x.channels // groups, p.channels // groups, window.volume
    plan = plan_filters(p, window, channels, filters, groups)
    x_lines, x_columns = (
        s * (n - 1) + k
        for n, s, k in zip((plan.band, plan.span), window.stride, window.extent, strict=True)
    )
    alone = plan.channels == x.pixel  # whole rows of x can be copied at once
    x_step = 4 * (x.pixel if alone else -(-plan.channels // LANES) * LANES)
    x_line = x_columns * x_step
    p_step = VECTOR if plan.filters <= LANES else LINE
    panels = -(-plan.filters // COLUMNS)
    down, across = (d * np.arange(k) for d, k in zip(window.dilation, window.kernel, strict=True))
    places = (down * x_line)[:, None] + across * x_step  # of the taps
    offsets = 4 * np.arange(plan.channels)[:, None, None] + places
    xs = 8 * (ROWS + 1) * plan.images * plan.band // 64 * 64 + 64
    ps = xs + (plan.images * x_lines * x_line + VECTOR) // 64 * 64 + 64
    size = ps + panels * plan.images * plan.band * plan.span * p_step
    size = max(size, LANES * VECTOR) // 64 * 64 + 64
    tile_rows = -(-plan.channels * taps // ROWS)
    block = tile_rows * panels * TILE
    items = groups * -(-channels // plan.channels) * -(-filters // plan.filters)
    memory = program.scratch_memory(size * program.workers + plan.parts * items * block)
    common = {
        "groups": groups, "channels": channels, "filters": filters, "taps": taps,
        "channels_an_item": plan.channels, "filters_an_item": plan.filters, "parts": plan.parts,
        "block": block, "sums": memory + size * program.workers, "part_bytes": items * block,
        "scratch": memory, "scratch_size": size,
    }  # fmt: skip
    program.step(
        filter_sums, items * plan.parts, **common, **x.steps("x"), **p.steps("p"),
        height=x.height, width=x.width, batch=p.batch, rows=p.height, columns=p.width,
        stride_row=window.stride[0], stride_column=window.stride[1], pad_row=window.pads[0],
        pad_column=window.pads[1], extent_row=window.extent[0], extent_column=window.extent[1],
        images=plan.images, band=plan.band, span=plan.span, offsets=program.constant(offsets),
        x_step=x_step, x_line=x_line, p_step=p_step, xs=xs, ps=ps,
    )  # fmt: skip
    program.step(filter_totals, items * tile_rows, **common, w=w)


@lru_cache(maxsize=256)
def _laid(
    p: tuple[int, ...], x: tuple[int, ...], window: Window, groups: int, workers: int
) -> Laid:
    program = Program(workers)
    lay_conv_filter(
        program, Image.whole("p", p), Image.whole("x", x), Place("w"), planar(window), groups
    )
    return Laid(program)


def conv_filter(p: np.ndarray, x: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """The filter gradient (O, C/groups, *kernel) of p (N, O, *out) and x (N, C, *size)."""
    filters, channels = p.shape[1], x.shape[1] // groups
    w = empty((filters, channels, *window.kernel))
    if 0 in p.shape or 0 in x.shape:
        w[...] = 0
        return w
    workers = workers_for(2 * p.size * channels * window.volume)
    _laid(p.shape, x.shape, window, groups, workers)(p=pixels(p), x=pixels(x), w=w)
    return w
