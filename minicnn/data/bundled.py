"""What the package carries: a small trained network and a few test images.

The network was trained on MNIST (Y. LeCun, C. Cortes, C. Burges) by examples/train_mnist.py; the
images are from MNIST's test set, which it has not seen.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["bundled_digits", "bundled_model", "bundled_path"]


def _folder() -> Path:
    return Path(str(resources.files("minicnn.data"))) / "bundled"


def bundled_model() -> Path:
    """Path of the bundled network."""
    return _folder() / "mnist.onnx"


def bundled_digits() -> list[Path]:
    """Paths of the bundled digits, 28x28 grey PNG files named by what they show."""
    return sorted(_folder().glob("digit_*.png"))


def bundled_path(name: str) -> Path:
    """A file by path, or a bundled one by its bare name ("mnist", "digit_7").

    A file of that name in the current folder comes first; a folder does not.
    """
    path = Path(name)
    if not path.is_file() and path.name == name and not path.suffix:
        for own in (bundled_model(), *bundled_digits()):
            if own.stem == name:
                return own
    return path
