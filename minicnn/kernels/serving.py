"""The seam: which kernel serves a block on arrays. The only place that decides.

The device follows from the array's own type: CuPy's arrays go to `gpu.serving`. For NumPy's,
convolutions ask the registry. Everything else has one compiled kernel, for float32 images with two
spatial axes (or rows of numbers), and the reference for all else: float64, other ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.devices import on_gpu
from minicnn.kernels.geometry import Window
from minicnn.kernels.packed import Packed
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import choose, overruled

__all__ = [
    "adam", "added", "all_finite", "average_pool", "average_unpool", "batch_norm",
    "batch_norm_transposed", "batch_statistics", "conv", "conv_filter", "conv_transpose",
    "gather", "linear", "log_softmax", "lrn", "lrn_transposed", "masked", "matmul", "max_pool",
    "parts", "pixel_sum", "plane_means", "put_add", "relu", "set_threads", "sgd", "softmax",
    "unpool", "unpool_center",
]  # fmt: skip

Size = tuple[int, ...]
Function = TypeVar("Function", bound=Callable[..., Any])
LARGE = 1 << 15  # numbers that are worth two threads


def _by_device(function: Function) -> Function:
    """A function for NumPy's arrays that leaves CuPy's to its namesake in `gpu.serving`."""

    @wraps(function)
    def served(x: Any, *others: Any, **settings: Any) -> Any:
        if isinstance(x, np.ndarray) or not on_gpu(x):
            return function(x, *others, **settings)
        from minicnn.kernels.gpu import serving

        return getattr(serving, function.__name__)(x, *others, **settings)

    return cast(Function, served)


def _images(*arrays: np.ndarray) -> bool:
    """Whether all are float32 images with two spatial axes, and not empty."""
    return all(x.dtype == np.float32 and x.ndim == 4 and x.size > 0 for x in arrays)


def _rows(*arrays: np.ndarray) -> bool:
    """Whether all are float32 matrices, and not empty."""
    return all(x.dtype == np.float32 and x.ndim == 2 and x.size > 0 for x in arrays)


# Convolution


def _by_reference(problem: Convolution, block: str) -> bool:
    """Other precisions and ranks, unless somebody asked for a kernel."""
    plain = problem.dtype != "float32" or len(problem.size) not in (1, 2)
    return plain and (block not in overruled() or len(problem.size) != 2)


@_by_device
def conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """Convolution by the kernel that serves; see `reference.conv`."""
    problem = Convolution.forward(x, w, window, groups)
    if _by_reference(problem, "conv2d"):
        return reference.conv(x, w, b, window, groups)
    if len(problem.size) == 1:
        return conv(x[:, :, None], w[:, :, None], b, window.lifted(), groups)[:, :, 0]
    y: np.ndarray = choose("conv2d", problem)[0].run(x, w, b, window, groups)
    return y


@_by_device
def conv_transpose(
    p: np.ndarray, w: np.ndarray, b: np.ndarray | None, window: Window, groups: int, size: Size
) -> np.ndarray:
    """Transposed convolution by the kernel that serves; see `reference.conv_transpose`."""
    problem = Convolution.backward(p, w, window, groups, size)
    if _by_reference(problem, "conv_transpose2d"):
        return reference.conv_transpose(p, w, b, window, groups, size)
    if len(problem.size) == 1:
        lifted = window.lifted()
        return conv_transpose(p[:, :, None], w[:, :, None], b, lifted, groups, (1, *size))[:, :, 0]
    x: np.ndarray = choose("conv_transpose2d", problem)[0].run(p, w, b, window, groups, size)
    return x


@_by_device
def conv_filter(p: np.ndarray, x: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """The filters' gradient by the kernel that serves; see `reference.conv_filter`."""
    dtype = str(np.result_type(p, x))
    problem = Convolution(x.shape[1], p.shape[1], x.shape[2:], window, groups, dtype=dtype)
    if _by_reference(problem, "conv_filter2d"):
        return reference.conv_filter(p, x, window, groups)
    if len(problem.size) == 1:
        return conv_filter(p[:, :, None], x[:, :, None], window.lifted(), groups)[:, :, 0]
    w: np.ndarray = choose("conv_filter2d", problem)[0].run(p, x, window, groups)
    return w


# Pooling


def _pooling(x: np.ndarray) -> Any:
    """The module that pools an array."""
    if not _images(x):
        return reference
    from minicnn.kernels.cpu import pooling

    return pooling


@_by_device
def max_pool(x: np.ndarray, window: Window) -> tuple[np.ndarray, Packed]:
    """Maxima and switches; see `reference.max_pool`."""
    return _pooling(x).max_pool(x, window)


@_by_device
def unpool(p: np.ndarray, switches: Packed, window: Window, size: Size) -> np.ndarray:
    """Add each p to the tap that won; see `reference.unpool`."""
    return _pooling(p).unpool(p, switches, window, size)


@_by_device
def unpool_center(p: np.ndarray, window: Window, size: Size) -> np.ndarray:
    """Add each p to its window's centre; see `reference.unpool_center`."""
    return _pooling(p).unpool_center(p, window, size)


@_by_device
def gather(x: np.ndarray, switches: Packed, window: Window) -> np.ndarray:
    """Read the tap that won; see `reference.gather`."""
    return _pooling(x).gather(x, switches, window)


@_by_device
def average_pool(x: np.ndarray, window: Window, include_pad: bool) -> np.ndarray:
    """Means over windows; see `reference.average_pool`."""
    return _pooling(x).average_pool(x, window, include_pad)


@_by_device
def average_unpool(p: np.ndarray, window: Window, include_pad: bool, size: Size) -> np.ndarray:
    """Spread p over windows; see `reference.average_unpool`."""
    return _pooling(p).average_unpool(p, window, include_pad, size)


@_by_device
def plane_means(x: np.ndarray) -> np.ndarray:
    """The mean of each plane of (N, C, H, W): (N, C)."""
    if _images(x):
        size = x.shape[2:]
        return average_pool(x, Window(size, (1, 1), (0,) * 4, (1, 1)), False)[:, :, 0, 0]
    means: np.ndarray = x.mean(axis=(2, 3))
    return means


@_by_device
def pixel_sum(x: np.ndarray) -> np.ndarray:
    """The sum of each channel of (N, C, ...), over images and pixels: (C,)."""
    if _images(x) and x.size >= LARGE:
        from minicnn.kernels.cpu import batches

        return batches.pixel_sum(x)
    total: np.ndarray = x.sum(axis=(0, *range(2, x.ndim)))
    return total


@_by_device
def parts(
    clean: np.ndarray, changed: np.ndarray, places: np.ndarray, size: Size, filling: float
) -> np.ndarray:
    """Parts of an image with changed boxes pasted in; see `reference.parts`."""
    if not _images(clean, changed) or 0 in size:
        return reference.parts(clean, changed, places, size, filling)
    from minicnn.kernels.cpu.parts import parts as compiled

    return compiled(clean, changed, places, (size[0], size[1]), filling)


# Gates


@_by_device
def relu(x: np.ndarray) -> tuple[np.ndarray, Packed]:
    """max(x, 0), and where x > 0."""
    if _images(x) or _rows(x):
        from minicnn.kernels.cpu import gates

        return gates.relu(x)
    return reference.relu(x)


@_by_device
def masked(x: np.ndarray, mask: Packed) -> np.ndarray:
    """x where the mask is set, else 0."""
    if (_images(x) or _rows(x)) and x.shape[1:] == mask.shape[1:]:
        from minicnn.kernels.cpu import gates

        return gates.masked(x, mask)
    return reference.masked(x, mask)


@_by_device
def added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b, as numpy.add defines it; the same bits by kernels, which are for large images."""
    large = _images(a, b) and a.shape == b.shape and a.size >= LARGE
    if large and a.strides[1] == b.strides[1] == a.itemsize:
        from minicnn.kernels.cpu import gates

        return gates.added(a, b)
    return np.add(a, b)


@_by_device
def all_finite(x: np.ndarray) -> bool:
    """Whether no number is NaN or infinite."""
    if x.dtype == np.float32 and x.size >= LARGE and _without_gaps(x):
        from minicnn.kernels.cpu import copying

        return copying.all_finite(x)
    return bool(np.isfinite(x).all())


def _without_gaps(x: np.ndarray) -> bool:
    """Whether an array's numbers fill a stretch of memory, in some order of its axes."""
    return x.transpose(sorted(range(x.ndim), key=lambda axis: -x.strides[axis])).flags.c_contiguous


# Products


@_by_device
def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """x w^T + b for w (out, in)."""
    if _rows(x, w) and (b is None or b.shape == (len(w),)):
        from minicnn.kernels.cpu import dense

        return dense.linear(x, w, b)
    return reference.linear(x, w, b)


@_by_device
def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b, as numpy.matmul defines it."""
    if _rows(a, b):
        from minicnn.kernels.cpu import dense

        return dense.matmul(a, b)
    return np.matmul(a, b)


@_by_device
def put_add(p: np.ndarray, indices: np.ndarray, axis: int, size: int) -> np.ndarray:
    """x[indices[i]] += p[i] along an axis of the given size: the transpose of taking indices."""
    return reference.put_add(p, indices, axis, size)


# Normalisation


@_by_device
def lrn(x: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """x s^-beta, s = bias + alpha/size sum of squares around each channel."""
    if _images(x):
        from minicnn.kernels.cpu import normalise

        return normalise.lrn(x, size, alpha, beta, bias)
    return reference.lrn(x, size, alpha, beta, bias)


@_by_device
def lrn_transposed(
    p: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, bias: float
) -> np.ndarray:
    """LRN's transpose of p at x, which may be of fewer images; see `reference.lrn_transposed`."""
    if _images(p, x):
        from minicnn.kernels.cpu import normalise

        return normalise.lrn_transposed(p, x, size, alpha, beta, bias)
    return reference.lrn_transposed(p, x, size, alpha, beta, bias)


@_by_device
def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """e^x / sum e^x along an axis."""
    if (_images(x) or _rows(x)) and axis % x.ndim == 1:
        from minicnn.kernels.cpu import normalise

        return normalise.softmax(x)
    return reference.softmax(x, axis)


@_by_device
def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """x - log sum e^x along an axis."""
    if (_images(x) or _rows(x)) and axis % x.ndim == 1:
        from minicnn.kernels.cpu import normalise

        return normalise.log_softmax(x)
    return reference.log_softmax(x, axis)


@_by_device
def batch_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel of (N, C, ...)."""
    if _images(x):
        from minicnn.kernels.cpu import batches

        return batches.batch_statistics(x)
    return reference.batch_statistics(x)


@_by_device
def batch_norm(x: np.ndarray, gain: np.ndarray, shift: np.ndarray, eps: float) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) gain + shift, by the batch's own statistics."""
    if _images(x) and gain.dtype == shift.dtype == np.float32:
        from minicnn.kernels.cpu import batches

        return batches.batch_norm(x, gain, shift, eps)[0]
    return reference.batch_norm(x, gain, shift, eps)


@_by_device
def batch_norm_transposed(
    p: np.ndarray, x: np.ndarray, gain: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of `batch_norm` with respect to x, gain and shift."""
    if _images(p, x) and gain.dtype == np.float32:
        from minicnn.kernels.cpu import batches

        mean, variance = batches.batch_statistics(x)
        inverse = (1 / np.sqrt(variance.astype(np.float64) + eps)).astype(np.float32)
        return batches.batch_norm_transposed(p, x, gain, mean, inverse)
    return reference.batch_norm_transposed(p, x, gain, eps)


# Learning


def _learning(*arrays: np.ndarray) -> Any:
    """The module that updates parameters."""
    flat = all(a.dtype == np.float32 and a.flags.c_contiguous and a.size > 0 for a in arrays)
    if not flat:
        return reference
    from minicnn.kernels.cpu import learning

    return learning


@_by_device
def sgd(
    w: np.ndarray, gradient: np.ndarray, velocity: np.ndarray | None = None, **settings: Any
) -> None:
    """One step of SGD in place; see `reference.sgd` for the settings, which are torch's."""
    own = (w, gradient) if velocity is None else (w, gradient, velocity)
    _learning(*own).sgd(*own, **settings)


@_by_device
def adam(
    w: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    step: int,
    **settings: Any,
) -> None:
    """One step of Adam or AdamW in place; see `reference.adam` for the settings."""
    _learning(w, gradient, mean, square).adam(w, gradient, mean, square, step, **settings)


def set_threads(number: int) -> None:
    """Let kernels use this many threads from now on, in the calling thread.

    Raises
    ------
    InputError
        If there are not that many: Numba starts as many as NUMBA_NUM_THREADS says, or one a core.
    """
    from minicnn.kernels.cpu import team

    team.set_threads(number)
