"""What `minicnn` gives by name. It is imported when one of the names is first asked for."""

from minicnn import blocks, data, errors, functional, kernels, nn, onnx, rules, seeds
from minicnn.errors import MiniCNNError
from minicnn.jacobians import jacobian
from minicnn.kernels import set_threads, using
from minicnn.kernels.devices import devices, no_transfers
from minicnn.network import Network
from minicnn.onnx import check, load, save
from minicnn.preprocess import Preprocess
from minicnn.rules import Rule
from minicnn.seeds import Seed
from minicnn.tape import Tape
from minicnn.tensor import Tensor, grad, no_grad

__all__ = [
    "MiniCNNError",
    "Network",
    "Preprocess",
    "Rule",
    "Seed",
    "Tape",
    "Tensor",
    "blocks",
    "check",
    "data",
    "devices",
    "errors",
    "functional",
    "grad",
    "jacobian",
    "kernels",
    "load",
    "nn",
    "no_grad",
    "no_transfers",
    "onnx",
    "rules",
    "save",
    "seeds",
    "set_threads",
    "using",
]
