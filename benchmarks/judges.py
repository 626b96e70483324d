"""Who judges the reader of files: onnxruntime forwards, central differences backwards.

    expected = by_onnxruntime(path, {"x": x})
    share(found, expected)              # max |a - b| / max |b|

onnxruntime runs with its optimiser off, since that changes the arithmetic. `first_off` looks for
the value at which the two part. `Record` keeps rows in a JSON file that is whole at any moment, so
that a long run which is cut off goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime

import minicnn
from minicnn.drawing import table
from minicnn.files import atomic_path
from minicnn.kernels.machine import machine, versions

__all__ = ["Record", "as_list", "by_onnxruntime", "first_off", "share", "slope_error"]

EXPOSED = 400  # more values at once take too much memory


def as_list(outputs: Any) -> list[np.ndarray]:
    """A network's outputs, however many."""
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def share(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference as a share of the largest expected value; NaN if either holds NaN.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if found.shape != expected.shape:
        raise ValueError(f"shape {found.shape}, expected {expected.shape}")
    if not expected.size:
        return 0.0
    largest = float(np.abs(expected).max())
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    return difference / largest if largest else difference


def by_onnxruntime(
    path: Path | str | bytes, inputs: Mapping[str, np.ndarray], names: Sequence[str] | None = None
) -> list[np.ndarray]:
    """Outputs, or the named ones, by onnxruntime with its optimiser off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(names, dict(inputs))


def slope_error(net: minicnn.Network, inputs: Sequence[np.ndarray], seed: int = 0) -> float:
    """How far the input gradient is from central differences, both in float64.

    Of f(x) = sum of outputs times random numbers: |<df, v> - slope of f along v| as a share of the
    larger of the two, v random. The gradient is `backward`'s, one output at a time.

    Parameters
    ----------
    net : Network
        Any network whose inputs are floats.
    inputs : sequence of array
        Where the gradient is taken.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
    """
    net = net.astype(np.float64)
    xs = [x.astype(np.float64) for x in inputs]
    rng = np.random.default_rng(seed)
    tape = net.record(*xs)
    tops = {name: rng.standard_normal(tape[name].shape) for name in dict.fromkeys(net.outputs)}
    directions = [rng.standard_normal(x.shape) * np.abs(x).max() for x in xs]
    by_gradient = 0.0
    for name, top in tops.items():
        found = tape.backward(top, at=name, wrt=list(net.inputs))
        found = found if isinstance(found, dict) else {next(iter(net.inputs)): found}
        pairs = zip(net.inputs, directions, strict=True)
        by_gradient += sum(float((found[n] * v).sum()) for n, v in pairs if n in found)
    step = 1e-9  # so small that hardly a unit switches within it

    def f(sign: int) -> float:
        moved = [x + sign * step * v for x, v in zip(xs, directions, strict=True)]
        named = zip(net.outputs, as_list(net(*moved)), strict=True)
        return sum(float((tops[name] * y).sum()) for name, y in named)

    by_differences = (f(1) - f(-1)) / (2 * step)
    return abs(by_gradient - by_differences) / max(abs(by_gradient), abs(by_differences), 1e-30)


def first_off(
    path: Path, net: minicnn.Network, inputs: Mapping[str, np.ndarray], within: float = 1e-4
) -> str:
    """The first value that differs from onnxruntime's by more than a share, and by how much."""
    model = onnx.load(path)
    made = {name: node for node in model.graph.node for name in node.output if name}
    names = [name for name in net.layers if name in made]
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name)
        for name in names
        if name not in {value.name for value in model.graph.output}
    )
    with TemporaryDirectory() as folder:
        exposed = Path(folder) / "exposed.onnx"
        onnx.save(model, exposed, save_as_external_data=True, location="exposed.data")
        for start in range(0, len(names), EXPOSED):
            some = names[start : start + EXPOSED]
            ours = net.values(inputs, some)
            for name, theirs in zip(some, by_onnxruntime(exposed, inputs, some), strict=True):
                where = f"{name} ({made[name].op_type})"
                if ours[name].shape != theirs.shape:
                    return f"{where}: {ours[name].shape}, onnxruntime {theirs.shape}"
                if theirs.dtype.kind == "f" and not share(ours[name], theirs) <= within:
                    return f"{where}: {share(ours[name], theirs):.1e}"
    return "no value on the way; the output only"


class Record:
    """Rows by key in a JSON file, with what they were measured on.

    Parameters
    ----------
    path : path
        The file. If it is there, its rows are taken over.
    beside : sequence of str
        More packages whose versions matter.
    """

    def __init__(self, path: Path, beside: Sequence[str] = ()) -> None:
        self.path, self.beside = path, beside
        self.rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            self.rows = json.loads(path.read_text())["rows"]

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Keep a row and write the file."""
        self.rows[key] = dict(row)
        others = {name: version(name) for name in ("onnx", "onnxruntime", *self.beside)}
        about = {
            **machine(),
            "versions": versions() | others,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps({"machine": about, "rows": self.rows}, indent=1) + "\n")

    def table(self, columns: Sequence[str]) -> str:
        """The rows under the given columns; shares in powers of ten."""
        rows = [
            [key, *(_spoken(row.get(c, "")) for c in columns)] for key, row in self.rows.items()
        ]
        return str(table(["", *columns], rows))


def _spoken(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_spoken(entry) for entry in value)
    return f"{value:.1e}" if isinstance(value, float) else str(value)
