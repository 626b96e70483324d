"""minicnn opens convolutional networks up.

A from-scratch engine in which the backward pass is a network too, made of transposed blocks, with
SaliNet, DeConvNet and DeSaliNet as swappable backward rules on top.

    net = minicnn.load("squeezenet1.1.onnx")
    tape = net.record(minicnn.data.photo("cat.jpg", net.preprocess))
    picture = tape.backward(minicnn.seeds.logit(tape), rule="desalinet")

Nothing is imported before it is used: what stands here is looked up when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minicnn._version import __version__

if TYPE_CHECKING:
    from minicnn import (
        attribution,
        blocks,
        data,
        errors,
        figures,
        functional,
        kernels,
        landscape,
        look,
        nn,
        rules,
        seeds,
        studies,
    )
    from minicnn.errors import MiniCNNError
    from minicnn.jacobians import jacobian
    from minicnn.kernels import set_threads, using
    from minicnn.kernels.devices import devices, no_transfers
    from minicnn.network import Network
    from minicnn.onnx import check, load, save  # type: ignore[no-redef]
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
    "attribution",
    "blocks",
    "check",
    "data",
    "devices",
    "errors",
    "figures",
    "functional",
    "grad",
    "jacobian",
    "kernels",
    "landscape",
    "load",
    "look",
    "nn",
    "no_grad",
    "no_transfers",
    "rules",
    "save",
    "seeds",
    "set_threads",
    "studies",
    "using",
]

_PLACES = {
    "errors": ("MiniCNNError",),
    "jacobians": ("jacobian",),
    "kernels": ("set_threads", "using"),
    "kernels.devices": ("devices", "no_transfers"),
    "network": ("Network",),
    "onnx": ("check", "load", "save"),
    "preprocess": ("Preprocess",),
    "rules": ("Rule",),
    "seeds": ("Seed",),
    "tape": ("Tape",),
    "tensor": ("Tensor", "grad", "no_grad"),
}


def __getattr__(name: str) -> Any:
    """A name of the package, imported now."""
    if name not in __all__:
        raise AttributeError(f"module 'minicnn' has no attribute {name!r}", name=name)
    for place, names in _PLACES.items():
        if name in names:
            globals()[name] = getattr(import_module(f"minicnn.{place}"), name)
            return globals()[name]
    return import_module(f"minicnn.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
