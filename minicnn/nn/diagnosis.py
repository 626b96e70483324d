"""Diagnosis: where a number first ceased to be finite, and what to try."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import TrainingError
from minicnn.nn.module import Module, around
from minicnn.tensor import Tensor, no_grad

__all__ = ["diagnose", "first_not_finite"]


def first_not_finite(model: Module, x: Any) -> str | None:
    """Path of the first thing that holds NaN or infinity: a parameter, or a layer's output.

    The model runs once more on the batch, as it is: in training its batch norms see the batch.
    """
    if not np.isfinite(x).all():
        return "the images themselves"
    for name, array in model.state_dict().items():
        if not np.isfinite(array).all():
            return f"the parameter {name}"
    paths = {id(module): path or type(module).__name__ for path, module in model.named_modules()}
    found: list[str] = []

    def watch(module: Module, inputs: tuple[Any, ...]) -> Any:
        y = module.forward(*inputs)
        if not found and not np.isfinite(y.data).all():
            found.append(f"the output of {paths[id(module)]}")
        return y

    with around(watch), no_grad(), np.errstate(all="ignore"):
        model(Tensor(x))
    return found[0] if found else None


def diagnose(
    model: Module, x: Any, loss: float, epoch: int, step: int, rate: float
) -> TrainingError:
    """The error that says when, where, and what to try."""
    place = first_not_finite(model, x) or "the loss alone: the scores are finite but too large"
    return TrainingError(
        f"The loss became {loss} at step {step} of epoch {epoch} (learning rate {rate:.3g}). "
        f"NaN or infinity first appears in {place}. Try a smaller rate (a tenth), a warm-up "
        f"(schedule one-cycle), clipping (clip 1.0), or batch norm; check the images' scale."
    )
