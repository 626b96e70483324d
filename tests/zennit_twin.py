"""Networks of ours as torch modules that Zennit hooks: one nn.Module a layer, nothing in place."""

import sys
from types import ModuleType

import numpy as np
import torch
from torch import nn

from minicnn import blocks as B

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):  # Zennit wants no more of it than the names of two classes
    resnet = ModuleType("torchvision.models.resnet")
    resnet.BasicBlock = resnet.Bottleneck = type("Nothing", (nn.Module,), {})
    stubs = {name: ModuleType(name) for name in ("torchvision", "torchvision.models")}
    stubs[resnet.__name__] = resnet
    sys.modules.update(stubs)
    try:
        import zennit
    finally:
        for name in stubs:
            del sys.modules[name]
import zennit.layer

__all__ = ["Twin", "relevance"]


class Stack(nn.Module):
    """Two signals summed by Zennit's own layer, which its composites know."""

    def __init__(self):
        super().__init__()
        self.sum = zennit.layer.Sum(-1)

    def forward(self, a, b):
        return self.sum(torch.stack([a, b], dim=-1))


class Twin(nn.Module):
    """What a network does up to a value, node by node, in float64."""

    def __init__(self, network, at):
        super().__init__()
        self.input, self.at, self.steps = next(iter(network.inputs)), at, []
        for i, node in enumerate(network.needed([at])):
            module = made(node, network.arrays)
            if isinstance(module, nn.Module):
                self.add_module(f"n{i}", module)
            self.steps.append((node, module))
        self.arrays = network.arrays
        self.eval()

    def forward(self, x):
        values = {self.input: x}
        for node, module in self.steps:
            values[node.name] = module(*[values[o] for o in node.operands if o not in self.arrays])
        return values[self.at]


def made(node, arrays):
    """A module for a node; functions where Zennit has nothing to hook."""
    block, weights = (
        node.block,
        [torch.from_numpy(arrays[o].copy()) for o in node.operands if o in arrays],
    )
    match block:
        case B.Conv(window=win):
            w = weights[0]
            pads = win.begins if win.begins == win.ends else None
            module = nn.Conv2d(
                w.shape[1] * block.groups, w.shape[0], win.kernel, win.stride, pads, win.dilation,
                block.groups, bias=len(weights) > 1,
            )  # fmt: skip
            return loaded(module, weights)
        case B.Linear():
            module = nn.Linear(weights[0].shape[1], weights[0].shape[0], len(weights) > 1)
            return loaded(module, weights)
        case B.ReLU():
            return nn.ReLU()
        case B.MaxPool(window=win):
            return nn.MaxPool2d(win.kernel, win.stride, win.begins, ceil_mode=win.ceil_mode)
        case B.AveragePool(window=win):
            return nn.AvgPool2d(win.kernel, win.stride, win.begins)
        case B.Mean():
            return nn.AdaptiveAvgPool2d(1)
        case B.Add():
            return Stack()
        case B.Concat():
            return lambda *parts: torch.cat(parts, 1)
        case B.Identity():
            return lambda x: x
        case B.Reshape() | B.Flatten() | B.Squeeze():
            return lambda x: x.flatten(1)
    raise NotImplementedError(node)


def loaded(module, weights):
    module.weight.data = weights[0]
    if len(weights) > 1:
        module.bias.data = weights[1]
    return module


def relevance(network, at, composite, x, start):
    """Zennit's relevance at the input for a top relevance like the scores, in float64."""
    twin = Twin(network.astype(np.float64), at)
    data = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    with composite.context(twin) as hooked:
        scores = hooked(data)
        (found,) = torch.autograd.grad(scores, data, torch.from_numpy(start.astype(np.float64)))
    return found.numpy()
