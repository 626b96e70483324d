"""torchvision's classifiers with random weights, and torch's two ways to write them as ONNX.

    net = module("resnet18")
    exported(net, 224, path, "dynamo", dynamic=True)

Weights are random but such that nothing is degenerate: no bias is zero, batch normalisation's
statistics are those of noise, then shaken, and so are its scales, so that values stay of order one
through all layers.

torchvision is needed for its Python code only, so its compiled operators, which want a torch of the
same build, are not: `pip install --no-deps torchvision` will do.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

__all__ = ["EXPORTERS", "NETWORKS", "SIDES", "exported", "images", "module"]

NETWORKS: dict[str, dict[str, Any]] = {
    "alexnet": {},
    "squeezenet1_1": {},
    "shufflenet_v2_x1_0": {},
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "mobilenet_v3_large": {},
    "resnet18": {},
    "resnet50": {},
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": False},
    "densenet121": {},
    "efficientnet_b0": {},
    "convnext_tiny": {},
    "inception_v3": {"aux_logits": False, "transform_input": True, "init_weights": False},
    "vgg16": {},
}
SIDES = {"inception_v3": 299}
EXPORTERS = ("script", "dynamo")


@cache
def architectures() -> ModuleType:
    """`torchvision.models`, also where its compiled operators do not fit torch.

    Its import describes operators that its compiled part would have declared; so they are declared
    here, for nothing that classifies calls them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what else the compiled part would have given
        try:
            return importlib.import_module("torchvision.models")
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise
        for name in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
        return importlib.import_module("torchvision.models")


def module(name: str, seed: int = 0, side: int | None = None) -> nn.Module:
    """One of torchvision's classifiers with seeded weights, in evaluation mode.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    seed : int
        Of the weights.
    side : int, optional
        Of the images that normalisation is set for.

    Returns
    -------
    torch.nn.Module
    """
    generator = torch.Generator().manual_seed(seed)
    net = getattr(architectures(), name)(weights=None, **NETWORKS[name])
    with torch.no_grad():
        for part in net.modules():
            _fill(part, generator)
        _settle(net, images(2, side or SIDES.get(name, 224), seed + 1))
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                noise = torch.randn(part.num_features, generator=generator)
                part.running_mean += 0.2 * noise * part.running_var.sqrt()
                part.running_var *= 0.7 + 0.7 * torch.rand(part.num_features, generator=generator)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval()


def _fill(part: nn.Module, generator: torch.Generator) -> None:
    """Random weights that keep the size of what goes through; scales around 1, biases around 0."""

    def normal(tensor: torch.Tensor, deviation: float, mean: float = 0.0) -> None:
        tensor.normal_(mean, deviation, generator=generator)

    if isinstance(part, (nn.Conv2d, nn.Linear)):
        normal(part.weight, (2 / part.weight[0].numel()) ** 0.5)
    elif getattr(part, "weight", None) is not None:  # normalisations
        normal(part.weight, 0.2, 1.0)
    if getattr(part, "bias", None) is not None:
        normal(part.bias, 0.1)
    if hasattr(part, "layer_scale"):  # ConvNeXt's, which starts at a millionth
        normal(part.layer_scale, 0.05, 0.2)


def _settle(net: nn.Module, x: torch.Tensor) -> None:
    """Give batch normalisations the statistics of a batch."""
    net.eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train()
            part.reset_running_stats()
            part.momentum = None  # the plain average over batches
    net(x)
    net.eval()


def images(batch: int, side: int, seed: int) -> torch.Tensor:
    """Standard normal noise."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def exported(
    net: nn.Module, side: int, path: Path, exporter: str, dynamic: bool, folded: bool = True
) -> None:
    """Write the module as ONNX.

    Parameters
    ----------
    net : torch.nn.Module
        Takes one batch of images.
    side : int
        Of the images.
    path : path
        The file; the newer exporter puts the weights beside it.
    exporter : str
        "script", which records what runs, or "dynamo", which compiles the source.
    dynamic : bool
        Whether the batch stays open.
    folded : bool
        Whether the exporter folds what it can, as it does unless told otherwise.
    """
    x = images(2 if dynamic else 1, side, 0)
    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the exporters are about to leave behind
        if exporter == "script":
            mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
            axes = {"x": {0: "batch"}, "y": {0: "batch"}} if dynamic else None
            options |= {"dynamo": False, "dynamic_axes": axes, "training": mode}
            torch.onnx.export(net, (x,), path, **options)
            return
        open_batch = ({0: torch.export.Dim("batch")},) if dynamic else None
        options |= {"dynamo": True, "dynamic_shapes": open_batch, "optimize": folded}
        program = torch.onnx.export(net, (x,), **options)
        if not folded:  # constants only; it writes a chunk as a sequence otherwise
            importlib.import_module("onnxscript.optimizer").fold_constants(program.model)
        program.save(path, external_data=True)
