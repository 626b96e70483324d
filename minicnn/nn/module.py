"""Module: something with parameters that is called on tensors.

A module's parameters are its tensors, its buffers (running statistics) are its arrays, its children
are its modules; all are plain attributes, found by looking:

    class Pair(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 10)

        def forward(self, x):
            return self.second(F.relu(self.first(x)))

Lists, tuples and dicts of modules count too. `model.network(shape)` is the model as a graph of
named blocks, frozen as it is in evaluation: that is what is planned, looked into, saved as ONNX.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from minicnn.drawing import columns
from minicnn.errors import ShapeError, UnknownNameError, nearest
from minicnn.kernels.devices import CPU, Device, as_array, beside, on_gpu, to_device
from minicnn.network import Network
from minicnn.preprocess import Preprocess
from minicnn.tensor import Tensor

__all__ = ["Module", "around"]

Around = Callable[["Module", tuple[Any, ...]], Any]

_around: ContextVar[Around | None] = ContextVar("minicnn_around", default=None)


@contextmanager
def around(function: Around) -> Iterator[None]:
    """Within this context every module's call goes through `function(module, inputs)`.

    It runs `module.forward(*inputs)` itself and gives what the call shall give. The switch belongs
    to the current thread and task.

    Examples
    --------
    >>> from minicnn import nn
    >>> shapes = []
    >>> def watch(module, inputs):
    ...     y = module.forward(*inputs)
    ...     shapes.append(y.shape)
    ...     return y
    >>> with around(watch):
    ...     _ = nn.Linear(4, 2)(Tensor([[1.0, 2.0, 3.0, 4.0]]))
    >>> shapes
    [(1, 2)]
    """
    token = _around.set(function)
    try:
        yield
    finally:
        _around.reset(token)


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Within this context a model is in evaluation; then each of its modules is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class Module:
    """A function of tensors with parameters; subclasses write `forward`.

    Attributes
    ----------
    training : bool
        Whether batch norm uses the batch and dropout drops; set by `train` and `eval`.

    """

    training: bool = True
    _drawn: str = ""  # how `initialise` drew its weights

    def forward(self, *inputs: Any) -> Any:
        """What the module computes, on tensors, arrays or symbols."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any) -> Any:
        function = _around.get()
        return self.forward(*inputs) if function is None else function(self, inputs)

    # What it is made of

    def children(self) -> dict[str, Module]:
        """The modules among its attributes, those in lists and dicts too: "blocks.0"."""
        found: dict[str, Module] = {}
        for name, value in vars(self).items():
            if isinstance(value, Module):
                found[name] = value
            elif isinstance(value, (list, tuple, dict)):
                members = value.items() if isinstance(value, dict) else enumerate(value)
                found |= {f"{name}.{i}": m for i, m in members if isinstance(m, Module)}
        return found

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Itself and all below, by path; a module used twice has its first path."""
        seen: set[int] = set()
        stack = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = module.children().items()
            stack += reversed([(f"{path}.{name}" if path else name, m) for name, m in below])

    def modules(self) -> Iterator[Module]:
        """Itself and all below."""
        return (module for _, module in self.named_modules())

    def own(self, kind: type) -> dict[str, Any]:
        """Its own tensors or arrays by name, without those of modules below."""
        return {
            name: value
            for name, value in vars(self).items()
            if isinstance(value, kind) or (kind is np.ndarray and on_gpu(value))
        }

    def _named(self, kind: type) -> dict[str, Any]:
        found: dict[str, Any] = {}
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in module.own(kind).items():
                if id(value) not in seen:  # what two layers share has its first path, and one step
                    seen.add(id(value))
                    found[f"{path}.{name}" if path else name] = value
        return found

    def named_parameters(self) -> dict[str, Tensor]:
        """What can learn, by path: "conv1.weight"."""
        return self._named(Tensor)

    def parameters(self) -> list[Tensor]:
        """The same as a list."""
        return list(self.named_parameters().values())

    def named_buffers(self) -> dict[str, np.ndarray]:
        """What is kept beside the parameters and not learned: running statistics."""
        return self._named(np.ndarray)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(tensor.data.size for tensor in self.parameters())

    # State

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and buffers by path (not copies)."""
        parameters = {name: t.data for name, t in self.named_parameters().items()}
        return parameters | self.named_buffers()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy arrays of the same names and shapes into the module.

        Raises
        ------
        UnknownNameError, ShapeError
            If a name is missing or unknown, or a shape differs; then nothing is changed.
        """
        own, model = self.state_dict(), type(self).__name__
        for name in {**own, **state}:
            if name not in own:
                raise UnknownNameError(f"{model} has no {name!r}. {nearest(name, own)}")
            if name not in state:
                raise UnknownNameError(f"The state lacks {name!r}, which {model} has.")
            if np.shape(state[name]) != own[name].shape:
                raise ShapeError(
                    f"{name} has shape {np.shape(state[name])}; {model} needs {own[name].shape}."
                )
        for name, array in own.items():
            array[...] = beside(as_array(state[name]), array)

    # Devices

    @property
    def device(self) -> Device:
        """Where its parameters are."""
        return next((tensor.device for tensor in self.parameters()), CPU)

    def to(self, device: Device | str) -> Self:
        """Move its parameters and buffers, and all below, to a device; gives itself.

        Do so before an optimiser is made: it remembers tensors, and these become others.

        Raises
        ------
        DeviceError
            If the device cannot be used.
        """
        for module in self.modules():
            for name, tensor in module.own(Tensor).items():
                setattr(module, name, tensor.to(device))
            for name, array in module.own(np.ndarray).items():
                setattr(module, name, to_device(array, device))
        return self

    # Mode

    def train(self, mode: bool = True) -> Self:
        """Put it and all below into training, or out of it; gives itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Batch norm by running statistics, dropout off; gives itself."""
        return self.train(False)

    def requires_grad(self, mode: bool = True) -> Self:
        """Let all its parameters learn, or freeze them; gives itself."""
        for name, value in self.own(Tensor).items():
            if value.requires_grad != mode:
                setattr(self, name, Tensor(value.data, requires_grad=mode))
        for module in self.children().values():
            module.requires_grad(mode)
        return self

    def reseed(self, *seed: int) -> None:
        """Start the random draws of dropout anew: one stream a layer, from these numbers."""
        for number, module in enumerate(self.modules()):
            module.drawn_anew((*seed, number))

    def drawn_anew(self, seed: tuple[int, ...]) -> None:
        """Start this module's own random draws; most have none."""

    # As a graph

    def network(
        self,
        shape: Sequence[int],
        *,
        name: str | None = None,
        labels: Sequence[str] = (),
        preprocess: Preprocess | None = None,
        metadata: Mapping[str, str] | None = None,
        softmax: bool = False,
    ) -> Network:
        """The model in evaluation as a network with arrays of its own, ready to run and to save.

        Where the model is on a card the network is too, and takes and gives NumPy's arrays.

        Parameters
        ----------
        shape : sequence of int
            Of one input, without the batch: (C, H, W).
        name : str, optional
            By default the class's.
        labels, preprocess, metadata
            What the network knows about its classes, its inputs and its making.
        softmax : bool
            Whether probabilities follow the scores.

        Examples
        --------
        >>> from minicnn import nn
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).network((1, 8, 8))
        >>> net.layers
        ['0', '1', '2']
        """
        from minicnn.nn.tracing import trace  # which needs Module

        facts = {"labels": labels, "preprocess": preprocess, "metadata": metadata or {}}
        found = trace(self, shape, name or type(self).__name__, softmax, facts)
        return found.to(self.device, hosted=True)

    def save(self, path: str | os.PathLike[str], shape: Sequence[int], **facts: Any) -> None:
        """Write it as an ONNX file; see `network` for the facts."""
        self.network(shape, **facts).save(path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.size:,} parameters>"

    def __str__(self) -> str:
        """The parts that hold no parts, a line each: path, kind, number of parameters."""
        parts = [(path, m) for path, m in self.named_modules() if path and not m.children()]
        rows = [[path, type(m).__name__, f"{m.size:,}"] for path, m in parts]
        return "\n".join([repr(self), *(f"  {line}" for line in columns(rows, (2,)).splitlines())])
