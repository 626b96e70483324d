"""LRN and softmax on the card; see `sources/normalise.cu` and `reference`."""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn.kernels import reference
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, channels_last, new_image, steps
from minicnn.kernels.packed import plane_shape

__all__ = ["log_softmax", "lrn", "lrn_transposed", "softmax"]

BLOCK = 128
THREADS, EACH = 256, 4  # of softmax: threads a block, and channels that are worth a thread
_LRN, _LRN_TRANSPOSED = Kernel("normalise", "lrn"), Kernel("normalise", "lrn_transposed")
_SOFTMAX = Kernel("normalise", "softmax")


def _sizes(x: Any) -> dict[str, int]:
    return {"height": x.shape[2], "width": x.shape[3], "channels": x.shape[1],
            "items": prod(plane_shape(x.shape))}  # fmt: skip


def _settings(size: int, alpha: float, beta: float, bias: float) -> dict[str, Any]:
    return {"before": (size - 1) // 2, "after": size // 2, "alpha_each": alpha / size,
            "beta": beta, "bias": bias}  # fmt: skip


def lrn(x: Any, size: int, alpha: float, beta: float, bias: float) -> Any:
    """x s^-beta; see `reference.lrn`."""
    x, y = channels_last(x), new_image(x, x.shape)
    sizes = _sizes(x)
    _LRN(
        (blocks_of(sizes["items"], BLOCK),), BLOCK, x.dtype, {"ALIGNED": aligned(x, y)},
        **steps("x", x), y=y, **_settings(size, alpha, beta, bias), **sizes,
    )  # fmt: skip
    return y


def lrn_transposed(p: Any, x: Any, size: int, alpha: float, beta: float, bias: float) -> Any:
    """LRN's transpose of p at x, which may be of fewer images; see `reference.lrn_transposed`."""
    p, x, y = channels_last(p), channels_last(x), new_image(p, p.shape)
    sizes = _sizes(p)
    _LRN_TRANSPOSED(
        (blocks_of(sizes["items"], BLOCK),), BLOCK, p.dtype, {"ALIGNED": aligned(p, x, y)},
        **steps("p", p), **steps("x", x), x_images=x.shape[0], y=y,
        **_settings(size, alpha, beta, bias), **sizes,
    )  # fmt: skip
    return y


def _softmax(x: Any, axis: int, logarithm: bool) -> Any:
    if axis % x.ndim != 1 or x.ndim > 4:
        return (reference.log_softmax if logarithm else reference.softmax)(x, axis)
    x, y = channels_last(x), new_image(x, x.shape)
    height, width = (*x.shape[2:], 1, 1)[:2]
    channels, pixels = x.shape[1], x.shape[0] * height * width
    group = 1  # threads a pixel
    while group < THREADS and group * EACH < channels:
        group *= 2
    _SOFTMAX(
        (blocks_of(pixels * group, THREADS),), THREADS, x.dtype, {"ALIGNED": 1},
        **steps("x", x), y=y, height=height, width=width, channels=channels, group=group,
        logarithm=int(logarithm), pixels=pixels,
    )  # fmt: skip
    return y


def softmax(x: Any, axis: int) -> Any:
    """e^x / sum e^x along an axis."""
    return _softmax(x, axis, False)


def log_softmax(x: Any, axis: int) -> Any:
    """x - log sum e^x along an axis."""
    return _softmax(x, axis, True)
