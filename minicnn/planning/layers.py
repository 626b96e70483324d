"""Layers but convolutions in a plan: pooling, linear layers, normalisation, changes of shape."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from minicnn.blocks import (
    LRN,
    AveragePool,
    AverageUnpool,
    Block,
    BroadcastTo,
    Flatten,
    Gather,
    Linear,
    LogSoftmax,
    LRNTransposed,
    MatMul,
    MaxPool,
    Mean,
    Reshape,
    Softmax,
    Stacked,
    Unpool,
    UnpoolCenter,
)
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.kernels.cpu import dense, normalise, pooling, streamed
from minicnn.kernels.cpu.copying import lay_finished, lay_relaid
from minicnn.kernels.cpu.packing import panels
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.planning.lowering import Context, Lowering, always, never

__all__ = ["LAYERS"]

# Pooling


def _in_planes(context: Context, node: Node) -> bool:
    """Images with two spatial axes."""
    return len(context.shapes[node.name]) == len(context.shapes[node.operands[0]]) == 4


def _lay_max_pool(
    program: Program,
    context: Context,
    node: Node,
    images: list[Image],
    y: Image,
    kept: Place | None = None,
) -> None:
    assert isinstance(node.block, MaxPool)
    window = node.block.over(context.shapes[node.operands[0]])
    pooling.lay_max_pool(program, images[0], y, window, kept)
    context.notes[node.name] = ("pooling", "with switches" if kept else "no switches wanted")


def _switched(node: Node) -> Place:
    """Where the switches bound into a node will be."""
    return Place(("given", node.name))


def _lay_unpool(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    block = node.block
    assert isinstance(block, (Unpool, UnpoolCenter))
    switches, number = (
        (_switched(node), block.switches.shape[0]) if isinstance(block, Unpool) else (None, 1)
    )
    pooling.lay_unpool(program, images[0], y, block.window, switches, number, None, **epilogue)
    context.notes[node.name] = ("pooling", "each pixel gathers what is switched to it")


def _unpools(block: Block) -> tuple[Unpool | None, UnpoolCenter | Unpool, list[int]] | None:
    """A stack of unpoolings of one window: whose switches, and which parts go by the centre."""
    if not isinstance(block, Stacked) or any(len(chain) != 1 for chain in block.parts):
        return None
    found = [chain[0] for chain in block.parts]
    switched = [each for each in found if isinstance(each, Unpool)]
    centred = [each for each in found if isinstance(each, UnpoolCenter)]
    if len(switched) + len(centred) < len(found):
        return None
    both: list[Unpool | UnpoolCenter] = [*switched, *centred]
    if any((each.window, each.size) != (both[0].window, both[0].size) for each in both):
        return None
    if any(each.switches is not switched[0].switches for each in switched):
        return None
    marks = [int(isinstance(each, UnpoolCenter)) for each in found]
    return (switched[0] if switched else None), both[0], marks


def _is_stack_of_unpools(context: Context, node: Node) -> bool:
    return _in_planes(context, node) and _unpools(node.block) is not None


def _lay_unpools(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    found = _unpools(node.block)
    assert found is not None
    switched, any_of_them, marks = found
    each = images[0].batch // len(marks)
    centres = program.constant(np.repeat(np.array(marks, np.int64), each))
    switches, number = (_switched(node), switched.switches.shape[0]) if switched else (None, 1)
    pooling.lay_unpool(
        program, images[0], y, any_of_them.window, switches, number, centres, **epilogue
    )
    context.notes[node.name] = ("pooling", "switches or centres, image by image")


def _lay_gather(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    block = node.block
    assert isinstance(block, Gather)
    number = block.switches.shape[0]
    pooling.lay_gather(
        program, images[0], y, block.window, _switched(node), number, None, **epilogue
    )
    context.notes[node.name] = ("pooling", "reads what the switches name")


def _lay_average(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    block = node.block
    assert isinstance(block, (AveragePool, AverageUnpool))
    lay = pooling.lay_average_pool if isinstance(block, AveragePool) else pooling.lay_average_unpool
    lay(program, images[0], y, block.window, block.include_pad, **epilogue)
    context.notes[node.name] = ("pooling", "sums over windows")


def _is_over_planes(context: Context, node: Node) -> bool:
    """A mean of each whole plane."""
    source, block = context.shapes[node.operands[0]], node.block
    return len(source) == 4 and isinstance(block, Mean) and block.over(source) == (2, 3)


def _lay_mean(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    size = context.shapes[node.operands[0]][2:]
    whole = Window(size, (1, 1), (0,) * 4, (1, 1))
    pooling.lay_average_pool(program, images[0], y, whole, False, **epilogue)
    context.notes[node.name] = ("pooling", "sums over planes")


def _repeats_pixels(context: Context, node: Node) -> bool:
    """(N, C, 1, 1) to (N, C, H, W)."""
    source, shape = context.shapes[node.operands[0]], context.shapes[node.name]
    return len(source) == len(shape) == 4 and source == (*shape[:2], 1, 1)


def _lay_repeat(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    x = images[0]
    repeated = replace(x, height=y.height, width=y.width, pixel=0, row=0, image=x.image)
    lay_finished(program, repeated, y, **epilogue)
    context.notes[node.name] = ("copy", "one pixel everywhere")


# Linear layers


def _is_linear(context: Context, node: Node) -> bool:
    """A product of rows with constant weights."""
    x, w = node.operands[:2]
    constant = all(o in context.arrays for o in node.operands[1:]) and x not in context.arrays
    rows = len(context.shapes[x]) == 2 if x in context.shapes else False
    return constant and rows and context.arrays[w].ndim == 2 and _plain_bias(context, node)


def _plain_bias(context: Context, node: Node) -> bool:
    out = context.shapes[node.name][1]
    return len(node.operands) < 3 or context.arrays[node.operands[2]].shape == (out,)


def _lay_linear(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    w = context.constant(node.operands[1])
    if len(node.operands) > 2:
        epilogue["bias"] = program.constant(context.constant(node.operands[2]))
    few = isinstance(node.block, Linear) and y.batch <= streamed.FEW
    if few:
        (packed,) = context.packs.get(
            context.arrays[node.operands[1]],
            "panels",
            lambda: [panels(w[..., None], 1, False, (0,))],
        )
        streamed.lay_panels(program, images[0], program.constant(packed), y, *w.shape, **epilogue)
    else:
        lay = dense.lay_linear if isinstance(node.block, Linear) else dense.lay_linear_transposed
        lay(program, images[0], program.constant(w), y, *w.shape, **epilogue)
    how = "packed weights" if few else "the weights as they stand,"
    context.notes[node.name] = ("dense", f"reads {how} once")


# Normalisation


def _lay_lrn(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    block = node.block
    assert isinstance(block, LRN)
    settings = (block.size, block.alpha, block.beta, block.bias)
    normalise.lay_lrn(program, images[0], y, *settings, **epilogue)
    context.notes[node.name] = ("normalise", "across channels")


def _stands_ready(context: Context, node: Node) -> bool:
    """A signal of images, and the input of LRN kept from a run."""
    x = node.operands[1]
    images = len(context.shapes[node.name]) == 4
    return images and x in context.arrays and context.arrays[x].ndim == 4


def _lay_lrn_transposed(
    program: Program, context: Context, node: Node, images: list[Image], y: Image, **epilogue: Any
) -> None:
    block, x = node.block, context.arrays[node.operands[1]]
    assert isinstance(block, LRNTransposed)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    stored = replace(Image.whole("", x.shape), place=program.constant(last))
    settings = (block.size, block.alpha, block.beta, block.bias)
    normalise.lay_lrn_transposed(program, images[0], y, stored, *settings, **epilogue)
    context.notes[node.name] = ("normalise", "across channels, transposed")


def _is_over_channels(context: Context, node: Node) -> bool:
    block, shape = node.block, context.shapes[node.name]
    assert isinstance(block, (Softmax, LogSoftmax))
    return len(shape) in (2, 4) and block.axis % len(shape) == 1


def _lay_softmax(
    program: Program, context: Context, node: Node, images: list[Image], y: Image
) -> None:
    normalise.lay_softmax(program, images[0], y, isinstance(node.block, LogSoftmax))
    context.notes[node.name] = ("normalise", "over channels")


# Changes of shape


def _reorders(context: Context, node: Node) -> bool:
    """(N, C, H, W) to (N, C H W), or back."""
    source, shape = context.shapes[node.operands[0]], context.shapes[node.name]
    if len(source) == len(shape) or prod(source[2:]) == prod(shape[2:]) == 1:
        return False  # the same order: a view
    there = len(source) == 4 and shape == (source[0], prod(source[1:]))
    back = len(shape) == 4 and source == (shape[0], prod(shape[1:]))
    return node.operands[0] not in context.arrays and (there or back)


def _lay_reorder(
    program: Program, context: Context, node: Node, images: list[Image], y: Image
) -> None:
    x = images[0]
    if y.height == y.width == 1:  # channels-last to channels-first: pixels become the inner axis
        shape = (x.batch, x.height * x.width, x.channels, 1)
        strides = (4 * x.image, 4 * x.pixel, 4, 0)
    else:
        shape = (y.batch, y.channels, y.height, y.width)
        pixels = y.height * y.width
        strides = (4 * x.image, 4 * pixels, 4 * y.width, 4)
    lay_relaid(program, x.place, shape, strides, y.place)
    context.notes[node.name] = ("relaid", "changes the order of the axes in memory")


_unpooling = Lowering(_in_planes, _lay_unpool, always)
_average = Lowering(_in_planes, _lay_average, always)
_linear = Lowering(_is_linear, _lay_linear, always)
_softmax = Lowering(_is_over_channels, _lay_softmax, never)
_reorder = Lowering(_reorders, _lay_reorder, never)

LAYERS: dict[type[Block], Lowering] = {
    MaxPool: Lowering(_in_planes, _lay_max_pool, never),
    Unpool: _unpooling,
    UnpoolCenter: _unpooling,
    Stacked: Lowering(_is_stack_of_unpools, _lay_unpools, always),
    Gather: Lowering(_in_planes, _lay_gather, always),
    AveragePool: _average,
    AverageUnpool: _average,
    Mean: Lowering(_is_over_planes, _lay_mean, always),
    BroadcastTo: Lowering(_repeats_pixels, _lay_repeat, always),
    Linear: _linear,
    MatMul: _linear,
    LRNTransposed: Lowering(_stands_ready, _lay_lrn_transposed, always),
    LRN: Lowering(_in_planes, _lay_lrn, always),
    Softmax: _softmax,
    LogSoftmax: _softmax,
    Flatten: _reorder,
    Reshape: _reorder,
}
"""By kind of block."""
