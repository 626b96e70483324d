"""How a filter gradient is cut into items: by sizes alone, never by the number of threads.

An item holds its sums, channels x taps x filters, and a chunk of pixels in the cache of one core.
Of the cuts that allow this, that which copies the fewest numbers serves:

    items x (channels + filters of an item)     for each pixel
"""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.kernels.cpu.blocked import split
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Image
from minicnn.kernels.cpu.vector import LANES
from minicnn.kernels.geometry import Window

__all__ = ["FilterPlan", "plan_filters"]

CACHE = 440_000  # bytes of pixels that an item holds at a time
SUMS = 36_864  # numbers that it computes
ITEMS = 24  # or more, so that threads have something to share
TERMS = 128  # rows of outputs in a chunk, at most


@dataclass(frozen=True)
class FilterPlan:
    """How the work is cut into items, and an item's pixels into chunks.

    Parameters
    ----------
    channels, filters : int
        An item, within a group.
    images, band, span : int
        Images, rows and columns of outputs a chunk.
    parts : int
        Into which all chunks are shared out.
    """

    channels: int
    filters: int
    images: int
    band: int
    span: int
    parts: int


def _item(channels: int, filters: int, taps: int) -> tuple[int, int]:
    """Channels and filters an item: as few copies of pixels as its sums allow."""
    choices = [
        (split(channels, deep, LANES), split(filters, wide, COLUMNS))
        for deep in range(LANES, channels + LANES, LANES)
        for wide in range(COLUMNS, filters + COLUMNS, COLUMNS)
        if deep * taps * wide <= SUMS or (deep, wide) == (LANES, COLUMNS)
    ]
    deep, wide = min(
        choices,
        key=lambda item: -(-channels // item[0]) * -(-filters // item[1]) * (item[0] + item[1]),
    )
    return min(deep, channels), min(wide, filters)


def plan_filters(p: Image, window: Window, channels: int, filters: int, groups: int) -> FilterPlan:
    """Items whose sums and pixels stay in a core's cache; enough of them."""
    deep, wide = _item(channels, filters, window.volume)
    items = groups * -(-channels // deep) * -(-filters // wide)

    def size(rows: int, columns: int) -> int:
        area = 1
        for n, s, k in zip((rows, columns), window.stride, window.extent, strict=True):
            area *= s * (n - 1) + k
        return 4 * (area * deep + rows * columns * wide)

    span, band = p.width, p.height
    while size(1, span) > CACHE and span > 2 * LANES:
        span = -(-span // 2)
    while (size(band, span) > CACHE or band > TERMS) and band > 1:
        band = -(-band // 2)
    chunks = p.batch * -(-p.height // band) * -(-p.width // span)
    wanted = min(chunks, -(-ITEMS // items))
    images = 1
    if band == p.height and span == p.width:
        images = max(1, min(CACHE // size(band, span), TERMS // band, p.batch // wanted))
    chunks = -(-p.batch // images) * -(-p.height // band) * -(-p.width // span)
    return FilterPlan(deep, wide, images, band, span, min(chunks, wanted))
