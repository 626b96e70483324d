"""Running a convolution method on arrays: pack, lay out, run.

Layouts are kept by shape; filters are packed in every call, since arrays may have changed. Networks
that are frozen pack theirs once and plan all layers together (see `minicnn.planning`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.kernels.cpu.convolution import METHODS, Method
from minicnn.kernels.cpu.laid import Laid
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.team import threads
from minicnn.kernels.geometry import Window
from minicnn.kernels.memory import empty_image
from minicnn.kernels.problems import Convolution

__all__ = ["as_image", "channels_last", "convolver", "transposer"]


def channels_last(x: np.ndarray) -> np.ndarray:
    """The array, or a copy, with channels-last memory behind its (N, C, H, W) shape."""
    last = x.transpose(0, 2, 3, 1)
    return x if last.flags.c_contiguous else np.ascontiguousarray(last).transpose(0, 3, 1, 2)


def as_image(key: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Image:
    """An array of any strides as an image."""
    batch, channels, height, width = shape
    image, channel, row, pixel = (step // 4 for step in strides)
    return Image(Place(key), batch, channels, height, width, pixel, channel, row, image)


@dataclass(frozen=True)
class _Call:
    """What a layout depends on."""

    method: str
    problem: Convolution
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    packed: int
    bias: bool
    workers: int


@lru_cache(maxsize=512)
def _layout(call: _Call) -> Program:
    program = Program(call.workers)
    problem = call.problem
    channels, size = (
        (problem.channels, problem.size) if problem.transposed else (problem.filters, problem.out)
    )
    METHODS[call.method].lay(
        program,
        problem,
        as_image("x", call.shape, call.strides),
        Image.whole("y", (call.shape[0], channels, *size)),
        [Place(f"filters {i}") for i in range(call.packed)],
        **({"bias": Place("b")} if call.bias else {}),
    )
    return program


@lru_cache(maxsize=512)
def _laid(call: _Call) -> Laid:
    return Laid(_layout(call))


def _run(
    method: Method, problem: Convolution, x: np.ndarray, w: np.ndarray, b: np.ndarray | None
) -> np.ndarray:
    batch = x.shape[0]
    channels, size = (
        (problem.channels, problem.size) if problem.transposed else (problem.filters, problem.out)
    )
    y = empty_image((batch, channels, *size))
    if 0 in y.shape:
        return y
    if not method.merges(problem):
        x = channels_last(x)
    packed = method.pack(w, problem)
    shape, strides = x.shape, tuple(x.strides)
    call = _Call(method.name, problem, shape, strides, len(packed), b is not None, threads())
    buffers = {"x": x, "y": y, **{f"filters {i}": filters for i, filters in enumerate(packed)}}
    if b is not None:
        buffers["b"] = np.ascontiguousarray(b, np.float32)
    _laid(call)(**buffers)
    return y


def convolver(method: Method) -> Callable[..., np.ndarray]:
    """`run(x, w, b, window, groups)` by a method."""

    def run(
        x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int
    ) -> np.ndarray:
        problem = Convolution.forward(x, w, window, groups)
        return _run(method, problem, x, w, b)

    return run


def transposer(method: Method) -> Callable[..., np.ndarray]:
    """`run(p, w, b, window, groups, size)` by a method."""

    def run(
        p: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None,
        window: Window,
        groups: int,
        size: tuple[int, ...],
    ) -> np.ndarray:
        problem = Convolution.backward(p, w, window, groups, size)
        return _run(method, problem, p, w, b)

    return run
