"""minicnn opens convolutional networks up.

A from-scratch engine in which the backward pass is a network too, made of transposed blocks, with
SaliNet, DeConvNet and DeSaliNet as swappable backward rules on top.

    net = minicnn.load("squeezenet1.1.onnx")
    tape = net.record(minicnn.data.photo("cat.jpg", net.preprocess))
    picture = tape.backward(minicnn.seeds.logit(tape), rule="desalinet")
"""

from minicnn import blocks, data, errors, functional, kernels, nn, rules, seeds
from minicnn._version import __version__
from minicnn.errors import MiniCNNError
from minicnn.jacobian import jacobian
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
    "__version__",
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
    "rules",
    "save",
    "seeds",
    "set_threads",
    "using",
]
