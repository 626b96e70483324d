"""Several rules at once: one way back for all of them, as one batch.

Rules differ in what stands in for ReLUs, pooling and normalisation; convolutions and products are
the same for all. So the signals of all rules and seeds go down together, rule by rule along the
batch, through one set of transposed convolutions; where rules differ, each part of the batch meets
its own blocks (`Stacked`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.blocks import Block, Concat, Identity, Kept, Shape, Slice, Stacked
from minicnn.calls import Call
from minicnn.graph import Builder
from minicnn.rules import Rule

__all__ = ["Joint", "batched"]


class Joint:
    """Several rules as one reversal of a batch.

    Parameters
    ----------
    rules : sequence of Rule
    each : int
        Rows of the batch that each rule has, one after the other.
    dtype : numpy.dtype
        Of the signals.
    parameters : container of str
        Operands that are not part of the batch.
    """

    def __init__(
        self, rules: Sequence[Rule], each: int, dtype: np.dtype, parameters: Container[str]
    ) -> None:
        self.rules, self.each, self.dtype = list(rules), each, dtype
        self.parameters = parameters
        self.name = ", ".join(rule.name for rule in rules)

    def __call__(self, call: Call, wrt: int) -> Callable[[Any], Any]:
        entries = [rule.entry(call) for rule in self.rules]
        plain = not any(rule.ablates(call) for rule in self.rules)
        if plain and all(_same(entry, entries[0]) for entry in entries):
            return self.rules[0](call, wrt)
        own = batched(call, self.each, self.parameters)
        maps = [rule(own, wrt) for rule in self.rules]
        return lambda p: self._stacked(maps, p)

    def _stacked(self, maps: Sequence[Callable[[Any], Any]], p: Any) -> Any:
        shape = (self.each, *p.shape[1:])
        chains = [_chain(function, shape, self.dtype) for function in maps]
        if all(chain is not None for chain in chains):
            return Stacked(tuple(chain for chain in chains if chain is not None))(p)
        rows = [slice(i * self.each, (i + 1) * self.each) for i in range(len(maps))]
        parts = [function(Slice((row,))(p)) for function, row in zip(maps, rows, strict=True)]
        return Concat(0)(*parts)


def _same(a: Any, b: Any) -> bool:
    """Whether two entries of rules' tables are one."""
    return a is b or (a is not None and b is not None and a.make is b.make)


def _chain(
    function: Callable[[Any], Any], shape: Shape, dtype: np.dtype
) -> tuple[Block, ...] | None:
    """A map as a chain of blocks of one operand, or None if it is more than that."""
    builder = Builder(dtype, {})
    p = builder.symbol("p", shape)
    q = function(p)
    name, blocks = p.name, []
    for node in builder.nodes:
        if node.operands != (name,):
            return None
        name = node.name
        if not isinstance(node.block, Identity):
            blocks.append(node.block)
    return tuple(blocks) if q.name == name else None


def batched(call: Call, batch: int, parameters: Container[str]) -> Call:
    """A call as if its operands had held `batch` images, with what it kept of one."""
    kept = call.kept
    shapes = [
        shape if operand is None or str(operand) in parameters else (batch, *shape[1:])
        for operand, shape in zip(call.operands, kept.shapes, strict=True)
    ]
    return replace(call, kept=Kept(kept.statistic, shapes, lambda index: kept[index]))
