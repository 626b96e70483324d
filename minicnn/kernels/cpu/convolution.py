"""How convolutions are laid out for the CPU: which steps, which packed filters, what they cost.

A `Method` knows when it applies, estimates its time, packs filters (once per network) and adds its
steps to a program. The estimates count operations and bytes at nominal speeds, the same on every
machine with vectors of a kind, so that these choose the same kernels and get the same results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.cpu import depthwise as depthwise_kernels
from minicnn.kernels.cpu import direct as direct_kernels
from minicnn.kernels.cpu import winograd_steps
from minicnn.kernels.cpu.copying import lay_relaid, lay_unfolded
from minicnn.kernels.cpu.depthwise import on_lattice
from minicnn.kernels.cpu.packing import panels, winograd_panels
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.taps import Phase, conv_phases, joined_phases, transposed_phases
from minicnn.kernels.cpu.vector import FEATURES, LANES, ROWS
from minicnn.kernels.cpu.winograd import FILTER
from minicnn.kernels.problems import Convolution

__all__ = ["DEPTHWISE", "DIRECT", "FLOPS", "METHODS", "WINOGRAD_2", "WINOGRAD_4", "Method"]

NOMINAL = {"AVX-512": 5e11, "AVX2": 1.7e11, "NEON": 1.2e11, "plain": 5e10}
FLOPS = NOMINAL[FEATURES]  # nominal floating-point operations a second, both cores
MEMORY = 3e10  # nominal bytes a second from memory
CACHE = 1e11  # and from the last cache

FEW = 4  # with no more input channels than this, a row of taps is one term


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


def phases_of(problem: Convolution) -> list[Phase]:
    """The sums over taps that a problem consists of."""
    if problem.transposed:
        return transposed_phases(problem.window, problem.size)
    return conv_phases(problem.window, problem.out)


def _float_planes(problem: Convolution) -> str:
    if problem.dtype != "float32":
        return "computes in float32 only"
    return "" if len(problem.size) == 2 else "needs two spatial axes"


class Direct(Method):
    """Products of pixels and filters, tap by tap: any geometry."""

    name = "direct"

    def why_not(self, problem: Convolution) -> str:
        return _float_planes(problem)

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


class Winograd(Method):
    """3x3 filters at stride 1 by transforms of m x m tiles.

    Parameters
    ----------
    m : {2, 4}
        Outputs a tile and axis.
    """

    def __init__(self, m: int) -> None:
        self.m = m
        self.name = f"winograd{m}"

    def why_not(self, problem: Convolution) -> str:
        window = problem.window
        if reason := _float_planes(problem):
            return reason
        if window.kernel != (3, 3) or {*window.stride, *window.dilation} != {1}:
            return "needs 3x3 filters with stride and dilation 1"
        return "" if problem.groups == 1 else "needs groups 1"

    def cost(self, problem: Convolution) -> float:
        e, rows_columns = self.m + 2, problem.size if problem.transposed else problem.out
        tiles = prod(-(-n // self.m) for n in rows_columns)
        depth, columns = problem.depth, up(problem.columns, LANES)
        filters = 4.0 * e * e * depth * up(columns, COLUMNS)
        sums = 2.0 * up(tiles, ROWS // 2) * e * e * depth * columns / (0.9 * FLOPS)
        sums *= 1 + 8 / max(1, depth)  # what each product takes besides
        transforms = tiles * (up(depth, LANES) + columns) * e * e * 25 / FLOPS
        return max(sums + transforms, filters / MEMORY) + filters / CACHE / 4 + 3e-6

    def pack(self, w: np.ndarray, problem: Convolution) -> list[np.ndarray]:
        return [winograd_panels(w, problem, FILTER[self.m])]

    def lay(
        self,
        program: Program,
        problem: Convolution,
        x: Image,
        y: Image,
        packed: list[Place],
        **epilogue: Any,
    ) -> None:
        m, e = self.m, self.m + 2
        begins = problem.window.begins
        if problem.transposed:
            begins = tuple(2 - b for b in begins)
        down, across = -(-y.height // m), -(-y.width // m)
        tiles = x.batch * down * across
        count = -(-problem.columns // COLUMNS)
        block, share = _tiles_a_block(e, problem.depth, problem.columns, tiles)
        held = up(block or tiles, ROWS)
        v_tile = 4 * up(problem.depth, LANES)
        v_step = apart(v_tile * held)
        p_panel = 4 * COLUMNS * held
        p_step = apart(p_panel * count)
        transformed = e * e * (v_step + p_step)
        tiling = {"tiles": tiles, "across": across, "down": down}
        source = {
            **x.steps("x"), "height": x.height, "width": x.width, "channels": problem.depth,
            "pad_row": begins[0], "pad_column": begins[1],
        }  # fmt: skip
        steps = {"v_step": v_step, "v_tile": v_tile}
        sums = {"p_step": p_step, "p_panel": p_panel, "panels": count}
        result = {
            "columns_out": problem.columns, "rows": y.height, "columns": y.width,
            "ending": program.ending(y, **epilogue),
        }  # fmt: skip
        if block:
            tables = winograd_steps.TABLE + winograd_steps.PATCH + winograd_steps.HELD
            size = up(tables + transformed, 64)
            program.step(
                winograd_steps.together(m),
                -(-tiles // share),
                **tiling, **source, **steps, **sums, **result,
                tiles_an_item=share,
                held=block,
                filters=packed[0],
                scratch=program.scratch_memory(size * program.workers),
                scratch_size=size,
            )  # fmt: skip
            return
        own = up(max(winograd_steps.TABLE, winograd_steps.PATCH), 64)
        scratch = program.scratch_memory(own * program.workers + transformed)
        v = scratch + own * program.workers
        products = v + e * e * v_step
        memory = {"scratch": scratch, "scratch_size": own}
        panels_an_item = min(count, 4)
        parts = -(-count // panels_an_item)
        few = max(1, min(4, tiles // 8))
        program.step(
            winograd_steps.apart_input(m), -(-tiles // few),
            **tiling, **source, **steps, **memory, tiles_an_item=few, v=v,
        )  # fmt: skip
        program.step(
            winograd_steps.apart_product, e * e * parts,
            **steps, **sums, **memory, tiles=tiles, v=v, channels=problem.depth, filters=packed[0],
            panels_an_item=panels_an_item, columns_out=problem.columns, products=products,
        )  # fmt: skip
        program.step(
            winograd_steps.apart_output(m), -(-tiles // few) * parts,
            **tiling, **sums, **result, **memory, tiles_an_item=few, products=products,
            panels_an_item=panels_an_item,
        )  # fmt: skip


def _tiles_a_block(e: int, depth: int, columns: int, tiles: int) -> tuple[int, int]:
    """How many tiles a core holds at a time, and how many are an item; 0: better step by step.

    Step by step each filter is read once, which counts where filters are large and tiles few. A
    core that reads large filters holds more tiles for each reading, in the cache that all share.
    """
    a_tile = 4 * e * e * (up(depth, LANES) + up(columns, COLUMNS))
    filters = 4 * e * e * depth * up(columns, COLUMNS)
    large = filters > 6_000_000
    if large and tiles * a_tile < 24_000_000:
        return 0, 0
    most = winograd_steps.MOST
    block = max(ROWS, min(most, (6_000_000 if large else 600_000) // a_tile) // ROWS * ROWS)
    if tiles < 2 * block:
        if filters > 2_000_000 or tiles < 8:
            return 0, 0
        half = up(-(-tiles // 2), ROWS // 2)
        return half, half
    share = block
    while large and share < 8 * block and tiles > 8 * share:
        share += block
    return block, share


class Depthwise(Method):
    """As many groups as channels: vectors along channels, taps one by one."""

    name = "depthwise"

    def why_not(self, problem: Convolution) -> str:
        if reason := _float_planes(problem):
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
