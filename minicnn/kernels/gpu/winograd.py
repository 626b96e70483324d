"""Winograd's convolutions on the card: 3x3 filters at stride 1; see `sources/winograd.cu`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.kernels.devices import module_of
from minicnn.kernels.gpu import convolution, cublas
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import empty, steps
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.problems import Convolution

__all__ = ["Winograd", "by_cublas"]

_FILTERS = Kernel("winograd", "transform_filters")
_IMAGE = Kernel("winograd", "transform_image")
_SUMS = Kernel("winograd", "transform_sums")


def by_cublas(a: Any, b: Any, c: Any) -> None:
    """c = a b for stacks of matrices, by cuBLAS, whose last bits may change with the batch."""
    cublas.matmul(a, b, out=c)


class Winograd:
    """F(made x made, 3x3).

    Parameters
    ----------
    made : int
        Results of a tile in each direction: 2 or 4.
    products : callable
        What multiplies stacks of matrices.
    """

    def __init__(
        self, made: int, products: Callable[[Any, Any, Any], None] = convolution.product
    ) -> None:
        self.made, self.products = made, products

    @staticmethod
    def why_not(problem: Convolution) -> str:
        """Why it does not apply; empty where it does."""
        window = problem.window
        if window.kernel != (3, 3) or {*window.stride, *window.dilation} != {1}:
            return "is for 3x3 filters at stride 1 without dilation"
        return "is for one group" if problem.groups != 1 else ""

    def pack(self, w: Any, groups: int, transposed: bool) -> Any:
        """Filters (O, C, 3, 3) transformed: (places, depth, columns filled up to eights)."""
        filters, channels = w.shape[:2]
        depth, columns = (filters, channels) if transposed else (channels, filters)
        padded = -(-columns // 8) * 8
        packed = empty(w, ((self.made + 2) ** 2, depth, padded))
        _FILTERS(
            (blocks_of(depth * padded, 128),), 128, w.dtype, {"MADE": self.made},
            w=module_of(w).ascontiguousarray(w), filters=packed, transposed=int(transposed),
            depth=depth, columns=columns, padded=padded,
        )  # fmt: skip
        return packed

    def run(self, x: Any, packed: Any, problem: Convolution, y: Any, ending: Ending) -> None:
        """Compute a problem for a batch; parameters as those of `convolution.run`."""
        top, left = problem.window.begins
        if problem.transposed:
            top, left = 2 - top, 2 - left
        places, depth, padded = packed.shape
        down, across = (blocks_of(n, self.made) for n in y.shape[2:])
        tiles = y.shape[0] * down * across
        constants = {"MADE": self.made}
        image = empty(x, (places, tiles, depth))
        _IMAGE(
            (blocks_of(tiles * depth, 128),), 128, x.dtype, constants,
            **steps("x", x), height=x.shape[2], width=x.shape[3], channels=depth, pad_top=top,
            pad_left=left, tiles_down=down, tiles_across=across, tiles=tiles, image=image,
        )  # fmt: skip
        sums = empty(x, (places, tiles, padded))
        self.products(image, packed, sums)
        _SUMS(
            (blocks_of(tiles, 8), blocks_of(padded, 32)), 256, x.dtype, constants,
            sums=sums, columns=padded, tiles_down=down, tiles_across=across, tiles=tiles,
            **ending.arguments(y),
        )  # fmt: skip

    def method(self) -> Method:
        """As a way to convolve."""
        end = "-cublas" if self.products is by_cublas else ""
        return Method(f"winograd{self.made}{end}", self.pack, self.run, self.why_not)
