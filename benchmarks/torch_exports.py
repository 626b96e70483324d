"""Read networks that torch exported, forwards and backwards: minicnn beside onnxruntime and torch.

    python benchmarks/torch_exports.py --out benchmarks/results/torch-exports.json
    python benchmarks/torch_exports.py --only resnet18,vgg16 --keep FOLDER --side 96

Each of torchvision's architectures (`torch_networks.py`) is exported by both of torch's exporters,
for a fixed and for an open batch. Forward: max |y - onnxruntime's| / max |y|. Gradient of <p, y> in
the input, p random: the same against torch's autograd on the module before it was exported. Where
minicnn opens a batch that the file fixes, torch judges two images.

A unit so near zero that rounding carries it over has its mask turned, and with it some percent of
the gradient: in a large network some always are, since exporters round weights when they fold batch
normalisation into them. Where the gradients differ by more than the figure to reach, three more
columns tell rounding from mistakes. `in float64`: both gradients again in float64, of a file
exported without folding. `same masks`: our gradient beside the same reversed network, its masks and
switches, run in float64. `torch's own`: torch's gradient in float32 beside torch's in float64.

A run that is cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from judges import Record, by_onnxruntime, first_off, share
from torch import nn
from torch_networks import EXPORTERS, NETWORKS, SIDES, exported, images, module

import minicnn

__all__ = ["compared", "main", "run"]

FORWARD, GRADIENT = 1e-4, 1e-3  # the figures to reach
SHARES = ("forward", "gradient", "in float64", "torch's own", "same masks")
COLUMNS = ("opset", "nodes", "batch", *SHARES, "verdict")


def compared(
    net: nn.Module,
    path: Path,
    dynamic: bool,
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
    dynamic : bool
        Whether the file leaves the batch open. Where it does not but minicnn does, the module
        judges two images.
    side : int
        Of the images.
    unfolded : callable
        Gives the network of a file in which nothing was folded, in float64.

    Returns
    -------
    dict
        For each batch the shares by which output and gradient differ; what failed, if anything.
    """
    row: dict[str, Any] = {name: [] for name in SHARES}
    ours = minicnn.load(path)
    batches = [1, 2] if dynamic or ours.inputs["x"][0] is None else [1]
    row |= {"opset": int(ours.metadata["opset"]), "nodes": len(ours.nodes), "batch": batches}
    row["verdict"] = "reads"
    for batch in batches:
        x = images(batch, side, 10 + batch)
        tape = ours.record(x.numpy())
        by_module = batch > 1 and not dynamic
        (expected,) = [net(x).numpy()] if by_module else by_onnxruntime(path, {"x": x.numpy()})
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
            same = tape.reverse().astype(np.float64)(top.double().numpy())
            row["same masks"].append(share(tape.backward(top.numpy()), same))
        if row["forward"][-1] > FORWARD and not by_module:
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
    exact = max(*row["in float64"], *row["same masks"]) <= GRADIENT
    return "agrees in float64" if exact else "gradient off"


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
            row = compared(net, path, dynamic, side, unfolded)
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
