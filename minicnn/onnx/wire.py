"""Where the weights lie in an ONNX file: a scan of its bytes that leaves them in place.

Protobuf would copy all weights into memory, where arrays of our own would be a second copy. So the
file is scanned first. `skeleton` gives its bytes without the numbers of large tensors, each
replaced by a mark, which protobuf then parses; and where those numbers lie.

A message is a row of fields, each a tag and a value. The tag is 8 · number + kind; the kind says
what follows: 0 a varint, 1 eight bytes, 2 a length and so many bytes (text, numbers in a row, or a
message), 5 four bytes. A varint has 7 bits a byte, the lowest first; a high bit says that more
follow.

Source: the encoding page of the Protocol Buffers documentation; onnx.proto for the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, NoReturn, Protocol

import numpy as np

from minicnn.errors import ModelFileError

__all__ = ["Cut", "Readable", "skeleton", "varints"]

LARGE = 1024  # bytes from which a tensor's numbers stay in the file
DEEPEST = 100  # messages within messages; protobuf refuses more too
MOST_FIELDS = 1_000_000  # in all messages that are looked into; the largest files have a tenth
WINDOW = 2**16

# Messages that may hold tensors, and which of their fields do.
PARTS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor",
                  23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}  # fmt: skip
NUMBERS = {4: "float_data", 5: "int32_data", 7: "int64_data", 9: "raw_data", 10: "double_data",
           11: "uint64_data"}  # fmt: skip
EXTERNAL_DATA = 13  # of Tensor: pairs of texts, which is where the marks go


class Cut(NamedTuple):
    """Numbers left in the file: the field they are, their first byte and how many."""

    field: str
    offset: int
    length: int


class Readable(Protocol):
    """A file as the scan needs it."""

    def seek(self, offset: int, /) -> int: ...
    def read(self, size: int, /) -> bytes | None: ...


def skeleton(file: Readable, size: int, key: str, most: int, where: str) -> tuple[bytes, list[Cut]]:
    """A model's bytes without the numbers of large tensors, and where these lie.

    Parameters
    ----------
    file : file
        Open for reading bytes.
    size : int
        How many bytes it has.
    key : str
        What marks a tensor: an entry of its external data {key: index into the cuts}. A file that
        does not know the key cannot pretend to have one.
    most : int
        Bytes that may be left.
    where : str
        The file, for errors.

    Returns
    -------
    bytes, list of Cut

    Raises
    ------
    ModelFileError
        If the bytes are not a message, or too many would be left.
    """
    scan = _Scan(file, size, key, most, where)
    return scan.message("Model", 0, size, 0), scan.cuts


class _Scan:
    """One walk over a file."""

    def __init__(self, file: Readable, size: int, key: str, most: int, where: str) -> None:
        self.file, self.size, self.key, self.most, self.where = file, size, key, most, where
        self.cuts: list[Cut] = []
        self.window, self.start = b"", 0  # bytes at hand, and where they begin
        self.fields = self.left = 0

    def message(self, name: str, at: int, end: int, depth: int) -> bytes:
        """The bytes of a message without large numbers."""
        if depth > DEEPEST:
            raise ModelFileError(
                f"{self.where} is damaged: its parts lie more than {DEEPEST} deep in each other."
            )
        kept, copied, parts = [], at, PARTS[name]
        while at < end:
            first = at
            tag, at = self.varint(at, end)
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise ModelFileError(
                    f"{self.where} has more than {MOST_FIELDS:,} parts; minicnn reads no such file."
                )
            if tag & 7 == 2:
                length, body = self.varint(at, end)
                at = body + length
                if at <= end and length >= LARGE:  # smaller ones cannot hold large numbers
                    inner = None
                    if name == "Tensor" and tag >> 3 in NUMBERS:
                        inner = self.cut(NUMBERS[tag >> 3], body, length)
                    elif tag >> 3 in parts:
                        content = self.message(parts[tag >> 3], body, at, depth + 1)
                        inner = _field(tag >> 3, content)
                    if inner is not None:
                        kept += [self.copy(copied, first), inner]
                        copied = at
            elif tag & 7 == 0:
                _, at = self.varint(at, end)
            elif tag & 7 in (1, 5):
                at += 8 if tag & 7 == 1 else 4
            else:
                self.refuse(f"nothing that ONNX knows begins at byte {first:,}")
            if at > end:
                self.refuse(f"what begins at byte {first:,} ends after its part of the file")
            if tag >> 3 == 0:
                self.refuse(f"nothing that ONNX knows begins at byte {first:,}")
        return b"".join([*kept, self.copy(copied, end)])

    def cut(self, field: str, offset: int, length: int) -> bytes:
        """Leave numbers in the file; gives the mark in their place."""
        mark = _field(1, self.key.encode()) + _field(2, str(len(self.cuts)).encode())
        self.cuts.append(Cut(field, offset, length))
        return _field(EXTERNAL_DATA, mark)

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A varint, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                self.refuse(f"a number breaks off at byte {at:,}")
            if not 0 <= at - self.start < len(self.window):
                self.window, self.start = self.read(at, min(WINDOW, self.size - at)), at
            byte = self.window[at - self.start]
            value |= (byte & 127) << shift
            at += 1
            if byte < 128:
                return value, at
        return self.refuse(f"the number before byte {at:,} has more than 10 bytes")

    def copy(self, start: int, end: int) -> bytes:
        """Bytes of the file that the skeleton keeps."""
        self.left += end - start
        if self.left > self.most:
            raise ModelFileError(
                f"{self.where}: more than {self.most:,} bytes of it are not weights; reading them "
                f"would take more memory than the budget. It may be damaged; else set "
                f"MINICNN_MAX_BYTES, for example to 16G."
            )
        at = start - self.start
        if at >= 0 and at + end - start <= len(self.window):
            return self.window[at : at + end - start]
        return self.read(start, end - start)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file."""
        self.file.seek(offset)
        found = self.file.read(length) or b""
        if len(found) != length:
            self.refuse("it became shorter while it was read")
        return found

    def refuse(self, why: str) -> NoReturn:
        """The one error of files that are no messages."""
        raise ModelFileError(
            f"{self.where} is not an ONNX model, or is cut off: of its {self.size:,} bytes, {why}. "
            f"Check that it was exported or downloaded completely."
        )


def _field(number: int, content: bytes) -> bytes:
    """A field of kind 2: tag, length, bytes."""
    return _varint(8 * number + 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    kept = bytearray()
    while value > 127:
        kept.append(value & 127 | 128)
        value >>= 7
    return bytes([*kept, value])


def varints(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Numbers that are packed as varints, from pieces of uint8 that may end within a number.

    Yields
    ------
    numpy.ndarray
        uint64; negative numbers come as their two's complement.

    Raises
    ------
    ValueError
        If a number has more than 10 bytes, or the last one breaks off.
    """
    rest = np.empty(0, np.uint8)
    for piece in pieces:
        data = np.concatenate([rest, piece])
        ends = np.flatnonzero(data < 128) + 1
        starts = np.concatenate([[0], ends])
        lengths, rest = np.diff(starts), data[starts[-1] :]
        if len(rest) > 10 or lengths.max(initial=0) > 10:
            raise ValueError("a number has more than 10 bytes")
        values = np.zeros(len(ends), np.uint64)
        for k in range(lengths.max(initial=0)):
            longer = lengths > k
            seven = (data[starts[:-1][longer] + k] & 127).astype(np.uint64)
            values[longer] |= seven << np.uint64(7 * k)
        yield values
    if len(rest):
        raise ValueError("the last number breaks off")
