"""A loaded network as a module: its features recycled, or trained on.

    features = nn.Pretrained(minicnn.load("squeezenet1.1").cut(outputs="pool10"), frozen=True)
    model = nn.Sequential(features, nn.Flatten(), nn.Linear(1000, 10))

The network's arrays are copied. Its batch norms stay in evaluation: their statistics are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.network import Network
from minicnn.nn.module import Module
from minicnn.tensor import Tensor

__all__ = ["Pretrained"]


class Pretrained(Module):
    """A network of one input and one output as a module with parameters of its own.

    Parameters
    ----------
    graph : Network
        Loaded, traced or cut.
    frozen : bool or sequence of str
        Parameters that do not learn: all, none, or those whose names begin so.

    Raises
    ------
    InputError
        If the network has several inputs or outputs.
    UnknownNameError
        If no parameter's name begins as said.
    """

    def __init__(self, graph: Network, frozen: bool | Sequence[str] = False) -> None:
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise InputError(
                f"{graph.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; a "
                f"module takes one and gives one. Cut it first."
            )
        arrays = {name: np.array(array) for name, array in graph.arrays.items()}
        self.graph = graph.derived(arrays=arrays)
        own = self.graph.parameter_names()
        starts = tuple(own if frozen is True else () if frozen is False else frozen)
        for start in starts:
            if not any(name.startswith(start) for name in own):
                raise UnknownNameError(f"No parameter begins with {start!r}. {nearest(start, own)}")
        self._values: dict[str, Any] = {
            **arrays,
            **{n: Tensor(arrays[n], requires_grad=not n.startswith(starts)) for n in own},
        }

    def forward(self, x: Any) -> Any:
        values: dict[str, Any] = {next(iter(self.graph.inputs)): x, **self._values}
        for node in self.graph.nodes:
            values[node.name] = node.block(*[values[name] for name in node.operands])
        return values[self.graph.outputs[0]]

    def own(self, kind: type) -> dict[str, Any]:
        constants = self.graph.constants
        return {
            name: value
            for name, value in self._values.items()
            if isinstance(value, kind) and name not in constants
        }

    def requires_grad(self, mode: bool = True) -> Self:
        for name, tensor in self.own(Tensor).items():
            self._values[name] = Tensor(tensor.data, requires_grad=mode)
        return self
