"""Direct convolution: products of pixels and filters, tap by tap, without unfolding the image.

    y[i, j, o] = sum over taps t and channels c   x[a i + u_t, b j + v_t, c]  w[t, c, o]

for a list of taps (u_t, v_t) and steps a, b. A convolution is one such sum; its transpose with
stride s is s x s of them, one for each residue of the output pixel, each with the taps that reach
it and steps of 1. So both directions, any stride, dilation, pads on any side and groups are one
kernel, which finds its pixels through the micro-kernel's table of addresses.

Filters are packed by columns of the tile: [group][panel][tap][channel][COLUMNS].
"""

from __future__ import annotations

from minicnn.kernels.cpu.compiled import inline, kernel, within
from minicnn.kernels.cpu.ending import finish_tile, mode_of
from minicnn.kernels.cpu.product import COLUMNS, multiply, multiply_half, multiply_narrow
from minicnn.kernels.cpu.vector import LANES, ROWS, load_int, store_int

__all__ = ["SCRATCH", "direct", "multiply_tile"]

LINE = 8 * (ROWS + 1)  # bytes a term takes in the table of addresses
TILE = 4 * ROWS * COLUMNS


def SCRATCH(terms: int) -> int:
    """Bytes of scratch memory that a thread needs."""
    return TILE + 16 * ROWS + terms * LINE + 64


@within
def multiply_tile(table, terms, tile, depth, a_step, b_step, rows, columns):
    """The micro-kernel that suits the rows and columns left."""
    if columns <= LANES:
        multiply_narrow(table, terms, tile, depth, a_step, b_step, 0)
    elif rows <= ROWS // 2:
        multiply_half(table, terms, tile, depth, a_step, b_step, 0)
    else:
        multiply(table, terms, tile, depth, a_step, b_step, 0)


@inline
def _reach(taps, terms):
    """The least and greatest offset of all taps: of rows, and of columns."""
    least_u = least_v = most_u = most_v = 0
    for term in range(terms):
        u, v = load_int(taps + 16 * term), load_int(taps + 16 * term + 8)
        least_u, most_u = min(least_u, u), max(most_u, u)
        least_v, most_v = min(least_v, v), max(most_v, v)
    return least_u, most_u, least_v, most_v


@inline
def _fill_inside(table, taps, terms, first, x_row, x_pixel, step):
    """Addresses for pixels side by side, all of whose taps lie inside the image."""
    for term in range(terms):
        u, v = load_int(taps + 16 * term), load_int(taps + 16 * term + 8)
        address = first + u * x_row + v * x_pixel
        line = table + term * LINE
        for m in range(ROWS):
            store_int(address + m * step, line + 8 * m)


@inline
def _fill_checked(
    table, places, taps, terms, source, x_row, x_pixel, height, width, zeros, first, pixels,
    columns, step_row, step_column,
):  # fmt: skip
    """Addresses for any pixels; outside of the image they are those of zeros."""
    for m in range(ROWS):
        pixel = min(first + m, pixels - 1)
        row = pixel // columns
        store_int(row * step_row, places + 16 * m)
        store_int((pixel - row * columns) * step_column, places + 16 * m + 8)
    for term in range(terms):
        u, v = load_int(taps + 16 * term), load_int(taps + 16 * term + 8)
        for m in range(ROWS):
            row = load_int(places + 16 * m) + u
            column = load_int(places + 16 * m + 8) + v
            inside = 0 <= row < height and 0 <= column < width
            address = source + row * x_row + column * x_pixel if inside else zeros
            store_int(address, table + term * LINE + 8 * m)


@kernel
def direct(
    worker, item, x, x_image, x_row, x_pixel, height, width, zeros, taps, terms, depth, filters,
    rows, columns, step_row, step_column, groups, channels, tiles, tiles_an_item, panels,
    panels_an_item, scratch, scratch_size, ending,
):  # fmt: skip
    """Some pixels and some filters of one image and group.

    `taps` holds (u, v) for each term; `depth` input channels and `channels` output channels a
    group; `tiles` of ROWS output pixels, `panels` of COLUMNS filters.
    """
    tile = scratch + worker * scratch_size
    places = tile + TILE  # where each row's pixel begins in the input: row, column
    table = places + 16 * ROWS

    pixel_parts = (tiles + tiles_an_item - 1) // tiles_an_item
    panel_parts = (panels + panels_an_item - 1) // panels_an_item
    part = item % pixel_parts
    item //= pixel_parts
    first_panel = item % panel_parts * panels_an_item
    item //= panel_parts
    group, image = item % groups, item // groups

    source = x + image * x_image + 4 * group * depth
    panel_bytes = 4 * terms * depth * COLUMNS
    filters += group * panels * panel_bytes
    pixels = rows * columns
    last_panel = min(first_panel + panels_an_item, panels)
    mode = mode_of(ending, image)
    least_u, most_u, least_v, most_v = _reach(taps, terms)

    for number in range(part * tiles_an_item, min((part + 1) * tiles_an_item, tiles)):
        first = number * ROWS
        valid = min(ROWS, pixels - first)
        row = first // columns
        column = first - row * columns
        top, left = row * step_row, column * step_column
        right = left + (ROWS - 1) * step_column
        if (
            column + ROWS <= columns
            and top + least_u >= 0 and top + most_u < height
            and left + least_v >= 0 and right + most_v < width
        ):  # fmt: skip
            _fill_inside(
                table, taps, terms, source + top * x_row + left * x_pixel, x_row, x_pixel,
                step_column * x_pixel,
            )  # fmt: skip
        else:
            _fill_checked(
                table, places, taps, terms, source, x_row, x_pixel, height, width, zeros, first,
                pixels, columns, step_row, step_column,
            )  # fmt: skip
        for panel in range(first_panel, last_panel):
            for term in range(terms):
                line = filters + panel * panel_bytes + 4 * term * depth * COLUMNS
                store_int(line, table + term * LINE + 8 * ROWS)
            left = channels - panel * COLUMNS
            multiply_tile(table, terms, tile, depth, 4, 4 * COLUMNS, valid, left)
            channel = group * channels + panel * COLUMNS
            finish_tile(tile, valid, ending, mode, image, row, column, 0, columns, channel, left)
