"""What a block sees: which places of an operand an output place reads, and the other way round.

Places are boxes: a span (first, end) for each of the last axes of an array, rows and columns of an
image. For a window of stride s, begin pad b and effective kernel k',

    outputs [o, q) read        [s o - b, s (q - 1) - b + k')            may reach into the padding
    inputs  [i, j) reach       [ceil((i + b - k' + 1) / s), floor((j - 1 + b) / s) + 1)

Boxes are hulls: with dilation or a stride beyond the kernel some places in them count for nothing.

Source: Nakandala et al., "Incremental and approximate inference for faster occlusion-based deep CNN
explanations", SIGMOD 2019 (Krypton); receptive field arithmetic is the same walked the other way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "Box",
    "Span",
    "clipped",
    "is_empty",
    "of_table",
    "same_places",
    "to_table",
    "union",
    "whole",
]

Span = tuple[int, int]
"""First place of an axis and the one after the last."""

Box = tuple[Span, ...]
"""A span for each of the last axes of an array."""


def whole(shape: Sequence[int], rank: int) -> Box:
    """The box of all places of the last `rank` axes.

    Examples
    --------
    >>> whole((1, 3, 8, 9), 2)
    ((0, 8), (0, 9))
    """
    return tuple((0, n) for n in shape[len(shape) - rank :])


def clipped(box: Box, shape: Sequence[int]) -> Box:
    """The part of a box that lies inside an array; a span outside of it becomes empty."""
    sizes = shape[len(shape) - len(box) :]
    return tuple(
        (min(max(a, 0), n), max(min(b, n), min(max(a, 0), n)))
        for (a, b), n in zip(box, sizes, strict=True)
    )


def is_empty(box: Box) -> bool:
    """Whether it holds no place."""
    return any(b <= a for a, b in box)


def union(a: Box, b: Box) -> Box:
    """The smallest box that holds both; empty ones do not count."""
    if is_empty(a) or is_empty(b):
        return b if is_empty(a) else a
    return tuple((min(p[0], q[0]), max(p[1], q[1])) for p, q in zip(a, b, strict=True))


def same_places(source: Sequence[int], target: Sequence[int], box: Box) -> Box | None:
    """A box of `target` as the box of `source` at the same places, broadcast where that is 1 long.

    None where the arrays do not lie over each other.
    """
    rank = len(box)
    if len(source) < rank or len(target) < rank:
        return None
    found = []
    for n, m, span in zip(source[-rank:], target[-rank:], box, strict=True) if rank else ():
        if n != m and 1 not in (n, m):
            return None
        found.append(span if n == m else (0, n))
    return tuple(found)


def of_table(table: np.ndarray, span: Span) -> Span:
    """What a span of outputs reads.

    Parameters
    ----------
    table : numpy.ndarray of int, shape (outputs, taps)
        Which inputs each output reads.
    span : Span
        Outputs; those outside of the table read nothing.
    """
    rows = table[max(0, span[0]) : max(0, span[1])]
    return (int(rows.min()), int(rows.max()) + 1) if rows.size else (0, 0)


def to_table(table: np.ndarray, span: Span) -> Span:
    """Which outputs a span of inputs reaches; parameters as in `of_table`."""
    reached = np.flatnonzero(((table >= span[0]) & (table < span[1])).any(axis=1))
    return (int(reached[0]), int(reached[-1]) + 1) if reached.size else (0, 0)
