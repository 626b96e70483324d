"""Sliding windows: from kernel_shape, strides, pads, dilations, auto_pad and ceil_mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import ModelFileError, UnsupportedOperatorError
from minicnn.kernels import Window

__all__ = ["checked", "window"]

MOST = 2**13  # pixels that any measure of a window may have


def window(node: Any, kernel: tuple[int, ...]) -> Window:
    """A window from kernel_shape, strides, pads, dilations, auto_pad and ceil_mode."""
    rank = len(kernel)
    stride = node.attribute("strides", (1,) * rank)
    dilation = node.attribute("dilations", (1,) * rank)
    auto = node.attribute("auto_pad", "NOTSET")
    pads = node.attribute("pads", (0,) * 2 * rank)
    if auto == "VALID":
        pads = (0,) * 2 * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = []
        if max(stride) > 1:
            node.depends_on_size()  # with stride 1 the pads are the same for every size
        for n, k, s, d in zip(node.shape()[2:], kernel, stride, dilation, strict=True):
            totals.append(max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n))
        small = [total // 2 for total in totals]
        large = [total - half for total, half in zip(totals, small, strict=True)]
        pads = (*small, *large) if auto == "SAME_UPPER" else (*large, *small)
    elif auto != "NOTSET":
        raise UnsupportedOperatorError(f"auto_pad={auto} does not exist")
    ceil_mode = bool(node.attribute("ceil_mode", 0))
    return checked(kernel, stride, pads, dilation, ceil_mode)


def checked(kernel: Any, stride: Any, pads: Any, dilation: Any, ceil_mode: bool = False) -> Window:
    """A window whose measures make sense."""
    if not all(isinstance(n, (int, np.integer)) for n in (*kernel, *stride, *pads, *dilation)):
        raise ModelFileError(
            f"a window of {kernel}, {stride}, {pads}, {dilation}: whole numbers only"
        )
    largest = max((abs(int(n)) for n in (*kernel, *stride, *pads, *dilation)), default=0)
    if largest > MOST or min((*kernel, *stride, *dilation), default=1) < 1:
        raise ModelFileError(
            f"a window of {tuple(kernel)} with strides {stride}, pads {pads} and dilations "
            f"{dilation} makes no sense; all are whole numbers from 1 to {MOST}, pads from 0"
        )
    return Window(tuple(kernel), tuple(stride), tuple(pads), tuple(dilation), ceil_mode)
