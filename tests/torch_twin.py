"""Networks of ours as torch modules that hooks work on: a module a layer, nothing in place."""

import torch
from torch import nn

from minicnn import blocks as B

__all__ = ["Twin", "Unit"]


class Twin(nn.Module):
    """What a network does up to a value, node by node, in the network's precision."""

    def __init__(self, network, at):
        super().__init__()
        self.input, self.at, self.arrays = next(iter(network.inputs)), at, network.arrays
        self.nodes = network.needed([at])
        self.by_name = {node.name: module(node, network.arrays) for node in self.nodes}
        self.layers = nn.ModuleList(self.by_name.values())
        self.eval()

    def forward(self, x):
        values = {self.input: x}
        for node in self.nodes:
            operands = [values[name] for name in node.operands if name not in self.arrays]
            values[node.name] = self.by_name[node.name](*operands)
        return values[self.at]


class Unit(nn.Module):
    """One unit's score, a number for each image."""

    def __init__(self, twin, index):
        super().__init__()
        self.twin, self.index = twin, index

    def forward(self, x):
        return self.twin(x)[(slice(None), *self.index)]


class Concat(nn.Module):
    def forward(self, *parts):
        return torch.cat(parts, 1)


def module(node, arrays):
    """The torch module of a node."""
    weights = [torch.from_numpy(arrays[o].copy()) for o in node.operands if o in arrays]
    match node.block:
        case B.Conv(window=w, groups=groups):
            assert w.begins == w.ends
            out, inner = weights[0].shape[:2]
            made = nn.Conv2d(
                inner * groups, out, w.kernel, w.stride, w.begins, w.dilation, groups,
                len(weights) > 1,
            )  # fmt: skip
        case B.Linear():
            made = nn.Linear(*weights[0].shape[::-1], len(weights) > 1)
        case B.ReLU():
            return nn.ReLU()
        case B.MaxPool(window=w):
            return nn.MaxPool2d(w.kernel, w.stride, w.begins, ceil_mode=w.ceil_mode)
        case B.AveragePool(window=w):
            return nn.AvgPool2d(w.kernel, w.stride, w.begins)
        case B.Concat():
            return Concat()
        case B.Identity():
            return nn.Identity()
        case B.Reshape() | B.Flatten():
            return nn.Flatten()
        case _:
            raise NotImplementedError(node)
    names = ("weight", "bias")[: len(weights)]
    made.load_state_dict(dict(zip(names, weights, strict=True)), assign=True)
    return made.requires_grad_(False)
