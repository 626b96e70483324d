"""The card's kernels for convolutions, as registry entries: one table.

Costs are estimates for telling kernels apart, not times: multiplications at half of a current
card's rate, of whole tiles of 64 x 64, and bytes at its memory's. They depend on one image, as all
choices do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod

from minicnn.kernels.gpu import cublas, cudnn, filters
from minicnn.kernels.gpu.code import blocks_of
from minicnn.kernels.gpu.convolution import COLUMNS, IMPLICIT
from minicnn.kernels.gpu.depthwise import DEPTHWISE
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.gpu.narrow import NARROW, ROWS, SLAB
from minicnn.kernels.gpu.winograd import Winograd, by_cublas
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import Entry

__all__ = ["built_in"]

CUDNN = "by NVIDIA's cuDNN, where it is installed"
FLOPS, BYTES, START = 2e13, 2e12, 4e-6  # a second each; seconds until a kernel runs
TURN, HIDDEN = 3e-7, 32  # seconds from a read to the next; how many hide behind other blocks


def _product(rows: int, inner: int, columns: int) -> int:
    """Operations of a product of matrices, whose blocks compute whole tiles."""
    tile = COLUMNS
    return 2 * blocks_of(rows, tile) * tile * inner * blocks_of(columns, tile) * tile


def _phases(problem: Convolution) -> tuple[int, int]:
    """Phases of the stride, and pixels of the result."""
    if problem.transposed:
        return prod(problem.window.stride), prod(problem.size)
    return 1, problem.pixels


def _implicit(problem: Convolution) -> float:
    """A product for each group, and transposed for each phase of the stride with its taps."""
    phases, pixels = _phases(problem)
    inner = blocks_of(problem.window.volume * problem.depth, phases)
    each = _product(blocks_of(pixels, phases), inner, problem.columns)
    return problem.groups * phases * each / FLOPS + problem.bytes / BYTES + START


def _narrow(problem: Convolution) -> float:
    """As the product, of eight columns; blocks go through many slabs one by one."""
    phases, pixels = _phases(problem)
    inner = blocks_of(problem.window.volume, phases) * blocks_of(problem.depth, SLAB)
    rows = phases * blocks_of(blocks_of(pixels, phases), ROWS) * ROWS
    flops = 2 * rows * inner * SLAB * 8
    waiting = max(0, inner - HIDDEN) * TURN
    return flops / FLOPS + problem.bytes / BYTES + START + waiting


def _winograd(made: int) -> Callable[[Convolution], float]:
    """A product for each of (made + 2)^2 places, what goes in and out written and read between."""

    def cost(problem: Convolution) -> float:
        places = (made + 2) ** 2
        tiles = prod(blocks_of(n, made) for n in problem.out)
        moved = 2 * 4 * places * tiles * (problem.channels + problem.filters)
        packed = 4 * places * problem.channels * problem.filters
        flops = places * _product(tiles, problem.depth, problem.columns)
        return flops / FLOPS + (moved + packed) / BYTES + 3 * START

    return cost


def _depthwise(problem: Convolution) -> float:
    return problem.bytes / BYTES + START


def built_in() -> Iterable[Entry]:
    """Every kernel for convolutions on a card."""
    yield from _both(IMPLICIT, _implicit, "any geometry; transposed, phase by phase of the stride")
    yield from _both(DEPTHWISE, _depthwise, "as many groups as channels and filters")
    yield from _both(NARROW, _narrow, "at most eight channels computed, in one group")
    for made in (2, 4):
        about = f"F({made}x{made},3x3)"
        yield from _both(Winograd(made).method(), _winograd(made), about, even=False)
        by_library = Winograd(made, by_cublas).method()
        yield from _both(by_library, None, f"{about}, products by cuBLAS", even=False)
    yield from _both(cudnn.METHOD, None, CUDNN, even=False)
    for block, run in (("conv2d", cublas.conv), ("conv_transpose2d", cublas.conv_transpose)):
        yield Entry(block, "cublas", run, cublas.why_not, device="cuda", library=True,
                    about="1x1 filters as one product of cuBLAS")  # fmt: skip
    yield Entry("conv_filter2d", "implicit", filters.conv_filter, cost=_implicit, device="cuda",
                about="pixels as inner index; any geometry")  # fmt: skip
    yield Entry("conv_filter2d", "cudnn", cudnn.conv_filter, cudnn.why_not, device="cuda",
                library=True, about=CUDNN)  # fmt: skip


def _both(
    method: Method,
    cost: Callable[[Convolution], float] | None,
    about: str,
    even: bool = True,
) -> Iterable[Entry]:
    """A method's entries, forwards and transposed; without a cost a library does it."""
    for block, run in (("conv2d", method.conv), ("conv_transpose2d", method.conv_transpose)):
        entry = Entry(block, method.name, run, method.why_not, device="cuda", method=method,
                      about=about, even=even, library=cost is None)  # fmt: skip
        yield entry if cost is None else replace(entry, cost=cost)
