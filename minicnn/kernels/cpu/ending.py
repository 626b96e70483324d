"""The epilogue slot: what happens to a kernel's results before they are stored.

    value = (sum + bias) scale + shift + residual        each where there is one
    value = value or 0                     by a bit of the mask        mode & MASK
    signs = value > 0                      one bit a value             where asked for
    value = max(value, 0)                                              mode & RECTIFY

This serves networks in both directions: bias, batch norm, residual and ReLU forwards; sums of
signals, masks (SaliNet), rectification (DeConvNet) or both (DeSaliNet) on the way back. The mode
may differ from image to image, which lets one batch hold the signals of several rules.

Bits are stored a pixel at a time, ceil(channels / 8) bytes each, lowest bit first.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiled import inline, within
from minicnn.kernels.cpu.dense_lanes import VECTOR, load_some, store_some
from minicnn.kernels.cpu.vector import (
    LANES,
    choose,
    greater,
    load,
    load_byte,
    load_int,
    pack,
    spread,
    store,
    store_byte,
    unpack,
)

__all__ = [
    "FIELDS", "MASK", "RECTIFY", "finish", "finish_line", "finish_tile", "load_bits", "mode_of",
    "store_bits",
]  # fmt: skip

RECTIFY, MASK = 1, 2
LEAST = -np.inf

FIELDS = (
    "y", "y_image", "y_row", "y_pixel", "bias", "scale", "shift",
    "residual", "residual_image", "residual_row", "residual_pixel", "modes", "mode",
    "mask", "mask_images", "mask_image", "mask_row", "mask_pixel",
    "signs", "signs_image", "signs_row", "signs_pixel",
)  # fmt: skip
"""What the block of an epilogue holds, in order: addresses (0 for none) and steps in bytes."""

(
    Y, Y_IMAGE, Y_ROW, Y_PIXEL, BIAS, SCALE, SHIFT,
    RESIDUAL, RESIDUAL_IMAGE, RESIDUAL_ROW, RESIDUAL_PIXEL, MODES, MODE,
    MASKS, MASK_IMAGES, MASK_IMAGE, MASK_ROW, MASK_PIXEL,
    SIGNS, SIGNS_IMAGE, SIGNS_ROW, SIGNS_PIXEL,
) = range(0, 8 * len(FIELDS), 8)  # fmt: skip


@inline
def load_bits(address, channel, count):
    """The bits of LANES channels from `channel` on, of which `count` exist."""
    first = address + (channel >> 3)
    bits = load_byte(first)
    if LANES == 4:
        return bits >> (channel & 7)
    if LANES == 16 and count > 8:
        bits |= load_byte(first + 1) << 8
    return bits


@inline
def store_bits(bits, address, channel, count):
    """Write the bits of LANES channels; lower channels of a byte must be written first."""
    first = address + (channel >> 3)
    if count < LANES:
        bits &= (1 << count) - 1
    if LANES == 4 and channel & 7:
        bits = (bits << 4) | load_byte(first)
    store_byte(bits, first)
    if LANES == 16 and count > 8:
        store_byte(bits >> 8, first + 1)


@inline
def mode_of(end, image):
    """The mode of an image; `end` is where the block of fields stands."""
    modes = load_int(end + MODES)
    return load_int(modes + 8 * image) if modes != 0 else load_int(end + MODE)


@inline
def _place(end, first, image, row, column):
    """Where a pixel stands in the array whose address is the field `first`, its steps after it."""
    at = load_int(end + first) + image * load_int(end + first + 8)
    return at + row * load_int(end + first + 16) + column * load_int(end + first + 24)


@inline
def _mask_place(end, image, row, column):
    """Where a pixel's bits stand in the mask, whose images may be fewer and then repeat."""
    image %= load_int(end + MASK_IMAGES)
    at = load_int(end + MASKS) + image * load_int(end + MASK_IMAGE)
    return at + row * load_int(end + MASK_ROW) + column * load_int(end + MASK_PIXEL)


@inline
def _by_channel(end, first, channel, count, otherwise):
    """One number a channel, from the array whose address is the field `first`."""
    address = load_int(end + first)
    return load_some(address + 4 * channel, count) if address != 0 else spread(otherwise)


@inline
def _finished(value, bias, scale, shift, residual, mask, signs, least, channel, count):
    """The formula above, up to the store; `residual`, `mask` and `signs` are addresses or 0.

    A missing bias is 0, a missing scale 1, and `least` is 0 or, without RECTIFY, minus infinity.
    """
    value = (value + bias) * scale + shift
    if residual != 0:
        value = value + load_some(residual, count)
    if mask != 0:
        value = choose(unpack(load_bits(mask, channel, count)), value, spread(0.0))
    if signs != 0:
        store_bits(pack(greater(value, spread(0.0))), signs, channel, count)
    return choose(greater(least, value), least, value)  # NaN stays


@within
def finish(value, end, mode, image, row, column, channel, count):
    """Finish and store LANES channels of one pixel, of which `count` exist.

    `end` is where the fields above stand, `mode` that of the image.
    """
    residual = mask = signs = 0
    if load_int(end + RESIDUAL) != 0:
        residual = _place(end, RESIDUAL, image, row, column) + 4 * channel
    if mode & MASK:
        mask = _mask_place(end, image, row, column)
    if mode & RECTIFY and load_int(end + SIGNS) != 0:
        signs = _place(end, SIGNS, image, row, column)
    value = _finished(
        value, _by_channel(end, BIAS, channel, count, 0.0),
        _by_channel(end, SCALE, channel, count, 1.0), _by_channel(end, SHIFT, channel, count, 0.0),
        residual, mask, signs, spread(0.0 if mode & RECTIFY else LEAST), channel, count,
    )  # fmt: skip
    store_some(value, _place(end, Y, image, row, column) + 4 * channel, count)


@inline
def finish_line(source, end, mode, image, row, column, channels):
    """Finish all channels of one pixel; `source` is where they stand."""
    residual = mask = signs = 0
    if load_int(end + RESIDUAL) != 0:
        residual = _place(end, RESIDUAL, image, row, column)
    if mode & MASK:
        mask = _mask_place(end, image, row, column)
    if mode & RECTIFY and load_int(end + SIGNS) != 0:
        signs = _place(end, SIGNS, image, row, column)
    least = spread(0.0 if mode & RECTIFY else LEAST)
    y = _place(end, Y, image, row, column)
    for channel in range(0, channels, LANES):
        count = min(LANES, channels - channel)
        at = 4 * channel
        value = _finished(
            load_some(source + at, count), _by_channel(end, BIAS, channel, count, 0.0),
            _by_channel(end, SCALE, channel, count, 1.0),
            _by_channel(end, SHIFT, channel, count, 0.0),
            residual + at if residual != 0 else 0, mask, signs, least, channel, count,
        )  # fmt: skip
        store_some(value, y + at, count)


@inline
def finish_tile(
    tile, number, end, mode, image, row, column, first, columns, channel, left
):  # fmt: skip
    """Finish up to 2 LANES channels, `left`, of some pixels that follow each other.

    Lines of the tile are 2 LANES numbers. Before column `columns` the next row's `first` comes.
    """
    if left < 2 * LANES:
        for _ in range(number):
            finish(load(tile), end, mode, image, row, column, channel, min(left, LANES))
            if left > LANES:
                second, rest = channel + LANES, left - LANES
                finish(load(tile + VECTOR), end, mode, image, row, column, second, rest)
            tile += 2 * VECTOR
            column += 1
            if column == columns:
                row, column = row + 1, first
        return
    bias = _by_channel(end, BIAS, channel, LANES, 0.0)
    scale = _by_channel(end, SCALE, channel, LANES, 1.0)
    shift = _by_channel(end, SHIFT, channel, LANES, 0.0)
    bias_2 = _by_channel(end, BIAS, channel + LANES, LANES, 0.0)
    scale_2 = _by_channel(end, SCALE, channel + LANES, LANES, 1.0)
    shift_2 = _by_channel(end, SHIFT, channel + LANES, LANES, 0.0)
    least = spread(0.0 if mode & RECTIFY else LEAST)
    has_residual, has_signs = load_int(end + RESIDUAL) != 0, load_int(end + SIGNS) != 0
    while number > 0:
        pixels = min(number, columns - column)  # to the end of the row
        y, y_step = _place(end, Y, image, row, column) + 4 * channel, load_int(end + Y_PIXEL)
        residual = residual_2 = mask = signs = residual_step = mask_step = signs_step = 0
        if has_residual:
            residual = _place(end, RESIDUAL, image, row, column) + 4 * channel
            residual_2, residual_step = residual + VECTOR, load_int(end + RESIDUAL_PIXEL)
        if mode & MASK:
            mask, mask_step = _mask_place(end, image, row, column), load_int(end + MASK_PIXEL)
        if mode & RECTIFY and has_signs:
            signs, signs_step = _place(end, SIGNS, image, row, column), load_int(end + SIGNS_PIXEL)
        for _ in range(pixels):
            value = _finished(
                load(tile), bias, scale, shift, residual, mask, signs, least, channel, LANES
            )
            store(value, y)
            value = _finished(
                load(tile + VECTOR), bias_2, scale_2, shift_2, residual_2, mask, signs, least,
                channel + LANES, LANES,
            )  # fmt: skip
            store(value, y + VECTOR)
            tile += 2 * VECTOR
            y += y_step
            residual += residual_step
            residual_2 += residual_step
            mask += mask_step
            signs += signs_step
        number -= pixels
        row, column = row + 1, first
