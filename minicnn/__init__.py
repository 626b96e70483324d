"""minicnn opens convolutional networks up.

A from-scratch engine in which the backward pass is a network too, made of transposed blocks, with
SaliNet, DeConvNet and DeSaliNet as swappable backward rules on top.

    net = minicnn.load("squeezenet1.1.onnx")
    tape = net.record(minicnn.data.photo("cat.jpg", net.preprocess))
    picture = tape.backward(minicnn.seeds.logit(tape), rule="desalinet")

Nothing is imported before it is used: `_root` holds the names, and comes with the first of them.
"""

from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Any

from minicnn._version import __version__

if TYPE_CHECKING:
    from minicnn import attribution, figures, landscape, look, studies
    from minicnn._root import *  # noqa: F403

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
    "onnx",
    "rules",
    "save",
    "seeds",
    "set_threads",
    "studies",
    "using",
]

_lock = RLock()

if not TYPE_CHECKING:  # else no misspelt name would be found

    def __getattr__(name: str) -> Any:
        """A name of the package, imported now."""
        if not name.startswith("_") and find_spec(f"minicnn.{name}"):
            return import_module(f"minicnn.{name}")
        if name not in __all__:
            raise AttributeError(f"module 'minicnn' has no attribute {name!r}", name=name)
        with _lock:  # one thread imports, the others wait for it
            root = import_module("minicnn._root")
        globals().update({known: getattr(root, known) for known in root.__all__})
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
