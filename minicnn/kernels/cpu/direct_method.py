"""How direct convolution is laid out: phases of a transpose, few channels, shares of the work.

Two special forms for few channels, where a vector or a term would be mostly empty:

    merged    few channels in:   the taps of a row are one term, read from a padded copy
    joined    few channels out:  a transpose's s x s phases stand side by side as channels, and
                                 blocks of pixels go to their places afterwards
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.cpu import direct as direct_kernels
from minicnn.kernels.cpu.copying import lay_relaid, lay_unfolded
from minicnn.kernels.cpu.depthwise import on_lattice
from minicnn.kernels.cpu.methods import CACHE, FLOPS, Method, float_planes, up
from minicnn.kernels.cpu.packing import panels
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.taps import Phase, conv_phases, joined_phases, transposed_phases
from minicnn.kernels.cpu.vector import LANES, ROWS
from minicnn.kernels.problems import Convolution

__all__ = ["Direct"]

FEW = 4  # with no more input channels than this, a row of taps is one term


def phases_of(problem: Convolution) -> list[Phase]:
    """The sums over taps that a problem consists of."""
    if problem.transposed:
        return transposed_phases(problem.window, problem.size)
    return conv_phases(problem.window, problem.out)


class Direct(Method):
    """Products of pixels and filters, tap by tap: any geometry."""

    name = "direct"

    def why_not(self, problem: Convolution) -> str:
        return float_planes(problem)

    def cost(self, problem: Convolution) -> float:
        if self.joins(problem):
            phase, taps = _joined(problem)
            width = up(taps.shape[0] * taps.shape[1] * problem.columns, LANES)
            return 2.0 * phase.pixels * width * problem.depth * len(phase.taps) / FLOPS * 1.2
        seconds = 0.0
        for phase in phases_of(problem):
            width = up(problem.columns, LANES)
            work = up(phase.pixels, ROWS // 2) * width * problem.groups
            sums = 2.0 * work * problem.depth * len(phase.taps) / FLOPS
            merged = problem.window.kernel[1] if self.merges(problem) else 1
            overhead = 1 + 5 / max(1, problem.depth * merged)  # of a term
            seconds += max(sums * overhead, problem.bytes / CACHE) + 20 * work / FLOPS
        return seconds

    def taps(self, problem: Convolution) -> tuple[tuple[int, ...], ...]:
        return tuple(phase.taps for phase in phases_of(problem))

    def pack(self, w: np.ndarray, problem: Convolution) -> list[np.ndarray]:
        if self.joins(problem):
            _, taps = _joined(problem)
            flat = np.append(w.reshape(*w.shape[:2], -1), np.zeros((*w.shape[:2], 1), w.dtype), 2)
            blocks = flat[:, :, taps].transpose(0, 2, 3, 1, 4)  # (O, s, s, C, terms)
            blocks = blocks.reshape(w.shape[0], -1, taps.shape[-1])
            return [panels(blocks, 1, True, tuple(range(taps.shape[-1])))]
        return [
            panels(w, problem.groups, problem.transposed, phase.taps)
            for phase in phases_of(problem)
        ]

    def lay(
        self,
        program: Program,
        problem: Convolution,
        x: Image,
        y: Image,
        packed: list[Place],
        **epilogue: Any,
    ) -> None:
        if self.joins(problem):
            self._lay_joined(program, problem, x, y, packed[0], epilogue)
            return
        phases = phases_of(problem)
        if self.merges(problem):
            self._lay_merged(program, problem, x, y, phases[0], packed[0], epilogue)
            return
        zeros = program.constant(_zeros(problem.depth + LANES))
        for phase, filters in zip(phases, packed, strict=True):
            self._lay_phase(
                program, problem, x, y, phase, filters, zeros, phase.table(), problem.depth, 0,
                epilogue,
            )  # fmt: skip

    def joins(self, problem: Convolution) -> bool:
        """Whether all phases are one: few channels, s x s output pixels side by side."""
        few = problem.columns <= FEW and problem.groups == 1 and prod(problem.window.stride) > 1
        return few and problem.transposed

    def _lay_joined(
        self, program: Program, problem: Convolution, x: Image, y: Image, filters: Place,
        epilogue: dict[str, Any],
    ) -> None:  # fmt: skip
        phase, taps = _joined(problem)
        down, across = taps.shape[:2]
        channels = down * across * problem.columns
        blocks = (x.batch, channels, *phase.size)
        taken = up(4 * prod(blocks), 64)
        whole = Image.whole("", blocks)
        folded = replace(whole, place=program.scratch_memory(taken))
        as_columns = replace(problem, channels=channels)
        zeros = program.constant(_zeros(problem.depth + LANES))
        self._lay_phase(
            program, as_columns, x, folded, phase, filters, zeros, phase.table(), problem.depth,
            taken, {},
        )  # fmt: skip
        lay_unfolded(program, folded, down, across, y, **epilogue)

    def merges(self, problem: Convolution) -> bool:
        """Whether a whole row of taps is one term: few channels, side by side in a padded copy.

        The copy takes images with their axes in any order.
        """
        few = problem.depth <= FEW and problem.groups == 1 and problem.window.kernel[1] > 1
        return few and not problem.transposed and problem.window.dilation[1] == 1

    def _lay_merged(
        self, program: Program, problem: Convolution, x: Image, y: Image, phase: Phase,
        filters: Place, epilogue: dict[str, Any],
    ) -> None:  # fmt: skip
        window = problem.window
        begins = [max(0, b) for b in window.begins]
        ends = [
            max(0, s * (n - 1) + k - b - have)
            for s, n, k, b, have in zip(
                window.stride, problem.out, window.extent, window.begins, problem.size, strict=True
            )
        ]
        pads = (*begins, *ends)
        height, width = x.height + pads[0] + pads[2], x.width + pads[1] + pads[3]
        bytes_of_copy = up(4 * x.batch * height * width * x.channels, 64)
        copy = program.scratch_memory(bytes_of_copy)
        shape = (x.batch, x.channels, x.height, x.width)
        strides = (4 * x.image, 4 * x.channel, 4 * x.row, 4 * x.pixel)
        lay_relaid(program, x.place, shape, strides, copy, pads)
        padded = Image(copy, x.batch, x.channels, height, width, x.channels)
        kernel = window.kernel[1]
        table = phase.table().reshape(-1, kernel, 2)[:, 0] + np.array(begins)
        merged = Phase(phase.size, phase.origin, phase.spacing, phase.step, (), ())
        self._lay_phase(
            program, problem, padded, y, merged, filters, program.constant(_zeros(LANES)),
            np.ascontiguousarray(table), kernel * x.channels, bytes_of_copy, epilogue,
        )  # fmt: skip

    def _lay_phase(
        self, program: Program, problem: Convolution, x: Image, y: Image, phase: Phase,
        filters: Place, zeros: Place, table: np.ndarray, depth: int, taken: int,
        epilogue: dict[str, Any],
    ) -> None:  # fmt: skip
        terms = len(table)
        tiles = -(-phase.pixels // ROWS)
        count = -(-problem.columns // COLUMNS)
        tiles_an_item, panels_an_item = _shares(
            tiles, count, 4 * terms * depth * COLUMNS, x.batch * problem.groups
        )
        size = up(direct_kernels.SCRATCH(terms), 64)
        program.step(
            direct_kernels.direct,
            x.batch * problem.groups * -(-tiles // tiles_an_item) * -(-count // panels_an_item),
            **x.steps("x"),
            height=x.height,
            width=x.width,
            zeros=zeros,
            taps=program.constant(table if terms else np.zeros((1, 2), np.int64)),
            terms=terms,
            depth=depth,
            filters=filters,
            rows=phase.size[0],
            columns=phase.size[1],
            step_row=phase.step[0],
            step_column=phase.step[1],
            groups=problem.groups,
            channels=problem.columns,
            tiles=tiles,
            tiles_an_item=tiles_an_item,
            panels=count,
            panels_an_item=panels_an_item,
            scratch=program.scratch_memory(taken + size * program.workers) + taken,
            scratch_size=size,
            ending=program.ending(y, **on_lattice(y, phase, epilogue)),
        )


def _joined(problem: Convolution) -> tuple[Phase, np.ndarray]:
    """All phases as one, as many columns of blocks side by side as a tile has room for."""
    block = prod(problem.window.stride) * problem.columns
    return joined_phases(problem.window, problem.size, max(1, COLUMNS // block))


def _zeros(count: int) -> np.ndarray:
    return np.zeros(up(count, LANES), np.float32)


def _shares(tiles: int, count: int, panel: int, others: int) -> tuple[int, int]:
    """Tiles and panels an item: some items for each thread, filters that stay in its cache."""
    panels_an_item = max(1, min(count, 400_000 // max(1, panel)))
    most = 56 if panels_an_item == 1 else 8
    tiles_an_item = -(-tiles // -(-tiles // most))

    def items() -> int:
        return others * -(-tiles // tiles_an_item) * -(-count // panels_an_item)

    while items() < 16 and tiles_an_item > 3:
        tiles_an_item = -(-tiles_an_item // 2)
    while items() < 16 and panels_an_item > 1:
        panels_an_item = -(-panels_an_item // 2)
    while items() < 4 and tiles_an_item > 1:
        tiles_an_item = -(-tiles_an_item // 2)
    return tiles_an_item, panels_an_item
