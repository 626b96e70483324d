"""Small ONNX graphs for tests, and onnxruntime's answer to them.

`graph` writes a model in one call; `check_like_onnxruntime` runs it here and there, with
onnxruntime's optimiser off, and compares every output.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import minicnn

IR_VERSION = 10  # onnxruntime refuses the newest
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}

node = helper.make_node


def graph(
    nodes: list,
    inputs: dict[str, tuple],
    arrays: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 13,
    **changes,
) -> onnx.ModelProto:
    """A model of the given nodes; shapes may hold None or a name where a size is open."""
    tensors = [
        numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        tensors,
    )
    return helper.make_model(
        made,
        **{
            "ir_version": IR_VERSION,
            "opset_imports": [helper.make_opsetid("", opset)],
            **changes,
        },
    )


def one(op: str, shape: tuple, *arrays, opset: int = 13, outputs=("y",), **attributes):
    """A model of a single operator: x first, then the arrays as initialisers (None: left out)."""
    names = ["" if array is None else f"a{i}" for i, array in enumerate(arrays, 1)]
    weights = {f"a{i}": array for i, array in enumerate(arrays, 1) if array is not None}
    call = node(op, ["x", *names], list(outputs), name="it", **attributes)
    return graph([call], {"x": shape}, weights, outputs, opset)


def written(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """The model as a file."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def by_onnxruntime(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    """Onnxruntime's outputs, its optimiser off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = [i.name for i in session.get_inputs()]
    return session.run(None, dict(zip(given, inputs, strict=True)))


def as_tuple(outputs) -> tuple:
    """A network's outputs, however many."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def check_like_onnxruntime(
    model: onnx.ModelProto, folder: Path, *inputs: np.ndarray, within: float = 1e-5
) -> minicnn.Network:
    """Load the model, compare all its outputs with onnxruntime's, and return the network."""
    path = written(model, folder)
    expected = by_onnxruntime(path, *inputs)
    network = minicnn.load(path)
    found = as_tuple(network(*inputs))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=within, atol=within)
    return network


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Seeded standard normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    """An int64 vector."""
    return np.array(values, np.int64)


def small_classifier(lrn: bool = False, classes: int = 5, side: int = 16, seed: int = 3):
    """Conv, ReLU, (LRN,) MaxPool, Conv, ReLU, MaxPool, Flatten, Gemm, Softmax on RGB images."""
    flat = 6 * (side // 4) ** 2
    weights = {
        "w1": noise(4, 3, 3, 3, seed=seed) * 0.4,
        "b1": noise(4, seed=seed + 1) * 0.1,
        "w2": noise(6, 4, 3, 3, seed=seed + 2) * 0.3,
        "b2": noise(6, seed=seed + 3) * 0.1,
        "w3": noise(classes, flat, seed=seed + 4) * 0.2,
        "b3": noise(classes, seed=seed + 5) * 0.1,
    }
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["conv1"], pads=[1, 1, 1, 1]),
        node("Relu", ["conv1"], ["relu1"]),
        *([node("LRN", ["relu1"], ["norm1"], size=3, alpha=0.3, beta=0.75)] if lrn else []),
        node("MaxPool", ["norm1" if lrn else "relu1"], ["pool1"], **pool),
        node("Conv", ["pool1", "w2", "b2"], ["conv2"], pads=[1, 1, 1, 1]),
        node("Relu", ["conv2"], ["relu2"]),
        node("MaxPool", ["relu2"], ["pool2"], **pool),
        node("Flatten", ["pool2"], ["flat"]),
        node("Gemm", ["flat", "w3", "b3"], ["scores"], transB=1),
        node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    return graph(nodes, {"x": ("N", 3, side, side)}, weights, ("probabilities",))


def small_map_network():
    """A network without classes: its output is a map."""
    nodes = [
        node("Conv", ["x", "w"], ["conv1"], pads=[1, 1, 1, 1]),
        node("Relu", ["conv1"], ["relu1"]),
    ]
    return graph(nodes, {"x": ("N", 3, 16, 16)}, {"w": noise(4, 3, 3, 3)}, ("relu1",))


def fire_network():
    """Two branches concatenated, LRN, pooling, and scores."""
    nodes = [
        node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["ra"]),
        node("Conv", ["x", "w2"], ["b"]),
        node("Concat", ["ra", "b"], ["both"], axis=1),
        node("LRN", ["both"], ["n"], size=3, alpha=0.3, beta=0.75),
        node("MaxPool", ["n"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Conv", ["p", "w3"], ["c"], pads=[1, 0, 0, 1]),
        node("GlobalAveragePool", ["c"], ["g"]),
        node("Flatten", ["g"], ["y"]),
    ]
    arrays = {"w1": noise(4, 3, 3, 3, seed=1), "w2": noise(4, 3, 1, 1, seed=2),
              "w3": noise(5, 8, 2, 2, seed=3)}  # fmt: skip
    return graph(nodes, {"x": ("N", 3, 12, 12)}, arrays)
