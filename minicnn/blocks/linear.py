"""Matrix products.

    MatMul   y = a b            p -> p b^T         p -> a^T p
    Linear   y = x w^T + b      p -> p w           p -> p^T x        p -> sum p

MatMul follows NumPy: leading axes broadcast, 1-D operands are row or column vectors. Linear takes
filters (out, in) as torch does, and any number of leading axes of x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.blocks.arithmetic import SumTo
from minicnn.blocks.base import Block, Kept, Shape, broadcast
from minicnn.errors import ShapeError

__all__ = ["Linear", "MatMul"]


@dataclass(frozen=True)
class MatMul(Block):
    """y = a b, the product of matrices or of stacks of matrices."""

    operand_names = ("a", "b")
    kinds = "iuf"

    def forward(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, None]:
        return kernels.matmul(a, b), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        full = tuple(_as_matrix(shape, i) for i, shape in enumerate(kept.shapes))
        lead = np.broadcast_shapes(full[0][:-2], full[1][:-2])
        matrix_out = (*lead, full[0][-2], full[1][-1])
        own = full[wrt]

        def back(p: Any) -> Any:
            p = p.reshape(matrix_out)
            other = kept[1 - wrt].reshape(full[1 - wrt]).swapaxes(-1, -2)
            q = MatMul()(p, other) if wrt == 0 else MatMul()(other, p)
            if lead != own[:-2]:
                q = SumTo(own)(q)
            return q.reshape(kept.shapes[wrt])

        return back

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return (1 - wrt,)

    def shape(self, *shapes: Shape) -> Shape:
        a, b = (_as_matrix(shape, i) for i, shape in enumerate(shapes))
        if a[-1] != b[-2]:
            raise ShapeError(f"Cannot multiply {shapes[0]} by {shapes[1]}: {a[-1]} != {b[-2]}.")
        lead = broadcast(self, a[:-2], b[:-2])
        rows = a[-2:-1] if len(shapes[0]) > 1 else ()
        columns = b[-1:] if len(shapes[1]) > 1 else ()
        return (*lead, *rows, *columns)

    def flops(self, *shapes: Shape) -> int:
        return 2 * prod(self.shape(*shapes)) * shapes[0][-1]


def _as_matrix(shape: Shape, place: int) -> Shape:
    """A vector is a row as the first factor and a column as the second."""
    if len(shape) == 0:
        raise ShapeError("A matrix product needs vectors or matrices, not a scalar.")
    if len(shape) > 1:
        return shape
    return (1, *shape) if place == 0 else (*shape, 1)


@dataclass(frozen=True)
class Linear(Block):
    """y = x w^T + b; operands input (..., in), weight (out, in), optional bias (out)."""

    operand_names = ("input", "weight", "bias")

    def forward(
        self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None
    ) -> tuple[np.ndarray, None]:
        return kernels.linear(x, w, b), None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        out, inside = kept.shapes[1]
        if wrt == 0:
            return lambda p: MatMul()(p, kept[1])
        if wrt == 1:
            return lambda p: MatMul()(
                p.reshape((-1, out)).swapaxes(0, 1), kept[0].reshape((-1, inside))
            )
        return lambda p: p.sum(axis=tuple(range(len(p.shape) - 1)))

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        return ((1,), (0,), ())[wrt]

    def shape(self, *shapes: Shape) -> Shape:
        x, w = shapes[:2]
        if not x or len(w) != 2 or x[-1] != w[1]:
            raise ShapeError(
                f"{self.kind} with weights of shape {w} needs {w[-1]} input features on the last "
                f"axis; it got an input of shape {x}. A network with fixed-size linear layers "
                f"needs images of the size that it was made for."
            )
        if len(shapes) > 2 and shapes[2] not in ((w[0],), (1,), ()):
            raise ShapeError(f"{self.kind} needs a bias of shape ({w[0]},); it got {shapes[2]}.")
        return (*x[:-1], w[0])

    def flops(self, *shapes: Shape) -> int:
        return 2 * prod(self.shape(*shapes)) * shapes[1][1]
