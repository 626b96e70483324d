"""Cases: one operator with operands and attributes, at some opset versions, against onnxruntime.

A test is all cases of an operator at a version: `by_version` puts them in a table, `check_cases`
runs them and says what differs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import as_tuple, by_onnxruntime, node, noise, written

import minicnn

F = np.float32
NEWEST = 28
OWN = ("float16", "bfloat16", "float32")  # what a network computes in float32
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@dataclass(frozen=True)
class Case:
    """Operands (the first `live` are inputs of the network, None is left out) and attributes."""

    op: str
    operands: tuple
    at: tuple[int, ...]
    live: int
    outputs: int
    attributes: dict

    def __str__(self) -> str:
        shown = [
            None if a is None else a.tolist() if a.size < 9 and i >= self.live else a.shape
            for i, a in enumerate(map(array_or_none, self.operands))
        ]
        return f"{self.op} of {shown} with {self.attributes}"

    def model(self, version: int) -> onnx.ModelProto:
        names = ["" if a is None else f"x{i}" for i, a in enumerate(self.operands)]
        given = [(n, np.asarray(a)) for n, a in zip(names, self.operands, strict=True) if n]
        outputs = [f"y{i}" for i in range(self.outputs)]
        call = node(self.op, names, outputs, name="it", **self.attributes)
        return typed([call], dict(given[: self.live]), dict(given[self.live :]), version, outputs)


def array_or_none(value) -> np.ndarray | None:
    return None if value is None else np.asarray(value)


def case(op: str, *operands, at: int | tuple, live: int = 1, outputs: int = 1, **attributes):
    """One operator at several opset versions; attributes that are None are left out."""
    kept = {name: value for name, value in attributes.items() if value is not None}
    return Case(op, operands, at if isinstance(at, tuple) else (at,), live, outputs, kept)


def sweep(**choices) -> Iterator[dict]:
    """Every combination of attributes."""
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def typed(nodes, inputs, arrays, version, outputs=("y",)) -> onnx.ModelProto:
    """A model whose inputs have the types and shapes of arrays; those of outputs are inferred."""
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in inputs.items()
    ]
    weights = [
        a if isinstance(a, TensorProto) else numpy_helper.from_array(np.asarray(a), n)
        for n, a in arrays.items()
    ]
    ends = [helper.make_empty_tensor_value_info(n) for n in outputs]
    made = helper.make_graph(list(nodes), "g", values, ends, weights)
    opset = helper.make_opsetid("", version)
    return helper.make_model(made, ir_version=10, opset_imports=[opset])


def disagreement(
    model: onnx.ModelProto, folder: Path, *inputs: np.ndarray, within: float = 1e-5
) -> str:
    """What minicnn does otherwise than onnxruntime; nothing where they agree."""
    path = written(model, folder)
    expected = by_onnxruntime(path, *inputs)
    try:
        network = minicnn.load(path)
        own = [x.astype(network.dtype) if x.dtype.name in OWN else x for x in inputs]
        found = as_tuple(network(*own))
    except minicnn.errors.MiniCNNError as error:
        return f"{type(error).__name__}: {error}"
    for y, want in zip(found, expected, strict=True):
        dtype = F if want.dtype.name in OWN else want.dtype
        if (y.dtype, y.shape) != (dtype, want.shape):
            return f"{y.dtype} {y.shape} instead of {dtype} {want.shape}"
        slack = 4e-3 if want.dtype == np.float16 else within
        if not np.allclose(y, want.astype(dtype), rtol=slack, atol=slack, equal_nan=True):
            return f"{y.ravel()[:4]} instead of {want.ravel()[:4]}"
    return ""


def whole(*shape: int, low: int = -9, high: int = 10, dtype=np.int64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def flags(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) > 0.5


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return np.abs(noise(*shape, seed=seed)) + F(0.1)


Table = dict[tuple[str, int], list[Case]]


def by_version(families: Iterable[Callable[[], Iterator[Case]]]) -> Table:
    """The cases of an operator at a version."""
    table: Table = defaultdict(list)
    for one in (c for family in families for c in family()):
        for version in one.at:
            table[one.op, version].append(one)
    return table


def check_cases(cases: list[Case], version: int, folder: Path) -> None:
    """All of them at once; those that differ are listed."""
    wrong = []
    for c in cases:
        difference = disagreement(c.model(version), folder, *c.operands[: c.live])
        wrong += [f"{c}: {difference}"] if difference else []
    assert not wrong, f"{len(wrong)} of {len(cases)} cases differ:\n" + "\n".join(wrong)
