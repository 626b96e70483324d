"""Cases: seeded operands for a problem, and the numbers that its result must hold.

    block               operands      result
    conv2d              x, w, b       y[o, i] = b[o] + sum_c,t w[o, c, t] x[c, s i - pad + d t]
    conv_transpose2d    p, w          x[c, j] = sum_o,t w[o, c, t] p[o, (j + pad - d t) / s]
    conv_filter2d       p, x          w[o, c, t] = sum_n,i p[o, i] x[c, s i - pad + d t]

What is expected is computed in float64: by `reference` where that is little work, else at the
corners and at a random sample of places only, straight from the formulas above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels import reference
from minicnn.kernels.problems import Convolution

__all__ = ["Case"]

WHOLE = 5e8  # operations up to which the whole result is computed
SAMPLE = 3e8  # operations that a sample may take, about


@dataclass(frozen=True, eq=False)
class Case:
    """A problem with operands.

    Parameters
    ----------
    block : str
        "conv2d", "conv_transpose2d" or "conv_filter2d".
    problem : Convolution
    batch : int
        Number of images.
    seed : int
        Of operands and sample.
    """

    block: str
    problem: Convolution
    batch: int = 1
    seed: int = 0

    @property
    def flops(self) -> int:
        """Multiplications and additions of the definition."""
        return self.batch * self.problem.flops

    @property
    def bytes(self) -> int:
        """Bytes that must be read and written at least: images, filters, results."""
        filters = np.dtype(self.problem.dtype).itemsize * int(np.prod(self._filters))
        return self.batch * (self.problem.bytes - filters) + filters

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return {
            "conv2d": self._signal, "conv_transpose2d": self._image, "conv_filter2d": self._filters
        }[self.block]  # fmt: skip

    @property
    def _image(self) -> tuple[int, ...]:
        return (self.batch, self.problem.channels, *self.problem.size)

    @property
    def _signal(self) -> tuple[int, ...]:
        return (self.batch, self.problem.filters, *self.problem.out)

    @property
    def _filters(self) -> tuple[int, ...]:
        problem = self.problem
        return (problem.filters, problem.channels // problem.groups, *problem.window.kernel)

    @cached_property
    def operands(self) -> tuple[np.ndarray, ...]:
        """Standard normal numbers; images in channels-last memory, as the engine keeps them."""
        rng = np.random.default_rng(self.seed)

        def image(shape: tuple[int, ...]) -> np.ndarray:
            n, c, *size = shape
            return np.moveaxis(rng.standard_normal((n, *size, c), np.float32), -1, 1)

        found: list[np.ndarray]
        if self.block == "conv_filter2d":
            found = [image(self._signal), image(self._image)]
        else:
            w = rng.standard_normal(self._filters, np.float32)
            if self.block == "conv2d":
                b = rng.standard_normal(self.problem.filters, np.float32)
                found = [image(self._image), w, b]
            else:
                found = [image(self._signal), w]
        return tuple(array.astype(self.problem.dtype, copy=False) for array in found)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What an entry's `run` is called with."""
        problem = self.problem
        if self.block == "conv_transpose2d":
            return (*self.operands, None, problem.window, problem.groups, problem.size)
        return (*self.operands, problem.window, problem.groups)

    # What is expected

    def error(self, result: Any) -> float:
        """max |result - expected| / max |expected| over the places that are checked.

        Raises
        ------
        ShapeError
            If the result is no array of the shape needed.
        """
        if not isinstance(result, np.ndarray) or result.shape != self.shape:
            found = getattr(result, "shape", type(result).__name__)
            raise ShapeError(f"gave {found} where an array of shape {self.shape} is needed")
        places, values = self.expected
        largest = np.abs(values).max()
        return float(np.abs(result[places] - values).max() / (largest or 1))

    @cached_property
    def expected(self) -> tuple[Any, np.ndarray]:
        """An index into the result, and the values there."""
        if self.flops <= WHOLE:
            return ..., self._whole()
        rng = np.random.default_rng(self.seed)
        return self._sampled_filters(rng) if self.block == "conv_filter2d" else self._sampled(rng)

    def _whole(self) -> np.ndarray:
        exact = [array.astype(np.float64) for array in self.operands]
        arguments = (*exact, *self.arguments[len(exact) :])
        name = self.block.removesuffix("2d")
        result: np.ndarray = getattr(reference, name)(*arguments)
        return result

    def _sampled(self, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """All channels at some pixels, the corners among them."""
        problem, window = self.problem, self.problem.window
        source, w = self.operands[:2]
        height, width = self.shape[2:]
        depth, columns, volume = problem.depth, problem.columns, window.volume
        count = int(SAMPLE / (2 * depth * columns * problem.groups * volume))
        count = max(16, min(4096, count))
        images = rng.integers(self.batch, size=count)
        rows, across = rng.integers(height, size=count), rng.integers(width, size=count)
        rows[:4], across[:4] = (0, 0, height - 1, height - 1), (0, width - 1, 0, width - 1)
        sums = np.zeros((count, problem.groups, columns))
        w = w.astype(np.float64).reshape(problem.groups, problem.filters // problem.groups, -1,
                                         *window.kernel)  # (G, O/G, C/G, *kernel)  # fmt: skip
        for u in range(window.kernel[0]):
            for v in range(window.kernel[1]):
                i, above = self._read(0, rows, u)
                j, beside = self._read(1, across, v)
                pixels = source[images, :, i, j] * (above & beside)[:, None]
                pixels = pixels.astype(np.float64).reshape(count, problem.groups, depth)
                how = "ngo,goc->ngc" if problem.transposed else "ngc,goc->ngo"
                sums += np.einsum(how, pixels, w[..., u, v], optimize=True)
        values = sums.reshape(count, -1)
        if not problem.transposed:
            values += self.operands[2]
        return (images, slice(None), rows, across), values

    def _read(self, axis: int, at: np.ndarray, tap: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a tap reads for these places of the result, and whether there is such a place."""
        window, problem = self.problem.window, self.problem
        stride, shift = window.stride[axis], window.dilation[axis] * tap - window.begins[axis]
        if problem.transposed:
            place, rest = np.divmod(at - shift, stride)
            inside = (rest == 0) & (place >= 0) & (place < problem.out[axis])
        else:
            place = stride * at + shift
            inside = (place >= 0) & (place < problem.size[axis])
        return np.where(inside, place, 0), inside

    def _sampled_filters(self, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """All taps for some filters and channels of the last group."""
        problem = self.problem
        p, x = self.operands
        filters, channels = problem.filters // problem.groups, problem.channels // problem.groups
        a_pair = 2 * self.batch * problem.pixels * problem.window.volume
        side = max(2, int((SAMPLE / a_pair) ** 0.5))
        o = np.sort(rng.permutation(filters)[:side])
        c = np.sort(rng.permutation(channels)[:side])
        o, c = np.union1d(o, filters - 1), np.union1d(c, channels - 1)
        first_o, first_c = problem.filters - filters, problem.channels - channels
        some = p[:, first_o + o].astype(np.float64), x[:, first_c + c].astype(np.float64)
        values = reference.conv_filter(*some, problem.window, 1)
        return np.ix_(first_o + o, c), values
