"""Operators that turn expressions into blocks: what tensors and symbols have in common.

`a * b` applies `Multiply`, `x.sum(axis)` applies `Sum`, and so on, with the names NumPy arrays have
for the same things; so a transpose written as an expression runs on arrays, tensors and symbols.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.blocks.arithmetic import Add, Divide, Multiply, Power, Scale, Subtract
from minicnn.blocks.base import Operand
from minicnn.blocks.linear import MatMul
from minicnn.blocks.reduce import Mean, Sum
from minicnn.blocks.shape import Flatten, Reshape, Slice, Squeeze, Take, Transpose
from minicnn.errors import InputError

__all__ = ["Expression"]

ELSEWHERE = {  # names of torch's tensors, and what stands for them
    "view": "x.reshape(...)",
    "permute": "x.transpose(...)",
    "numel": "x.size",
    "argmax": "x.numpy().argmax(...)",
    "cuda": 'x.to("cuda")',
    "cpu": 'x.to("cpu")',
    "zero_grad": "x.grad = None",
}

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis) -> tuple[int, ...] | None:
    if axis is None or isinstance(axis, tuple):
        return axis
    return (int(axis),)


class Expression(Operand):
    """An operand with arithmetic."""

    def __add__(self, other: Any) -> Any:
        return Add()(self, other)

    def __radd__(self, other: Any) -> Any:
        return Add()(other, self)

    def __sub__(self, other: Any) -> Any:
        return Subtract()(self, other)

    def __rsub__(self, other: Any) -> Any:
        return Subtract()(other, self)

    def __mul__(self, other: Any) -> Any:
        return Multiply()(self, other)

    def __rmul__(self, other: Any) -> Any:
        return Multiply()(other, self)

    def __truediv__(self, other: Any) -> Any:
        return Divide()(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return Divide()(other, self)

    def __neg__(self) -> Any:
        return Scale(-1.0)(self)

    def __pow__(self, exponent: float) -> Any:
        return Power(float(exponent))(self)

    def __matmul__(self, other: Any) -> Any:
        return MatMul()(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return MatMul()(other, self)

    if not TYPE_CHECKING:  # else no misspelt name would be found

        def __getattr__(self, name: str) -> Any:
            """Say what stands for a name that is not here."""
            kind = type(self).__name__
            if name.startswith("_"):
                raise AttributeError(
                    f"{kind!r} object has no attribute {name!r}", name=name, obj=self
                )
            told = f" Write {ELSEWHERE[name]}." if name in ELSEWHERE else ""
            if not told and name in getattr(sys.modules.get("minicnn.functional"), "__all__", ()):
                told = f" Write minicnn.functional.{name}(x, ...)."
            raise AttributeError(f"A {kind} has no {name!r}.{told}", name=name, obj=self)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    @property
    def T(self) -> Any:
        """All axes reversed."""
        return self.transpose()

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """Sum over axes (all by default)."""
        return Sum(_axes(axis), keepdims)(self)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """Mean over axes (all by default)."""
        return Mean(_axes(axis), keepdims)(self)

    def reshape(self, *shape: Any) -> Any:
        """The same values in another shape; one -1 is inferred."""
        target = shape[0] if len(shape) == 1 and np.ndim(shape[0]) else shape
        return Reshape(tuple(int(n) for n in target))(self)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        """Axes start_dim .. end_dim made one."""
        return Flatten(start_dim, end_dim)(self)

    def transpose(self, *axes: Any) -> Any:
        """Axes permuted; reversed without arguments."""
        order = axes[0] if len(axes) == 1 and np.ndim(axes[0]) else axes
        return Transpose(tuple(order) if order else tuple(range(self.ndim))[::-1])(self)

    def swapaxes(self, a: int, b: int) -> Any:
        """Two axes exchanged."""
        order = list(range(self.ndim))
        order[a], order[b] = order[b], order[a]
        return Transpose(tuple(order))(self)

    def __getitem__(self, index: Any) -> Any:
        """x[i, 2:5, ...]: integers, slices and one ellipsis, or one array of integers."""
        if isinstance(index, (list, np.ndarray)):
            indices = np.asarray(index)
            if indices.dtype.kind not in "iu":
                raise InputError(f"An index array holds integers; got {indices.dtype}.")
            return Take(indices)(self)
        items = list(index) if isinstance(index, tuple) else [index]
        places = [i for i, item in enumerate(items) if item is Ellipsis]
        if places:
            place = places[0]
            items[place : place + 1] = [slice(None)] * (self.ndim - len(items) + 1)
        slices, dropped = [], []
        for axis, item in enumerate(items):
            if isinstance(item, slice):
                slices.append(item)
            elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
                if axis < self.ndim and not -self.shape[axis] <= item < self.shape[axis]:
                    raise IndexError(f"index {item} on axis {axis} of a tensor {self.shape}")
                slices.append(slice(int(item), int(item) + 1 or None))
                dropped.append(axis)
            else:
                raise InputError(
                    f"Cannot index a tensor with {item!r}: give integers, slices or one array."
                )
        y = Slice(tuple(slices))(self)
        return Squeeze(tuple(dropped))(y) if dropped else y
