"""Tensor: define-by-run automatic differentiation.

Calling a block on tensors runs it and remembers the call; `backward` walks the calls in reverse.
Transposed blocks are blocks, so with `create_graph` the walk itself is remembered and gradients of
gradients are exact.

    x = Tensor([1.0, -2.0], requires_grad=True)
    F.relu(x).sum().backward()
    x.grad                       # Tensor([1., 0.])

`backward` *sets* `grad` on the leaves and does not add to what is there: running it twice gives the
same answer.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minicnn.blocks import OUTPUT, Block, Expression, Kept, Packed
from minicnn.calls import Call, Checked, Reversal, own_transpose, pull_back, reaches
from minicnn.errors import InputError, NotDifferentiableError, ShapeError
from minicnn.kernels.devices import Device, as_array, given, on_gpu, place_of, to_device, to_host

__all__ = ["Tensor", "grad", "no_grad"]

_recording: ContextVar[bool] = ContextVar("minicnn_recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this context nothing is remembered for `backward`.

    The switch belongs to the current thread and task, so others are not affected.

    Examples
    --------
    >>> x = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (x * 2).requires_grad
    False
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


class _Origin:
    """Where a tensor came from: the call that made it and what that call kept, not its data."""

    __slots__ = ("block", "operands", "owner", "saved", "shapes", "statistic")

    def __init__(self) -> None:
        self.block: Block | None = None  # None: a leaf
        self.owner: weakref.ref[Tensor] | None = None  # of a leaf: the tensor that gets the grad
        self.operands: tuple[_Origin | None, ...] = ()
        self.shapes: tuple[tuple[int, ...], ...] = ()
        self.statistic: Packed | None = None
        self.saved: dict[int, tuple[np.ndarray, _Origin | None]] = {}

    def call(self, live: bool, number: int) -> Call:
        """As a call; kept operands are tensors with their history when live, else arrays."""

        def read(index: int) -> Any:
            data, origin = self.saved[index]
            if not live:
                return data
            return Tensor._made(data, self if index == OUTPUT else origin)

        assert self.block is not None
        kept = Kept(self.statistic, self.shapes, read)
        return Call(f"{self.block.kind}.{number}", self.block, self.operands, self, kept)


class Tensor(Expression):
    """An array that remembers how it was computed.

    Parameters
    ----------
    data : array_like
        Numbers. float32 and float64 arrays are used as they are, without a copy; all else becomes
        float32.
    requires_grad : bool
        Whether gradients with respect to this tensor will be asked for.
    device : Device or str, optional
        Where the data shall be: "cpu", "cuda:0"; by default where they are.

    Attributes
    ----------
    data : numpy.ndarray
        The values.
    grad : Tensor or None
        Set by `backward` on leaves.

    Examples
    --------
    >>> x = Tensor([3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([6.])
    """

    def __init__(
        self, data: Any, requires_grad: bool = False, device: Device | str | None = None
    ) -> None:
        if isinstance(data, Tensor):
            data = data.data
        array = as_array(data)
        if array.dtype.kind not in "biuf":
            raise InputError(f"A tensor holds real numbers; it got dtype {array.dtype}.")
        is_array = isinstance(data, (np.ndarray, np.generic)) or on_gpu(data)
        if not is_array or array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32)
        if device is not None:
            array = to_device(array, device)
        self.data: np.ndarray = array
        self.grad: Tensor | None = None
        self._origin: _Origin | None = None
        if requires_grad:
            self._origin = _Origin()
            self._origin.owner = weakref.ref(self)

    @classmethod
    def _made(cls, data: np.ndarray, origin: _Origin | None) -> Tensor:
        tensor = cls.__new__(cls)
        tensor.data, tensor.grad, tensor._origin = as_array(data), None, origin
        return tensor

    def apply(self, block: Block, operands: Sequence[Any]) -> Tensor:
        """Run a block on tensors, arrays and numbers, and remember the call."""
        arrays = [o.data if isinstance(o, Tensor) else _array_like(o, self.data) for o in operands]
        block.shape(*(a.shape for a in arrays))
        block.check_places(arrays)
        y, statistic = block.forward(*arrays)
        parents = tuple(
            o._origin if isinstance(o, Tensor) and i not in block.blind else None
            for i, o in enumerate(operands)
        )
        if not _recording.get() or not any(parents):
            return Tensor._made(y, None)
        origin = _Origin()
        origin.block, origin.operands, origin.statistic = block, parents, statistic
        origin.shapes = tuple(a.shape for a in arrays)
        for wrt, parent in enumerate(parents):
            for index in block.uses(wrt) if parent else ():
                origin.saved[index] = (
                    (as_array(y), None) if index == OUTPUT else (arrays[index], parents[index])
                )
        return Tensor._made(y, origin)

    def backward(
        self,
        gradient: Any = None,
        create_graph: bool = False,
        reversal: Reversal = own_transpose,
    ) -> None:
        """Set `grad` on every leaf that this tensor was computed from.

        What stood there is replaced, not added to (torch adds).

        Parameters
        ----------
        gradient : array_like, optional
            The top signal p, shaped like this tensor; may be left out for a single number.
        create_graph : bool
            Remember the walk, so that the gradients can be differentiated.
        reversal : Rule or callable
            What stands in for each transpose, e.g. `rules.DECONVNET`.

        Raises
        ------
        NotDifferentiableError
            If nothing that this tensor was computed from requires gradients.
        ShapeError
            If the gradient has another shape, or is missing for more than one number.
        """
        leaves = [origin for origin in _history(self) if origin.block is None]
        signals = _signals(self, gradient, leaves, create_graph, reversal)
        for leaf in leaves:
            owner = leaf.owner() if leaf.owner else None
            if owner is not None and leaf in signals:
                owner.grad = _as_tensor(signals[leaf], owner.dtype)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor."""
        return self._origin is not None

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Lengths of the axes."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """float32 or float64."""
        return self.data.dtype

    def detach(self) -> Tensor:
        """The same data without its history."""
        return Tensor._made(self.data, None)

    def numpy(self) -> np.ndarray:
        """The data as NumPy's array: not a copy, unless it has to come from a card."""
        return to_host(self.data)

    def values(self) -> Any:
        return self.data

    @property
    def device(self) -> Device:
        """Where the data are."""
        return place_of(self.data)

    def to(self, device: Device | str) -> Tensor:
        """A tensor without history on a device; what required gradients still does.

        Examples
        --------
        >>> Tensor([1.0]).to("cpu").device
        Device(kind='cpu', index=0)
        """
        return Tensor(to_device(self.data, device), requires_grad=self.requires_grad)

    def item(self) -> float:
        """The only number in it, as a Python float."""
        return float(self.data.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return bool(self.data)  # NumPy refuses where there are several values

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        dtype += f', device="{self.device}"' if on_gpu(self.data) else ""
        needs = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({body}{dtype}{needs})"


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: Any = None,
    create_graph: bool = False,
    reversal: Reversal = own_transpose,
) -> list[Tensor]:
    """Gradients of one tensor with respect to others, without touching anybody's `grad`.

    Parameters
    ----------
    output : Tensor
        What is differentiated.
    inputs : Tensor or sequence of Tensor
        With respect to what: leaves or tensors in between.
    gradient : array_like, optional
        The top signal p, shaped like `output`; may be left out for a single number.
    create_graph : bool
        Remember the walk, so that the result can be differentiated again.
    reversal : Rule or callable
        What stands in for each transpose.

    Returns
    -------
    list of Tensor
        One for each input, shaped like it; zeros where the output does not depend on it.

    Examples
    --------
    >>> x = Tensor([2.0], requires_grad=True)
    >>> (slope,) = grad((x ** 3).sum(), [x], create_graph=True)
    >>> grad(slope.sum(), [x])[0]
    Tensor([12.])
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    origins = []
    for x in inputs:
        if x._origin is None:
            raise NotDifferentiableError(
                "A gradient was asked for with respect to a tensor that does not require one; "
                "make it with requires_grad=True."
            )
        origins.append(x._origin)
    signals = _signals(output, gradient, origins, create_graph, reversal)
    return [
        _as_tensor(signals[origin], x.dtype) if origin in signals else Tensor(np.zeros_like(x.data))
        for x, origin in zip(inputs, origins, strict=True)
    ]


def _signals(
    output: Tensor,
    gradient: Any,
    wanted: Sequence[_Origin],
    create_graph: bool,
    reversal: Reversal,
) -> dict[Any, Any]:
    """Walk back from `output` to the wanted origins."""
    if output._origin is None:
        raise NotDifferentiableError(
            "Nothing that this tensor was computed from requires gradients; make the inputs with "
            "requires_grad=True, outside of no_grad()."
        )
    if gradient is None:
        if output.size != 1:
            raise ShapeError(
                f"backward() without a gradient needs a single number; this tensor has shape "
                f"{output.shape}. Give a gradient of that shape, or sum first."
            )
        gradient = np.ones_like(output.data)
    p = gradient
    if not (isinstance(p, Tensor) and p.dtype == output.dtype):
        if isinstance(p, Tensor) and p.requires_grad:
            raise InputError(f"The gradient has dtype {p.dtype}; the tensor has {output.dtype}.")
        p = p.data if isinstance(p, Tensor) else p
        p = Tensor(as_array(p, output.dtype), device=output.device)
    if p.shape != output.shape:
        raise ShapeError(f"The gradient has shape {p.shape}; the tensor has {output.shape}.")
    history = [origin for origin in _history(output) if origin.block is not None]
    calls = [origin.call(create_graph, number) for number, origin in enumerate(history)]
    if isinstance(reversal, Checked):
        active = reaches(calls, wanted)
        passed = [call for call in calls if any(o in active for o in call.operands)]
        reversal.check(passed, wanted)
    seed = p if create_graph else p.data
    return pull_back(calls, {output._origin: seed}, wanted, reversal)


def _history(tensor: Tensor) -> list[_Origin]:
    """Every origin that a tensor depends on, each after those it depends on itself."""
    order: list[_Origin] = []
    seen: set[_Origin] = set()
    stack = [(tensor._origin, False)]
    while stack:
        origin, done = stack.pop()
        if origin is None:
            continue
        if done:
            order.append(origin)
        elif origin not in seen:
            seen.add(origin)
            stack.append((origin, True))
            stack.extend((parent, False) for parent in origin.operands)
    return order


def _array_like(value: Any, data: np.ndarray) -> Any:
    """Numbers and lists take the tensor's dtype and device; arrays keep theirs."""
    if isinstance(value, np.ndarray) or on_gpu(value):
        return value
    return given(value, data.dtype, data)


def _as_tensor(value: Any, dtype: np.dtype) -> Tensor:
    """A gradient as a tensor with memory of its own: signals may be views of each other."""
    if isinstance(value, Tensor):
        return value
    return Tensor._made(value.astype(dtype) if on_gpu(value) else np.array(value, dtype), None)
