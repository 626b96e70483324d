"""Convolutions in a plan: kernels chosen by the registry, filters packed once, epilogues fused."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.blocks import Conv, ConvTranspose
from minicnn.graph import Node
from minicnn.kernels import Convolution, registry
from minicnn.kernels.cpu.program import Image, Program
from minicnn.planning.lowering import Context, Lowering

__all__ = ["CONVOLUTION", "takes_any_order"]


def _problem(context: Context, node: Node) -> Convolution:
    block, w = node.block, context.arrays[node.operands[1]]
    assert isinstance(block, (Conv, ConvTranspose))
    transposed = isinstance(block, ConvTranspose)
    size = context.shapes[node.name if transposed else node.operands[0]][2:]
    return Convolution(
        w.shape[1] * block.groups, w.shape[0], size, block.window, block.groups, transposed
    )


def _chosen(context: Context, node: Node) -> tuple[registry.Entry, str]:
    problem = _problem(context, node)
    return registry.choose("conv_transpose2d" if problem.transposed else "conv2d", problem)


def _is_planned(context: Context, node: Node) -> bool:
    constant = all(o in context.arrays for o in node.operands[1:])
    if not constant or node.operands[0] in context.arrays:
        return False
    if len(context.shapes[node.name]) != 4:
        return False
    entry, why = _chosen(context, node)
    if entry.method is None:
        context.notes[node.name] = (entry.name, why)
        return False
    return True


def _ends(context: Context, node: Node) -> bool:
    """Whether the kernel chosen can finish its results."""
    entry, _ = _chosen(context, node)
    return entry.method is not None and bool(entry.method.finishes(_problem(context, node)))


def takes_any_order(context: Context, node: Node) -> bool:
    """Whether a convolution takes its image with the axes in any order."""
    if not isinstance(node.block, (Conv, ConvTranspose)):
        return False
    entry, _ = _chosen(context, node)
    return entry.method is not None and bool(entry.method.merges(_problem(context, node)))


def _lay_convolution(
    program: Program,
    context: Context,
    node: Node,
    images: list[Image],
    y: Image,
    before: np.ndarray | None = None,
    **epilogue: Any,
) -> None:
    problem = _problem(context, node)
    entry, why = _chosen(context, node)
    method, w = entry.method, context.arrays[node.operands[1]]
    how = (method.name, problem.transposed, problem.window, problem.groups, method.taps(problem))
    if before is None:
        packed = context.packs.get(w, how, lambda: method.pack(w, problem))
    else:
        scaled = (how, before.tobytes())
        packed = context.packs.get(
            w, scaled, lambda: method.pack(_scaled(w, before, problem), problem)
        )
    if len(node.operands) > 2:
        epilogue["bias"] = program.constant(context.constant(node.operands[2]))
    places = [program.constant(filters) for filters in packed]
    method.lay(program, problem, images[0], y, places, **epilogue)
    context.notes[node.name] = (entry.name, why)


def _scaled(w: np.ndarray, gains: np.ndarray, problem: Convolution) -> np.ndarray:
    """Filters that multiply their input by one number a channel first."""
    shape = (-1, 1, 1, 1) if problem.transposed else (1, -1, 1, 1)
    return w * gains.reshape(shape)


CONVOLUTION = Lowering(_is_planned, _lay_convolution, _ends)
