"""Composites: which LRP rule goes where in a network, as one table.

    name                     layers that see the image    convolutions    linear layers
    epsilon                  epsilon                      epsilon         epsilon
    gamma, alpha2-beta1,     the same for all
    z-plus, flat, w-square
    z-box                    z-box                        z-plus          z-plus
    epsilon-plus             z-plus                       z-plus          epsilon
    epsilon-plus-flat        flat                         z-plus          epsilon
    epsilon-alpha2-beta1     alpha2-beta1                 alpha2-beta1    epsilon
    epsilon-alpha2-beta1-flat  flat                       alpha2-beta1    epsilon
    epsilon-gamma-box        z-box (convolutions)         gamma           epsilon

Everywhere else: activations, LRN and batch norm pass R on as it is; max-pooling sends it to the
winner; what only moves numbers moves R; sums, averages and other linear blocks share it by epsilon.
A block for which none of this makes sense (a softmax, a product of two signals) is an error.

Sources: Zennit's composites of the same names (Anders et al. 2021); z-box is the deep Taylor
decomposition of Montavon et al. 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.attribution import lrp
from minicnn.calls import Call
from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.network import Network
from minicnn.preprocess import Preprocess
from minicnn.rules import Rule, StandIn

__all__ = ["Composite", "composite_names", "find_composite", "pixel_bounds"]

CONVOLUTIONS = (B.Conv, B.ConvTranspose)
LAYERS = (*CONVOLUTIONS, B.Linear, B.MatMul)
ACTIVATIONS = (
    B.BatchNorm, B.Celu, B.Clip, B.Dropout, B.Elu, B.Gelu, B.HardSigmoid, B.HardSwish, B.LRN,
    B.LeakyReLU, B.Mish, B.PReLU, B.ReLU, B.Selu, B.Sigmoid, B.Softplus, B.Softsign, B.Swish,
    B.Tanh, B.ThresholdedReLU,
)  # fmt: skip
MOVING = (
    B.Concat, B.DepthToSpace, B.Flatten, B.Identity, B.MaxPool, B.Pad, B.Reshape, B.Slice,
    B.SpaceToDepth, B.Squeeze, B.Take, B.Transpose, B.Unsqueeze,
)  # fmt: skip


@dataclass(frozen=True)
class Composite:
    """Rules for the layers of any network, by kind and by whether they see the image.

    Parameters
    ----------
    name : str
        For titles.
    convolution, linear : StandIn
        For convolutions (also transposed ones), and for products with weights; see `lrp`.
    first_convolution, first_linear : StandIn, optional
        For those with no such layer between them and the input; by default like the others.
    rest : StandIn
        For sums, averages and whatever else is linear.
    """

    name: str
    convolution: StandIn
    linear: StandIn
    first_convolution: StandIn | None = None
    first_linear: StandIn | None = None
    rest: StandIn = field(default_factory=lrp.epsilon)

    def rule(self, network: Network) -> Rule:
        """The rule that it is for a network."""
        first, others = _layers(network)
        arrays = network.arrays
        entries: list[tuple[Callable[[Call], bool], StandIn]] = [
            (partial(_is, first, CONVOLUTIONS), self.first_convolution or self.convolution),
            (partial(_is, first, LAYERS), self.first_linear or self.linear),
            (partial(_is, others, CONVOLUTIONS), self.convolution),
            (partial(_is, others, LAYERS), self.linear),
            (lambda call: isinstance(call.block, ACTIVATIONS), lrp.PASS),
            (lambda call: _mixes(call, arrays), self.rest),
        ]
        return Rule(f"LRP {self.name}", dict(entries), "R", unmatched="raise")


def composite_names() -> list[str]:
    """The names that `find_composite` knows."""
    return list(_COMPOSITES)


def find_composite(network: Network, name: str = "epsilon-plus", **settings: Any) -> Composite:
    """A composite by name.

    Parameters
    ----------
    network : Network
        For the bounds of its pixels, where z-box needs them.
    name : str
        See `composite_names()`.
    **settings : float or array
        `eps` of the epsilon rule (a composite's other rules stabilise by no more than 1e-6), and
        where they occur `gamma`, `low` and `high`.

    Raises
    ------
    UnknownNameError
        If there is no composite of this name.
    InputError
        If it has no such setting, or z-box does not know the bounds.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> find_composite(net, "epsilon-gamma-box", gamma=0.5).rule(net)
    <Rule LRP epsilon-gamma-box: R at a ReLU>
    """
    key = name.strip().lower().replace("_", "-").removeprefix("lrp-")
    if key not in _COMPOSITES:
        raise UnknownNameError(
            f"There is no LRP composite {name!r}. {nearest(key, _COMPOSITES)} Or make your own "
            f"with Composite('mine', convolution, linear)."
        )
    make, allowed = _COMPOSITES[key]
    unknown = [setting for setting in settings if setting not in allowed]
    if unknown:
        raise InputError(
            f"LRP {key} has no setting {', '.join(unknown)}; it has {', '.join(allowed)}."
        )
    if "low" in allowed and not {"low", "high"} <= settings.keys():
        settings = {**dict(zip(("low", "high"), _bounds_of(network), strict=True)), **settings}
    return make(key, **settings)


def pixel_bounds(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """What a black and a white pixel become, a channel each: z-box's low and high.

    Returns
    -------
    low, high : numpy.ndarray of float64, shape (1, C, 1, 1)
        (0 - mean) / std and (scale - mean) / std, channels first as convolutions read them.
    """
    mean, std = (
        np.array(v, np.float64).reshape(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std)
    )
    return -mean / std, (preprocess.scale - mean) / std


def _bounds_of(network: Network) -> tuple[np.ndarray, np.ndarray]:
    if network.preprocess is None:
        raise InputError(
            f"LRP's z-box needs the smallest and largest value of a pixel, and {network.name} does "
            f"not say how photos are preprocessed: give low= and high=, or load(..., preprocess=)."
        )
    return pixel_bounds(network.preprocess)


def _alike(name: str, make: Callable[..., StandIn], eps: float = lrp.EPS, **more: Any) -> Composite:
    """One rule for all layers."""
    layer = make(eps=eps, **more)
    return Composite(name, layer, layer, rest=_rest(eps))


def _mixed(
    name: str,
    convolution: Callable[..., StandIn],
    first: Callable[..., StandIn] | None = None,
    eps: float = lrp.EPS,
) -> Composite:
    """Epsilon for linear layers, another rule for convolutions, perhaps a third at the image."""
    small = min(eps, lrp.EPS)
    at_image = first(eps=small) if first else None
    layers = (convolution(eps=small), lrp.epsilon(eps))
    return Composite(name, *layers, at_image, at_image, rest=_rest(eps))


def _gamma_box(
    name: str, low: Any, high: Any, gamma: float = 0.25, eps: float = lrp.EPS
) -> Composite:
    small = min(eps, lrp.EPS)
    layers = (lrp.gamma(gamma, small), lrp.epsilon(eps), lrp.z_box(low, high, small))
    return Composite(name, *layers, rest=_rest(eps))


def _deep_taylor(name: str, low: Any, high: Any, eps: float = lrp.EPS) -> Composite:
    layer = lrp.z_plus(eps)
    return Composite(name, layer, layer, lrp.z_box(low, high, eps), rest=_rest(eps))


def _rest(eps: float) -> StandIn:
    """Sums and averages are stabilised, never damped, as in Zennit."""
    return lrp.epsilon(min(eps, lrp.EPS))


_two_one = partial(lrp.alpha_beta, 2.0, 1.0)

_COMPOSITES: dict[str, tuple[Callable[..., Composite], tuple[str, ...]]] = {
    # name: how it is made, and its settings
    "epsilon": (partial(_alike, make=lrp.epsilon), ("eps",)),
    "gamma": (partial(_alike, make=lrp.gamma), ("gamma", "eps")),
    "alpha2-beta1": (partial(_alike, make=_two_one), ("eps",)),
    "z-plus": (partial(_alike, make=lrp.z_plus), ("eps",)),
    "z-box": (_deep_taylor, ("low", "high", "eps")),
    "w-square": (partial(_alike, make=lrp.w_square), ("eps",)),
    "flat": (partial(_alike, make=lrp.flat), ("eps",)),
    "epsilon-plus": (partial(_mixed, convolution=lrp.z_plus), ("eps",)),
    "epsilon-plus-flat": (partial(_mixed, convolution=lrp.z_plus, first=lrp.flat), ("eps",)),
    "epsilon-alpha2-beta1": (partial(_mixed, convolution=_two_one), ("eps",)),
    "epsilon-alpha2-beta1-flat": (partial(_mixed, convolution=_two_one, first=lrp.flat), ("eps",)),
    "epsilon-gamma-box": (_gamma_box, ("low", "high", "gamma", "eps")),
}


def _layers(network: Network) -> tuple[set[str], set[str]]:
    """Layers with weights: those with no other between them and the input, and the others."""
    first, others, after = set[str](), set[str](), set[str]()
    for node in network.nodes:
        above = any(operand in after for operand in node.operands)
        weighted = isinstance(node.block, LAYERS) and (
            node.operands[0] not in network.arrays and node.operands[1] in network.arrays
        )
        if weighted:
            (others if above else first).add(node.name)
        if weighted or above:
            after.add(node.name)
    return first, others


def _is(names: Collection[str], kinds: tuple[type[B.Block], ...], call: Call) -> bool:
    return call.name in names and isinstance(call.block, kinds)


def _mixes(call: Call, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a block is linear in what is no constant, and does more than move it."""
    if call.block.nonlinear or isinstance(call.block, MOVING):
        return False
    signals = {
        wrt
        for wrt, operand in enumerate(call.operands)
        if operand not in arrays and wrt not in call.block.blind
    }
    reads = {i for wrt in signals for i in call.block.uses(wrt)}
    return not any(i == B.OUTPUT or i in signals for i in reads)
