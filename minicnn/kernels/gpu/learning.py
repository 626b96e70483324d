"""Optimisers on the card, in place; see `sources/learning.cu` and `reference`."""

from __future__ import annotations

from typing import Any

from minicnn.kernels import reference
from minicnn.kernels.devices import module_of
from minicnn.kernels.gpu.code import Kernel, blocks_of

__all__ = ["adam", "sgd"]

BLOCK = 256
_SGD, _ADAM = Kernel("learning", "sgd"), Kernel("learning", "adam")


def _in_one_piece(*arrays: Any) -> bool:
    return all(a.flags.c_contiguous and a.size for a in arrays)


def sgd(
    w: Any,
    gradient: Any,
    velocity: Any = None,
    *,
    rate: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """One step of SGD; see `reference.sgd`."""
    own = (w,) if velocity is None else (w, velocity)
    if not _in_one_piece(*own):
        reference.sgd(w, gradient, velocity, rate=rate, momentum=momentum, dampening=dampening,
                      decay=decay, nesterov=nesterov)  # fmt: skip
        return
    gradient = module_of(w).ascontiguousarray(gradient)
    _SGD(
        (blocks_of(w.size, BLOCK),), BLOCK, w.dtype,
        w=w, gradient=gradient, velocity=velocity, rate=rate, momentum=momentum,
        kept=1 - dampening, decay=decay, nesterov=int(nesterov), count=w.size,
    )  # fmt: skip


def adam(
    w: Any,
    gradient: Any,
    mean: Any,
    square: Any,
    step: int,
    *,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """One step of Adam or AdamW; see `reference.adam`."""
    if not _in_one_piece(w, mean, square):
        reference.adam(w, gradient, mean, square, step, rate=rate, betas=betas, epsilon=epsilon,
                       decay=decay, decoupled=decoupled)  # fmt: skip
        return
    gradient = module_of(w).ascontiguousarray(gradient)
    first, second = betas
    _ADAM(
        (blocks_of(w.size, BLOCK),), BLOCK, w.dtype,
        w=w, gradient=gradient, mean=mean, square=square, first=first, second=second,
        epsilon=epsilon, decay=0.0 if decoupled else decay,
        shrink=1 - rate * decay if decoupled else 1.0, rate_now=rate / (1 - first**step),
        square_now=1 / (1 - second**step), count=w.size,
    )  # fmt: skip
