"""The epilogue slot of the card's kernels: its fields as arguments; see `sources/ending.cuh`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned, steps
from minicnn.kernels.packed import Packed, plane_shape

__all__ = ["MASK", "RECTIFY", "Ending"]

RECTIFY, MASK = 1, 2
_END = Kernel("end", "end")


@dataclass(frozen=True)
class Ending:
    """What happens to results before they are stored.

    Parameters
    ----------
    bias, scale, shift : array, optional
        (sum + bias) scale + shift, one number a channel each.
    residual : array, optional
        Added to it; shaped like the result, channels last.
    mode : int
        MASK: a bit of `mask` lets a number pass. RECTIFY: negative numbers become 0. Both, in this
        order, are DeSaliNet's.
    modes : array of int32, optional
        A mode for each image, in place of `mode`.
    mask : Packed, optional
        May be of fewer images, and then repeats.
    signs : Packed, optional
        Takes a bit a number: whether it is positive, before it is rectified.
    """

    bias: Any = None
    scale: Any = None
    shift: Any = None
    residual: Any = None
    mode: int = 0
    modes: Any = None
    mask: Packed | None = None
    signs: Packed | None = None

    def with_bias(self, bias: Any) -> Ending:
        """The same after a bias."""
        return replace(self, bias=bias)

    @property
    def has_bits(self) -> bool:
        """Whether bits are read or written, which cannot be split among groups of channels."""
        return self.mask is not None or self.signs is not None

    def arguments(self, y: Any, channels: int | None = None) -> dict[str, Any]:
        """The kernel's arguments, for a result (N, C, H, W) or (N, C) with channels last."""
        residual = {"residual": None, "residual_image": 0, "residual_row": 0, "residual_pixel": 0}
        if self.residual is not None:
            residual = steps("residual", self.residual)
        return {
            **steps("y", y), "bias": self.bias, "scale": self.scale, "shift": self.shift,
            **residual, "modes": self.modes, "mode": self.mode,
            "mask": None if self.mask is None else self.mask.planes,
            "mask_images": 1 if self.mask is None else self.mask.shape[0],
            "signs": None if self.signs is None else self.signs.planes,
            "out_height": y.shape[2] if y.ndim > 2 else 1,
            "out_width": y.shape[3] if y.ndim > 2 else 1,
            "out_channels": channels or y.shape[1],
        }  # fmt: skip

    def finish(self, x: Any, y: Any) -> None:
        """The epilogue by itself: from x, with channels last, into y."""
        items = prod(plane_shape(y.shape))
        _END(
            (blocks_of(items, 256),), 256, y.dtype, {"ALIGNED": aligned(x, y)},
            **steps("x", x), items=items, **self.arguments(y),
        )  # fmt: skip
