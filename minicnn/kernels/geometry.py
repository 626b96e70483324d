"""Window geometry: where a sliding window stands, for convolution and pooling of any rank.

For one axis with input size n, pads b (begin) and e (end), kernel k, stride s and dilation d:

    effective kernel   k' = d (k - 1) + 1
    output size        floor((n + b + e - k') / s) + 1      (ceil with ceil_mode)
    tap t of output o  reads input position  s o - b + d t

With `ceil_mode` a last window that would start in the end padding is dropped, as in torch and ONNX.
Pads may be negative: they crop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import InputError

__all__ = ["Window"]

Index = Any  # an ellipsis and one slice a spatial axis


@dataclass(frozen=True)
class Window:
    """A sliding window over the spatial axes.

    Parameters
    ----------
    kernel, stride, dilation : tuple of int
        One entry an axis.
    pads : tuple of int
        All begins, then all ends: (top, left, bottom, right) for images.
    ceil_mode : bool
        Round the output size up instead of down.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        lengths = {len(self.kernel), len(self.stride), len(self.dilation), len(self.pads) / 2}
        if len(lengths) > 1 or min(self.kernel + self.stride + self.dilation, default=1) < 1:
            raise InputError(
                f"A window's kernel, stride and dilation must be 1 or more on each axis, with two "
                f"pads an axis; got kernel {self.kernel}, stride {self.stride}, dilation "
                f"{self.dilation}, pads {self.pads}."
            )

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def volume(self) -> int:
        """Number of taps in a window."""
        return prod(self.kernel)

    @property
    def extent(self) -> tuple[int, ...]:
        """Effective kernel d (k - 1) + 1 of each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def begins(self) -> tuple[int, ...]:
        """Pads before each axis."""
        return self.pads[: self.rank]

    @property
    def ends(self) -> tuple[int, ...]:
        """Pads after each axis."""
        return self.pads[self.rank :]

    def lifted(self) -> Window:
        """A window over one axis as a window over two, the first of length 1."""
        begin, end = self.pads
        return Window(
            (1, *self.kernel),
            (1, *self.stride),
            (0, begin, 0, end),
            (1, *self.dilation),
            self.ceil_mode,
        )

    def output_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Spatial output size for a spatial input size; zero or less where no window fits."""
        sizes = []
        for n, b, e, k, s in zip(
            size, self.begins, self.ends, self.extent, self.stride, strict=True
        ):
            room = n + b + e - k
            steps = -(-room // s) if self.ceil_mode else room // s
            if self.ceil_mode and steps * s >= n + b:
                steps -= 1
            sizes.append(max(0, steps + 1))
        return tuple(sizes)

    def transposed_size(
        self, size: tuple[int, ...], output_padding: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Spatial input size that gave `size`: s (o - 1) + k' - b - e + output_padding."""
        return tuple(
            s * (o - 1) + k - b - e + extra
            for o, b, e, k, s, extra in zip(
                size, self.begins, self.ends, self.extent, self.stride, output_padding, strict=True
            )
        )

    def reads(self, box: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """The hull of what a box of outputs reads, the padding included.

        Examples
        --------
        >>> Window((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)).reads(((0, 2), (3, 4)))
        ((-1, 4), (5, 8))
        """
        return tuple(
            (s * first - b, s * (end - 1) - b + k)
            for (first, end), b, k, s in zip(
                box, self.begins, self.extent, self.stride, strict=True
            )
        )

    def reached(self, box: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """The hull of the outputs that read from a box of inputs, outside of the image too.

        Examples
        --------
        >>> Window((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)).reached(((4, 5), (0, 1)))
        ((2, 3), (0, 1))
        """
        return tuple(
            (-(-(first + b - k + 1) // s), (end - 1 + b) // s + 1)
            for (first, end), b, k, s in zip(
                box, self.begins, self.extent, self.stride, strict=True
            )
        )

    def inside(self) -> Window:
        """The same window on an array cut to exactly what it reads: without pads."""
        return Window(self.kernel, self.stride, (0,) * 2 * self.rank, self.dilation)

    def buffer_size(self, size: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
        """Size of a padded buffer that holds the image and every window's taps."""
        return tuple(
            max(n + b, s * (o - 1) + k)
            for n, b, k, s, o in zip(size, self.begins, self.extent, self.stride, out, strict=True)
        )

    def taps(self, out: tuple[int, ...]) -> Iterator[Index]:
        """For each tap in row-major order, the index of what it reads in a padded buffer."""
        for offsets in itertools.product(*(range(k) for k in self.kernel)):
            yield (
                ...,
                *(
                    slice(d * t, d * t + s * (o - 1) + 1, s)
                    for t, d, s, o in zip(offsets, self.dilation, self.stride, out, strict=True)
                ),
            )

    def padded(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """Copy x (..., *size) into a buffer filled with `value` around it."""
        size = x.shape[-self.rank :]
        out = self.output_size(size)
        lead = x.shape[: -self.rank]
        if not any(self.pads) and self.buffer_size(size, out) == size:
            return x
        buffer = np.full_like(x, value, shape=(*lead, *self.buffer_size(size, out)))
        inside, image = self._overlap(size)
        buffer[inside] = x[image]
        return buffer

    def cropped(self, buffer: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Cut the image of spatial `size` out of a padded buffer: the transpose of `padded`."""
        if buffer.shape[-self.rank :] == size and not any(self.begins):
            return buffer
        inside, image = self._overlap(size)
        x = np.zeros_like(buffer, shape=(*buffer.shape[: -self.rank], *size))
        x[image] = buffer[inside]
        return x

    def _overlap(self, size: tuple[int, ...]) -> tuple[Index, Index]:
        """Where buffer and image overlap: index of the buffer, index of the image."""
        firsts = [max(0, -b) for b in self.begins]  # a negative pad crops
        ends = list(zip(firsts, size, self.begins, strict=True))
        return (
            (..., *(slice(first + b, n + b) for first, n, b in ends)),
            (..., *(slice(first, n) for first, n, b in ends)),
        )

    def pixels_by_axis(self, size: tuple[int, ...], include_pad: bool = False) -> list[np.ndarray]:
        """For each axis a boolean array (out, kernel): does that tap read a pixel of the image?

        With `include_pad` the pads count as the image; taps beyond them never do.
        """
        found = []
        for n, b, e, k, s, d, o in zip(
            size, self.begins, self.ends, self.kernel, self.stride, self.dilation,
            self.output_size(size), strict=True,
        ):  # fmt: skip
            positions = s * np.arange(o)[:, None] - b + d * np.arange(k)[None]
            first, last = (-b, n + e) if include_pad else (0, n)
            found.append((positions >= first) & (positions < last))
        return found

    def tap_in_image(self, size: tuple[int, ...]) -> np.ndarray:
        """Boolean array (taps, *out): does that tap of that window lie inside the image?"""
        buffer = self.padded(np.ones(size, dtype=bool), False)
        return np.stack([buffer[tap] for tap in self.taps(self.output_size(size))])
