"""Attributions by one way back: the gradient, and what other backward rules make of it.

For the score S of a unit (a class before softmax) and a photo x,

    Saliency                dS/dx                       (usually shown as its largest |.| over RGB)
    GradientTimesInput      x dS/dx
    RuleAttribution         what S becomes at the input under any backward rule

and by name GuidedBackprop (ReLU: max(p 1[x > 0], 0), all else transposed), DeConvNet, DeSaliNet.
Each is one recorded run and one run of the reversed network.

Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013; Shrikumar et
al., "Not just a black box", 2016; Springenberg et al., "Striving for simplicity", 2015; Zeiler and
Fergus 2014; Mahendran and Vedaldi, ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minicnn import rules as rulebook
from minicnn.attribution.method import (
    Attribution,
    Index,
    Target,
    chunks,
    one_hot,
    one_target_each,
    units,
)
from minicnn.network import Network
from minicnn.rules import Rule
from minicnn.tape import Tape

__all__ = [
    "DeConvNet",
    "DeSaliNet",
    "GradientTimesInput",
    "GuidedBackprop",
    "RuleAttribution",
    "Saliency",
    "TapeAttribution",
]


class TapeAttribution(Attribution):
    """A method that reads all that it needs off one recorded run.

    Attributes
    ----------
    keep : sequence of str
        Values that it reads.
    """

    keep: Sequence[str] = ()

    def recorded_for(self) -> Sequence[Rule]:
        """The rules that will be asked of the tape."""
        raise NotImplementedError

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        """The attribution of a recorded batch, shaped like its input.

        Parameters
        ----------
        tape : Tape
            Of N images, recorded for the rules above.
        indices : sequence of tuple of int
            The unit explained in each.
        """
        raise NotImplementedError

    def attribute(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        self.check(x)
        targets, found = one_target_each(target, len(x)), []
        parts = chunks(self.part, x.shape)
        for rows in self.track(parts, self.title, len(parts)):
            tape = self.part.record(x[rows], rules=self.recorded_for(), keep=self.keep)
            indices = units(self.network, self.at, tape[self.at], targets[rows])
            found.append(self.read(tape, indices))
        return np.concatenate(found)


class RuleAttribution(TapeAttribution):
    """What a unit's score becomes at the input under a backward rule.

    Parameters
    ----------
    network : Network
        With one input.
    rule : Rule or str
        A rule, its name, or a letter code.
    at : str, optional
        The value whose unit is explained; by default the class scores.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> RuleAttribution(net, "FTT").attribute(x, target=7).shape
    (1, 1, 28, 28)
    """

    reduction: ClassVar[str] = "sum"

    def __init__(self, network: Network, rule: Rule | str = "salinet", at: str | None = None):
        super().__init__(network, at)
        self.rule = rulebook.find(rule)

    @property
    def title(self) -> str:
        return self.name or self.rule.name

    def recorded_for(self) -> Sequence[Rule]:
        return [self.rule]

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        p = one_hot(tape[self.at], indices)
        signal: np.ndarray = tape.backward(p, self.rule, at=self.at)
        return signal


class Saliency(RuleAttribution):
    """The gradient of a unit's score, raw and signed; or the signal of another rule.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> Saliency(net).attribute(x, target=7).shape
    (1, 1, 28, 28)
    """

    name: ClassVar[str] = "saliency"
    reduction: ClassVar[str] = "max_abs"


class GradientTimesInput(RuleAttribution):
    """The gradient times the input: where no layer has a bias, it sums to the score."""

    name: ClassVar[str] = "gradient x input"

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        (x,) = tape.inputs.values()
        return x * super().read(tape, indices)


class GuidedBackprop(RuleAttribution):
    """ReLUs pass what is positive on both ways, max(p 1[x > 0], 0); all else is the gradient.

    Without LRN this is DeSaliNet, which skips LRN on the way back.
    """

    name: ClassVar[str] = "guided backprop"

    def __init__(self, network: Network, at: str | None = None) -> None:
        super().__init__(network, "TTTF", at)


class DeConvNet(RuleAttribution):
    """ReLUs pass what is positive on the way back, max(p, 0), whatever they did forward."""

    name: ClassVar[str] = "DeConvNet"

    def __init__(self, network: Network, at: str | None = None) -> None:
        super().__init__(network, "deconvnet", at)


class DeSaliNet(RuleAttribution):
    """ReLUs pass what is positive on both ways, LRN passes all."""

    name: ClassVar[str] = "DeSaliNet"

    def __init__(self, network: Network, at: str | None = None) -> None:
        super().__init__(network, "desalinet", at)
