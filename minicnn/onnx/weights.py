"""A tensor's numbers: found, checked against its shape and type, and read into an array of our own.

    array = read(tensor, where, OnDisk(path, offset, length, known))

They lie in the tensor itself, elsewhere in its file (`wire` left them there), or in another file
beside it (`external`). Large ones are read piece by piece straight into the array: one copy
in memory, and checked while a piece is still in the processor's cache. Half precisions become
float32. Nothing is reserved before the number of bytes was found to be right.

Source: onnx.proto (TensorProto).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike
from onnx import TensorProto

from minicnn.errors import ModelFileError
from minicnn.limits import check_bytes
from minicnn.onnx.external import OnDisk
from minicnn.onnx.wire import NUMBERS, varints

__all__ = ["bytes_of", "checked", "read", "type_name"]

PIECE = 2**20  # bytes that are read at once
MOST_AXES = 32

# How the numbers of each type are stored, and the field for those that are not raw bytes.
STORED = {
    TensorProto.FLOAT: ("<f4", "float_data"),
    TensorProto.DOUBLE: ("<f8", "double_data"),
    TensorProto.FLOAT16: ("<f2", "int32_data"),  # as bit patterns
    TensorProto.BFLOAT16: ("<u2", "int32_data"),  # the upper half of a float32
    TensorProto.INT8: ("<i1", "int32_data"),
    TensorProto.INT16: ("<i2", "int32_data"),
    TensorProto.INT32: ("<i4", "int32_data"),
    TensorProto.INT64: ("<i8", "int64_data"),
    TensorProto.UINT8: ("<u1", "int32_data"),
    TensorProto.UINT16: ("<u2", "int32_data"),
    TensorProto.UINT32: ("<u4", "uint64_data"),
    TensorProto.UINT64: ("<u8", "uint64_data"),
    TensorProto.BOOL: ("<u1", "int32_data"),
}
VARINTS = ("int32_data", "int64_data", "uint64_data")
ARRAY = {TensorProto.FLOAT16: "f4", TensorProto.BFLOAT16: "f4", TensorProto.BOOL: "?"}


def type_name(tensor: TensorProto) -> str:
    """A tensor's type as people call it, such as float16."""
    try:
        return TensorProto.DataType.Name(tensor.data_type).lower()
    except ValueError:
        return f"number {tensor.data_type}"


def bytes_of(tensor: TensorProto) -> int:
    """How many bytes a tensor's shape and type ask for, as they are stored; 0 if unknown."""
    if tensor.data_type not in STORED or min(tensor.dims, default=0) < 0:
        return 0
    return math.prod(tensor.dims[: MOST_AXES + 1]) * np.dtype(STORED[tensor.data_type][0]).itemsize


def checked(tensor: TensorProto, where: str, on_disk: OnDisk | None = None) -> int:
    """Check a tensor's type, and that its numbers are as many as its shape needs; reads nothing.

    Parameters are those of `read`.

    Returns
    -------
    int
        Bytes of the array that `read` would make.

    Raises
    ------
    ModelFileError
        If they do not fit, or minicnn does not read the type.
    """
    name = _name(tensor, where)
    if tensor.data_type not in STORED:
        raise ModelFileError(
            f"{name} has type {type_name(tensor)}, not numbers that minicnn reads: float, double, "
            f"float16, bfloat16, int8 to int64, uint8 to uint64, bool."
        )
    width, field = STORED[tensor.data_type]
    shape, needed = tuple(tensor.dims), bytes_of(tensor)
    if min(shape, default=0) < 0 or len(shape) > MOST_AXES:
        raise ModelFileError(f"{name} cannot have the shape {shape[:9]}. The file is damaged.")
    given = [one for one in NUMBERS.values() if len(getattr(tensor, one))]
    given += [on_disk.field] if on_disk else []
    if len(given) > 1 or tensor.HasField("segment") or tensor.string_data:
        kinds = " and ".join(given) if len(given) > 1 else "segments or text"
        raise ModelFileError(f"{name}: its numbers come in pieces ({kinds}). The file is damaged.")
    if given and given[0] not in ("raw_data", field):
        raise ModelFileError(
            f"{name}: its numbers are {given[0]}; those of {type_name(tensor)} are raw_data or "
            f"{field}. The file is damaged."
        )
    size = np.dtype(width).itemsize
    if on_disk and on_disk.field in VARINTS:  # each takes one to ten bytes
        held = max(min(needed, on_disk.length * size), -(-on_disk.length // 10) * size)
    elif on_disk:
        held = on_disk.length
    elif given:
        held = len(getattr(tensor, given[0])) * (1 if given[0] == "raw_data" else size)
    else:
        held = 0
    if held != needed:
        raise _wrong_length(tensor, name, held)
    return needed // size * _array_type(tensor, None).itemsize


def read(
    tensor: TensorProto,
    where: str,
    on_disk: OnDisk | None = None,
    floats: DTypeLike | None = None,
) -> np.ndarray:
    """A tensor's numbers.

    Parameters
    ----------
    tensor : onnx.TensorProto
        Shape, type, and the numbers themselves if they do not lie on disk.
    where : str
        The model's file, for errors.
    on_disk : OnDisk, optional
        Where the numbers lie.
    floats : dtype, optional
        What floats become. By default float64 stays, all others become float32.

    Returns
    -------
    numpy.ndarray
        Of the tensor's shape, contiguous, its own memory.

    Raises
    ------
    ModelFileError
        If the type is not read, there are more or fewer bytes than the shape needs, or the numbers
        hold NaN (or infinity, unless it is the only number).
    """
    name = _name(tensor, where)
    check_bytes(checked(tensor, where, on_disk), name)
    stored = np.dtype(STORED[tensor.data_type][0])
    try:
        array = np.empty(tuple(tensor.dims), _array_type(tensor, floats))
        with _numbers(tensor, stored, on_disk, name) as file:
            _fill(array.reshape(-1), file, stored, tensor.data_type, name)
    except OSError as error:
        raise ModelFileError(f"{name} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # no numbers, but the other sizes absurd; or varints that break off
        why = str(error).rstrip(".")
        raise ModelFileError(f"{name} cannot be read: {why}. The file is damaged.") from error
    return array


def _numbers(
    tensor: TensorProto, stored: np.dtype, on_disk: OnDisk | None, name: str
) -> io.BytesIO | io.FileIO:
    """A tensor's numbers as a file that holds them side by side."""
    if on_disk and on_disk.field not in VARINTS:
        return on_disk.open()
    if tensor.raw_data:
        return io.BytesIO(tensor.raw_data)
    field = STORED[tensor.data_type][1]
    if on_disk:
        check_bytes(on_disk.length * 32, name)  # a byte may be a number of eight, for a while
        with on_disk.open() as file:
            numbers = np.concatenate(list(varints(_pieces(file, on_disk.length))))
    else:
        wide = {"float_data": "f4", "double_data": "f8", "uint64_data": "u8"}.get(field, "i8")
        numbers = np.array(list(getattr(tensor, field)), wide)
    if len(numbers) * stored.itemsize != bytes_of(tensor):
        raise _wrong_length(tensor, name, len(numbers) * stored.itemsize)
    return io.BytesIO(numbers.astype(_bits(stored, field)).tobytes())


def _wrong_length(tensor: TensorProto, name: str, held: int) -> ModelFileError:
    return ModelFileError(
        f"{name}, {type_name(tensor)} of shape {tuple(tensor.dims)}, needs {bytes_of(tensor):,} "
        f"bytes; the file holds {held:,}. The file is damaged."
    )


def _array_type(tensor: TensorProto, floats: DTypeLike | None) -> np.dtype:
    """What a tensor's numbers become."""
    own = np.dtype(ARRAY.get(tensor.data_type, STORED[tensor.data_type][0])).newbyteorder("=")
    return np.dtype(floats) if floats is not None and own.kind == "f" else own


def _name(tensor: TensorProto, where: str) -> str:
    return f"{where}: {tensor.name or 'a constant'}"


def _bits(stored: np.dtype, field: str) -> np.dtype:
    """What the numbers of a field are: float16 among integers is its bit patterns."""
    return np.dtype("<u2") if stored == np.float16 and field == "int32_data" else stored


def _pieces(file: io.BufferedIOBase | io.FileIO, length: int) -> Iterator[np.ndarray]:
    """The next bytes of a file, a piece at a time."""
    for start in range(0, length, PIECE):
        piece = np.empty(min(PIECE, length - start), np.uint8)
        _read_into(piece, file)
        yield piece


def _read_into(array: np.ndarray, file: io.BufferedIOBase | io.FileIO) -> None:
    if file.readinto(array.data.cast("B")) != array.nbytes:
        raise OSError("the file became shorter while it was read")


def _fill(
    array: np.ndarray, file: io.BufferedIOBase | io.FileIO, stored: np.dtype, kind: int, name: str
) -> None:
    """Fill a flat array from the next bytes of a file."""
    step = PIECE // stored.itemsize
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if part.dtype == stored:
            _read_into(part, file)
        else:
            raw = np.empty(len(part), stored)
            _read_into(raw, file)
            if kind == TensorProto.BFLOAT16:
                raw = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                part[...] = raw != 0 if kind == TensorProto.BOOL else raw
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            if np.isnan(part).any():
                raise ModelFileError(f"{name} holds NaN. The file is damaged, or training failed.")
            if part.dtype != stored and np.isfinite(raw[np.isinf(part)]).any():
                raise ModelFileError(f"{name} holds numbers larger than {array.dtype} can.")
