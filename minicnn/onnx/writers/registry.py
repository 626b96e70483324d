"""The table of writers: which function writes which block as ONNX operators.

    @writer(MyBlock)
    def my_block(call):
        return call.node("Mul", call[0], call.block.factor)

`call` is a `writing.Call`: the block, its operands, and `node`, which adds one ONNX node and gives
its output. A block is looked up by its own class: one derived from it may compute something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.blocks import Block

__all__ = ["Writer", "find", "known", "unwritable", "why_not", "writer"]

Writer = Callable[..., Any]

_TABLE: dict[type[Block], Writer] = {}
_REASONS: dict[type[Block], str] = {}


def writer(*kinds: type[Block]) -> Callable[[Writer], Writer]:
    """Enter a function as the writer of some kinds of block.

    Parameters
    ----------
    *kinds : type
        Classes of blocks.

    Returns
    -------
    callable
        A decorator; the function takes a `Call` and returns the output of its last node.

    Examples
    --------
    >>> from minicnn import blocks, onnx
    >>> class Doubled(blocks.Scale): ...
    >>> @onnx.writer(Doubled)
    ... def doubled(call):
    ...     return call.node("Mul", call[0], 2.0 * call.block.factor)
    """

    def enter(function: Writer) -> Writer:
        _TABLE.update(dict.fromkeys(kinds, function))
        return function

    return enter


def unwritable(kind: type[Block], reason: str) -> None:
    """Enter a kind of block that ONNX has no operators for, and why."""
    _REASONS[kind] = reason


def find(block: Block) -> Writer | None:
    """The writer of a block, or None."""
    return _TABLE.get(type(block))


def known() -> set[type[Block]]:
    """The kinds of block that have a writer or a reason."""
    return {*_TABLE, *_REASONS}


def why_not(block: Block) -> str:
    """What to say of a block that has no writer."""
    kind = type(block)
    if kind in _REASONS:
        return f"{kind.__name__} cannot be written: {_REASONS[kind]}"
    return (
        f"nothing says how a {kind.__name__} is written as ONNX operators; enter a function of "
        f"your own with @minicnn.onnx.writer({kind.__name__}), see help(minicnn.onnx.writer)"
    )
