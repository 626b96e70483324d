"""minicnn as a backend of ONNX's own test suite: `onnx.backend.test` runs models through it.

A network computes in one precision, so half-precision inputs and outputs are converted at the
edges; inputs that a graph computes shapes from are given when loading.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

import minicnn
from minicnn.errors import ModelFileError
from minicnn.onnx.node import NeedsConstantError

HALVES = ("float16", "bfloat16")


def run_model(model, inputs):
    """A model's outputs for a list of arrays, each with the type that the model declares."""
    names = [value.name for value in model.graph.input][: len(inputs)]
    inputs = [as_array(x) for x in inputs]
    given = {
        name: np.asarray(x, np.float32) if np.asarray(x).dtype.name in HALVES else np.asarray(x)
        for name, x in zip(names, inputs, strict=True)
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        network = loaded(path, given)
    arrays = [given[name] for name in network.inputs]
    arrays = [x.astype(network.types.get(n, network.dtype)) for n, x in zip(network.inputs, arrays)]
    outputs = network(*arrays)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [declared(y, value) for y, value in zip(outputs, model.graph.output, strict=True)]


def as_array(x):
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x)


def loaded(path, given):
    """The network for inputs of these shapes; what must be known when loading is given then."""
    odd = {
        name
        for name, x in given.items()
        if not x.size or (x.dtype.kind == "f" and not np.isfinite(x).all())
    }
    while True:
        shape = {name: x.shape for name, x in given.items() if name not in odd}
        constants = {name: given[name] for name in odd}
        try:
            return minicnn.load(path, shape, constants=constants)  # {}: outputs may be constant
        except NeedsConstantError as error:
            if odd >= set(error.inputs):
                raise
            odd |= set(error.inputs)
        except ModelFileError as error:
            if "no output depends on an input" not in str(error) or odd >= set(given):
                raise
            odd = set(given)


def declared(y, value):
    """A float output in the precision that the file declares."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    is_float = y.dtype.kind == "f" and (dtype.kind == "f" or dtype.name in HALVES)
    return y.astype(dtype) if is_float else y


class Representation(BackendRep):
    def __init__(self, model):
        self.model = model

    def run(self, inputs, **kwargs):
        return tuple(run_model(self.model, inputs))


class MiniCNN(Backend):
    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return Representation(model)

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"
