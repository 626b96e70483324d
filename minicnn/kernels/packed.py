"""Packed statistics: small integers in as few bits as they need.

A ReLU mask needs 1 bit a unit, the switch of a pooling window of K taps needs ceil(log2 K) bits.
The integers are stored as bit planes: plane i holds bit i of every value. Bits stand in the order
in which the kernels meet them: channels last, each pixel beginning at a byte, lowest bit first.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from minicnn.kernels.devices import Device, on_gpu, to_device
from minicnn.kernels.memory import empty

__all__ = ["Packed", "plane_shape"]


def plane_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in bytes of one bit plane for an array (N, C, *spatial), or (C,)."""
    if not shape:
        return (1,)
    lead, channels, spatial = shape[:1], shape[1 if len(shape) > 1 else 0], shape[2:]
    return (*(lead if len(shape) > 1 else ()), *spatial, -(-channels // 8))


def _channels_last(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.atleast_1d(values), min(1, max(values.ndim - 1, 0)), -1)


@dataclass(frozen=True, eq=False)
class Packed:
    """An immutable array of integers 0 .. levels - 1, bit-packed.

    Parameters
    ----------
    planes : numpy.ndarray of uint8, shape (bits, N, *spatial, ceil(C / 8))
        The bit planes.
    shape : tuple of int
        Shape (N, C, *spatial) of the unpacked array.
    levels : int
        Number of values that can occur; 2 for a mask.
    """

    planes: np.ndarray
    shape: tuple[int, ...]
    levels: int

    def __post_init__(self) -> None:
        if not on_gpu(self.planes):
            self.planes.flags.writeable = False

    @classmethod
    def unfilled(cls, shape: tuple[int, ...], levels: int = 2) -> Packed:
        """Memory that a kernel is about to fill."""
        return cls(empty(cls.planes_shape(shape, levels), np.uint8), shape, levels)

    @staticmethod
    def planes_shape(shape: tuple[int, ...], levels: int) -> tuple[int, ...]:
        """Shape of the planes for an array of that shape."""
        return ((levels - 1).bit_length(), *plane_shape(shape))

    @classmethod
    def pack(cls, values: np.ndarray, levels: int = 2) -> Packed:
        """Pack an array of integers below `levels` (booleans count as 0 and 1)."""
        if on_gpu(values):
            from minicnn.kernels.gpu import gates

            return gates.pack(values, levels)
        last = _channels_last(values)
        if levels == 2:
            bits = [last.astype(bool, copy=False)]
        else:
            bits = [(last >> i) & 1 for i in range((levels - 1).bit_length())]
        planes = [np.packbits(bit, axis=-1, bitorder="little") for bit in bits]
        if not planes:  # one level: nothing to remember
            return cls.unfilled(values.shape, levels)
        return cls(np.stack(planes), values.shape, levels)

    def unpack(self) -> np.ndarray:
        """The values again: booleans for a mask, else the smallest unsigned integers."""
        if on_gpu(self.planes):
            from minicnn.kernels.gpu import gates

            return gates.unpack(self)
        channels = self.shape[min(1, len(self.shape) - 1)] if self.shape else 1
        dtype = np.dtype(bool) if self.levels == 2 else np.min_scalar_type(max(self.levels - 1, 1))
        last = (*plane_shape(self.shape)[:-1], channels)
        values = np.zeros(last, dtype)
        for i, plane in enumerate(self.planes):
            bits = np.unpackbits(plane, axis=-1, count=channels, bitorder="little")
            values |= bits.view(bool) if self.levels == 2 else bits.astype(dtype) << dtype.type(i)
        return np.moveaxis(values, -1, min(1, len(self.shape) - 1)).reshape(self.shape)

    def to(self, device: Device | str) -> Packed:
        """The same bits on a device."""
        return Packed(to_device(self.planes, device), self.shape, self.levels)

    @property
    def nbytes(self) -> int:
        """Bytes that the packed values take."""
        return self.planes.nbytes

    @property
    def bits(self) -> int:
        """Bits of information stored: values times bits a value."""
        return self.planes.shape[0] * prod(self.shape)

    def shuffled(self, generator: np.random.Generator) -> Packed:
        """Each image's values in random order: their histogram stays, their places go."""
        if 0 in self.shape:
            return self
        images = self.unpack().reshape(self.shape[0] if len(self.shape) > 1 else 1, -1)
        return Packed.pack(generator.permuted(images, axis=1).reshape(self.shape), self.levels)
