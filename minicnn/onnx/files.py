"""Opening ONNX files without trusting them.

onnx.load itself accepts an empty file as an empty model, short weights and cycles; here each of
these is an error that names the file.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from minicnn.errors import ModelFileError

__all__ = ["arrays_of", "open_model", "sorted_nodes", "tensor_to_array"]


def open_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Parse a file, with its external data, and inline its local functions.

    Raises
    ------
    ModelFileError
        If the file is missing, empty, truncated, not ONNX, or holds no graph.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(
            f"There is no file {path}. Give the path of an ONNX model (on the command line also "
            f"'mnist', the bundled one)."
        )
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder. Give the path of an ONNX model in it.")
    if path.stat().st_size == 0:
        raise ModelFileError(
            f"{path} is empty: a download or a disk may have failed. Get it again."
        )
    try:
        model = onnx.load(path)
    except DecodeError:
        raise ModelFileError(
            f"{path} is not an ONNX model, or is cut off ({path.stat().st_size:,} bytes were "
            f"read). Check that it was exported or downloaded completely."
        ) from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"{path} cannot be read: {_first_line(error)}.") from error
    if not model.graph.node or not model.graph.output:
        raise ModelFileError(
            f"{path} holds no network: its graph has {len(model.graph.node)} nodes and "
            f"{len(model.graph.output)} outputs. It may not be an ONNX model."
        )
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    return model


def tensor_to_array(tensor: onnx.TensorProto, where: str) -> np.ndarray:
    """A tensor's numbers; half precisions become float32.

    Raises
    ------
    ModelFileError
        If there are more or fewer bytes than its shape needs.
    """
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, LookupError, OSError, onnx.checker.ValidationError) as error:
        raise ModelFileError(
            f"{where}: the data of {tensor.name or 'a constant'} {tuple(tensor.dims)} cannot be "
            f"read ({_first_line(error)}). The file is damaged or its external data is missing."
        ) from error
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        if array.dtype.name not in ("float16", "bfloat16"):
            raise ModelFileError(f"{where}: {tensor.name} has type {array.dtype}, not numbers.")
        array = array.astype(np.float32)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelFileError(f"{where}: {tensor.name} holds NaN or infinity.")
    return np.array(array, order="C")  # a copy of our own: protobuf's memory is read-only


def arrays_of(graph: onnx.GraphProto, where: str, dtype: np.dtype) -> dict[str, np.ndarray]:
    """All initialisers by name, floats in the precision that the network computes in."""
    if graph.sparse_initializer:
        raise ModelFileError(f"{where} holds sparse weights, which minicnn does not read.")
    arrays = {tensor.name: tensor_to_array(tensor, where) for tensor in graph.initializer}
    return {
        name: array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def sorted_nodes(graph: onnx.GraphProto, known: set[str], where: str) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, in an order in which they can run; files need not keep one.

    Raises
    ------
    ModelFileError
        If a value is never made, or values wait for each other in a circle.
    """
    maker: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        for name in filter(None, node.output):
            if name in maker or name in known:
                raise ModelFileError(f"{where}: {name!r} is made twice; every value has one maker.")
            maker[name] = node
    ready = {*known, ""}
    order: list[onnx.NodeProto] = []
    done: set[int] = set()
    for output in graph.output:
        stack = [maker[output.name]] if output.name in maker else []
        waiting: set[int] = set()
        while stack:
            node = stack[-1]
            missing = [name for name in node.input if name not in ready]
            if id(node) in done or not missing:
                stack.pop()
                if id(node) not in done:
                    done.add(id(node))
                    order.append(node)
                    ready.update(node.output)
                continue
            for name in missing:
                if name not in maker:
                    raise ModelFileError(
                        f"{where}: node {node.name or node.op_type} reads {name!r}, which nothing "
                        f"in the file makes. The file is damaged."
                    )
            if id(node) in waiting:
                raise ModelFileError(
                    f"{where}: the graph runs in a circle through {node.name or node.op_type}."
                )
            waiting.add(id(node))
            stack.extend(maker[name] for name in reversed(missing))
    return order


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
