"""Windows that slide over images: convolution and pooling.

Images are (N, C, H, W), filters (O, C/groups, kH, kW). `padding` may be one number, one an axis, or
all sides: (top, left, bottom, right).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import InputError, ShapeError
from minicnn.functional.operands import Ints, array_of
from minicnn.kernels import Window

__all__ = [
    "avg_pool2d",
    "conv2d",
    "conv_transpose2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "max_pool2d",
    "window",
]


def window(
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    rank: int = 2,
    ceil_mode: bool = False,
) -> Window:
    """A sliding window from torch-like arguments; `padding` may also have two numbers an axis."""

    def each(name: str, value: Ints, most: int = 1) -> tuple[int, ...]:
        numbers = np.atleast_1d(value)
        if numbers.dtype.kind not in "iu" or numbers.shape not in {(1,), (rank,), (most * rank,)}:
            raise InputError(f"{name} needs 1 or {rank} numbers, whole ones; it got {value!r}.")
        return tuple(int(n) for n in np.broadcast_to(numbers, max(rank, len(numbers))))

    pads = each("padding", padding, most=2)
    pads = pads if len(pads) == 2 * rank else pads * 2
    made = Window(
        each("kernel_size", kernel), each("stride", stride), pads, each("dilation", dilation),
        ceil_mode,
    )  # fmt: skip
    if min(made.pads) < 0:
        raise InputError(f"A window needs padding 0 or more; got {padding}.")
    return made


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlate images with filters.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
        Images.
    weight : Tensor or array, shape (O, C/groups, kH, kW)
        Filters.
    bias : Tensor or array, shape (O,), optional
        Added to each output channel.
    stride, padding, dilation : int or sequence of int
        `padding` may have four sides: (top, left, bottom, right).
    groups : int
        Channels are split into so many groups; as many as channels make it depthwise.

    Returns
    -------
    Tensor or array, shape (N, O, H', W')
        H' = floor((H + top + bottom - dilation (kH - 1) - 1) / stride) + 1.

    Raises
    ------
    ShapeError
        If channels, filters and groups do not fit, or the window does not fit into the image.
    """
    block = B.Conv(window(_kernel(weight), stride, padding, dilation), groups)
    return block(input, weight) if bias is None else block(input, weight, bias)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """Transpose of `conv2d` with respect to its input; weight (C_in, C_out/groups, kH, kW).

    `output_padding` picks among the input sizes that the convolution maps to the same output size;
    like torch, it must be smaller than stride or dilation.
    """
    made = window(_kernel(weight), stride, padding, dilation)
    extra = window(1, 1, output_padding, 1).pads
    if extra[:2] != extra[2:]:
        raise InputError(f"output_padding needs 1 or 2 numbers; it got {output_padding}.")
    extra = extra[:2]
    for o, s, d in zip(extra, made.stride, made.dilation, strict=True):
        if o >= max(s, d):
            raise InputError(
                f"output_padding {extra} must be smaller than stride {made.stride} or dilation "
                f"{made.dilation}."
            )
    block = B.ConvTranspose(made, groups, extra)
    return block(input, weight) if bias is None else block(input, weight, bias)


def max_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows; stride is the kernel by default, padding is minus infinity.

    With `return_indices` also the winners as flat row-major indices into each plane, (N, C, H', W')
    integers, as torch gives them.
    """
    made = window(
        kernel_size, kernel_size if stride is None else stride, padding, dilation,
        ceil_mode=ceil_mode,
    )  # fmt: skip
    y = B.MaxPool(made)(input)
    if not return_indices:
        return y
    x = array_of(input)
    plane = np.arange(x.shape[2] * x.shape[3], dtype=np.float64).reshape(1, 1, *x.shape[2:])
    _, switches = B.MaxPool(made).forward(x)
    places = B.Gather(switches, made, x.shape[2:]).forward(np.broadcast_to(plane, x.shape))[0]
    return y, places.astype(np.int64)


def global_max_pool2d(input: Any) -> Any:
    """Maximum over each whole plane: (N, C, 1, 1)."""
    return B.MaxPool(None)(input)


def avg_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean over windows; stride is the kernel by default."""
    made = window(
        kernel_size, kernel_size if stride is None else stride, padding, 1, ceil_mode=ceil_mode
    )
    return B.AveragePool(made, count_include_pad)(input)


def global_avg_pool2d(input: Any) -> Any:
    """Mean over each whole plane: (N, C, 1, 1)."""
    return B.Mean((2, 3), keepdims=True)(input)


def _kernel(weight: Any) -> tuple[int, ...]:
    shape = weight.shape
    if len(shape) != 4:
        raise ShapeError(f"2-D filters have shape (O, C/groups, kH, kW); got {shape}.")
    return tuple(shape[2:])
