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

from minicnn.kernels.cpu.compiled import inline
from minicnn.kernels.cpu.dense_lanes import load_some
from minicnn.kernels.cpu.vector import (
    LANES,
    choose,
    greater,
    load_byte,
    load_int,
    pack,
    spread,
    store_byte,
    store_part,
    unpack,
)

__all__ = ["FIELDS", "MASK", "RECTIFY", "finish", "load_bits", "mode_of", "store_bits"]

RECTIFY, MASK = 1, 2

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
) = range(len(FIELDS))  # fmt: skip


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
    """The mode of an image."""
    if end[MODES] != 0:
        return load_int(end[MODES] + 8 * image)
    return end[MODE]


@inline
def finish(value, end, mode, image, row, column, channel, count):
    """Finish and store LANES channels of one pixel, of which `count` exist.

    `end` is the tuple of the fields above, `mode` that of the image.
    """
    offset = 4 * channel
    if end[BIAS] != 0:
        value = value + load_some(end[BIAS] + offset, count)
    if end[SCALE] != 0:
        value = value * load_some(end[SCALE] + offset, count)
        if end[SHIFT] != 0:
            value = value + load_some(end[SHIFT] + offset, count)
    if end[RESIDUAL] != 0:
        at = image * end[RESIDUAL_IMAGE] + row * end[RESIDUAL_ROW] + column * end[RESIDUAL_PIXEL]
        value = value + load_some(end[RESIDUAL] + at + offset, count)
    zero = spread(0.0)
    if mode & MASK:
        at = (image % end[MASK_IMAGES]) * end[MASK_IMAGE]
        at += row * end[MASK_ROW] + column * end[MASK_PIXEL]
        value = choose(unpack(load_bits(end[MASKS] + at, channel, count)), value, zero)
    if mode & RECTIFY:
        positive = greater(value, zero)
        if end[SIGNS] != 0:
            at = image * end[SIGNS_IMAGE] + row * end[SIGNS_ROW] + column * end[SIGNS_PIXEL]
            store_bits(pack(positive), end[SIGNS] + at, channel, count)
        value = choose(greater(zero, value), zero, value)  # NaN stays
    at = image * end[Y_IMAGE] + row * end[Y_ROW] + column * end[Y_PIXEL]
    store_part(value, end[Y] + at + offset, count)
