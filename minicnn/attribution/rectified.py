"""Rectified gradient: at each ReLU only what contributes most goes on.

For the signal p that arrives at a ReLU with output a,

    RectGrad    p 1[a p > tau],       tau the q-th percentile of a p in this layer of this image

and the picture is x times what arrives at the input. With q = 0 little but the smallest is cut,
with q = 98, the authors' default, two units in a hundred stay.

Source: Kim et al., "Why are Saliency Maps Noisy? Cause of and Solution to Noisy Saliency Maps",
2019. The authors' code also zeroes the outermost pixels of signals below padded
convolutions of its own networks, which is in no equation and is left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.attribution.gradients import RuleAttribution
from minicnn.attribution.method import Index
from minicnn.blocks import OUTPUT, RankGate
from minicnn.calls import Call
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.rules import Rule, StandIn, is_rectifier
from minicnn.tape import Tape

__all__ = ["RectGrad", "rectified"]


def rectified(percentile: float = 98.0) -> Rule:
    """The rule: a gate by rank stands in for each ReLU, all else is transposed.

    Examples
    --------
    >>> rectified(90)
    <Rule RectGrad 90: p·1[a·p>tau] at a ReLU>
    """
    if not 0 <= percentile <= 100:
        raise InputError(f"RectGrad's percentile is 0 to 100; got {percentile}.")
    gate = RankGate(float(percentile))

    def make(call: Call) -> Callable[[Any], Any]:
        return lambda p: gate(p, call.kept.output)

    stand_in = StandIn(make, needs_kept=False, reads=(OUTPUT,))
    return Rule(f"RectGrad {percentile:g}", {is_rectifier: stand_in}, "p·1[a·p>tau]")


class RectGrad(RuleAttribution):
    """Input times rectified gradient.

    Parameters
    ----------
    network : Network
        With one input.
    percentile : float
        q: how much of each layer is cut, 0 to 100.
    at : str, optional
        The value whose unit is explained; by default the class scores before a softmax.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> RectGrad(net, percentile=90).attribute(x, target=7).shape
    (1, 1, 28, 28)
    """

    def __init__(self, network: Network, percentile: float = 98.0, at: str | None = None) -> None:
        super().__init__(network, rectified(percentile), at)

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        (x,) = tape.inputs.values()
        return x * super().read(tape, indices)
