"""What a file says of its inputs, and the shapes to read it with.

Sides that a file leaves open are taken as usual ones, 1 x 3 x 224 x 224, where the graph computes
with them; `freedom` finds out whether it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from minicnn.blocks import Shape
from minicnn.errors import (
    InputError,
    ModelFileError,
    UnknownNameError,
    UnsupportedOperatorError,
    nearest,
)
from minicnn.structure import FreeShape

__all__ = [
    "concrete_shape",
    "float_type",
    "free_shape",
    "given_constants",
    "given_shapes",
    "input_type",
    "typical_shapes",
]

LONGEST = 2**20  # of an axis, as a file may call it typical

WHOLE = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def float_type(graph: onnx.GraphProto) -> np.dtype:
    """float64 where an input is double, else float32."""
    weights = {tensor.name for tensor in graph.initializer}
    kinds = [v.type.tensor_type.elem_type for v in graph.input if v.name not in weights]
    return np.dtype(np.float64 if onnx.TensorProto.DOUBLE in kinds else np.float32)


def input_type(value: onnx.ValueInfoProto, dtype: np.dtype, where: str) -> np.dtype:
    """The type of an input: all floats are the network's."""
    kind = value.type.tensor_type.elem_type
    try:
        found = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, ValueError, TypeError):
        raise ModelFileError(f"{where}: input {value.name} has the unknown type {kind}.") from None
    if found.name in ("float16", "float32", "float64", "bfloat16"):
        return dtype
    if found.name not in (*WHOLE, "bool"):
        raise UnsupportedOperatorError(
            f"{where}: input {value.name} holds {found.name}; minicnn reads floats, whole numbers "
            f"of 8 to 64 bits and truth values."
        )
    return found


def free_shape(value: onnx.ValueInfoProto, where: str) -> FreeShape:
    """Lengths of an input's axes, None where the file leaves them open."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise ModelFileError(f"{where}: input {value.name} is not a tensor.")
    return tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)


def given_shapes(
    free: Mapping[str, FreeShape], shape: Shape | Mapping[str, Shape] | None
) -> dict[str, Shape]:
    """Shapes by input, from what the user gave."""
    if shape is None:
        return {}
    given = dict(shape) if isinstance(shape, Mapping) else {next(iter(free), ""): tuple(shape)}
    for name, dims in given.items():
        if name not in free or len(dims) != len(free[name]) or min(dims, default=1) < 1:
            raise InputError(
                f"shape={shape!r} does not fit: inputs are "
                + ", ".join(f"{n} with {len(d)} axes" for n, d in free.items())
            )
        odd = [i for i, (n, m) in enumerate(zip(free[name], dims)) if i and n not in (None, m)]
        if odd:
            raise InputError(
                f"shape={dims} does not fit: the file fixes axis {odd[0]} of {name} at "
                f"{free[name][odd[0]]}. Export it for another size, or with open sides."
            )
    return given


def concrete_shape(dims: FreeShape, given: Shape | None = None, typical: Shape = ()) -> Shape:
    """A shape to lower with: what is given, else what the file fixes, else the usual lengths.

    Those are what the file calls typical, if it fits, else 1 x 3 x 224 x 224.
    """
    if given:
        return given
    usual = typical if len(typical) == len(dims) else [1, 3, *[224] * max(0, len(dims) - 2)]
    return tuple(n if n else usual[i] for i, n in enumerate(dims))


def typical_shapes(said: Any) -> dict[str, Shape]:
    """Usual shapes by input out of a file's metadata, those that are shapes of sensible lengths."""
    if not isinstance(said, dict):
        return {}
    return {
        name: tuple(shape)
        for name, shape in said.items()
        if isinstance(shape, list) and all(type(n) is int and 0 < n <= LONGEST for n in shape)
    }


def given_constants(
    given: Mapping[str, Any], graph: onnx.GraphProto, dtype: np.dtype, where: str
) -> dict[str, np.ndarray]:
    """Arrays for inputs that are to be known when loading."""
    known = [value.name for value in graph.input]
    for name in given:
        if name not in known:
            raise UnknownNameError(f"{where} has no input {name!r}. {nearest(name, known)}")
    arrays = {name: np.array(value) for name, value in given.items()}
    return {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in arrays.items()}
