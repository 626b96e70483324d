"""How a layer shares out what arrives at it: the sum that all LRP rules but epsilon are made of.

A layer y = f(x, w) + b is linear in x and w. For products z = f(x', w') + b' with inputs and
weights of a rule's choice,

    R_x  =  sum over shares   weight  sum over products   x' f^T(R 1[where] / z, w')

z summed over the share's products and stabilised. All but R is at hand when the reversed network is
drawn; so the map is linear in R, and made of transposed layers and products with constants.

Source: see `lrp`; the same decomposition is Zennit's BasicHook (Anders et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from minicnn.blocks import Kept
from minicnn.calls import Call
from minicnn.kernels import as_array, on_gpu, read_only

__all__ = ["Layer", "Product", "Share", "Weights", "above", "below", "reciprocal"]

Part = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Product:
    """f(x, w) + b, of which relevance takes shares; x None stands for ones."""

    x: np.ndarray | None
    w: np.ndarray
    b: np.ndarray | None = None

    @property
    def is_zero(self) -> bool:
        """Whether nothing can come of it."""
        return self.b is None and self.x is not None and not bool(self.x.any())


@dataclass(frozen=True, eq=False)
class Share:
    """What the sum of some products shares out: `weight` R, at outputs where `where` holds."""

    products: Sequence[Product]
    weight: float = 1.0
    where: np.ndarray | None = None


class Layer:
    """A convolution or a product with weights, in a call: y = f(x, w) + b."""

    def __init__(self, call: Call) -> None:
        self.call = call

    @property
    def x(self) -> np.ndarray:
        """Its input."""
        return as_array(self.call.kept[0])

    @property
    def w(self) -> np.ndarray:
        """Its weights."""
        return as_array(self.call.kept[1])

    @property
    def b(self) -> np.ndarray | None:
        """Its bias, if it has one."""
        return as_array(self.call.kept[2]) if len(self.call.operands) > 2 else None

    def forward(self, product: Product) -> np.ndarray:
        """f(x, w) + b."""
        x = product.x
        if x is None:
            x = np.ones_like(product.w, shape=(1, *self.call.shape[1:]))
        operands = (x, product.w) if product.b is None else (x, product.w, product.b)
        return as_array(self.call.block(*operands))

    def back(self, product: Product, p: Any) -> Any:
        """x f^T(p, w)."""
        kept = Kept(None, self.call.kept.shapes, lambda index: product.w)
        q = self.call.block.transposed(kept, 0)(p)
        return q if product.x is None else q * product.x

    def shared(self, shares: Sequence[Share], eps: float) -> Callable[[Any], Any]:
        """The map R -> R_x; all but R is at hand, so denominators are computed here and now."""
        factors: list[tuple[np.ndarray, Sequence[Product]]] = []
        for share in shares:
            products = [p for p in share.products if not p.is_zero] or share.products[:1]
            z = reduce(np.add, [self.forward(product) for product in products])
            factor = reciprocal(z, eps) * z.dtype.type(share.weight)
            factor = factor if share.where is None else factor * share.where
            factors.append((read_only(factor), products))

        def down(p: Any) -> Any:
            parts = [self.back(v, p * factor) for factor, products in factors for v in products]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return total

        return down


class Weights:
    """Parts of weights, made once for as long as the weights are frozen."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, Part], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, w: np.ndarray, part: Part) -> np.ndarray:
        """part(w)."""
        key = (id(w), part)
        if key in self._made:
            return self._made[key][1]
        made = part(w)
        read_only(made)
        if on_gpu(w) or not w.flags.writeable:
            self._made[key] = (w, made)  # holding w keeps its id its own
        return made


def above(x: np.ndarray) -> np.ndarray:
    """max(x, 0)."""
    return np.maximum(x, x.dtype.type(0))


def below(x: np.ndarray) -> np.ndarray:
    """min(x, 0)."""
    return np.minimum(x, x.dtype.type(0))


def reciprocal(z: np.ndarray, eps: float) -> np.ndarray:
    """1 / (z + eps sign(z)), and 0 where z is 0: there is nothing to share.

    Zennit divides by eps there. What that gives is x' f^T(R / eps, w') where all products are 0: no
    more than 0, but for kernels whose rounding errors are as large as R / eps.

    Examples
    --------
    >>> reciprocal(np.array([1.0, -0.5, 0.0]), 0.5)
    array([ 0.66666667, -1. , 0. ])
    """
    d = z + np.sign(z) * z.dtype.type(eps)
    found = np.zeros_like(d)
    np.divide(1, d, out=found, where=np.abs(d) >= np.finfo(z.dtype).tiny)
    return found
