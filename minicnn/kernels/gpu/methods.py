"""Ways to convolve on a card: filters packed once for planned networks, or in every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import channels_last, new_image, per_channel
from minicnn.kernels.problems import Convolution

__all__ = ["Method"]

Size = tuple[int, ...]


@dataclass(frozen=True)
class Method:
    """One way.

    Parameters
    ----------
    name : str
    pack : callable
        Of filters (O, C/groups, h, w), groups, and whether they are transposed.
    run : callable
        Of images with channels last, packed filters, problem, result and `Ending`.
    why_not : callable
        Why it does not apply to a problem; empty where it does.
    """

    name: str
    pack: Callable[[Any, int, bool], Any]
    run: Callable[[Any, Any, Convolution, Any, Ending], None]
    why_not: Callable[[Convolution], str] = lambda problem: ""

    def conv(self, x: Any, w: Any, b: Any, window: Window, groups: int) -> Any:
        """Convolution of images (N, C, H, W); see `reference.conv`."""
        problem = Convolution.forward(x, w, window, groups)
        return self._called(x, w, b, problem, (x.shape[0], w.shape[0], *problem.out))

    def conv_transpose(
        self, p: Any, w: Any, b: Any, window: Window, groups: int, size: Size
    ) -> Any:
        """Transposed convolution to images of a size; see `reference.conv_transpose`."""
        problem = Convolution.backward(p, w, window, groups, size)
        return self._called(p, w, b, problem, (p.shape[0], problem.channels, *size))

    def _called(self, x: Any, w: Any, b: Any, problem: Convolution, shape: Size) -> Any:
        y = new_image(x, shape)
        packed = self.pack(w, problem.groups, problem.transposed)
        self.run(channels_last(x), packed, problem, y, Ending(bias=per_channel(b, y)))
        return y
