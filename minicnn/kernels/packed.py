"""Packed statistics: small integers in as few bits as they need.

A ReLU mask needs 1 bit a unit, the switch of a pooling window of K taps needs ceil(log2 K) bits.
The integers are stored as bit planes: plane i holds bit i of every value, eight values a byte.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Packed"]


@dataclass(frozen=True, eq=False)
class Packed:
    """An immutable array of integers 0 .. levels - 1, bit-packed.

    Parameters
    ----------
    planes : numpy.ndarray of uint8, shape (bits, ceil(size / 8))
        The bit planes.
    shape : tuple of int
        Shape of the unpacked array.
    levels : int
        Number of values that can occur; 2 for a mask.
    """

    planes: np.ndarray
    shape: tuple[int, ...]
    levels: int

    def __post_init__(self) -> None:
        self.planes.flags.writeable = False

    @classmethod
    def pack(cls, values: np.ndarray, levels: int = 2) -> Packed:
        """Pack an array of integers below `levels` (booleans count as 0 and 1)."""
        flat = values.reshape(-1)
        if levels == 2:
            return cls(np.packbits(flat.astype(bool, copy=False))[None], values.shape, levels)
        bits = (levels - 1).bit_length()
        planes = np.empty((bits, -(-flat.size // 8)), np.uint8)
        for i in range(bits):
            planes[i] = np.packbits((flat >> i) & 1)
        return cls(planes, values.shape, levels)

    def unpack(self) -> np.ndarray:
        """The values again: booleans for a mask, else the smallest unsigned integers."""
        size = int(np.prod(self.shape))
        if self.levels == 2:
            bits = np.unpackbits(self.planes[0], count=size)
            return bits.view(bool).reshape(self.shape)
        values = np.zeros(size, np.min_scalar_type(max(self.levels - 1, 1)))
        for i, plane in enumerate(self.planes):
            values |= np.unpackbits(plane, count=size).astype(values.dtype) << values.dtype.type(i)
        return values.reshape(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the packed values take."""
        return self.planes.nbytes

    @property
    def bits(self) -> int:
        """Bits of information stored: values times bits a value."""
        return self.planes.shape[0] * int(np.prod(self.shape))

    def shuffled(self, generator: np.random.Generator) -> Packed:
        """Each image's values in random order: their histogram stays, their places go."""
        if 0 in self.shape:
            return self
        images = self.unpack().reshape(self.shape[0] if len(self.shape) > 1 else 1, -1)
        return Packed.pack(generator.permuted(images, axis=1).reshape(self.shape), self.levels)
