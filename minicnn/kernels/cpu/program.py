"""Programs: lists of steps under construction, and the memory that they work in.

A step's arguments are numbers and addresses. An address is a `Place`: an offset in a buffer, by the
buffer's key. Binding a program to memory gives the list of int64 that `team.follow` runs. Buffers
may be bound again: a program is laid out once, and runs on any number of inputs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minicnn.kernels.cpu.compiled import Kernel
from minicnn.kernels.cpu.ending import FIELDS
from minicnn.kernels.cpu.team import follow, threads

__all__ = ["Bound", "Image", "Place", "Program", "address", "aligned", "bit_steps"]

ARGUMENTS, SCRATCH = "arguments", "scratch"  # the keys of a program's own buffers


@dataclass(frozen=True)
class Place:
    """An address: `offset` bytes into the buffer of a key."""

    buffer: Hashable
    offset: int = 0

    def __add__(self, offset: int) -> Place:
        return Place(self.buffer, self.offset + offset)


@dataclass(frozen=True)
class Image:
    """A batch of images in channels-last order, or some of their channels.

    Parameters
    ----------
    place : Place
        Of the first number.
    batch, channels, height, width : int
    pixel : int
        Floats from one pixel to the next: the number of channels, or of those of the array that
        these channels are a part of.
    channel, row, image : int
        Floats from one to the next; channels lie side by side, rows and images follow each other
        unless said otherwise.
    """

    place: Place
    batch: int
    channels: int
    height: int
    width: int
    pixel: int
    channel: int = 1
    row: int = None  # type: ignore[assignment]  # resolved below; 0 is a step, of what is repeated
    image: int = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.row is None:
            object.__setattr__(self, "row", self.width * self.pixel)
        if self.image is None:
            object.__setattr__(self, "image", self.height * self.row)

    @classmethod
    def whole(cls, buffer: Hashable, shape: Sequence[int]) -> Image:
        """All of a buffer, as an image of shape (N, C, H, W), (N, C, W) or (N, C)."""
        batch, channels, *size = shape
        height, width = [1, 1, *size][-2:]
        return cls(Place(buffer), batch, channels, height, width, channels)

    def part(self, first: int, channels: int) -> Image:
        """Some of the channels."""
        return replace(self, place=self.place + 4 * first * self.channel, channels=channels)

    def steps(self, name: str) -> dict[str, Any]:
        """Address and steps in bytes as arguments: name, name_image, name_row, name_pixel."""
        return {
            name: self.place,
            f"{name}_image": 4 * self.image,
            f"{name}_row": 4 * self.row,
            f"{name}_pixel": 4 * self.pixel,
        }


def bit_steps(name: str, place: Place, shape: Sequence[int]) -> dict[str, Any]:
    """Bits of an array (N, C, ...) as an epilogue's fields: name, name_image, name_row, name_pixel.

    They stand as in `Packed`: channels last, each pixel beginning at a byte.
    """
    height, width = [1, 1, *shape[2:]][-2:]
    pixel = -(-shape[1] // 8)
    return {
        name: place,
        f"{name}_image": height * width * pixel,
        f"{name}_row": width * pixel,
        f"{name}_pixel": pixel,
    }


def aligned(size: int) -> np.ndarray:
    """Zeroed memory of `size` bytes that begins at a cache line."""
    memory = np.zeros(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


@dataclass
class Program:
    """A list of steps.

    Attributes
    ----------
    workers : int
        For how many threads scratch memory is laid out.
    """

    workers: int = field(default_factory=threads)
    numbers: list[int] = field(default_factory=list)
    patches: list[tuple[int, Place]] = field(default_factory=list)
    steps: list[tuple[Kernel, int, int]] = field(default_factory=list)
    constants: dict[Hashable, np.ndarray] = field(default_factory=dict)
    scratch: int = 0

    def block(self, values: Sequence[Any]) -> Place:
        """Lay out int64 numbers and places; gives where they stand."""
        start = len(self.numbers)
        for value in values:
            if isinstance(value, Place):
                self.patches.append((len(self.numbers), value))
                value = 0
            self.numbers.append(int(value))
        return Place(ARGUMENTS, 8 * start)

    def ending(self, into: Image, **fields: Any) -> Place:
        """The block of an epilogue that stores to an image."""
        values = {**dict.fromkeys(FIELDS, 0), "mask_images": 1, **into.steps("y"), **fields}
        return self.block([values[name] for name in FIELDS])

    def step(self, kernel: Kernel, items: int, **arguments: Any) -> None:
        """Add a step."""
        if items > 0:
            place = self.block(kernel.ordered(arguments))
            self.steps.append((kernel, items, place.offset))

    def constant(self, array: np.ndarray) -> Place:
        """The place of an array that is the same in every run."""
        key = ("constant", id(array))
        self.constants[key] = array  # keeps it alive, so that its id stays its own
        return Place(key)

    def scratch_memory(self, size: int) -> Place:
        """Memory that the steps after this one may use until another asks: shared by all."""
        self.scratch = max(self.scratch, size)
        return Place(SCRATCH)

    def run(self, buffers: Mapping[Any, np.ndarray]) -> None:
        """Bind and run at once."""
        Bound(self).run(buffers)


class Bound:
    """A program in memory of its own, to be run on buffers again and again, one run at a time.

    Parameters
    ----------
    program : Program
        Complete: nothing is added to it afterwards.
    fixed : mapping
        Buffers that stay the same, by key. All others are given to each run.
    """

    def __init__(self, program: Program, fixed: Mapping[Any, np.ndarray] | None = None) -> None:
        self.program = program
        self._numbers = np.array(program.numbers, np.int64)
        self._held = {**program.constants, **(fixed or {}), ARGUMENTS: self._numbers}
        if program.scratch:
            self._held[SCRATCH] = aligned(program.scratch)
        self._steps = np.empty((len(program.steps), 3), np.int64)
        base = address(self._numbers)
        for i, (kernel, items, offset) in enumerate(program.steps):
            self._steps[i] = kernel.address, items, base + offset
        own = [(at, place) for at, place in program.patches if place.buffer in self._held]
        for at, place in own:
            self._numbers[at] = address(self._held[place.buffer]) + place.offset
        open_ = [(at, place) for at, place in program.patches if place.buffer not in self._held]
        self._keys = list(dict.fromkeys(place.buffer for _, place in open_))
        number = {key: i for i, key in enumerate(self._keys)}
        self._at = np.array([at for at, _ in open_], np.int64)
        self._offsets = np.array([place.offset for _, place in open_], np.int64)
        self._which = np.array([number[place.buffer] for _, place in open_], np.int64)

    def run(self, buffers: Mapping[Any, np.ndarray]) -> None:
        """Run all steps on these buffers; others may be among them.

        Raises
        ------
        KeyError
            If a buffer is missing.
        """
        if self._keys:
            addresses = np.array([address(buffers[key]) for key in self._keys], np.int64)
            self._numbers[self._at] = self._offsets + addresses[self._which]
        follow(self._steps, self.program.workers)


def address(array: np.ndarray) -> int:
    """Where an array's first number is."""
    return int(array.__array_interface__["data"][0])
