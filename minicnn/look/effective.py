"""Effective receptive fields: how much of its receptive field a layer really uses.

The gradient of a layer's central unit (i, j) with respect to the pixels, its magnitude averaged
over images, channels of the layer and colours,

    E(pixel) = mean |d y_c(i, j) / d x(colour, pixel)|,

is zero (but for rounding) outside of the receptive field and falls off like a Gaussian inside.
Its size is given twice:

    size         sqrt of the number of pixels where E > (1 - 0.9545) max E       (Luo et al.)
    mass_size    sqrt of the least number of pixels that hold 95.45 % of the sum of E

(95.45 % is what a Gaussian holds within two standard deviations.)

Source: W. Luo, Y. Li, R. Urtasun, R. Zemel, "Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks", NeurIPS 2016 (arXiv:1701.04128), sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.data.images import Images
from minicnn.errors import ImageError, InputError, ShapeError, UnitError
from minicnn.look.fields import Field, receptive_fields
from minicnn.look.strongest import channel_count, only_input
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["TWO_SIGMA", "EffectiveField", "effective_field"]

TWO_SIGMA = 0.9545


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """What the central unit of a layer uses of the input.

    Parameters
    ----------
    layer : str
        Of which.
    unit : tuple of int
        (row, column).
    field : Field
        The theoretical fields of this layer.
    weight : numpy.ndarray of float64, shape (H, W)
        The mean magnitude of the gradient.
    images, channels : int
        How many it is the mean of.
    """

    layer: str
    unit: tuple[int, ...]
    field: Field
    weight: np.ndarray
    images: int
    channels: int

    @property
    def box(self) -> tuple[int, ...]:
        """The theoretical field: (top, left, bottom, right)."""
        return self.field.box(self.unit)

    @property
    def size(self) -> float:
        """Root of the number of pixels above 4.55 % of the maximum."""
        top = self.weight.max()
        return float(np.sqrt((self.weight > (1 - TWO_SIGMA) * top).sum()))

    @property
    def mass_size(self) -> float:
        """Root of the least number of pixels that hold 95.45 % of the mass."""
        share = np.cumsum(np.sort(self.weight, axis=None)[::-1])
        if share[-1] == 0:
            return 0.0
        return float(np.sqrt(np.searchsorted(share, TWO_SIGMA * share[-1]) + 1))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name, to be saved."""
        return {
            "layer": np.array(self.layer), "unit": np.array(self.unit),
            "box": np.array(self.box), "weight": self.weight,
            "size": np.array(self.size), "mass_size": np.array(self.mass_size),
        }  # fmt: skip


def effective_field(
    network: Network,
    layer: str,
    images: Images | np.ndarray,
    channels: int = 16,
    seed: int = 0,
    batch: int = 8,
    track: Track = silent,
) -> EffectiveField:
    """Measure the effective receptive field of a layer.

    Parameters
    ----------
    network : Network
        With one input.
    layer : str
        A layer of maps (N, C, H, W).
    images : Images or numpy.ndarray, shape (N, C, H, W)
        Photos, or inputs such as noise; all of one size.
    channels : int
        How many of the layer's channels, drawn at random, are sent back one by one.
    seed : int
        Of that draw.
    batch : int
        Images a run.
    track : Track
        Shows the progress.

    Returns
    -------
    EffectiveField

    Raises
    ------
    UnitError
        If the layer has no maps.
    ShapeError
        If the images differ in size.
    ImageError
        If not one image can be read.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.data import Images, bundled_digits
    >>> found = effective_field(minicnn.load("mnist"), "conv4", Images(bundled_digits()))
    >>> found.box, found.size < 20
    ((8, 8, 22, 22), True)
    """
    source, layer = only_input(network), network.value_name(layer)
    if channels < 1 or batch < 1:
        raise InputError(f"channels={channels} and batch={batch}: both must be 1 or more.")
    count = channel_count(network, layer)
    chosen = np.random.default_rng(seed).permutation(count)[:channels]
    stream = images if isinstance(images, Images) else Images(images)
    size = 1 if network.inputs[source][0] == 1 else batch
    part = network.cut(outputs=layer)
    total, number, shape = np.zeros(()), 0, None
    for one in track(
        stream.batches(network.preprocess, size), f"batches of {size}", -(-len(stream) // size)
    ):
        x = one.x.astype(network.dtype, copy=False)
        if shape is not None and x.shape[1:] != shape[1:]:
            raise ShapeError(
                f"Images of sizes {shape[1:]} and {x.shape[1:]} have no central unit in "
                f"common. Give images of one size, or a preprocessing that crops."
            )
        shape = (1, *x.shape[1:])
        total = total + _magnitudes(part, x, layer, chosen)
        number += len(x)
    if shape is None:
        raise ImageError(f"Not one of {len(stream)} images can be read.")
    field = receptive_fields(part, shape)[layer]
    unit = _central(part.infer_shapes(shape)[layer], layer)
    return EffectiveField(layer, unit, field, total / (number * len(chosen)), number, len(chosen))


def _central(shape: tuple[int, ...], layer: str) -> tuple[int, ...]:
    """The unit in the middle of a map."""
    if len(shape) != 4:
        raise UnitError(f"{layer} has shape {shape}: no maps (N, C, H, W), hence no central unit.")
    return tuple(n // 2 for n in shape[2:])


def _magnitudes(part: Network, x: np.ndarray, layer: str, channels: np.ndarray) -> np.ndarray:
    """|gradient| of the central unit, summed over images and channels: (H, W)."""
    tape = part.record(x, rules=["salinet"])
    shape = tape.shapes[layer]
    unit, total = _central(shape, layer), np.zeros(())
    for channel in channels:
        p = np.zeros(shape, part.dtype)
        p[(slice(None), channel, *unit)] = 1
        gradient = part.channels_first(tape.backward(p, "salinet", at=layer))  # (N, C, H, W)
        total = total + np.abs(gradient).mean(axis=1, dtype=np.float64).sum(axis=0)
    return total
