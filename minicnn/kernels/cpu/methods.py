"""What every way to lay out a convolution has in common: the face of a `Method`, and its estimates.

A `Method` knows when it applies, estimates its time, packs filters (once per network) and adds its
steps to a program. The estimates count operations and bytes at nominal speeds, the same on every
machine with vectors of a kind, so that these choose the same kernels and get the same results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import FEATURES
from minicnn.kernels.problems import Convolution

__all__ = ["CACHE", "FLOPS", "MEMORY", "Method", "apart", "float_planes", "up"]

NOMINAL = {"AVX-512": 5e11, "AVX2": 1.7e11, "NEON": 1.2e11, "plain": 5e10}
FLOPS = NOMINAL[FEATURES]  # nominal floating-point operations a second, both cores
MEMORY = 3e10  # nominal bytes a second from memory
CACHE = 1e11  # and from the last cache


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def apart(size: int) -> int:
    """A distance in bytes that many lines can be apart without falling on the same cache sets."""
    return up(size, 128) + 64


class Method(ABC):
    """A way to compute a convolution or its transpose."""

    name: str

    @abstractmethod
    def why_not(self, problem: Convolution) -> str:
        """Why it does not apply; empty where it does."""

    @abstractmethod
    def cost(self, problem: Convolution) -> float:
        """Estimated seconds for one image."""

    def taps(self, problem: Convolution) -> tuple[tuple[int, ...], ...]:
        """Which taps are packed together: packs for other sizes with the same taps are the same."""
        return ()

    def merges(self, problem: Convolution) -> bool:
        """Whether it takes images with their axes in any order."""
        return False

    def finishes(self, problem: Convolution) -> bool:
        """Whether its epilogue can write bits, whose bytes groups of channels must not share."""
        return problem.groups == 1 or problem.columns % 8 == 0

    @abstractmethod
    def pack(self, w: np.ndarray, problem: Convolution) -> list[np.ndarray]:
        """Filters (O, C/groups, *kernel) as this method reads them."""

    @abstractmethod
    def lay(
        self,
        program: Program,
        problem: Convolution,
        x: Image,
        y: Image,
        packed: list[Place],
        **epilogue: Any,
    ) -> None:
        """Add the steps from x to y."""


def float_planes(problem: Convolution) -> str:
    """Why a problem is not one of float32 images with two spatial axes; empty where it is."""
    if problem.dtype != "float32":
        return "computes in float32 only"
    return "" if len(problem.size) == 2 else "needs two spatial axes"
