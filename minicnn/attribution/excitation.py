"""Excitation backprop: the chance that a winner's winner is this unit.

A unit a_j is won by its excitatory inputs, in proportion to what they add to it,

    P(a_i | a_j)  =  a_i w+_ij / sum_i a_i w+_ij

so a signal of 1 at a target comes down as a probability over the units of each layer, and over
pixels. It is the z-plus rule without bias, started at 1: the sum stays 1 but for units that nothing
excites, only their bias. Negative inputs, which only an image has, excite through negative weights,
as in Zennit (whose composite lets positive biases take their share, which the paper does not).

Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016.
The authors show maps of a layer in the middle rather than of pixels:
`tape.backward(top, m.rule, at=m.at, wrt=layer)` with `tape, top = m.recorded(x, target)`.
"""

from __future__ import annotations

from dataclasses import replace

from minicnn.attribution.composites import Composite
from minicnn.attribution.lrp import z_plus
from minicnn.attribution.relevance import Relevance
from minicnn.network import Network

__all__ = ["ExcitationBackprop"]


class ExcitationBackprop(Relevance):
    """Excitation backprop, from 1 at the target down to pixels.

    Parameters
    ----------
    network : Network
        With one input.
    at : str, optional
        The value whose unit is explained; by default the class scores before a softmax.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> r = ExcitationBackprop(net).attribute(x, target=7)
    >>> print(bool((r >= 0).all()), round(float(r.sum()), 2))
    True 0.95
    """

    name = "excitation backprop"

    def __init__(self, network: Network, at: str | None = None) -> None:
        folded = network.fold_bn().apart()
        layer = z_plus(bias=False)
        rule = Composite("of excitation", layer, layer).rule(folded)
        super().__init__(folded, replace(rule, name=self.name), at, start="one")
        self.given = network
