"""The nine `light_*` graphs that onnx carries for its tests, with weights that prove something.

    path = reseeded("light_vgg19", folder)      # folder/light_vgg19.onnx and .data beside it

They are the graphs of AlexNet, DenseNet-121, Inception v1 and v2, ResNet-50, ShuffleNet,
SqueezeNet, VGG-19 and ZFNet-512 as Caffe2 wrote them, opset 9, but every large weight is the
constant 0.02, so that most wrong readings of them give the right answer. Here each weight becomes
seeded noise of a scale that suits its place, stored as external data, and the graph ends at its
class scores: after a softmax of large scores nothing else could be seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnx.backend.test
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

__all__ = ["GRAPHS", "drop_unused", "image", "light_graph", "reseeded"]

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "light"
GRAPHS = sorted(path.stem for path in FOLDER.glob("light_*.onnx"))
LOUD = 60.0  # of inputs that local response normalisation is to notice: its alpha is 1e-4


def light_graph(name: str) -> ModelProto:
    """The graph as onnx carries it."""
    return onnx.load(FOLDER / f"{name}.onnx")


def scale(model: ModelProto) -> float:
    """Deviation of inputs: that of bytes minus their mean where there is LRN, else 1."""
    return LOUD if any(node.op_type == "LRN" for node in model.graph.node) else 1.0


def image(model: ModelProto, seed: int = 1) -> dict[str, np.ndarray]:
    """Noise for the graph's input, (1, 3, 224, 224), by its name."""
    weights = {tensor.name for tensor in model.graph.initializer}
    (given,) = (value.name for value in model.graph.input if value.name not in weights)
    noise = np.random.default_rng(seed).standard_normal((1, 3, 224, 224), np.float32)
    return {given: noise * np.float32(scale(model))}


def reseeded(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a graph with random weights and without its last softmax.

    Parameters
    ----------
    name : str
        One of `GRAPHS`.
    folder : path
        Where the file and its external data go.
    seed : int
        Of the weights.

    Returns
    -------
    path
        The file.
    """
    model = light_graph(name)
    graph, rng = model.graph, np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    loudness = scale(model)
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    weights = []
    with (folder / f"{name}.data").open("wb") as data:
        for node in graph.node:
            if node.op_type == "ConstantOfShape":
                shape = tuple(int(n) for n in shapes[node.input[0]])
                array = _weight(_role(graph.node, node.output[0]), shape, loudness, rng)
                weights.append(_stored(node.output[0], array, data))
    if kept[-1].op_type == "Softmax":
        graph.output[0].name = kept.pop().input[0]
        graph.output[0].type.tensor_type.ClearField("shape")
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    drop_unused(model)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _stored(name: str, array: np.ndarray, data: BinaryIO) -> TensorProto:
    """A weight whose numbers are written to the data file."""
    tensor = TensorProto(name=name, dims=array.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    facts = {"location": Path(data.name).name, "offset": data.tell(), "length": array.nbytes}
    for key, value in facts.items():
        tensor.external_data.add(key=key, value=str(value))
    data.write(array.data)
    return tensor


def _role(nodes: list[NodeProto], name: str) -> str:
    """Which operator reads a weight, and as which input."""
    for node in nodes:
        if name in node.input:
            if node.op_type in ("Unsqueeze", "Reshape"):
                return _role(nodes, node.output[0])
            return f"{node.op_type} {list(node.input).index(name)}"
    return ""


def _weight(role: str, shape: tuple[int, ...], loudness: float, rng: np.random.Generator):
    """Filters that keep the size of what goes through; scales around 1, the rest around 0."""
    noise = rng.standard_normal(shape, np.float32)
    if role in ("Conv 1", "Gemm 1"):
        return noise * np.float32((2 / np.prod(shape[1:])) ** 0.5)
    if role in ("BatchNormalization 1", "BatchNormalization 4", "Mul 0", "Mul 1"):
        return np.exp(noise * np.float32(0.25))
    return noise * np.float32(0.2 * loudness)


def drop_unused(model: ModelProto) -> None:
    """Leave out initialisers that nothing reads, and inputs that are none."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in read]
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(weights)
    graph.input.extend(inputs)
