"""The language in which the benchmark's networks are described: layers, one after another.

    spec = Spec("small", (3, 8, 8))
    spec.relu("relu1", spec.conv("conv1", "x", 16, kernel=3, pad=1))

`networks.py` holds the descriptions; `onnx_builder.py` and `torch_builder.py` make an ONNX file and
a torch module of one, with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

import numpy as np

__all__ = ["EPSILON", "Layer", "Spec"]

EPSILON = 1e-5  # of every norm


@dataclass(frozen=True)
class Layer:
    """One layer: its kind, the values that it reads, its output's shape (without batch), settings.

    Kinds are conv, norm, relu, max_pool, mean (over the plane), flatten, linear, add and concat.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    groups: int = 1
    bias: bool = True
    ceil_mode: bool = False
    gain: float = 1.0  # of a norm: the mean of its scales


@dataclass
class Spec:
    """A network under description. Each method adds a layer and gives back its name.

    Parameters
    ----------
    name : str
        The network's name.
    shape : tuple of int
        Shape of the input "x", without batch.
    """

    name: str
    shape: tuple[int, ...]
    layers: list[Layer] = field(default_factory=list)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every value, without batch."""
        return {"x": self.shape, **{layer.name: layer.shape for layer in self.layers}}

    @property
    def output(self) -> str:
        """Name of the last value."""
        return self.layers[-1].name

    def plan(self) -> Iterator[tuple[Layer, list[str]]]:
        """Each layer in running order, with the values that nothing reads after it."""
        last_reader = {name: layer.name for layer in self.layers for name in layer.inputs}
        for layer in self.layers:
            yield layer, [name for name in layer.inputs if last_reader[name] == layer.name]

    def _add(
        self, name: str, kind: str, inputs: Sequence[str], shape: tuple, **settings: Any
    ) -> str:
        self.layers.append(Layer(name, kind, tuple(inputs), shape, **settings))
        return name

    def conv(self, name: str, x: str, out: int, kernel: int, stride: int = 1, pad: int = 0,
             groups: int = 1, bias: bool = True) -> str:  # fmt: skip
        """Add a convolution with square filters."""
        sides = [(n + 2 * pad - kernel) // stride + 1 for n in self.shapes[x][1:]]
        return self._add(
            name, "conv", [x], (out, *sides),
            kernel=kernel, stride=stride, pad=pad, groups=groups, bias=bias,
        )  # fmt: skip

    def max_pool(self, name: str, x: str, kernel: int, stride: int, pad: int = 0,
                 ceil_mode: bool = False) -> str:  # fmt: skip
        """Add max-pooling."""
        channels, *sides = self.shapes[x]
        whole = ceil if ceil_mode else int
        sides = [whole((n + 2 * pad - kernel) / stride) + 1 for n in sides]
        return self._add(
            name, "max_pool", [x], (channels, *sides),
            kernel=kernel, stride=stride, pad=pad, ceil_mode=ceil_mode,
        )  # fmt: skip

    def norm(self, name: str, x: str, gain: float = 1.0) -> str:
        """Add batch normalisation."""
        return self._add(name, "norm", [x], self.shapes[x], gain=gain)

    def relu(self, name: str, x: str) -> str:
        """Add max(x, 0)."""
        return self._add(name, "relu", [x], self.shapes[x])

    def mean(self, name: str, x: str) -> str:
        """Add the mean over each whole plane."""
        return self._add(name, "mean", [x], (self.shapes[x][0], 1, 1))

    def flatten(self, name: str, x: str) -> str:
        """Make a vector of each image."""
        return self._add(name, "flatten", [x], (prod(self.shapes[x]),))

    def linear(self, name: str, x: str, out: int) -> str:
        """Add a fully connected layer."""
        return self._add(name, "linear", [x], (out,))

    def add(self, name: str, branch: str, shortcut: str) -> str:
        """Add two values; the branch is read nowhere else, so that torch may overwrite it."""
        return self._add(name, "add", [branch, shortcut], self.shapes[branch])

    def concat(self, name: str, a: str, b: str) -> str:
        """Stack the channels of two values."""
        channels = self.shapes[a][0] + self.shapes[b][0]
        return self._add(name, "concat", [a, b], (channels, *self.shapes[a][1:]))

    def weights(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Seeded parameters by name: filters N(0, 2 / fan-in), small biases, frozen statistics.

        Norms get scales about their gain, and means and variances other than 0 and 1.
        """
        rng = np.random.default_rng(seed)
        made: dict[str, np.ndarray] = {}

        def normal(shape: tuple[int, ...], deviation: float) -> np.ndarray:
            return rng.standard_normal(shape, np.float32) * np.float32(deviation)

        def around_one(channels: int) -> np.ndarray:
            return rng.uniform(0.5, 1.5, channels).astype(np.float32)

        for layer in self.layers:
            name, out, source = layer.name, layer.shape[0], self.shapes[layer.inputs[0]]
            if layer.kind in ("conv", "linear"):
                window = (layer.kernel, layer.kernel) if layer.kind == "conv" else ()
                shape = (out, source[0] // layer.groups, *window)
                made[f"{name}.weight"] = normal(shape, (2 / prod(shape[1:])) ** 0.5)
                if layer.bias:
                    made[f"{name}.bias"] = normal((out,), 0.1)
            elif layer.kind == "norm":
                made[f"{name}.weight"] = around_one(out) * np.float32(layer.gain)
                made[f"{name}.bias"] = normal((out,), 0.1)
                made[f"{name}.running_mean"] = normal((out,), 0.1)
                made[f"{name}.running_var"] = around_one(out)
        return made

    def images(self, batch: int = 1, seed: int = 1) -> np.ndarray:
        """Seeded standard normal images, (batch, *shape) float32."""
        return np.random.default_rng(seed).standard_normal((batch, *self.shape), np.float32)

    def labels(self, batch: int, seed: int = 2) -> np.ndarray:
        """Seeded classes for so many images, int64."""
        return np.random.default_rng(seed).integers(0, self.layers[-1].shape[0], batch)
