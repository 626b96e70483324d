"""Pooling and its ways back on the card; see `sources/pooling.cu` and `reference`."""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, channels_last, new_image, steps, unfilled
from minicnn.kernels.packed import Packed, plane_shape
from minicnn.kernels.reference import center_tap

__all__ = [
    "average_pool", "average_unpool", "gather", "max_pool", "unpool", "unpool_center",
]  # fmt: skip

BLOCK = 128
_KERNELS = {
    name: Kernel("pooling", name)
    for name in ("max_pool", "unpool", "gather", "average_pool", "average_unpool")
}

Size = tuple[int, ...]


def _run(name: str, letter: str, x: Any, y: Any, window: Window, **more: Any) -> None:
    """Launch a kernel with a thread for each eight channels of a pixel of y."""
    items = prod(plane_shape(y.shape))
    image, pooled = (y, x) if letter == "p" else (x, y)  # p comes back to the image
    geometry = {"height": image.shape[2], "width": image.shape[3]}
    geometry |= {"out_height": pooled.shape[2], "out_width": pooled.shape[3]}
    geometry |= {"channels": y.shape[1], "pad_top": window.pads[0], "pad_left": window.pads[1]}
    for key in ("kernel", "stride", "dilation"):
        geometry[f"{key}_height"], geometry[f"{key}_width"] = getattr(window, key)
    _KERNELS[name](
        (blocks_of(items, BLOCK),), BLOCK, x.dtype, {"ALIGNED": aligned(x, y)},
        **steps(letter, x), y=y, items=items, **geometry, **more,
    )  # fmt: skip


def max_pool(x: Any, window: Window) -> tuple[Any, Packed]:
    """Maxima and switches; see `reference.max_pool`."""
    x, size = channels_last(x), x.shape[2:]
    y = new_image(x, (*x.shape[:2], *window.output_size(size)))
    switches = unfilled(y, y.shape, window.volume)
    bits = switches.planes.shape[0]
    _run("max_pool", "x", x, y, window, planes=switches.planes, bits=bits)
    return y, switches


def _unpool(p: Any, window: Window, size: Size, **more: Any) -> Any:
    p, y = channels_last(p), new_image(p, (*p.shape[:2], *size))
    _run("unpool", "p", p, y, window, **more)
    return y


def unpool(p: Any, switches: Packed, window: Window, size: Size) -> Any:
    """Add each p to the tap that won; switches of fewer images are repeated."""
    return _unpool(
        p, window, size, planes=switches.planes, bits=switches.planes.shape[0],
        switch_images=switches.shape[0], center=-1,
    )  # fmt: skip


def unpool_center(p: Any, window: Window, size: Size) -> Any:
    """Add each p to its window's centre."""
    center = center_tap(window)
    return _unpool(p, window, size, planes=None, bits=0, switch_images=1, center=center)


def gather(x: Any, switches: Packed, window: Window) -> Any:
    """Read the tap that won; switches of fewer images are repeated."""
    x = channels_last(x)
    y = new_image(x, (*x.shape[:2], *switches.shape[2:]))
    _run(
        "gather", "x", x, y, window, planes=switches.planes, bits=switches.planes.shape[0],
        switch_images=switches.shape[0],
    )  # fmt: skip
    return y


def _counting(window: Window, include_pad: bool) -> dict[str, int]:
    """How far around the image taps count."""
    pads = window.pads if include_pad else (0,) * 4
    names = ("count_top", "count_left", "count_bottom", "count_right")
    return dict(zip(names, pads, strict=True))


def average_pool(x: Any, window: Window, include_pad: bool) -> Any:
    """Means over windows; see `reference.average_pool`."""
    x, size = channels_last(x), x.shape[2:]
    y = new_image(x, (*x.shape[:2], *window.output_size(size)))
    _run("average_pool", "x", x, y, window, **_counting(window, include_pad))
    return y


def average_unpool(p: Any, window: Window, include_pad: bool, size: Size) -> Any:
    """Spread p over windows; see `reference.average_unpool`."""
    p, y = channels_last(p), new_image(p, (*p.shape[:2], *size))
    _run("average_unpool", "p", p, y, window, **_counting(window, include_pad))
    return y
