"""Devices: where arrays live, moved there and back. The one place that asks an array for it.

    x = to_device(x, "cuda:0")        NumPy array -> CuPy array
    x = to_host(x)                    back
    on_gpu(x)                         by the array's own type: this is what chooses the kernels

Numbers cross between host and card in these two functions and nowhere else; `no_transfers()` makes
them raise, which shows hidden copies in what should run on the card alone. CuPy is imported when a
card is first asked for, and only then.
"""

from __future__ import annotations

import importlib
import sys
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.errors import DeviceError, InputError

__all__ = [
    "Device",
    "as_array",
    "beside",
    "check_current",
    "counting",
    "cuda",
    "current",
    "devices",
    "find",
    "full",
    "given",
    "module_of",
    "no_transfers",
    "on_gpu",
    "place_of",
    "read_only",
    "remembered",
    "remembering",
    "special_of",
    "table",
    "to_device",
    "to_host",
]

_strict: ContextVar[bool] = ContextVar("minicnn_no_transfers", default=False)


@dataclass(frozen=True)
class Device:
    """A place where arrays live.

    Parameters
    ----------
    kind : str
        "cpu" or "cuda".
    index : int
        Which card.
    """

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


CPU = Device("cpu")


def find(device: Device | str) -> Device:
    """A device from text: "cpu", "cuda" (the first card) or "cuda:1".

    Raises
    ------
    InputError
        If the text means no device. Whether there is such a card is seen when it is used.

    Examples
    --------
    >>> str(find("cuda"))
    'cuda:0'
    """
    if isinstance(device, Device):
        return device
    kind, colon, index = str(device).partition(":")
    if kind == "cpu" and not colon:
        return CPU
    if kind == "cuda" and (index.isdecimal() or not colon):
        return Device("cuda", int(index or 0))
    raise InputError(f'{device!r} is no device: give "cpu", "cuda", or "cuda:1" for a second card.')


def on_gpu(array: Any) -> bool:
    """Whether an array is CuPy's."""
    return type(array).__module__.partition(".")[0] == "cupy"


def module_of(array: Any) -> Any:
    """The module whose functions compute on an array: NumPy or CuPy."""
    return sys.modules["cupy"] if on_gpu(array) else np


def special_of(array: Any) -> Any:
    """The module of special functions (erf, ndtr) that compute on an array."""
    return importlib.import_module(f"{'cupyx.' if on_gpu(array) else ''}scipy.special")


def place_of(array: Any) -> Device:
    """Where an array lives."""
    return Device("cuda", int(array.device.id)) if on_gpu(array) else CPU


def cuda(index: int = 0) -> Any:
    """CuPy, with a card of that number.

    Raises
    ------
    DeviceError
        Says which of CuPy, the driver, the card and CUDA's compiler is missing, and what to do.
    """
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            "Computing on a GPU needs an NVIDIA card and CuPy, which is not installed. Install "
            "minicnn's extra for the CUDA version that nvidia-smi shows, minicnn[cuda12] or "
            "minicnn[cuda13] (where minicnn was installed from its folder: pip install "
            f"'.[cuda13]'); or compute on the CPU. ({error})"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        text = str(error)
        if "InsufficientDriver" in text:
            raise DeviceError(
                "CuPy is installed, but there is no NVIDIA driver that it can use: none is loaded, "
                f"or it is older than CuPy's CUDA version. Install or update the driver. ({text})"
            ) from error
        if "NoDevice" not in text:
            raise DeviceError(f"CuPy cannot start CUDA: {text}.") from error
        count = 0
    if count == 0:
        raise DeviceError("CuPy and a driver are there, but the driver shows no GPU.")
    if index >= count:
        names = ", ".join(f"cuda:{i}" for i in range(count))
        raise DeviceError(f"There is no card cuda:{index}; there is {names}.")
    _check_compiler(cupy)
    return cupy


def _check_compiler(cupy: Any) -> None:
    """Every kernel is compiled when it is first used, minicnn's and CuPy's own alike."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:  # CuPy looks for its libraries when they are used
        raise DeviceError(
            "CuPy, a driver and a card are there, but not NVRTC, the compiler of CUDA. minicnn's "
            "extras bring it with CuPy; install the one for the driver's CUDA version: "
            f"minicnn[cuda12] or minicnn[cuda13]. ({' '.join(str(error).split())})"
        ) from error


def devices() -> list[Device]:
    """All devices that can be used here: the CPU, then the cards.

    Examples
    --------
    >>> str(devices()[0])
    'cpu'
    """
    try:
        count = cuda().cuda.runtime.getDeviceCount()
    except DeviceError:
        count = 0
    return [CPU, *(Device("cuda", i) for i in range(count))]


def as_array(value: Any, dtype: Any = None) -> Any:
    """NumPy's `asarray` that leaves arrays on the card where they are."""
    if on_gpu(value):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    return np.asarray(value, dtype)


def full(like: Any, shape: tuple[int, ...], value: Any, dtype: Any = None) -> Any:
    """A new array of one number on the device of another; CuPy's `full_like` has no shape ()."""
    dtype = like.dtype if dtype is None else dtype
    if not on_gpu(like):
        return np.full(shape, value, dtype)
    with like.device:
        return module_of(like).full(shape, value, dtype)


def counting(count: int, other: Any) -> Any:
    """0, 1, ... count - 1 on the device of an array."""
    if not on_gpu(other):
        return np.arange(count)
    with other.device:
        return module_of(other).arange(count)


def given(value: Any, dtype: Any, other: Any) -> Any:
    """A number or list that somebody wrote, as an array on the device of another.

    A single number travels with the kernel that writes it: nothing is copied.
    """
    if not on_gpu(other):
        return np.asarray(value, dtype)
    if np.ndim(value) == 0:
        return full(other, (), value, dtype or np.asarray(value).dtype)
    return to_device(np.asarray(value, dtype), place_of(other))


def beside(array: Any, other: Any) -> Any:
    """An array on the device of another."""
    return to_device(array, place_of(other)) if on_gpu(other) or on_gpu(array) else array


def read_only(array: Any) -> Any:
    """The array itself, no longer to be written to; arrays on a card know no such thing."""
    if not on_gpu(array):
        array.flags.writeable = False
    return array


_tables: dict[tuple[int, Device, Any], tuple[Any, Any]] = {}
_handed_out: ContextVar[list[Any] | None] = ContextVar("minicnn_handed_out", default=None)


def table(array: np.ndarray, other: Any, dtype: Any = None) -> Any:
    """A block's table (indices, weights) on the device of an array; copied there once."""
    if not on_gpu(other):
        return array if dtype is None else array.astype(dtype, copy=False)
    if not isinstance(array, np.ndarray):  # a single number
        return given(array, dtype or array.dtype, other)
    key = (id(array), place_of(other), dtype)
    if key not in _tables:
        forget = weakref.ref(array, lambda _: _tables.pop(key, None))
        there = to_device(array if dtype is None else array.astype(dtype), key[1])
        _tables[key] = (forget, there)
    return remembered(_tables[key][1])


@contextmanager
def remembering() -> Iterator[list[Any]]:
    """Within this context what caches hand out is listed: for graphs, which keep addresses only."""
    held: list[Any] = []
    token = _handed_out.set(held)
    try:
        yield held
    finally:
        _handed_out.reset(token)


def remembered(found: Any) -> Any:
    """What a cache hands out; a cache may forget it while a graph goes on reading it."""
    held = _handed_out.get()
    if held is not None:
        held.append(found)
    return found


@contextmanager
def no_transfers() -> Iterator[None]:
    """Within this context minicnn copies nothing between host and card, but raises instead.

    What a caller asks CuPy for itself, `x.get()` or `float(x.sum())`, is not seen.
    """
    token = _strict.set(True)
    try:
        yield
    finally:
        _strict.reset(token)


def _crossing(array: Any, way: str) -> None:
    if _strict.get():
        raise DeviceError(
            f"An array of shape {np.shape(array)} would be copied {way}, and no_transfers() "
            f"forbids it. Move what is needed before entering that context."
        )


def current(device: Device | str) -> AbstractContextManager[Any]:
    """A context within which CuPy computes on a device's card, in this thread."""
    device = find(device)
    return nullcontext() if device.kind == "cpu" else cuda(device.index).cuda.Device(device.index)


def check_current(device: Device) -> None:
    """Refuse to compute on a card that CuPy does not compute on in this thread.

    Raises
    ------
    DeviceError
        With what to write.
    """
    if device.kind == "cuda" and cuda(device.index).cuda.runtime.getDevice() != device.index:
        raise DeviceError(
            f"CuPy computes on another card than {device} here. Put the work below "
            f"`with cupy.cuda.Device({device.index}):`, in every thread."
        )


def to_device(array: Any, device: Device | str) -> Any:
    """An array on a device; itself where it is there already.

    The order of its axes in memory stays.

    Raises
    ------
    DeviceError
        If the device cannot be used.
    """
    device = find(device)
    if device.kind == "cpu":
        return to_host(array)
    if on_gpu(array) and place_of(array) == device:
        return array
    cupy = cuda(device.index)
    _crossing(array, f"to {device}")
    with cupy.cuda.Device(device.index):
        order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        dense = array.transpose(order)
        if not on_gpu(dense):
            dense = np.asarray(dense, order="C")
        return cupy.array(dense).transpose(np.argsort(order).tolist())


def to_host(array: Any) -> np.ndarray:
    """An array as NumPy's; itself where it is that already."""
    if not on_gpu(array):
        return np.asarray(array)
    _crossing(array, "to the host")
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    dense = module_of(array).asnumpy(array.transpose(order))
    return np.asarray(dense.transpose(np.argsort(order).tolist()))
