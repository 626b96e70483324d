"""The kernels that minicnn brings, as registry entries: one table.

A kernel that joins is a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minicnn.kernels import reference, study
from minicnn.kernels.cpu.convolution import DEPTHWISE, DIRECT, FLOPS, WINOGRAD_2, WINOGRAD_4
from minicnn.kernels.cpu.filters import conv_filter
from minicnn.kernels.cpu.running import convolver, transposer
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import Entry

__all__ = ["built_in"]


def _planes(problem: Convolution) -> str:
    return "" if len(problem.size) == 2 else "needs two spatial axes"


def _compiled(problem: Convolution) -> str:
    return "computes in float32 only" if problem.dtype != "float32" else _planes(problem)


def _unfolding(problem: Convolution) -> float:
    """Columns are written and read again; NumPy's product reaches a third of the speed."""
    columns = 4 * problem.pixels * problem.channels * problem.window.volume
    return problem.flops / (0.3 * FLOPS) + 3 * columns / 1e10 + 3e-5


def built_in() -> Iterable[Entry]:
    """Every built-in kernel."""
    for method, about in (
        (DIRECT, "tap by tap through a table of addresses; any geometry"),
        (WINOGRAD_2, "F(2x2,3x3): 4/9 of the multiplications"),
        (DEPTHWISE, "as many groups as channels: vectors along channels"),
        (WINOGRAD_4, "F(4x4,3x3): 1/4 of the multiplications, ten times the rounding error"),
    ):
        for block, make in (("conv2d", convolver), ("conv_transpose2d", transposer)):
            yield Entry(
                block, method.name, make(method), method.why_not, method.cost, "cpu", method, about,
                even=not method.name.startswith("winograd"),
            )  # fmt: skip
    yield Entry(
        "conv_filter2d", "products", conv_filter, _compiled,
        lambda problem: problem.flops / (0.6 * FLOPS),
        about="pixels as inner index, channels by filters as tile; any geometry",
    )  # fmt: skip
    im2col = "unfolds the image into columns, one NumPy product: the reference"
    yield Entry("conv2d", "im2col", reference.conv, cost=_unfolding, about=im2col)
    yield Entry(
        "conv_transpose2d", "im2col", reference.conv_transpose, cost=_unfolding, about=im2col
    )
    yield Entry("conv_filter2d", "im2col", reference.conv_filter, cost=_unfolding, about=im2col)
    studied: list[tuple[str, str, Callable, str]] = [
        ("conv2d", "fft", study.fft_conv, "products of Fourier transforms"),
        ("conv_transpose2d", "fft", study.fft_conv_transpose, "products of Fourier transforms"),
        ("conv2d", "naive", study.naive_conv, "the definition as seven loops"),
        ("conv_transpose2d", "naive", study.naive_transpose, "the definition as seven loops"),
        ("conv_filter2d", "naive", study.naive_conv_filter, "the definition as seven loops"),
    ]
    for block, name, run, about in studied:
        yield Entry(block, name, run, _planes, about=about, even=name != "fft")
