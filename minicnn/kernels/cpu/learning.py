"""The optimisers' updates, in place: one pass over parameters, gradients and what is remembered.

SGD, as torch.optim.SGD:

    g = gradient + decay w
    v = momentum v + (1 - dampening) g
    w = w - rate (g + momentum v  if nesterov, else v)

torch's first step sets v = g: what a velocity of zeros and no dampening give. Without momentum
there is no velocity, and w = w - rate g.

Adam and AdamW, as torch.optim.Adam and AdamW, at step t = 1, 2, ...:

    w = w (1 - rate decay)                       AdamW
    g = gradient + decay w                       Adam
    m = m + (1 - beta1) (g - m)
    v = beta2 v + (1 - beta2) g^2
    w = w - rate / (1 - beta1^t)  m / (sqrt(v / (1 - beta2^t)) + epsilon)

The numbers that change from step to step are read from memory, so that a program laid out once
serves them all.

Sources: Sutskever et al. 2013; Kingma and Ba 2015; Loshchilov and Hutter 2019.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minicnn.kernels.cpu.compiled import kernel
from minicnn.kernels.cpu.dense_lanes import load_some, root, store_some
from minicnn.kernels.cpu.laid import Laid, workers_for
from minicnn.kernels.cpu.program import Place, Program
from minicnn.kernels.cpu.vector import LANES, load_one, multiply_add, spread

__all__ = ["adam", "adam_settings", "lay_adam", "lay_sgd", "sgd", "sgd_settings"]

BLOCK = 8192  # numbers an item


@kernel
def sgd_step(worker, item, w, gradient, velocity, size, settings, nesterov):
    """One block; `velocity` may be 0. `settings`: -rate, momentum, 1 - dampening, decay."""
    rate, momentum = spread(load_one(settings)), spread(load_one(settings + 4))
    fresh, decay = spread(load_one(settings + 8)), spread(load_one(settings + 12))
    for i in range(item * BLOCK, min(size, (item + 1) * BLOCK), LANES):
        left, at = size - i, 4 * i
        value = load_some(w + at, left)
        step = multiply_add(decay, value, load_some(gradient + at, left))
        if velocity != 0:
            speed = multiply_add(momentum, load_some(velocity + at, left), fresh * step)
            store_some(speed, velocity + at, left)
            step = multiply_add(momentum, speed, step) if nesterov else speed
        store_some(multiply_add(rate, step, value), w + at, left)


@kernel
def adam_step(worker, item, w, gradient, mean, square, size, settings):
    """One block; see `adam_settings`."""
    shrink, decay = spread(load_one(settings)), spread(load_one(settings + 4))
    fresh, keep = spread(load_one(settings + 8)), spread(load_one(settings + 12))
    added, rate = spread(load_one(settings + 16)), spread(load_one(settings + 20))
    scale, epsilon = spread(load_one(settings + 24)), spread(load_one(settings + 28))
    for i in range(item * BLOCK, min(size, (item + 1) * BLOCK), LANES):
        left, at = size - i, 4 * i
        value = load_some(w + at, left) * shrink
        g = multiply_add(decay, value, load_some(gradient + at, left))
        m, v = load_some(mean + at, left), load_some(square + at, left)
        m = multiply_add(fresh, g - m, m)
        v = multiply_add(added * g, g, keep * v)
        store_some(m, mean + at, left)
        store_some(v, square + at, left)
        value = multiply_add(rate, m / (root(v) * scale + epsilon), value)
        store_some(value, w + at, left)


def sgd_settings(
    rate: float, momentum: float = 0.0, dampening: float = 0.0, decay: float = 0.0
) -> np.ndarray:
    """The numbers that `sgd_step` reads, float32."""
    return np.array([-rate, momentum, 1 - dampening, decay], np.float32)


def adam_settings(
    step: int,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.0,
    decoupled: bool = False,
) -> np.ndarray:
    """The numbers that `adam_step` reads at step 1, 2, ..., float32; `decoupled` is AdamW."""
    first, second = betas
    rates = (1 - rate * decay, 0.0) if decoupled else (1.0, decay)
    corrected = -rate / (1 - first**step)
    scale = (1 - second**step) ** -0.5
    return np.array([*rates, 1 - first, second, 1 - second, corrected, scale, epsilon], np.float32)


def lay_sgd(
    program: Program,
    w: Place,
    gradient: Place,
    velocity: Place | None,
    size: int,
    settings: Place,
    nesterov: bool = False,
) -> None:
    """Add a step of SGD on `size` numbers; `velocity` None: without momentum."""
    program.step(
        sgd_step, -(-size // BLOCK), w=w, gradient=gradient,
        velocity=0 if velocity is None else velocity, size=size, settings=settings,
        nesterov=nesterov,
    )  # fmt: skip


def lay_adam(
    program: Program,
    w: Place,
    gradient: Place,
    mean: Place,
    square: Place,
    size: int,
    settings: Place,
) -> None:
    """Add a step of Adam or AdamW on `size` numbers."""
    program.step(
        adam_step, -(-size // BLOCK), w=w, gradient=gradient, mean=mean, square=square, size=size,
        settings=settings,
    )  # fmt: skip


# On arrays


@lru_cache(maxsize=1024)
def _laid_sgd(size: int, remembers: bool, nesterov: bool, workers: int) -> Laid:
    program = Program(workers)
    velocity = Place("velocity") if remembers else None
    lay_sgd(program, Place("w"), Place("gradient"), velocity, size, Place("settings"), nesterov)
    return Laid(program)


@lru_cache(maxsize=1024)
def _laid_adam(size: int, workers: int) -> Laid:
    program = Program(workers)
    w, gradient, mean, square = (Place(name) for name in ("w", "gradient", "mean", "square"))
    lay_adam(program, w, gradient, mean, square, size, Place("settings"))
    return Laid(program)


def _check(*arrays: np.ndarray) -> None:
    """Arrays that are changed in place are not copied."""
    first = arrays[0].shape
    for array in arrays:
        if array.dtype != np.float32 or not array.flags.c_contiguous or array.shape != first:
            raise ValueError(
                f"an update needs contiguous float32 arrays of one shape; got {array.dtype} "
                f"of shape {array.shape}, strides {array.strides}, beside shape {first}"
            )


def sgd(
    w: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray | None = None,
    *,
    rate: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """One step of SGD, in place on w and velocity: contiguous float32 arrays of one shape."""
    settings = sgd_settings(rate, momentum, dampening, decay)
    workers = workers_for(8 * w.size)
    if velocity is None:
        _check(w, gradient)
        _laid_sgd(w.size, False, False, workers)(w=w, gradient=gradient, settings=settings)
        return
    _check(w, gradient, velocity)
    laid = _laid_sgd(w.size, True, nesterov, workers)
    laid(w=w, gradient=gradient, velocity=velocity, settings=settings)


def adam(
    w: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    step: int,
    *,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Step 1, 2, ... of Adam, or of AdamW (`decoupled`), in place on w, mean and square."""
    _check(w, gradient, mean, square)
    settings = adam_settings(step, rate, betas, epsilon, decay, decoupled)
    laid = _laid_adam(w.size, workers_for(16 * w.size))
    laid(w=w, gradient=gradient, mean=mean, square=square, settings=settings)
