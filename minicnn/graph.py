"""Graphs: named calls of blocks, and the symbols that draw them.

A `Node` says which block is called on which values; its name is also the name of the value it
gives. Calling a block on a `Symbol` does not compute: it adds a node to the graph under
construction. That is how the walk over a tape (`calls.pull_back`) draws the reversed network.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.blocks import Block, Expression, Shape
from minicnn.kernels import as_array, on_gpu

__all__ = ["Builder", "Mirror", "Node", "Symbol", "listed", "taken_name"]


def listed(names: str | Sequence[str] | None) -> list[str]:
    """One name, several or none, as a list."""
    return [] if names is None else [names] if isinstance(names, str) else list(names)


def taken_name(name: str, taken: set[str]) -> str:
    """The name, or with the first number that makes it a new one; from now on it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}.{count}"
    taken.add(candidate)
    return candidate


@dataclass(frozen=True)
class Node:
    """A block called on named values.

    Parameters
    ----------
    name : str
        Its own name and its value's.
    block : Block
        What is called.
    operands : tuple of str
        Names of inputs, parameters or other nodes.
    label : str
        What else it may be called: in ONNX a node has a name besides its output's.
    module : str
        The layer of the model's source code that it comes from, e.g. "features.3", where known.
    """

    name: str
    block: Block
    operands: tuple[str, ...]
    label: str = ""
    module: str = ""


@dataclass(frozen=True)
class Mirror:
    """What a reversed network remembers of the network that it reverses.

    Parameters
    ----------
    signals : dict
        For each value below, which signal arrives there.
    nodes : dict
        For each node of the reversed network, the node that it reverses.
    sent : dict
        For each node reversed, the signals that it sent below, one an operand.
    """

    signals: dict[str, str]
    nodes: dict[str, str]
    sent: dict[str, list[str]]

    def cut(self, values: Container[str]) -> Mirror:
        """What is left of it where only some values of the reversed network are."""
        return Mirror(
            {below: signal for below, signal in self.signals.items() if signal in values},
            {node: below for node, below in self.nodes.items() if node in values},
            {
                below: signals
                for below, signals in self.sent.items()
                if all(signal in values for signal in signals)
            },
        )


class Symbol(Expression):
    """A value of a graph under construction: a name and a shape, no numbers."""

    def __init__(self, builder: Builder, name: str, shape: Shape, dtype: np.dtype) -> None:
        self.builder, self.name, self.shape, self.dtype = builder, name, shape, dtype

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("numpy", "item", "data"):
                raise AttributeError(
                    f"A Symbol has no numbers, so no {name!r}: a network is made by following "
                    f"`forward` once without any; it must not look at values.",
                    name=name, obj=self,
                )  # fmt: skip
            return super().__getattr__(name)

    def apply(self, block: Block, operands: Sequence[Any]) -> Symbol:
        """Add a call of the block to the graph."""
        return self.builder.add(block, operands)


class Builder:
    """Collects nodes and constants.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the values.
    known : mapping
        Arrays by name that may turn up as constants, and keep these names.
    """

    def __init__(self, dtype: np.dtype, known: Mapping[str, np.ndarray]) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._names_of = {id(array): name for name, array in known.items()}
        self._known = known  # keeps the arrays alive, so that their ids stay theirs
        self._prefix = "value"
        self._taken: set[str] = set(known)

    def symbol(self, name: str, shape: Shape) -> Symbol:
        """A new input."""
        return Symbol(self, taken_name(name, self._taken), shape, self.dtype)

    def add(self, block: Block, operands: Sequence[Any]) -> Symbol:
        """Add a call of a block on symbols, arrays and numbers."""
        names, shapes = [], []
        for operand in operands:
            if isinstance(operand, Symbol):
                names.append(operand.name)
                shapes.append(operand.shape)
            else:
                held = isinstance(operand, np.ndarray) or on_gpu(operand)
                array = operand if held else self.dtype.type(operand)
                names.append(self._constant(as_array(array)))
                shapes.append(np.shape(array))
        name = taken_name(f"{self._prefix}/{block.kind}", self._taken)
        self.nodes.append(Node(name, block, tuple(names)))
        return Symbol(self, name, block.shape(*shapes), self.dtype)

    def named(self, name: str, function: Callable[[Any], Any], p: Symbol) -> Symbol:
        """Apply a map to a symbol; its last node is called `name`, those before it name/Kind."""
        first, self._prefix = len(self.nodes), name
        result = function(p)
        made = {node.name for node in self.nodes[first:]}
        if not isinstance(result, Symbol) or result.name not in made:
            return result  # p itself, or something that the caller will refuse
        old, new = result.name, taken_name(name, self._taken)
        for i in range(first, len(self.nodes)):
            node = self.nodes[i]
            operands = tuple(new if operand == old else operand for operand in node.operands)
            own = new if node.name == old else node.name
            self.nodes[i] = replace(node, name=own, operands=operands)
        self._taken.discard(old)
        return Symbol(self, new, result.shape, self.dtype)

    @contextmanager
    def within(self, prefix: str) -> Iterator[None]:
        """Within this context nodes without a name of their own are called prefix/Kind."""
        before, self._prefix = self._prefix, prefix
        try:
            yield
        finally:
            self._prefix = before

    def _constant(self, array: np.ndarray) -> str:
        name = self._names_of.get(id(array))
        if name is None:
            name = taken_name(f"{self._prefix}.kept", self._taken)
            # somebody's own: what is drawn does not change
            if not on_gpu(array) and array.flags.writeable:
                array = array.copy()
                array.flags.writeable = False
            self._names_of[id(array)] = name
        self.arrays[name] = array
        return name
