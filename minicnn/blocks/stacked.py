"""Several blocks side by side in one batch: what lets one run carry the signals of several rules.

    Stacked   y[rows of part i] = last( ... first(x[rows of part i]))

Each part is a chain of blocks of one operand and has as many rows of the batch as the others. Its
transpose stacks the transposed chains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn.blocks.base import Block, Kept, Shape
from minicnn.errors import NotDifferentiableError, ShapeError
from minicnn.kernels import Packed

__all__ = ["Stacked"]


@dataclass(frozen=True, eq=False)
class Stacked(Block):
    """One chain of blocks for each part of the batch; an empty chain passes its rows on."""

    parts: tuple[tuple[Block, ...], ...]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        rows = len(x) // len(self.parts)
        results = []
        for i, chain in enumerate(self.parts):
            part = x[i * rows : (i + 1) * rows]
            for block in chain:
                part = block.forward(part)[0]
            results.append(part)
        return np.concatenate(results), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        x = kept.shapes[0]
        return Stacked(tuple(self._back(chain, self._part(x)) for chain in self.parts))

    @staticmethod
    def _back(chain: tuple[Block, ...], x: Shape) -> tuple[Block, ...]:
        """The transposed blocks of a chain, last first."""
        found: list[Block] = []
        for block in chain:
            if block.uses(0) or block.statistic:
                raise NotDifferentiableError(
                    f"{block.kind} in a stack keeps nothing, and its transpose needs it."
                )
            back = block.transposed(Kept(None, [x], _nothing), 0)
            if not isinstance(back, Block):
                raise NotDifferentiableError(f"{block.kind} in a stack has no single transpose.")
            found.append(back)
            x = block.shape(x)
        return tuple(reversed(found))

    def _part(self, x: Shape) -> Shape:
        return (x[0] // len(self.parts), *x[1:])

    def shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if not x or x[0] % len(self.parts):
            raise ShapeError(f"{len(self.parts)} parts need a batch that they divide; got {x}.")
        found = set()
        for chain in self.parts:
            part = self._part(x)
            for block in chain:
                part = block.shape(part)
            found.add(part)
        if len(found) > 1:
            raise ShapeError(f"Stacked blocks give results of several shapes: {sorted(found)}.")
        part = found.pop()
        return (part[0] * len(self.parts), *part[1:])

    def bound(self) -> list[Packed]:
        return [bits for chain in self.parts for block in chain for bits in block.bound()]

    def on(self, device: Any) -> Stacked:
        return Stacked(tuple(tuple(block.on(device) for block in chain) for chain in self.parts))

    def rebound(self, statistic: Packed) -> Block:
        return replace(
            self,
            parts=tuple(
                tuple(block.rebound(statistic) if block.bound() else block for block in chain)
                for chain in self.parts
            ),
        )

    def settings(self) -> str:
        chains = [" > ".join(block.kind for block in chain) or "-" for chain in self.parts]
        return " | ".join(chains)


def _nothing(index: int) -> Any:
    raise NotDifferentiableError("A block in a stack keeps no values.")
