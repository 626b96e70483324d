"""Optimisers: what a step does with the gradients, with torch's settings and meaning.

    SGD     g += decay w;  v = momentum v + (1 - dampening) g;  w -= rate (v, or g + momentum v)
    Adam    g += decay w;  m, s = running means of g, g^2;  w -= rate m' / (sqrt(s') + epsilon)
    AdamW   w -= rate decay w;  then Adam without decay

Sources: Sutskever et al. 2013 (Nesterov in this form); Kingma and Ba 2015, algorithm 1; Loshchilov
and Hutter 2019, algorithm 2. The arithmetic stands in `kernels/reference.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Self

import numpy as np

from minicnn import kernels
from minicnn.errors import InputError
from minicnn.kernels.devices import as_array, beside, on_gpu
from minicnn.nn.names import SETTINGS
from minicnn.planning.packs import may_learn
from minicnn.tensor import Tensor

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "clip_gradients", "gradient_norm"]

Parameters = Mapping[str, Tensor] | Iterable[Tensor]


class Optimiser:
    """Holds parameters and what is remembered of their gradients.

    Parameters
    ----------
    parameters : mapping of str to Tensor, or iterable of Tensor
        Such as `model.named_parameters()`; those that require no gradient are left alone.
    rate : float
        The learning rate.
    decay : float
        Weight decay.
    decay_vectors : bool
        Whether biases, gains and shifts (one axis) decay too, as torch's do.
    """

    slots: tuple[str, ...] = ()  # what is remembered, one array a parameter each

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Tell users of torch what their settings are called here."""
        for name in settings.keys() & SETTINGS.keys():
            ours = SETTINGS[name]
            raise TypeError(f"{cls.__name__} has no {name}: here it is {ours}, {ours}=...")
        return super().__new__(cls)

    def __init__(
        self,
        parameters: Parameters,
        rate: float,
        decay: float = 0.0,
        decay_vectors: bool = True,
    ) -> None:
        named = (
            dict(parameters)
            if isinstance(parameters, Mapping)
            else {str(i): tensor for i, tensor in enumerate(parameters)}
        )
        self.parameters = {name: t for name, t in named.items() if t.requires_grad}
        if not self.parameters:
            raise InputError("An optimiser needs parameters that require gradients; it got none.")
        if not 0 < rate < inf or not 0 <= decay < inf:
            raise InputError(
                f"The rate is above 0 and the decay not below; got rate={rate}, decay={decay}."
            )
        self.rate, self.decay, self.decay_vectors = rate, decay, decay_vectors
        self.steps = 0
        self.memory = {
            slot: {name: np.zeros_like(t.data, order="C") for name, t in self.parameters.items()}
            for slot in self.slots
        }

    def zero_grad(self) -> None:
        """Forget all gradients; `backward` replaces those it reaches, others would stay."""
        for tensor in self.parameters.values():
            tensor.grad = None

    def step(self, factor: float = 1.0) -> None:
        """Move every parameter that has a gradient, by the rate times `factor`.

        Raises
        ------
        InputError
            If a parameter was frozen since; then nothing is changed.
        """
        for name, tensor in self.parameters.items():
            if tensor.grad is not None and not may_learn(tensor.data):
                raise InputError(
                    f"The parameter {name} is frozen, since `freeze()` was called: ask the network "
                    f"for `parameters()` again to let it learn."
                )
        self.steps += 1
        for name, tensor in self.parameters.items():
            if tensor.grad is None:
                continue
            gradient = tensor.grad.data
            if (
                not on_gpu(gradient) and not gradient.flags.c_contiguous
            ):  # the updates read numbers in one order
                gradient = np.ascontiguousarray(gradient)
            decays = self.decay_vectors or tensor.data.ndim > 1
            self._move(name, tensor.data, gradient, self.rate * factor, self.decay * decays)

    def _move(
        self, name: str, w: np.ndarray, gradient: np.ndarray, rate: float, decay: float
    ) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is remembered, by "slot/parameter", and the number of steps made (not copies)."""
        arrays = {
            f"{slot}/{name}": array
            for slot, named in self.memory.items()
            for name, array in named.items()
        }
        return {**arrays, "steps": np.array(self.steps)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of the same optimiser and parameters.

        Raises
        ------
        InputError
            If it is the state of another one; then nothing is changed.
        """
        own = self.state_dict()
        for name in {**own, **state}:
            both = name in own and name in state
            if not both or np.shape(state[name]) != own[name].shape:
                raise InputError(f"This is not the state of this {type(self).__name__}: {name}.")
        for name, array in own.items():
            array[...] = beside(as_array(state[name]), array)
        self.steps = int(state["steps"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.parameters)} parameters, rate {self.rate:g}>"


class SGD(Optimiser):
    """Stochastic gradient descent with momentum, Nesterov's if asked for.

    Examples
    --------
    >>> w = Tensor([1.0], requires_grad=True)
    >>> descent = SGD([w], rate=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     (w * w).sum().backward()
    ...     descent.step()
    >>> w                                        # 1 - 0.2, then - 0.1 (1.6 + 0.9 x 2)
    Tensor([0.46], requires_grad=True)
    """

    slots = ("velocity",)

    def __init__(
        self,
        parameters: Parameters,
        rate: float = 0.1,
        momentum: float = 0.0,
        dampening: float = 0.0,
        decay: float = 0.0,
        nesterov: bool = False,
        decay_vectors: bool = True,
    ) -> None:
        if not 0 <= momentum < inf:
            raise InputError(f"The momentum is 0 or above; got {momentum}.")
        if nesterov and (momentum <= 0 or dampening):
            raise InputError("Nesterov's momentum needs momentum above 0 and no dampening.")
        super().__init__(parameters, rate, decay, decay_vectors)
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def _move(
        self, name: str, w: np.ndarray, gradient: np.ndarray, rate: float, decay: float
    ) -> None:
        # torch's first step takes the gradient whole, without dampening
        dampening = self.dampening if self.steps > 1 else 0.0
        velocity = self.memory["velocity"][name] if self.momentum else None
        kernels.sgd(
            w, gradient, velocity, rate=rate, momentum=self.momentum, dampening=dampening,
            decay=decay, nesterov=self.nesterov,
        )  # fmt: skip


class Adam(Optimiser):
    """Steps scaled by running means of the gradient and its square."""

    slots = ("mean", "square")
    decoupled = False

    def __init__(
        self,
        parameters: Parameters,
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        decay: float = 0.0,
        decay_vectors: bool = True,
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas) or not 0 <= epsilon < inf:
            raise InputError(
                f"The betas are from 0 to below 1 and epsilon not below 0; got betas={betas}, "
                f"epsilon={epsilon}."
            )
        super().__init__(parameters, rate, decay, decay_vectors)
        self.betas, self.epsilon = betas, epsilon

    def _move(
        self, name: str, w: np.ndarray, gradient: np.ndarray, rate: float, decay: float
    ) -> None:
        kernels.adam(
            w, gradient, self.memory["mean"][name], self.memory["square"][name], self.steps,
            rate=rate, betas=self.betas, epsilon=self.epsilon, decay=decay,
            decoupled=self.decoupled,
        )  # fmt: skip


class AdamW(Adam):
    """Adam whose decay does not pass through the running means."""

    decoupled = True


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients together, in float64."""
    squares = [
        np.vdot(t.grad.data.astype(np.float64), t.grad.data) for t in parameters if t.grad
        is not None
    ]  # fmt: skip
    return float(np.sqrt(sum(squares)))


def clip_gradients(parameters: Iterable[Tensor], most: float) -> float:
    """Scale all gradients together so that their norm is at most `most`; gives the norm before.

    Source: Pascanu et al. 2013, algorithm 1.
    """
    parameters = list(parameters)
    norm = gradient_norm(parameters)
    if norm > most:
        for tensor in parameters:
            if tensor.grad is not None:
                tensor.grad.data *= tensor.grad.data.dtype.type(most / norm)
    return norm
