"""Kernels: the arithmetic of blocks on arrays, and the one place that says which kernel serves.

Kernels know arrays and window geometry, never tensors, tapes or networks. Blocks import from here
only, so that faster kernels can take a block over without any block noticing.
"""

from minicnn.kernels.geometry import Window
from minicnn.kernels.packed import Packed
from minicnn.kernels.reference import (
    average_pool,
    average_unpool,
    center_tap,
    channel_sum,
    conv,
    conv_filter,
    conv_transpose,
    gather,
    max_pool,
    put_add,
    unpool,
    unpool_center,
)

__all__ = [
    "Packed",
    "Window",
    "average_pool",
    "average_unpool",
    "center_tap",
    "channel_sum",
    "conv",
    "conv_filter",
    "conv_transpose",
    "gather",
    "max_pool",
    "put_add",
    "unpool",
    "unpool_center",
]
