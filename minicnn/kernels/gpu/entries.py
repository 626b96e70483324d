"""The card's kernels for convolutions, as registry entries: one table.

Costs are estimates for telling kernels apart, not times: multiplications at half of a current
card's rate, and bytes at its memory's. They depend on one image, as all choices do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from minicnn.kernels.gpu import convolution, cublas, depthwise, filters
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.winograd import Winograd, by_cublas
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import Entry

__all__ = ["Method", "built_in"]

FLOPS, BYTES, START = 2e13, 2e12, 4e-6  # a second each; seconds until a kernel runs


@dataclass(frozen=True)
class Method:
    """A way to convolve, for planned networks: filters packed once, results finished at once.

    Parameters
    ----------
    name : str
    pack : callable
        Of filters, groups, and whether they are transposed.
    run : callable
        Of images, packed filters, problem, result and `Ending`.
    """

    name: str
    pack: Callable[[Any, int, bool], Any]
    run: Callable[[Any, Any, Convolution, Any, Ending], None]


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


def built_in() -> Iterable[Entry]:
    """Every kernel for convolutions on a card."""
    inf = float("inf")
    implicit = Method("implicit", convolution.pack, convolution.run)
    yield _entry("conv2d", implicit, convolution.conv, _implicit, about="any geometry")
    yield _entry("conv_transpose2d", implicit, convolution.conv_transpose, _implicit,
                 about="any geometry, phase by phase of the stride")  # fmt: skip
    yield Entry("conv_filter2d", "implicit", filters.conv_filter, cost=_implicit, device="cuda",
                about="pixels as inner index; any geometry")  # fmt: skip
    channelwise = Method("depthwise", depthwise.pack, depthwise.run)
    for block, run in (("conv2d", depthwise.conv), ("conv_transpose2d", depthwise.conv_transpose)):
        yield _entry(block, channelwise, run, lambda problem: problem.bytes / BYTES + START,
                     depthwise.why_not, "as many groups as channels and filters")  # fmt: skip
    for made in (2, 4):
        own, other = Winograd(made), Winograd(made, by_cublas)
        for winograd, end, cost in ((own, "", _winograd(made)), (other, "-cublas", lambda _: inf)):
            method = Method(f"winograd{made}{end}", winograd.pack, winograd.run)
            about = f"F({made}x{made},3x3)" + (", products by cuBLAS" if end else "")
            for block, run in (
                ("conv2d", winograd.conv),
                ("conv_transpose2d", winograd.conv_transpose),
            ):
                yield _entry(block, method, run, cost, winograd.why_not, about, even=False)
    for block, run in (("conv2d", cublas.conv), ("conv_transpose2d", cublas.conv_transpose)):
        yield Entry(block, "cublas", run, cublas.why_not, lambda _: inf, "cuda",
                    about="1x1 filters as one product of cuBLAS")  # fmt: skip


def _entry(
    block: str,
    method: Method,
    run: Callable[..., Any],
    cost: Callable[[Convolution], float],
    why_not: Callable[[Convolution], str] = lambda problem: "",
    about: str = "",
    even: bool = True,
) -> Entry:
    return Entry(block, method.name, run, why_not, cost, "cuda", method, about, even)
