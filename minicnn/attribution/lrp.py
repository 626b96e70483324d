"""LRP: rules that share a unit's relevance R out among its inputs, in proportion to their parts.

A layer y = f(x, w) + b is linear in x and w. An LRP rule says of which products z = f(x', w') + b',
with inputs and weights of its own, the shares are taken:

    R_x  =  sum over products   x' f^T(R / z, w')         z stabilised: z + eps sign(z)

so that, but for what goes to biases and eps, the sum of R is the same below as above.

    epsilon      z = y                                   (LRP-0 with eps = 0; any linear block)
    gamma        w' = w + gamma w+ where y > 0           (by its negative parts where y < 0)
    alpha-beta   alpha times the positive products (x+ w+ and x- w-), less beta times the others
    z-plus       alpha-beta(1, 0)
    z-box        x w - low w+ - high w-, for pixels between low and high
    w-square     x' = 1, w' = w^2                        flat   x' = 1, w' = 1

Each function here gives the entry of a rule's table (`rules.StandIn`): what stands in for a layer's
transpose. `composites` says which goes where.

Sources: Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise
relevance propagation", PLoS ONE 2015 (epsilon, alpha-beta); Montavon et al.,
"Explaining nonlinear classification decisions with deep Taylor decomposition", Pattern Recognition
2017 (z-plus, z-box, w-square); Montavon et al., "Layer-wise relevance propagation: an overview",
2019 (gamma); Lapuschkin et al. 2019 (flat). Biases, eps and negative inputs are treated as in
Zennit (Anders et al. 2021): positive parts of biases count among the positive products, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.attribution.sharing import Layer, Product, Share, Weights, above, below, reciprocal
from minicnn.blocks import OUTPUT, Identity
from minicnn.calls import Call, own_transpose
from minicnn.errors import InputError
from minicnn.rules import StandIn

__all__ = [
    "PASS",
    "alpha_beta",
    "epsilon",
    "flat",
    "gamma",
    "w_square",
    "z_box",
    "z_plus",
]

EPS = 1e-6  # as in Zennit

PASS = StandIn(lambda call: Identity(), needs_kept=False)
"""R as it is: for activations, which have one input a unit."""


def epsilon(eps: float = EPS) -> StandIn:
    """R_x = x f^T(R / (y + eps sign y)), for anything linear in each of its operands.

    With eps = 0 this is LRP-0; for averages and sums it is what Zennit calls Norm. The bias takes
    its share, which is lost.

    Parameters
    ----------
    eps : float
        0 or more. 1e-6 only stabilises; larger ones also remove noise.
    """
    _check_eps(eps)

    def make(call: Call) -> tuple[Callable[[Any], Any], ...]:
        factor = reciprocal(np.asarray(call.kept.output), eps)
        factor.flags.writeable = False

        def towards(i: int) -> Callable[[Any], Any]:
            return lambda p: own_transpose(call, i)(p * factor) * call.kept[i]

        return tuple(towards(i) for i in range(len(call.operands)))

    return StandIn(make, reads=(0, 1, OUTPUT))


def gamma(gamma: float = 0.25, eps: float = EPS) -> StandIn:
    """Shares of what is for the output's sign, with parts of that sign strengthened by gamma.

    Where y > 0 the products are x+ (w + gamma w+) and x- (w + gamma w-), where y < 0 those with w+
    and w- exchanged, so that inputs may be negative, too.

    Parameters
    ----------
    gamma : float
        0 (epsilon) or more; ever larger ones approach z-plus.
    eps : float
        Stabilises.
    """
    _check_eps(eps)
    if not 0 <= gamma < np.inf:
        raise InputError(f"LRP-gamma strengthens by 0 or more; got gamma={gamma}.")
    weights = Weights()

    def more(w: np.ndarray) -> np.ndarray:
        return w + w.dtype.type(gamma) * above(w)

    def less(w: np.ndarray) -> np.ndarray:
        return w + w.dtype.type(gamma) * below(w)

    def make(call: Call) -> Callable[[Any], Any]:
        layer = Layer(call)
        x, y = layer.x, np.asarray(call.kept.output)
        up, down = weights(layer.w, more), weights(layer.w, less)
        b_up, b_down = (None, None) if layer.b is None else (more(layer.b), less(layer.b))
        return layer.shared(
            [
                Share([Product(above(x), up, b_up), Product(below(x), down)], 1.0, y > 0),
                Share([Product(above(x), down, b_down), Product(below(x), up)], 1.0, y < 0),
            ],
            eps,
        )

    return StandIn(make, reads=(0, OUTPUT))


def alpha_beta(
    alpha: float = 2.0, beta: float = 1.0, eps: float = EPS, bias: bool = True
) -> StandIn:
    """alpha times the shares of positive products, less beta times those of negative ones.

    Parameters
    ----------
    alpha, beta : float
        0 or more, alpha - beta = 1.
    eps : float
        Stabilises.
    bias : bool
        Whether positive biases count among the positive products and negative ones among the
        negative; else they take nothing, and the sum of R is kept.

    Raises
    ------
    InputError
        If alpha - beta is not 1, or one is negative.
    """
    _check_eps(eps)
    if not (min(alpha, beta) >= 0 and abs(alpha - beta - 1) <= 1e-9):
        raise InputError(
            f"LRP-alpha-beta keeps the sum of relevance where alpha - beta = 1, both 0 or more; "
            f"got alpha={alpha}, beta={beta}. Usual are 1, 0 and 2, 1."
        )
    weights = Weights()

    def make(call: Call) -> Callable[[Any], Any]:
        layer = Layer(call)
        x, plus, minus = layer.x, weights(layer.w, above), weights(layer.w, below)
        b = layer.b if bias else None
        b_plus, b_minus = (None, None) if b is None else (above(b), below(b))
        helps = Share([Product(above(x), plus, b_plus), Product(below(x), minus)], alpha)
        hinders = Share([Product(above(x), minus, b_minus), Product(below(x), plus)], -beta)
        return layer.shared([helps, hinders] if beta else [helps], eps)

    return StandIn(make, reads=(0,))


def z_plus(eps: float = EPS, bias: bool = True) -> StandIn:
    """Shares of the positive products alone: alpha-beta(1, 0)."""
    return alpha_beta(1.0, 0.0, eps, bias)


def z_box(low: Any, high: Any, eps: float = EPS) -> StandIn:
    """For a layer that sees pixels between low and high: shares of x w - low w+ - high w-.

    Parameters
    ----------
    low, high : float or array
        Bounds that broadcast to the layer's input, such as (1, C, 1, 1); see
        `composites.pixel_bounds`.
    eps : float
        Stabilises.
    """
    _check_eps(eps)
    if not np.all(np.asarray(low) <= np.asarray(high)):
        raise InputError("z-box: low is the smallest value a pixel can take, high the largest.")
    weights = Weights()

    def make(call: Call) -> Callable[[Any], Any]:
        layer = Layer(call)
        x, w = layer.x, layer.w

        def all_at(bound: Any) -> np.ndarray:
            try:
                return np.array(np.broadcast_to(-np.asarray(bound, x.dtype), (1, *x.shape[1:])))
            except ValueError:
                raise InputError(
                    f"z-box at {call.name}: bounds of shape {np.shape(bound)} do not broadcast to "
                    f"its input {x.shape}. Give one a channel, (1, {x.shape[1]}, 1, 1), or numbers."
                ) from None

        products = [
            Product(x, w),
            Product(all_at(low), weights(w, above)),
            Product(all_at(high), weights(w, below)),
        ]
        return layer.shared([Share(products)], eps)

    return StandIn(make, reads=(0,))


def w_square(eps: float = EPS) -> StandIn:
    """Shares by squared weights, whatever the input; the squared bias takes its own."""
    _check_eps(eps)
    weights = Weights()

    def make(call: Call) -> Callable[[Any], Any]:
        layer = Layer(call)
        b = None if layer.b is None else np.square(layer.b)
        return layer.shared([Share([Product(None, weights(layer.w, np.square), b)])], eps)

    return StandIn(make)


def flat(eps: float = EPS) -> StandIn:
    """Equal shares for all that a unit reads, whatever input and weights."""
    _check_eps(eps)
    weights = Weights()

    def make(call: Call) -> Callable[[Any], Any]:
        layer = Layer(call)
        return layer.shared([Share([Product(None, weights(layer.w, np.ones_like))])], eps)

    return StandIn(make)


def _check_eps(eps: float) -> None:
    if not eps >= 0:
        raise InputError(f"LRP stabilises by eps of 0 or more; got {eps}.")
