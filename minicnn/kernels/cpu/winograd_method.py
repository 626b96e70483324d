"""How Winograd's convolution is laid out: tiles together near one core, or in three steps apart."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn.kernels.cpu import winograd_steps
from minicnn.kernels.cpu.methods import CACHE, FLOPS, MEMORY, Method, apart, float_planes, up
from minicnn.kernels.cpu.packing import winograd_panels
from minicnn.kernels.cpu.product import COLUMNS
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import LANES, ROWS
from minicnn.kernels.cpu.winograd import FILTER
from minicnn.kernels.problems import Convolution

__all__ = ["Winograd"]


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
        if reason := float_planes(problem):
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
