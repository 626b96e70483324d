"""Kernels: the arithmetic of blocks on arrays.

Kernels know arrays and window geometry, never tensors, tapes or networks. Blocks import from here
only; `serving` says which kernel serves, so that faster ones take a block over without any block
noticing.
"""

from minicnn.kernels.devices import (
    as_array,
    beside,
    given,
    on_gpu,
    place_of,
    read_only,
    table,
    to_device,
    to_host,
)
from minicnn.kernels.flat import has_flat_areas
from minicnn.kernels.geometry import Window
from minicnn.kernels.packed import Packed
from minicnn.kernels.problems import Convolution
from minicnn.kernels.reference import center_tap, channel_sum, put_add
from minicnn.kernels.registry import Entry, evenly, using
from minicnn.kernels.serving import (
    adam,
    added,
    all_finite,
    average_pool,
    average_unpool,
    batch_norm,
    batch_norm_transposed,
    batch_statistics,
    conv,
    conv_filter,
    conv_transpose,
    gather,
    linear,
    log_softmax,
    lrn,
    lrn_transposed,
    masked,
    matmul,
    max_pool,
    parts,
    pixel_sum,
    plane_means,
    relu,
    set_threads,
    sgd,
    softmax,
    unpool,
    unpool_center,
)

__all__ = [
    "Convolution",
    "Entry",
    "Packed",
    "Window",
    "adam",
    "added",
    "all_finite",
    "as_array",
    "average_pool",
    "average_unpool",
    "batch_norm",
    "batch_norm_transposed",
    "batch_statistics",
    "beside",
    "center_tap",
    "channel_sum",
    "conv",
    "conv_filter",
    "conv_transpose",
    "evenly",
    "gather",
    "given",
    "has_flat_areas",
    "linear",
    "log_softmax",
    "lrn",
    "lrn_transposed",
    "masked",
    "matmul",
    "max_pool",
    "on_gpu",
    "parts",
    "pixel_sum",
    "place_of",
    "plane_means",
    "put_add",
    "read_only",
    "relu",
    "set_threads",
    "sgd",
    "softmax",
    "table",
    "to_device",
    "to_host",
    "unpool",
    "unpool_center",
    "using",
]
