"""The ways to compute a convolution on the CPU: direct, Winograd, depthwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.cpu import depthwise as depthwise_kernels
from minicnn.kernels.cpu.direct_method import Direct
from minicnn.kernels.cpu.methods import CACHE, FLOPS, Method, float_planes
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.winograd_method import Winograd
from minicnn.kernels.problems import Convolution

__all__ = ["DEPTHWISE", "DIRECT", "FLOPS", "METHODS", "WINOGRAD_2", "WINOGRAD_4", "Method"]


class Depthwise(Method):
    """As many groups as channels: vectors along channels, taps one by one."""

    name = "depthwise"

    def why_not(self, problem: Convolution) -> str:
        if reason := float_planes(problem):
            return reason
        if problem.groups == problem.channels > 1:
            return ""
        return "needs as many groups as channels, more than one"

    def cost(self, problem: Convolution) -> float:
        return problem.flops / (FLOPS / 4) + problem.bytes / CACHE

    def finishes(self, problem: Convolution) -> bool:
        return True

    def pack(self, w: np.ndarray, problem: Convolution) -> list[np.ndarray]:
        return [depthwise_kernels.packed(w, problem.channels, problem.transposed)]

    def lay(
        self,
        program: Program,
        problem: Convolution,
        x: Image,
        y: Image,
        packed: list[Place],
        **epilogue: Any,
    ) -> None:
        depthwise_kernels.lay_depthwise(
            program, x, packed[0], y, problem.window, problem.transposed, **epilogue
        )


DIRECT, WINOGRAD_2, WINOGRAD_4, DEPTHWISE = Direct(), Winograd(2), Winograd(4), Depthwise()

METHODS: dict[str, Method] = {
    method.name: method for method in (DIRECT, WINOGRAD_2, WINOGRAD_4, DEPTHWISE)
}
"""By name."""
