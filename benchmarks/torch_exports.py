"""Read networks that torch exported, forwards and backwards: minicnn beside onnxruntime and torch.

    python benchmarks/torch_exports.py --out benchmarks/results/torch-exports.json
    python benchmarks/torch_exports.py --only resnet18,vgg16 --keep FOLDER --side 96

Each of torchvision's architectures is exported by both of torch's exporters, for a fixed and for an
open batch. Weights are random but such that nothing is degenerate: no bias is zero, batch
normalisation's statistics are those of noise, then shaken, and so are its scales, so that values
stay of order one through all layers. Forward: max |y - onnxruntime's| / max |y|. Gradient of <p, y>
in the input, p random: the same against torch's autograd on the module before it was exported.

A unit so near zero that rounding carries it over has its mask turned, and with it some percent of
the gradient: in a large network some always are, since exporters round weights when they fold batch
normalisation into them. Where the gradients differ by more than the figure to reach, they are
compared once more in float64, of a file exported without folding, which tells rounding from
mistakes; and `torch's own` says how far torch's gradient in float32 is from torch's in float64.

A run that is cut off goes on where it stopped. torchvision is needed for its Python code only, so
its compiled operators, which want a torch of the same build, are not: `pip install --no-deps`.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
from judges import Record, by_onnxruntime, first_off, share
from torch import nn

import minicnn

__all__ = ["EXPORTERS", "NETWORKS", "compared", "exported", "main", "module", "run"]

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
FORWARD, GRADIENT = 1e-4, 1e-3  # the figures to reach
SHARES = ("forward", "gradient", "in float64", "torch's own")
COLUMNS = ("opset", "nodes", "batch", *SHARES, "verdict")


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


def compared(
    net: nn.Module,
    path: Path,
    batches: Sequence[int],
    side: int,
    unfolded: Callable[[], minicnn.Network],
) -> dict[str, Any]:
    """Read the file and compare it with onnxruntime and with the module.

    Parameters
    ----------
    net : torch.nn.Module
        What was exported.
    path : path
        As which file.
    batches : sequence of int
        Numbers of images to try.
    side : int
        Of the images.
    unfolded : callable
        Gives the network of a file in which nothing was folded, in float64.

    Returns
    -------
    dict
        For each batch the shares by which output and gradient differ; what failed, if anything.
    """
    row: dict[str, Any] = {"batch": list(batches), **{name: [] for name in SHARES}}
    ours = minicnn.load(path)
    row |= {"opset": int(ours.metadata["opset"]), "nodes": len(ours.nodes)}
    row["verdict"] = "reads"
    for batch in batches:
        x = images(batch, side, 10 + batch)
        tape = ours.record(x.numpy())
        (expected,) = by_onnxruntime(path, {"x": x.numpy()})
        row["forward"].append(share(tape.output, expected))
        top = torch.randn(expected.shape, generator=torch.Generator().manual_seed(batch))
        theirs = gradient(net, x, top)
        row["gradient"].append(share(tape.backward(top.numpy()), theirs))
        if row["gradient"][-1] > GRADIENT:
            exact = unfolded().record(x.double().numpy())
            truth = gradient(net.double(), x.double(), top.double())
            net.float()
            row["in float64"].append(share(exact.backward(top.double().numpy()), truth))
            row["torch's own"].append(share(theirs, truth))
        if row["forward"][-1] > FORWARD:
            row["verdict"] = first_off(path, ours, {"x": x.numpy()}, FORWARD)
    return row


def gradient(net: nn.Module, x: torch.Tensor, top: torch.Tensor) -> np.ndarray:
    """The gradient of <top, net(x)> in x, by autograd."""
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(net(x), x, top)
    return found.numpy()


def verdict(row: dict[str, Any]) -> str:
    """Whether the figures are reached."""
    if row["verdict"] != "reads":
        return row["verdict"]
    if not max(row["forward"]) <= FORWARD:
        return "forward off"
    if max(row["gradient"]) <= GRADIENT:
        return "agrees"
    return "agrees in float64" if max(row["in float64"]) <= GRADIENT else "gradient off"


def run(name: str, exporter: str, dynamic: bool, net: nn.Module, options: Any) -> dict[str, Any]:
    """Export and compare one; failures become a row too."""
    side = options.side or SIDES.get(name, 224)
    with TemporaryDirectory() as folder:
        kind = "dynamic" if dynamic else "static"
        path = (options.keep or Path(folder)) / f"{name}-{exporter}-{kind}.onnx"
        try:
            if not path.exists():
                exported(net, side, path, exporter, dynamic)
        except Exception as error:
            return {"verdict": f"torch does not export it: {error!r}"}

        def unfolded() -> minicnn.Network:
            whole = Path(folder) / "unfolded.onnx"
            exported(net, side, whole, exporter, dynamic, folded=False)
            return minicnn.load(whole).astype(np.float64)

        try:
            row = compared(net, path, [1, 2] if dynamic else [1], side, unfolded)
        except Exception as error:  # whatever goes wrong belongs in the table
            return {"verdict": f"{type(error).__name__}: {error}"}
    return row | {"verdict": verdict(row)}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    today = datetime.now(UTC).date()
    out = Path(__file__).parent / "results" / f"torch-exports-{today}.json"
    parser.add_argument("--only", default="", help=f"some of {', '.join(NETWORKS)}")
    parser.add_argument("--side", type=int, help="of the images (224, Inception 299)")
    parser.add_argument("--keep", type=Path, help="folder where the exported files stay")
    parser.add_argument("--out", type=Path, default=out, help="results; rows in it are not redone")
    parser.add_argument("--again", action="store_true", help="redo the rows that do not agree")
    options = parser.parse_args(arguments)
    options.names = [name for name in options.only.split(",") if name] or list(NETWORKS)
    unknown = [name for name in options.names if name not in NETWORKS]
    if unknown:
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the networks and print the table; 1 if some do not agree."""
    options = parsed(arguments)
    record = Record(options.out, ("torch", "torchvision", "onnxscript"))
    for name in options.names:
        kinds = [(exporter, dynamic) for exporter in EXPORTERS for dynamic in (False, True)]
        net = None
        for exporter, dynamic in kinds:
            key = f"{name} {exporter} {'dynamic' if dynamic else 'static'}"
            done = record.rows.get(key, {}).get("verdict", "")
            if done.startswith("agrees") or (done and not options.again):
                continue
            net = net if net is not None else module(name, side=options.side)
            record.add(key, run(name, exporter, dynamic, net, options))
            print(f"{key}: {record.rows[key]['verdict']}", file=sys.stderr, flush=True)
            gc.collect()
    print(record.table(COLUMNS))
    return int(any(not row["verdict"].startswith("agrees") for row in record.rows.values()))


if __name__ == "__main__":
    sys.exit(main())
