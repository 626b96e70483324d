"""Which kernel of the card serves: what `kernels.serving` calls for CuPy arrays.

Convolutions ask the registry. All else has one CUDA kernel, for float images with two spatial axes
(or rows of numbers); the reference, which runs on CuPy arrays as it stands, does the rest: other
ranks, integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.devices import module_of, on_gpu, place_of
from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu import batch, cublas, gates, learning, moving, normalise, pooling
from minicnn.kernels.gpu.parts import parts as _parts
from minicnn.kernels.packed import Packed
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import choose

Size = tuple[int, ...]


def _floats(*arrays: Any) -> bool:
    types = {np.dtype(x.dtype) for x in arrays}
    return len(types) == 1 and types <= {np.dtype(np.float32), np.dtype(np.float64)}


def _images(*arrays: Any) -> bool:
    """Whether all are images of one type of floats with two spatial axes, and not empty."""
    return _floats(*arrays) and all(x.ndim == 4 and x.size > 0 for x in arrays)


def _rows(*arrays: Any) -> bool:
    return _floats(*arrays) and all(x.ndim == 2 and x.size > 0 for x in arrays)


def _beside(bits: Packed, x: Any) -> Packed:
    """Bits on the card of an array; those that a rule made up come from the host."""
    return bits if on_gpu(bits.planes) else bits.to(place_of(x))


# Convolution


def conv(x: Any, w: Any, b: Any, window: Window, groups: int) -> Any:
    """See `reference.conv`."""
    if x.ndim == 3 and x.size:
        return conv(x[:, :, None], w[:, :, None], b, window.lifted(), groups)[:, :, 0]
    if not _images(x, w):
        return reference.conv(x, w, b, window, groups)
    problem = Convolution.forward(x, w, window, groups)
    return choose("conv2d", problem, "cuda")[0].run(x, w, b, window, groups)


def conv_transpose(p: Any, w: Any, b: Any, window: Window, groups: int, size: Size) -> Any:
    """See `reference.conv_transpose`."""
    if p.ndim == 3 and p.size:
        lifted = window.lifted()
        return conv_transpose(p[:, :, None], w[:, :, None], b, lifted, groups, (1, *size))[:, :, 0]
    if not _images(p, w):
        return reference.conv_transpose(p, w, b, window, groups, size)
    problem = Convolution.backward(p, w, window, groups, size)
    entry = choose("conv_transpose2d", problem, "cuda")[0]
    return entry.run(p, w, b, window, groups, size)


def conv_filter(p: Any, x: Any, window: Window, groups: int) -> Any:
    """See `reference.conv_filter`."""
    if p.ndim == 3 and p.size:
        return conv_filter(p[:, :, None], x[:, :, None], window.lifted(), groups)[:, :, 0]
    if not _images(p, x):
        return reference.conv_filter(p, x, window, groups)
    dtype = str(np.result_type(p, x))
    problem = Convolution(x.shape[1], p.shape[1], x.shape[2:], window, groups, dtype=dtype)
    return choose("conv_filter2d", problem, "cuda")[0].run(p, x, window, groups)


# Pooling


def _pooling(x: Any) -> Any:
    return pooling if _images(x) else reference


def max_pool(x: Any, window: Window) -> tuple[Any, Packed]:
    """See `reference.max_pool`."""
    return _pooling(x).max_pool(x, window)


def unpool(p: Any, switches: Packed, window: Window, size: Size) -> Any:
    """See `reference.unpool`."""
    return _pooling(p).unpool(p, _beside(switches, p), window, size)


def unpool_center(p: Any, window: Window, size: Size) -> Any:
    """See `reference.unpool_center`."""
    return _pooling(p).unpool_center(p, window, size)


def gather(x: Any, switches: Packed, window: Window) -> Any:
    """See `reference.gather`."""
    return _pooling(x).gather(x, _beside(switches, x), window)


def average_pool(x: Any, window: Window, include_pad: bool) -> Any:
    """See `reference.average_pool`."""
    return _pooling(x).average_pool(x, window, include_pad)


def average_unpool(p: Any, window: Window, include_pad: bool, size: Size) -> Any:
    """See `reference.average_unpool`."""
    return _pooling(p).average_unpool(p, window, include_pad, size)


def plane_means(x: Any) -> Any:
    """The mean of each plane of (N, C, H, W): (N, C)."""
    return x.mean(axis=(2, 3))


def pixel_sum(x: Any) -> Any:
    """The sum of each channel over images and pixels."""
    if _images(x) or _rows(x):
        return batch.pixel_sum(x)
    return x.sum(axis=(0, *range(2, x.ndim)))


def parts(clean: Any, changed: Any, places: np.ndarray, size: Size, filling: float) -> Any:
    """See `reference.parts`."""
    if not _images(clean, changed) or 0 in size:
        return reference.parts(clean, changed, places, size, filling)
    return _parts(clean, changed, places, (size[0], size[1]), filling)


# Gates


def relu(x: Any) -> tuple[Any, Packed]:
    """See `reference.relu`."""
    return gates.relu(x) if _images(x) or _rows(x) else reference.relu(x)


def masked(x: Any, mask: Packed) -> Any:
    """See `reference.masked`."""
    mask = _beside(mask, x)
    if (_images(x) or _rows(x)) and x.shape[1:] == mask.shape[1:]:
        return gates.masked(x, mask)
    return reference.masked(x, mask)


def added(a: Any, b: Any) -> Any:
    """a + b."""
    return a + b


def all_finite(x: Any) -> bool:
    """Whether no number is NaN or infinite; waits for the card."""
    return bool(module_of(x).isfinite(x).all())


# Products


def linear(x: Any, w: Any, b: Any) -> Any:
    """x w^T + b, by cuBLAS."""
    y = cublas.matmul(x, w.T)
    return y if b is None else y + b


def matmul(a: Any, b: Any) -> Any:
    """a b, by cuBLAS."""
    return cublas.matmul(a, b)


def put_add(p: Any, indices: Any, axis: int, size: int) -> Any:
    """See `reference.put_add`."""
    return (moving if _floats(p) else reference).put_add(p, indices, axis, size)


# Normalisation


def lrn(x: Any, size: int, alpha: float, beta: float, bias: float) -> Any:
    """See `reference.lrn`."""
    return (normalise if _images(x) else reference).lrn(x, size, alpha, beta, bias)


def lrn_transposed(p: Any, x: Any, size: int, alpha: float, beta: float, bias: float) -> Any:
    """See `reference.lrn_transposed`."""
    module = normalise if _images(p, x) else reference
    return module.lrn_transposed(p, x, size, alpha, beta, bias)


def softmax(x: Any, axis: int) -> Any:
    """See `reference.softmax`."""
    return (normalise if _images(x) or _rows(x) else reference).softmax(x, axis)


def log_softmax(x: Any, axis: int) -> Any:
    """See `reference.log_softmax`."""
    return (normalise if _images(x) or _rows(x) else reference).log_softmax(x, axis)


def batch_statistics(x: Any) -> tuple[Any, Any]:
    """See `reference.batch_statistics`."""
    return (batch if _images(x) or _rows(x) else reference).batch_statistics(x)


def batch_norm(x: Any, gain: Any, shift: Any, eps: float) -> Any:
    """See `reference.batch_norm`."""
    module = batch if _images(x) or _rows(x) else reference
    return module.batch_norm(x, gain, shift, eps)


def batch_norm_transposed(p: Any, x: Any, gain: Any, eps: float) -> tuple[Any, Any, Any]:
    """See `reference.batch_norm_transposed`."""
    module = batch if _images(p, x) or _rows(p, x) else reference
    return module.batch_norm_transposed(p, x, gain, eps)


# Learning


def sgd(w: Any, gradient: Any, velocity: Any = None, **settings: Any) -> None:
    """See `reference.sgd`."""
    (learning if _floats(w, gradient) else reference).sgd(w, gradient, velocity, **settings)


def adam(w: Any, gradient: Any, mean: Any, square: Any, step: int, **settings: Any) -> None:
    """See `reference.adam`."""
    (learning if _floats(w, gradient) else reference).adam(
        w, gradient, mean, square, step, **settings
    )
