"""Sums of products over named axes: "bij,bjk->bik" is a batch of matrix products.

    y = sum over all indices that the output does not name, of the product of the operands

The transpose in one operand is such a sum as well, of p and the other operands; along an axis that
only this operand has, everything that was summed gets the same.

An ellipsis stands for any axes that broadcast. Without an arrow the output has the ellipsis, then
the indices that occur once, in alphabetic order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from string import ascii_letters
from typing import Any

import numpy as np

from minicnn.blocks.arithmetic import BroadcastTo
from minicnn.blocks.base import Block, Kept, Shape
from minicnn.blocks.shape import Reshape
from minicnn.errors import NotDifferentiableError, ShapeError
from minicnn.kernels import as_array

__all__ = ["Einsum"]


@dataclass(frozen=True)
class Einsum(Block):
    """y = the sum of products that the equation writes down."""

    equation: str
    kinds = "iuf"

    def __post_init__(self) -> None:
        terms, arrow, output = self._parts()
        for term in [*terms, output]:
            if not set(term.replace("...", "", 1)) <= set(ascii_letters):
                raise self._error(f"{term!r} is not made of letters and at most one ellipsis")
        letters = output.replace("...", "")
        if len(set(letters)) < len(letters):
            raise self._error(f"the output {output} names an index twice")
        if not set(letters) <= set("".join(terms)):
            raise self._error(f"the output {output} names an index that no operand has")
        if arrow and "..." in output and not any("..." in term for term in terms):
            raise self._error("the output has an ellipsis, and no operand has one")

    def _error(self, reason: str) -> ShapeError:
        return ShapeError(f"Einsum {self.equation!r}: {reason}.")

    def _parts(self) -> tuple[list[str], str, str]:
        left, arrow, output = self.equation.replace(" ", "").partition("->")
        return left.split(","), arrow, output

    def _named(self, shapes: tuple[Shape, ...]) -> tuple[list[str], str, dict[str, int]]:
        """Indices of operands and output, the ellipsis spelt out, and the length of each index."""
        terms, arrow, output = self._parts()
        if len(terms) != len(shapes):
            raise self._error(f"it needs {len(terms)} operands and got {len(shapes)}")
        spare = [letter for letter in ascii_letters if letter not in self.equation]
        longest, found = 0, []
        for term, shape in zip(terms, shapes, strict=True):
            more = len(shape) - len(term.replace("...", ""))
            if more < 0 or (more and "..." not in term):
                raise self._error(f"{term} does not name the axes of an operand of shape {shape}")
            if more > len(spare):
                raise self._error(f"there are not enough letters for an operand of shape {shape}")
            longest = max(longest, more)
            found.append(term.replace("...", "".join(spare[:more][::-1])))
        rest = "".join(spare[:longest][::-1])
        if not arrow:
            letters = "".join(terms).replace(".", "")
            output = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
        lengths: dict[str, int] = {}
        for term, shape in zip(found, shapes, strict=True):
            for letter, n in zip(term, shape, strict=True):
                if 1 not in (n, lengths.get(letter, n)) and lengths.get(letter, n) != n:
                    raise self._error(
                        f"an index has lengths {lengths[letter]} and {n} in operands of shapes "
                        f"{', '.join(map(str, shapes))}"
                    )
                lengths[letter] = max(n, lengths.get(letter, 1)) if n else 0
        return found, output.replace("...", rest), lengths

    def forward(self, *operands: np.ndarray) -> tuple[np.ndarray, None]:
        terms, output, _ = self._named(tuple(o.shape for o in operands))
        # ready-made letters: NumPy's own ellipsis does not sum what the output leaves out
        return as_array(np.einsum(f"{','.join(terms)}->{output}", *operands, optimize=True)), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        terms, output, lengths = self._named(kept.shapes)
        mine, shape = terms[wrt], kept.shapes[wrt]
        if len(set(mine)) < len(mine):
            raise NotDifferentiableError(
                f"{self}: operand {wrt} has an index twice ({mine}), that is, only a diagonal is "
                f"read; minicnn has no transpose for that."
            )
        others = [i for i in range(len(terms)) if i != wrt]
        read = set("".join([output, *(terms[i] for i in others)]))
        # an axis of length 1 that was repeated gets the sum over what it was repeated to
        given = [c for c, n in zip(mine, shape, strict=True) if c in read and n == lengths[c]]
        back = Einsum(f"{','.join([output, *(terms[i] for i in others)])}->{''.join(given)}")

        def pull(p: Any) -> Any:
            q = back(p, *(kept[i] for i in others))
            wide = iter(q.shape)
            q = Reshape(tuple(next(wide) if c in given else 1 for c in mine))(q)
            return q if q.shape == shape else BroadcastTo(shape)(q)

        return pull

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return tuple(i for i in range(len(self._parts()[0])) if i != wrt)

    def shape(self, *shapes: Shape) -> Shape:
        _, output, lengths = self._named(shapes)
        return tuple(lengths[letter] for letter in output)

    def flops(self, *shapes: Shape) -> int:
        _, _, lengths = self._named(shapes)
        return prod(lengths.values()) * len(shapes)
