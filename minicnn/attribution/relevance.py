"""Relevance: attribution by a backward rule that reads the run, and LRP in particular.

    R at the output = the target's score (or 1)   ->   the rule, layer by layer   ->   R at pixels

`Relevance` takes any rule, `LRP` one of the composites. One forward run keeps what the rule reads;
then the reversed network is drawn and run, for a batch of photos at once.

Source: see `lrp` and `composites`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.attribution.composites import Composite, find_composite
from minicnn.attribution.gradients import RuleAttribution
from minicnn.attribution.method import Index, Target, one_hot, units
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.rules import Rule
from minicnn.tape import Tape

__all__ = ["LRP", "Relevance"]


class Relevance(RuleAttribution):
    """Attribution by a rule, from a target's score down.

    Parameters
    ----------
    network : Network
        With one input.
    rule : Rule or str
        What stands in for the transposes.
    at : str, optional
        The value whose unit is explained; by default the class scores before a softmax.
    start : {"value", "one"}
        What R is at the target: its score, or 1.

    Raises
    ------
    InputError
        If R is to start as something else.
    """

    def __init__(
        self, network: Network, rule: Rule | str, at: str | None = None, start: str = "value"
    ) -> None:
        super().__init__(network, rule, at)
        if start not in ("value", "one"):
            raise InputError(f"R starts as the score, 'value', or as 'one'; got start={start!r}.")
        self.start = start

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        top = one_hot(tape[self.at], indices, self.start)
        # R over a small z is large, and Winograd's rounding would spread it over a tile
        with kernels.evenly():
            signal: np.ndarray = tape.backward(top, self.rule, at=self.at)
        return signal

    def recorded(self, x: np.ndarray, target: Target = None) -> tuple[Tape, np.ndarray]:
        """A run that kept what the rule reads, and R at the top: to follow R on its way.

        Parameters
        ----------
        x : numpy.ndarray, shape (N, C, H, W)
            The network's input.
        target : int, str, tuple of int or None, or a list of these
            See `attribute`.

        Returns
        -------
        tape : Tape
        top : numpy.ndarray
            Like the scores. `tape.backward(top, m.rule, at=m.at, wrt=layer)` is R at a layer.
        """
        self.check(x)
        tape = self.part.record(x, rules=[self.rule])
        indices = units(self.network, self.at, tape[self.at], target)
        return tape, one_hot(tape[self.at], indices, self.start)


class LRP(Relevance):
    """Layer-wise relevance propagation.

    Batch norms are folded into the layers before them first; those left pass R on.

    Parameters
    ----------
    network : Network
        With one input.
    composite : str or Composite
        Which LRP rule goes where; see `composites`.
    at : str, optional
        The value whose unit is explained; by default the class scores before a softmax.
    start : {"value", "one"}
        What R is at the target: its score, or 1.
    eps, gamma : float, optional
        Settings of the composite's rules; see `lrp`.
    low, high : float or array, optional
        Bounds of pixels for z-box; by default those that the preprocessing gives.

    Raises
    ------
    UnknownNameError
        If there is no composite of this name.
    InputError
        If it lacks a setting, or z-box its bounds.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> r = LRP(net, "epsilon-plus", start="one").attribute(x, 7)
    >>> print(r.shape, round(float(r.sum()), 2))                   # biases took the rest
    (1, 1, 28, 28) 0.84
    """

    def __init__(
        self,
        network: Network,
        composite: str | Composite = "epsilon-plus",
        at: str | None = None,
        start: str = "value",
        *,
        eps: float | None = None,
        gamma: float | None = None,
        low: Any = None,
        high: Any = None,
    ) -> None:
        folded = network.fold_bn().apart()
        settings = {"eps": eps, "gamma": gamma, "low": low, "high": high}
        settings = {name: value for name, value in settings.items() if value is not None}
        if isinstance(composite, str):
            composite = find_composite(folded, composite, **settings)
        elif settings:
            raise InputError(
                f"Settings go with a composite's name; {composite.name} has its own already. Got "
                f"{', '.join(settings)}."
            )
        super().__init__(folded, composite.rule(folded), at, start)
        self.given = network
