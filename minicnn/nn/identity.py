"""Identity: what the state of a training belongs to, so that no other run goes on from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.data import Batches, Dataset, Pairs
from minicnn.nn.module import Module
from minicnn.nn.objectives import Objective

if TYPE_CHECKING:
    from minicnn.nn.training import Recipe, Source

__all__ = ["identity"]

Held = Dataset | tuple[np.ndarray, np.ndarray] | None


def identity(
    model: Module, recipe: Recipe, objective: Objective, source: Source, held: Held
) -> dict[str, Any]:
    """What a state belongs to: the model's plan, the recipe, the data and what is held out."""
    return {
        "model": blake2b("\n".join(_plan(model)).encode(), digest_size=12).hexdigest(),
        "recipe": {**_plain(asdict(recipe)), "schedule": _said(recipe.factor)},
        "objective": _said(objective),
        **_of_source(source),
        "held out": _held(held),
    }


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """NumPy's numbers as Python's: what JSON can write."""
    return {n: v.item() if isinstance(v, np.generic) else v for n, v in settings.items()}


def _held(held: Held) -> str:
    """The samples held out: which epoch is the best depends on them."""
    if held is None:
        return "none"
    arrays = (held.images, held.labels) if isinstance(held, Dataset) else held
    how = repr((held.mean, held.std)) if isinstance(held, Dataset) else ""
    return _hashed(how, arrays)


def _plan(model: Module) -> Iterator[str]:
    """What a model is made of: modules with their settings, arrays with their shapes.

    Shapes alone would not tell a residual network from the same one without its skips.
    """
    for path, module in model.named_modules():
        settings = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, (bool, int, float, str, tuple)) and name != "training"
        }
        yield f"{path}: {type(module).__name__} {_said(settings)}"
    learned = model.named_parameters()
    for name, array in model.state_dict().items():
        yield f"{name}: {array.shape} {name in learned and learned[name].requires_grad}"


def _said(thing: Any) -> str:
    """Its repr, without the address in memory that plain objects have there."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def _of_source(source: Source) -> dict[str, Any]:
    """What is learned from, and how it comes."""
    if isinstance(source, Pairs):
        how: dict[str, Any] = {"size": source.batch, "seed": source.seed}
        return {"batches": how, "data": _hashed("", (source.x, source.y))}
    if not isinstance(source, Batches):
        return {"data": _said(source)}
    data = source.dataset
    how = {"size": source.size, "seed": source.seed, "drop_last": source.drop_last,
           "augment": repr(source.augment)}  # fmt: skip
    return {
        "batches": how,
        "data": _hashed(repr((data.mean, data.std)), (data.images, data.labels)),
    }


def _hashed(text: str, arrays: Iterable[np.ndarray]) -> str:
    digest = blake2b(text.encode(), digest_size=12)
    for array in arrays:
        digest.update(repr((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
