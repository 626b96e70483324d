"""Conservation: how much relevance there is, layer by layer on the way down.

A rule conserves relevance where what it sends below a block sums to what arrived:

    lost(block)  =  sum of R at its output  -  sum of R sent to its inputs
    total(after it)  =  R at the top  -  all that was lost so far

so the total is what all signals then on their way hold together, also where branches are open. LRP
loses what biases and eps take; gradients conserve nothing.

Source: Bach et al. 2015, equation 2; Zennit's and iNNvestigate's users meet it through biases,
batch norm and skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn import kernels
from minicnn.attribution.method import Target
from minicnn.attribution.relevance import Relevance
from minicnn.errors import InputError
from minicnn.rules import Rule
from minicnn.tape import Tape

__all__ = ["Conservation", "LayerBalance", "conservation", "conservation_of"]


@dataclass(frozen=True)
class LayerBalance:
    """One block on the way down.

    Parameters
    ----------
    name, kind : str
        The block that was reversed.
    arrived : float
        Sum of R at its output.
    sent : float
        Sum of R that it sent to its inputs.
    total : float
        Sum of R of all signals on their way after it.
    """

    name: str
    kind: str
    arrived: float
    sent: float
    total: float

    @property
    def lost(self) -> float:
        """What the block kept for itself: its bias's share, and eps's."""
        return self.arrived - self.sent


@dataclass(frozen=True)
class Conservation:
    """The way down under one rule.

    Parameters
    ----------
    rule : str
    at : str
        Where R entered.
    start : float
        Its sum there.
    layers : sequence of LayerBalance
        From the top down.
    """

    rule: str
    at: str
    start: float
    layers: Sequence[LayerBalance]

    @property
    def end(self) -> float:
        """Sum of R at the pixels."""
        return self.layers[-1].total if self.layers else self.start

    @property
    def kept(self) -> float:
        """The fraction of R that arrives."""
        return self.end / self.start if self.start else float("nan")

    def __repr__(self) -> str:
        return f"<Conservation of {self.rule}: {self.start:.4g} at {self.at}, {self.end:.4g} below>"

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [5])
        head = f"{'layer':<{width}}  {'block':<12} {'arrived':>12} {'sent':>12} {'lost':>12}"
        rows = [
            f"{r.name:<{width}}  {r.kind:<12} {r.arrived:12.5g} {r.sent:12.5g} {r.lost:12.3g}"
            for r in self.layers
        ]
        end = f"{self.rule}: {self.start:.5g} at {self.at}, {self.end:.5g} arrive"
        end += f" ({self.kept:.1%})" if self.start else ": the target is silent"
        return "\n".join([head, *rows, end])


def conservation(method: Relevance, x: np.ndarray, target: Target = None) -> Conservation:
    """What LRP or a relative keeps and loses on the way to the pixels of one photo.

    Parameters
    ----------
    method : Relevance
        Such as `LRP(net)`.
    x : numpy.ndarray, shape (1, C, H, W)
        One photo.
    target : int, str, tuple of int or None
        See `Attribution.attribute`.

    Returns
    -------
    Conservation

    Raises
    ------
    InputError
        If there are several photos.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.attribution.relevance import LRP
    >>> net = minicnn.load("mnist")
    >>> x = minicnn.data.photo("digit_7", net.preprocess)
    >>> found = conservation(LRP(net, "flat"), x)
    >>> print(f"{found.kept:.3f}")                     # no bias has a share
    1.000
    """
    if len(x) != 1:
        raise InputError(f"Conservation is reported photo by photo; got a batch of {len(x)}.")
    tape, top = method.recorded(x, target)
    return conservation_of(tape, top, method.rule, method.at)


def conservation_of(tape: Tape, top: np.ndarray, rule: Rule | str, at: str) -> Conservation:
    """The same for any tape, top signal and rule.

    Parameters
    ----------
    tape : Tape
        A recorded run.
    top : numpy.ndarray
        The signal at `at`, shaped like it.
    rule : Rule or str
        What stands in for the transposes.
    at : str
        Where the signal enters.
    """
    back = tape.reverse(at, rule)
    mirror = back.mirror
    assert mirror is not None
    (entry,) = back.inputs
    sums = {entry: float(top.sum(dtype=np.float64))}
    with kernels.evenly():
        for step in back.steps(top):
            sums[step.name] = float(step.value.sum(dtype=np.float64))
    start = total = sums[entry]
    layers = []
    for call in reversed(tape.calls):
        if call.name not in mirror.sent:
            continue
        arrived = sums[mirror.signals[str(call.output)]]
        sent = sum(sums[signal] for signal in mirror.sent[call.name])
        total -= arrived - sent
        layers.append(LayerBalance(call.name, call.block.kind, arrived, sent, total))
    return Conservation(getattr(rule, "name", str(rule)), at, start, layers)
