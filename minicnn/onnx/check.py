"""`check`: what a file is and whether minicnn can run it, without reading its weights.

Weights are stood in for by arrays of their shapes that take no memory, and the graph is lowered as
`load` would: so unsupported operators, shapes that do not fit and the work of one run are known.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import onnx

from minicnn.data.catalogue import recognise
from minicnn.drawing import blocks
from minicnn.errors import MiniCNNError, printable
from minicnn.limits import shown_bytes
from minicnn.network import Network
from minicnn.onnx import registry
from minicnn.onnx.files import OpenedModel, open_model
from minicnn.onnx.hints import Hint, preprocess_hints
from minicnn.onnx.inputs import float_type
from minicnn.onnx.reading import opset_of, read

__all__ = ["FileReport", "Missing", "check"]

SMALL = 4096  # elements; smaller constants are read, since shapes are computed from them


@dataclass(frozen=True)
class Missing:
    """An operator that is not read: how often it occurs, where, and why it is not."""

    operator: str
    count: int
    places: Sequence[str]
    why: str


@dataclass(frozen=True)
class FileReport:
    """What `check` found.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    bytes : int
        Its size, external data not counted.
    weight_bytes, parameters : int
        Of all weights, as the file stores them.
    opset, ir : int
        Versions of the operators and of the format.
    producer : str
        What wrote it.
    inputs, outputs : list of str
        Name, type and shape of each.
    operators : dict
        How often each occurs, most often first.
    missing : list of Missing
        Operators that are not read.
    problem : str
        Why it cannot be loaded, if so.
    hints : list of Hint
        Signs of how photos are to be preprocessed.
    network : Network, optional
        The network without its weights, if it can be loaded.
    flops : int
        Floating-point operations of one run of it.
    outside : list of str
        Files beside it that hold weights.
    """

    path: Path
    bytes: int
    weight_bytes: int
    parameters: int
    opset: int
    ir: int
    producer: str
    inputs: list[str]
    outputs: list[str]
    operators: dict[str, int]
    missing: list[Missing] = field(default_factory=list)
    problem: str = ""
    hints: list[Hint] = field(default_factory=list)
    network: Network | None = None
    flops: int = 0
    outside: list[str] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether minicnn can load it."""
        return self.network is not None

    def __str__(self) -> str:
        used = ", ".join(f"{name} {count}" for name, count in self.operators.items())
        lines = [
            ("file", f"{self.path.name}: ONNX opset {self.opset}, IR {self.ir}"
             + (f", written by {self.producer}" if self.producer else "")),
            ("size", f"{' and '.join([shown_bytes(self.bytes), *self.outside])}; "
             f"weights {shown_bytes(self.weight_bytes)}, "
             f"{self.parameters:,} numbers"),
            *_listed("inputs", self.inputs),
            *_listed("outputs", self.outputs),
            ("operators", used),
        ]  # fmt: skip
        for one in self.missing:
            at = ", ".join(one.places[:3]) + (", ..." if len(one.places) > 3 else "")
            why = f"; {one.why}" if one.why else ""
            lines.append(("not read", f"{one.operator} x{one.count} (at {at}{why})"))
        if self.network is not None:
            lines.append(
                (
                    "runs",
                    f"yes: {blocks(self.network)}, {self.flops:,} FLOPs for "
                    + " and ".join(
                        _times(self.network.default_shape(n)) for n in self.network.inputs
                    ),
                )
            )
            lines += _listed("photos", [str(hint) for hint in self.hints] or ["no signs"])
        else:
            why = f"no: {self.problem}" if self.problem else "no"
            lines += _listed("runs", why.split("\n"))
        return "\n".join(f"{head:9}  {printable(text)}" for head, text in lines)


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _listed(head: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """One line a text, the heading before the first."""
    return [(head if i == 0 else "", text) for i, text in enumerate(texts)]


def check(path: str | os.PathLike[str]) -> FileReport:
    """Look into an ONNX file without reading its weights.

    Parameters
    ----------
    path : path-like
        An ONNX file.

    Returns
    -------
    FileReport

    Raises
    ------
    ModelFileError
        If it is missing, empty, truncated or not ONNX; what is merely not supported is reported.
    """
    opened = open_model(path)
    model = opened.model
    opset = opset_of(model, opened.where)
    weights = {tensor.name for tensor in model.graph.initializer}
    report = FileReport(
        path=opened.path,
        bytes=opened.path.stat().st_size,
        weight_bytes=sum(opened.nbytes(tensor) for tensor in model.graph.initializer),
        parameters=sum(prod(tensor.dims) for tensor in model.graph.initializer),
        opset=opset,
        ir=model.ir_version,
        producer=" ".join(filter(None, [model.producer_name, model.producer_version])),
        inputs=[_spoken(value) for value in model.graph.input if value.name not in weights],
        outputs=[_spoken(value) for value in model.graph.output],
        operators=dict(Counter(_full_name(node) for node in model.graph.node).most_common()),
        missing=_missing(model.graph, opset),
        outside=_outside(model.graph),
    )
    if report.missing:
        return report
    try:
        opened.locate()
        dtype = float_type(model.graph)
        network = read(opened, _stand_ins(opened, dtype), dtype)
    except MiniCNNError as error:
        return _with(report, problem=str(error))
    return _with(
        report,
        network=network,
        hints=[*_of_catalogue(opened), *preprocess_hints(network)],
        flops=network.flops,
    )


def _of_catalogue(opened: OpenedModel) -> list[Hint]:
    """What the catalogue says, if it knows the file."""
    entry = recognise(opened.path)
    if entry is None:
        return []
    how = entry.preprocess if isinstance(entry.preprocess, str) else entry.preprocess.to_json()
    sure = "probably, by its family" if entry.probably else "as its page says"
    return [Hint(how, f"the catalogue knows this file as {entry.name}; {sure}")]


def _with(report: FileReport, **found: object) -> FileReport:
    return FileReport(**{**vars(report), **found})


def _stand_ins(opened: OpenedModel, dtype: np.dtype) -> dict[str, np.ndarray]:
    """All weights by name; large ones are one zero, repeated without taking memory."""
    arrays = {}
    for tensor in opened.model.graph.initializer:
        if prod(tensor.dims) <= SMALL:
            array = opened.array(tensor)
            arrays[tensor.name] = array.astype(dtype) if array.dtype.kind == "f" else array
        else:
            kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
            zero = np.zeros((), kind if kind.kind in "iub" else dtype)
            arrays[tensor.name] = np.broadcast_to(zero, tuple(tensor.dims))
    return arrays


def _outside(graph: onnx.GraphProto) -> list[str]:
    """The files in which weights lie, other than the model's own."""
    return sorted(
        {
            entry.value
            for tensor in graph.initializer
            for entry in tensor.external_data
            if tensor.data_location == onnx.TensorProto.EXTERNAL and entry.key == "location"
        }
    )


def _missing(graph: onnx.GraphProto, opset: int) -> list[Missing]:
    places: dict[tuple[str, str], list[str]] = {}
    for node in graph.node:
        if registry.find(node.op_type, node.domain, opset) is None:
            at = node.name or (node.output[0] if node.output else "?")
            places.setdefault((node.domain, node.op_type), []).append(at)
    return [
        Missing(
            f"{domain}.{name}" if domain else name,
            len(at),
            at,
            registry.why_not(name, domain, opset),
        )
        for (domain, name), at in places.items()
    ]


def _full_name(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def _spoken(value: onnx.ValueInfoProto) -> str:
    """Name, type and shape of an input or output."""
    if not value.type.WhichOneof("value"):
        return f"{value.name}  (its type is not stated)"
    if not value.type.HasField("tensor_type"):
        return f"{value.name}  (no tensor)"
    kind = value.type.tensor_type
    try:
        name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    except ValueError:
        name = f"type {kind.elem_type}"
    dims = [str(d.dim_value) if d.dim_value > 0 else d.dim_param or "any" for d in kind.shape.dim]
    return f"{value.name}  {name} ({', '.join(dims)})"
