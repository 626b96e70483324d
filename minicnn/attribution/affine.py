"""The affine beginning of a network: all up to its first nonlinearity.

    score = tail(head(x)),      head(x) = A x + b

A sum of gradients at many points then needs the head's transpose only once, since A is the same
everywhere, and a straight path between two photos is a straight path between their heads' outputs:

    sum_k w_k dS/dx(x_k) = A^T sum_k w_k dS/dh(h_k),     head((1-a) x' + a x) = (1-a) h' + a h

which is exact and leaves the largest convolution of many networks out of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.errors import InputError
from minicnn.graph import Node
from minicnn.network import Network
from minicnn.rules import Rule

__all__ = ["Split", "affine_values", "split"]


@dataclass(frozen=True, eq=False)
class Split:
    """A network as tail(head(x)) with an affine head.

    Parameters
    ----------
    head : Network or None
        None where nothing before the first nonlinearity can be split off.
    tail : Network
        The rest.
    at : str
        The value between them: the tail's input.
    """

    head: Network | None
    tail: Network
    at: str

    def enter(self, x: np.ndarray) -> np.ndarray:
        """The head's output for inputs (N, C, H, W)."""
        return x if self.head is None else self.head.values({self._input: x}, [self.at])[self.at]

    def leave(self, signal: np.ndarray, x: np.ndarray, rule: Rule) -> np.ndarray:
        """What a signal at the head's output becomes at inputs shaped like x."""
        if self.head is None:
            return signal
        back: np.ndarray = self.head.record(x, rules=[rule]).backward(signal, rule)
        return back

    @property
    def _input(self) -> str:
        assert self.head is not None
        return next(iter(self.head.inputs))


def affine_values(network: Network) -> list[str]:
    """The values that are affine functions of the input, in running order."""
    affine = dict.fromkeys(network.inputs)
    for node in network.nodes:
        below = [operand for operand in node.operands if operand not in network.arrays]
        if below and all(operand in affine for operand in below) and _is_affine(network, node):
            affine[node.name] = None
    return [name for name in affine if name not in network.inputs]


def _is_affine(network: Network, node: Node) -> bool:
    """Whether its transposes are the same for every input, and so its map is affine."""
    block = node.block
    jumps = any(node.operands[i] not in network.arrays for i in block.blind)
    kept = block.statistic or network.read_by_transposes([node])
    return not (block.nonlinear or jumps or kept)


def split(network: Network, at: str, rule: Rule) -> Split:
    """A network up to `at`, split where its affine beginning ends.

    Parameters
    ----------
    network : Network
        With one input.
    at : str
        The tail's output.
    rule : Rule
        The backward rule that the two will be reversed by: only for the lettered family, whose
        tables leave affine blocks alone, is there a head.

    Returns
    -------
    Split
        At the last affine value that the rest depends on alone.
    """
    (start,) = network.inputs
    for name in reversed(affine_values(network) if rule.structural else []):
        if name == at:
            continue
        try:
            tail = network.cut(name, at)
        except InputError:  # the rest reads other values too
            continue
        if list(tail.inputs) == [name]:
            return Split(network.cut(start, name), tail, name)
    return Split(None, network.cut(start, at), start)
