"""Initialisation: how large weights start, so that signals neither vanish nor explode.

With fan-in n and fan-out m (inputs and outputs of a unit; for filters times their window):

    lecun_normal, lecun_uniform     Var w = 1 / n             LeCun et al. 1998, section 4.6
    glorot_normal, glorot_uniform   Var w = 2 / (n + m)       Glorot and Bengio 2010, eq. 16
    he_normal, he_uniform           Var w = 2 / n             He et al. 2015, eq. 10
    orthogonal                      w w^T or w^T w = g^2 I    Saxe et al. 2014, section 3
    constant                        w = value

Uniform means on [-b, b] with b = sqrt(3 Var w). Biases become 0. Every parameter draws from its own
stream, which its path chooses: a layer more does not change the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import InputError, UnknownNameError, nearest
from minicnn.kernels.devices import beside, on_gpu
from minicnn.nn.module import Module

__all__ = ["SCHEMES", "draw", "fans", "initialise"]

Shape = tuple[int, ...]


def fans(shape: Shape) -> tuple[int, int]:
    """Fan-in and fan-out of a weight (out, in, ...): units read, and units that read a unit.

    Examples
    --------
    >>> fans((16, 3, 5, 5))
    (75, 400)
    """
    window = int(np.prod(shape[2:], dtype=int))
    return shape[1] * window, shape[0] * window


def _scaled(variance: Callable[[int, int], float], uniform: bool) -> Callable[..., np.ndarray]:
    def drawn(generator: np.random.Generator, shape: Shape, gain: float) -> np.ndarray:
        deviation = gain * np.sqrt(variance(*fans(shape)))
        if uniform:
            bound = np.sqrt(3) * deviation
            return generator.uniform(-bound, bound, shape)
        return deviation * generator.standard_normal(shape)

    return drawn


def _orthogonal(generator: np.random.Generator, shape: Shape, gain: float) -> np.ndarray:
    """The shorter side's vectors are orthonormal; drawn evenly, by the signs of R's diagonal."""
    from threadpoolctl import threadpool_limits

    rows, columns = shape[0], int(np.prod(shape[1:]))
    values = generator.standard_normal((max(rows, columns), min(rows, columns)))
    with threadpool_limits(1, "blas"):  # sums over threads would change with their number
        q, r = np.linalg.qr(values)
    q *= np.sign(np.diag(r))
    return gain * (q if rows >= columns else q.T).reshape(shape)


def _constant(generator: np.random.Generator, shape: Shape, gain: float) -> np.ndarray:
    return np.full(shape, gain)


SCHEMES: dict[str, Callable[[np.random.Generator, Shape, float], np.ndarray]] = {
    "lecun_normal": _scaled(lambda n, m: 1 / n, False),
    "lecun_uniform": _scaled(lambda n, m: 1 / n, True),
    "glorot_normal": _scaled(lambda n, m: 2 / (n + m), False),
    "glorot_uniform": _scaled(lambda n, m: 2 / (n + m), True),
    "he_normal": _scaled(lambda n, m: 2 / n, False),
    "he_uniform": _scaled(lambda n, m: 2 / n, True),
    "orthogonal": _orthogonal,
    "constant": _constant,
}


def draw(
    scheme: str, shape: Shape, generator: np.random.Generator, gain: float = 1.0
) -> np.ndarray:
    """One weight of this shape, float32, times `gain` (the value itself for "constant").

    Raises
    ------
    UnknownNameError
        If there is no such scheme.
    InputError
        If the shape has fewer than two axes, or no numbers: fans are not defined.
    """
    if scheme not in SCHEMES:
        raise UnknownNameError(f"No initialisation {scheme!r}. {nearest(scheme, SCHEMES)}")
    if len(shape) < 2:
        raise InputError(f"A weight has two axes or more, (out, in, ...); got shape {shape}.")
    if 0 in shape:
        raise InputError(
            f"A weight of shape {shape} holds no numbers. Are the images too small for the network?"
        )
    return SCHEMES[scheme](generator, shape, gain).astype(np.float32)


def initialise(
    model: Module, scheme: str = "he_normal", seed: int = 0, gain: float = 1.0
) -> Module:
    """Draw all weights of a model anew, in place; gives the model.

    Weights with two axes or more are drawn, layers' biases become 0, batch norms start at gain 1,
    shift 0 and forget their statistics.

    Examples
    --------
    >>> from minicnn import nn
    >>> model = nn.initialise(nn.Sequential(nn.Linear(100, 50), nn.ReLU()), "he_normal", seed=1)
    >>> round(float(model.layers[0].weight.data.std()), 2)           # sqrt(2 / 100)
    0.14
    """
    for module in model.modules():
        module._drawn = ""
    model._drawn = f"{scheme}, seed {seed}, gain {gain:g}"  # a checkpoint belongs to it
    for path, module in model.named_modules():
        module_reset = getattr(module, "reset", None)
        if module_reset is not None:
            module_reset()
        for name, tensor in vars(module).items():
            data: Any = getattr(tensor, "data", None)
            is_array = isinstance(data, np.ndarray) or on_gpu(data)
            if name == "weight" and is_array and data.ndim > 1:
                stream = zlib.crc32(f"{path}.{name}".encode())
                generator = np.random.default_rng([seed, stream])
                drawn = draw(scheme, data.shape, generator, gain)
                data[...] = beside(drawn.astype(data.dtype), data)
            elif name == "bias" and is_array:
                data[...] = 0
    return model
