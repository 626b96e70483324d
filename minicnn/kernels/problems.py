"""Problems: what a kernel is asked to do, as far as choosing one needs to know.

A problem says nothing of the batch: which kernel serves an image, and with it the last bits of the
result, never depends on the images beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from minicnn.kernels.geometry import Window

__all__ = ["Convolution"]


@dataclass(frozen=True)
class Convolution:
    """One image's convolution, or its transpose with respect to the image.

    Parameters
    ----------
    channels, filters : int
        Of the convolution, C and O, whichever way it is run.
    size : tuple of int
        Spatial size of the side with `channels`.
    window : Window
    groups : int
    transposed : bool
        From O to C instead of from C to O.
    dtype : str
        "float32" or "float64".
    """

    channels: int
    filters: int
    size: tuple[int, ...]
    window: Window
    groups: int = 1
    transposed: bool = False
    dtype: str = "float32"

    @classmethod
    def forward(cls, x: np.ndarray, w: np.ndarray, window: Window, groups: int) -> Convolution:
        """Of conv(x, w)."""
        dtype = str(np.result_type(x, w))
        return cls(x.shape[1], w.shape[0], x.shape[2:], window, groups, False, dtype)

    @classmethod
    def backward(
        cls, p: np.ndarray, w: np.ndarray, window: Window, groups: int, size: tuple[int, ...]
    ) -> Convolution:
        """Of conv_transpose(p, w) to an image of spatial `size`."""
        dtype = str(np.result_type(p, w))
        return cls(w.shape[1] * groups, w.shape[0], tuple(size), window, groups, True, dtype)

    @property
    def out(self) -> tuple[int, ...]:
        """Spatial size of the side with `filters`."""
        return self.window.output_size(self.size)

    @property
    def depth(self) -> int:
        """Channels summed over, in a group."""
        return (self.filters if self.transposed else self.channels) // self.groups

    @property
    def columns(self) -> int:
        """Channels computed, in a group."""
        return (self.channels if self.transposed else self.filters) // self.groups

    @property
    def pixels(self) -> int:
        """Pixels on the side with `filters`: windows."""
        return prod(self.out)

    @property
    def flops(self) -> int:
        """Multiplications and additions of the definition."""
        return 2 * self.pixels * self.filters * self.channels // self.groups * self.window.volume

    @property
    def bytes(self) -> int:
        """Bytes that must be read and written at least: image, filters, result."""
        image = self.channels * prod(self.size) + self.filters * self.pixels
        filters = self.filters * self.channels // self.groups * self.window.volume
        return np.dtype(self.dtype).itemsize * (image + filters)

    def __str__(self) -> str:
        w = self.window
        size, kernel = ("x".join(map(str, pair)) for pair in (self.size, w.kernel))
        extra = "" if set(w.stride) == {1} else f" stride {'x'.join(map(str, w.stride))}"
        extra += f" pads {','.join(map(str, w.pads))}" if any(w.pads) else ""
        extra += "" if set(w.dilation) == {1} else f" dilation {'x'.join(map(str, w.dilation))}"
        extra += f" groups {self.groups}" if self.groups > 1 else ""
        way = f"{self.filters}->{self.channels}" if self.transposed else (
            f"{self.channels}->{self.filters}"
        )  # fmt: skip
        return f"{way} @{size}, {kernel}{extra}" + (" transposed" if self.transposed else "")
