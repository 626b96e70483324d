"""The card's kernels for convolutions, as registry entries: one table.

Costs are estimates for telling kernels apart, not times: multiplications at half of a current
card's rate, and bytes at its memory's. They depend on one image, as all choices do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from minicnn.kernels.gpu import cublas, cudnn, filters
from minicnn.kernels.gpu.convolution import IMPLICIT
from minicnn.kernels.gpu.depthwise import DEPTHWISE
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.gpu.winograd import Winograd, by_cublas
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import Entry

__all__ = ["built_in"]

CUDNN = "by NVIDIA's cuDNN, where it is installed"
FLOPS, BYTES, START = 2e13, 2e12, 4e-6  # a second each; seconds until a kernel runs


def _implicit(problem: Convolution) -> float:
    return problem.flops / FLOPS + problem.bytes / BYTES + START


def _winograd(made: int) -> Callable[[Convolution], float]:
    """Products of (made + 2)^2 numbers for each made^2 results, written and read in between."""

    def cost(problem: Convolution) -> float:
        places = (made + 2) ** 2 / made**2
        less = 9 / places
        moved = 2 * 4 * places * problem.pixels * (problem.channels + problem.filters)
        packed = 4 * (made + 2) ** 2 * problem.channels * problem.filters
        return problem.flops / less / FLOPS + (moved + packed) / BYTES + 3 * START

    return cost


def _depthwise(problem: Convolution) -> float:
    return problem.bytes / BYTES + START


def built_in() -> Iterable[Entry]:
    """Every kernel for convolutions on a card."""
    yield from _both(IMPLICIT, _implicit, "any geometry; transposed, phase by phase of the stride")
    yield from _both(DEPTHWISE, _depthwise, "as many groups as channels and filters")
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
