"""Diagnosis: where a number first ceased to be finite, and what to try."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.errors import TrainingError
from minicnn.nn.module import Module, around
from minicnn.tensor import Tensor, no_grad

__all__ = ["broken_weight", "failure", "first_not_finite"]


def broken_weight(model: Module) -> str | None:
    """The first parameter that holds NaN or infinity."""
    for name, tensor in model.named_parameters().items():
        if not kernels.all_finite(tensor.data):
            return f"the parameter {name}"
    return None


def first_not_finite(model: Module, x: Any) -> str | None:
    """Path of the first thing that holds NaN or infinity: a parameter, or a layer's output.

    The model runs once more on the batch, as it is: in training its batch norms see the batch.
    Running statistics do not count: a batch that overflows has spoilt them already, far behind the
    layer to blame.
    """
    if not np.isfinite(x).all():
        return "the images themselves"
    if place := broken_weight(model):
        return place
    paths = {id(module): path or type(module).__name__ for path, module in model.named_modules()}
    found: list[str] = []

    def watch(module: Module, inputs: tuple[Any, ...]) -> Any:
        y = module.forward(*inputs)
        if not found and not kernels.all_finite(y.data):
            found.append(f"the output of {paths[id(module)]}")
        return y

    with around(watch), no_grad(), np.errstate(all="ignore"):
        model(Tensor(x, device=model.device))
    return found[0] if found else None


def failure(what: str, place: str, epoch: int, step: int, rate: float) -> TrainingError:
    """The error that says what happened, when, where, and what to try."""
    return TrainingError(
        f"{what} at step {step} of epoch {epoch} (learning rate {rate:.3g}). "
        f"NaN or infinity first appears in {place}. Try a smaller rate (a tenth), a warm-up "
        f"(schedule one-cycle), clipping (clip 1.0), or batch norm; check the images' scale."
    )
