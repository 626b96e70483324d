"""Depthwise convolutions on the card; see `sources/depthwise.cu`."""

from __future__ import annotations

from math import prod
from typing import Any

from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import aligned, empty, steps
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.packed import plane_shape
from minicnn.kernels.problems import Convolution

__all__ = ["DEPTHWISE", "pack", "run", "why_not"]

BLOCK = 128
_KERNEL = Kernel("depthwise", "depthwise")


def why_not(problem: Convolution) -> str:
    """Why it does not apply; empty where it does."""
    alike = problem.groups == problem.channels == problem.filters and problem.groups > 1
    return "" if alike else "is for as many groups as channels and filters"


def pack(w: Any, groups: int, transposed: bool) -> Any:
    """Filters (C, 1, h, w) as the kernel reads them: (taps, channels filled up to eights)."""
    channels = w.shape[0]
    packed = empty(w, (prod(w.shape[2:]), -(-channels // 8) * 8))
    packed[:, channels:] = 0
    packed[:, :channels] = w.reshape(channels, -1).T
    return packed


def run(x: Any, packed: Any, problem: Convolution, y: Any, ending: Ending) -> None:
    """Compute a problem for a batch; parameters as those of `convolution.run`."""
    window, items = problem.window, prod(plane_shape(y.shape))
    geometry = {"pad_top": window.pads[0], "pad_left": window.pads[1]}
    for key in ("kernel", "stride", "dilation"):
        geometry[f"{key}_height"], geometry[f"{key}_width"] = getattr(window, key)
    _KERNEL(
        (blocks_of(items, BLOCK),), BLOCK, x.dtype,
        {"TRANSPOSED": int(problem.transposed), "ALIGNED": aligned(x, y)},
        **steps("x", x), height=x.shape[2], width=x.shape[3], weights=packed,
        padded=packed.shape[1], items=items, **geometry, **ending.arguments(y),
    )  # fmt: skip


DEPTHWISE = Method("depthwise", pack, run, why_not)
