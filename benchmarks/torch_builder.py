"""From a `Spec` and its weights to a torch module, as a user of torch would write it.

    spec = network("resnet18")
    module = torch_module(spec, spec.weights())

Layers are nn modules, ReLUs and sums work in place as in torchvision, and no value is kept longer
than it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from specs import EPSILON, Layer, Spec
from torch import Tensor, nn

__all__ = ["Described", "torch_module"]


class Described(nn.Module):
    """A module that runs a description.

    Parameters
    ----------
    spec : Spec
        The description.
    inplace : bool
        Whether ReLUs overwrite what they read. Hooks on ReLUs, as Captum's, need that they do not.
    """

    def __init__(self, spec: Spec, inplace: bool = True) -> None:
        super().__init__()
        self.output = spec.output
        self.steps = []
        for layer, done in spec.plan():
            step = _step(layer, spec.shapes[layer.inputs[0]][0], inplace)
            if isinstance(step, nn.Module):
                self.add_module(layer.name, step)
            self.steps.append((layer.name, step, layer.inputs, done))

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) to the last value."""
        values = {"x": x}
        for name, step, inputs, done in self.steps:
            values[name] = step(*[values[read] for read in inputs])
            for read in done:
                del values[read]
        return values[self.output]


def torch_module(spec: Spec, weights: Mapping[str, np.ndarray], inplace: bool = True) -> Described:
    """The network as a torch module, in evaluation mode.

    Parameters
    ----------
    spec : Spec
        The description.
    weights : mapping
        Parameters by name, as `spec.weights()` gives them.
    inplace : bool
        See `Described`.

    Returns
    -------
    Described
    """
    with torch.device("meta"):  # not to draw torch's own initial weights in vain
        module = Described(spec, inplace)
    module.to_empty(device="cpu")
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    norms = [layer.name for layer in spec.layers if layer.kind == "norm"]
    state.update((f"{name}.num_batches_tracked", torch.tensor(0)) for name in norms)
    module.load_state_dict(state)
    return module.eval()


def _step(layer: Layer, channels: int, inplace: bool) -> Callable[..., Tensor]:
    """What computes a layer that reads so many channels."""
    out, window = layer.shape[0], (layer.kernel, layer.stride, layer.pad)
    match layer.kind:
        case "conv":
            return nn.Conv2d(channels, out, *window, groups=layer.groups, bias=layer.bias)
        case "norm":
            return nn.BatchNorm2d(channels, EPSILON)
        case "relu":
            return nn.ReLU(inplace)
        case "max_pool":
            return nn.MaxPool2d(*window, ceil_mode=layer.ceil_mode)
        case "mean":
            return nn.AdaptiveAvgPool2d(1)
        case "flatten":
            return nn.Flatten()
        case "linear":
            return nn.Linear(channels, out)
        case "add":
            return torch.Tensor.add_
        case "concat":
            return _concat
    raise ValueError(f"{layer.name} is of no known kind: {layer.kind}.")


def _concat(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat((a, b), 1)
