"""Optimisers on the card, in place; see `sources/learning.cu` and `reference`."""

from __future__ import annotations

from typing import Any

from minicnn.kernels import reference
from minicnn.kernels.devices import module_of, on_gpu
from minicnn.kernels.gpu.code import Kernel, blocks_of
from minicnn.kernels.gpu.images import aligned

__all__ = ["adam", "sgd"]

BLOCK, EACH = 256, 4  # threads, and numbers each
_SGD, _ADAM = Kernel("learning", "sgd"), Kernel("learning", "adam")


def _in_one_piece(*arrays: Any) -> bool:
    return all(a.flags.c_contiguous and a.size and a.dtype == arrays[0].dtype for a in arrays)


def _launch(kernel: Kernel, w: Any, **arguments: Any) -> None:
    rows = [a.reshape(1, -1) for a in (w, *arguments.values()) if on_gpu(a)]
    kernel(
        (blocks_of(w.size, BLOCK * EACH),), BLOCK, w.dtype, {"ALIGNED": aligned(*rows)},
        w=w, **arguments, count=w.size,
    )  # fmt: skip


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
    _launch(
        _SGD, w, gradient=gradient, velocity=velocity, rate=rate, momentum=momentum,
        kept=1 - dampening, decay=decay, nesterov=int(nesterov),
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
    _launch(
        _ADAM, w, gradient=gradient, mean=mean, square=square, first=first, first_new=1 - first,
        second=second, second_new=1 - second, epsilon=epsilon, decay=0.0 if decoupled else decay,
        shrink=1 - rate * decay if decoupled else 1.0, rate_now=rate / (1 - first**step),
        square_now=1 / (1 - second**step),
    )  # fmt: skip
