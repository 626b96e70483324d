"""Parameters of a network: frozen or learning, as a state, on a device.

A frozen network is planned: its blocks are fused, its filters packed. On the CPU its arrays say by
themselves that they are frozen (they cannot be written to); those on a card are marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from minicnn import kernels
from minicnn.blocks import BatchNorm, Multiply
from minicnn.errors import ShapeError, UnknownNameError, nearest
from minicnn.kernels.devices import Device, find
from minicnn.planning import Packs, Planner
from minicnn.planning.packs import freeze, is_frozen, thaw
from minicnn.structure import Structure
from minicnn.tensor import Tensor

__all__ = ["Parametrised"]


@dataclass(frozen=True, eq=False)
class Parametrised(Structure):
    """A graph with parameters that can learn; see `Structure` for its fields."""

    _tensors: dict[str, Tensor] = field(default_factory=dict)
    _planner: Planner = field(default_factory=Planner)
    _reversals: dict[Any, Any] = field(default_factory=dict)

    def freeze(self) -> Self:
        """Make the parameters read-only, so that the network can be planned; gives itself.

        `parameters()` and `load_state_dict` make them writable again.
        """
        for array in self.arrays.values():
            freeze(array)
        return self

    def _thaw(self) -> None:
        own = [self.arrays[name] for name in self.arrays.keys() - self.constants]
        changing = [array for array in own if is_frozen(array)]
        for array in changing:
            thaw(array)
        if changing:
            Packs.forget(changing)

    def _frozen_like(self, other: Parametrised) -> Self:
        """Freeze new arrays if those of the network that it was made from are frozen."""
        return self.freeze() if other._planner.is_frozen(other) else self

    def _parameter_tensors(self) -> dict[str, Tensor]:
        for name in self.parameter_names():
            if name not in self._tensors:
                self._tensors[name] = Tensor(self.arrays[name], requires_grad=True)
        return self._tensors

    def parameters(self) -> list[Tensor]:
        """The parameters as tensors that share memory with the network, writable from now on."""
        return list(self.named_parameters().values())

    def named_parameters(self) -> dict[str, Tensor]:
        """The same by name."""
        self._thaw()
        return dict(self._parameter_tensors())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and running statistics by name (not copies)."""
        return {n: array for n, array in self.arrays.items() if n not in self.constants}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy arrays of the same names and shapes into the network.

        Raises
        ------
        UnknownNameError, ShapeError
            If a name is missing or unknown, or a shape differs; then nothing is changed.
        """
        own = self.state_dict()
        for name in {**own, **state}:
            if name not in own:
                raise UnknownNameError(f"{self.name} has no {name!r}. {nearest(name, own)}")
            if name not in state:
                raise UnknownNameError(f"The state lacks {name!r}; it must have every array.")
            if np.shape(state[name]) != own[name].shape:
                raise ShapeError(
                    f"{name} has shape {np.shape(state[name])}; {own[name].shape} needed."
                )
        self._thaw()
        for name, array in own.items():
            array[...] = kernels.to_device(state[name], self.device)

    # Devices

    def to(self, device: Device | str, hosted: bool = False) -> Self:
        """The same network with its arrays on a device.

        Parameters
        ----------
        device : Device or str
            "cpu", "cuda" or "cuda:1".
        hosted : bool
            Let it take and give NumPy's arrays: it copies inputs to the device and results back.
            Otherwise inputs have to be there already, and nothing is copied.

        Returns
        -------
        Network
            Itself where nothing changes. Its parameters are copies: what one network learns, the
            other does not.

        Raises
        ------
        DeviceError
            If the device cannot be used; says what is missing.

        Examples
        --------
        >>> import minicnn
        >>> net = minicnn.load("mnist")
        >>> net.to("cpu") is net
        True
        """
        device = find(device)
        hosted = hosted and device.kind != "cpu"
        if (device, hosted) == (self.device, self.hosted):
            return self
        if device == self.device:
            return self.derived(hosted=hosted)
        moved = {name: kernels.to_device(array, device) for name, array in self.arrays.items()}
        nodes = [replace(node, block=node.block.on(device)) for node in self.nodes]
        made = self.derived(
            arrays=moved, nodes=nodes, device=device, hosted=hosted, _planner=Planner()
        )
        made._thaw()
        return made._frozen_like(self)

    def refill(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write other numbers into arrays of this frozen network; its plans stay.

        For whoever runs one network with very many sets of parameters: filters are packed again
        right where the plans read them. Networks that share these arrays change with it.

        Parameters
        ----------
        arrays : mapping
            Some of the network's arrays, by name.

        Raises
        ------
        UnknownNameError, ShapeError
            If there is no array of that name, or it has another shape; then nothing is changed.

        Examples
        --------
        >>> import minicnn
        >>> import numpy as np
        >>> net = minicnn.load("mnist").apart()
        >>> net = net.derived(arrays={n: a.copy() for n, a in net.arrays.items()}).freeze()
        >>> net.refill({"fc.weight": np.zeros_like(net.arrays["fc.weight"])})
        >>> net.drop_softmax()(np.ones((1, 1, 28, 28), np.float32)) == net.arrays["fc.bias"]
        array([[ True,  True,  True,  True,  True,  True,  True,  True,  True,  True]])
        """
        for name, array in arrays.items():
            if name not in self.arrays:
                raise UnknownNameError(f"{self.name} has no {name!r}. {nearest(name, self.arrays)}")
            if array.shape != self.arrays[name].shape:
                raise ShapeError(
                    f"{name} has shape {array.shape}; {self.arrays[name].shape} needed."
                )
        own = [self.arrays[name] for name in arrays]
        for name, array in arrays.items():
            on_card = kernels.on_gpu(self.arrays[name])
            if not on_card:
                self.arrays[name].flags.writeable = True
            self.arrays[name][...] = kernels.to_device(array, self.device)
            if not on_card:
                self.arrays[name].flags.writeable = False
        self._reversals.clear()
        in_steps = (BatchNorm, Multiply)  # whose numbers plans hold in a form of their own
        if any(isinstance(n.block, in_steps) and arrays.keys() & {*n.operands} for n in self.nodes):
            Packs.forget(own)
        else:
            self._planner.packs.refresh(own)
