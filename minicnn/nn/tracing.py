"""Tracing: from a model of plain Python to a graph of named blocks.

The model runs once on a symbol instead of a tensor; every block it calls becomes a node, named
after the module that called it: a layer's node "conv1", a sum within a block "stage1.0/Add".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.blocks import Softmax
from minicnn.graph import Builder, Symbol
from minicnn.kernels.devices import to_host
from minicnn.network import Network
from minicnn.nn.module import Module, around, evaluating
from minicnn.tensor import Tensor

__all__ = ["trace"]


def trace(
    model: Module, shape: Sequence[int], name: str, softmax: bool, facts: Mapping[str, Any]
) -> Network:
    """The model in evaluation as a frozen network; see `Module.network`."""
    arrays = {key: np.array(to_host(array)) for key, array in model.state_dict().items()}
    own = {id(array): arrays[key] for key, array in model.state_dict().items()}
    paths = {id(module): path for path, module in model.named_modules()}
    dtype = next((array.dtype for array in arrays.values()), np.dtype(np.float32))
    builder = _Tracer(dtype, arrays, own)
    x = builder.symbol("image", (1, *shape))

    def call(module: Module, inputs: tuple[Any, ...]) -> Any:
        path = paths.get(id(module), "")
        with builder.within(path or "value"):
            if module.children() or not path or not isinstance(inputs[0], Symbol):
                return module.forward(*inputs)
            return builder.named(path, lambda p: module.forward(p, *inputs[1:]), inputs[0])

    with evaluating(model), around(call):
        y = model(x)
        if softmax:
            y = builder.named("probabilities", Softmax(1), y)
    return Network(
        name, {"image": (None, *shape)}, builder.nodes, [y.name], builder.arrays, **facts
    ).freeze()


class _Tracer(Builder):
    """A builder that knows a model's arrays by the copies that the network gets."""

    def __init__(
        self, dtype: np.dtype, arrays: Mapping[str, np.ndarray], own: Mapping[int, np.ndarray]
    ) -> None:
        super().__init__(dtype, arrays)
        self._own = own

    def add(self, block: Any, operands: Sequence[Any]) -> Symbol:
        """Add a call; the model's own tensors and arrays are parameters by name."""
        return super().add(block, [self._copy_of(operand) for operand in operands])

    def _copy_of(self, operand: Any) -> Any:
        if isinstance(operand, Symbol):
            return operand
        array = operand.data if isinstance(operand, Tensor) else operand
        return self._own.get(id(array), array)
