"""From a `Spec` and its weights to an ONNX file.

spec = network("resnet18")
write_onnx(spec, spec.weights(), Path("resnet18.onnx"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from specs import EPSILON, Layer, Spec

__all__ = ["onnx_model", "write_onnx"]

OPSET, IR_VERSION = 17, 8

OPERATORS = {
    "conv": "Conv",
    "norm": "BatchNormalization",
    "relu": "Relu",
    "max_pool": "MaxPool",
    "mean": "GlobalAveragePool",
    "flatten": "Flatten",
    "linear": "Gemm",
    "add": "Add",
    "concat": "Concat",
}


def onnx_model(spec: Spec, weights: Mapping[str, np.ndarray], batch: int | str = 1) -> ModelProto:
    """The network as an ONNX model whose values are named after the layers.

    Parameters
    ----------
    spec : Spec
        The description.
    weights : mapping
        Parameters by name, as `spec.weights()` gives them.
    batch : int or str
        Number of images, or a name that leaves it open.

    Returns
    -------
    onnx.ModelProto
    """

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *spec.shapes[name]])

    graph = helper.make_graph(
        [_node(layer, weights) for layer in spec.layers],
        spec.name,
        [value("x")],
        [value(spec.output)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )


def write_onnx(
    spec: Spec, weights: Mapping[str, np.ndarray], path: Path, batch: int | str = 1
) -> Path:
    """Write the network as an ONNX file, for single images or any batch ("N"); gives its path."""
    path.write_bytes(onnx_model(spec, weights, batch).SerializeToString())
    return path


def _node(layer: Layer, weights: Mapping[str, np.ndarray]) -> Any:
    """A layer as an ONNX node; weights stand in the order in which ONNX takes them."""
    parts = ("weight", "bias", "running_mean", "running_var")
    own = [f"{layer.name}.{part}" for part in parts if f"{layer.name}.{part}" in weights]
    return helper.make_node(
        OPERATORS[layer.kind],
        [*layer.inputs, *own],
        [layer.name],
        name=layer.name,
        **_attributes(layer),
    )


def _attributes(layer: Layer) -> dict[str, Any]:
    """ONNX attributes of a layer."""
    window = {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.pad] * 4,
    }
    kinds: dict[str, dict[str, Any]] = {
        "conv": {**window, "group": layer.groups},
        "max_pool": {**window, "ceil_mode": int(layer.ceil_mode)},
        "norm": {"epsilon": EPSILON},
        "flatten": {"axis": 1},
        "linear": {"transB": 1},
        "concat": {"axis": 1},
    }
    return kinds.get(layer.kind, {})
