"""What needs no download: a small trained network, a few digits, and two photos.

The network was trained on MNIST (Y. LeCun, C. Cortes, C. Burges) by examples/train_mnist.py; the
digits are from MNIST's test set, which it has not seen. The photos, china.jpg and flower.jpg, are
carried by scikit-learn, which names their photographers; their licence is CC BY 2.0.
"""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

__all__ = ["bundled_digits", "bundled_model", "bundled_path", "bundled_photos"]


def _folder() -> Path:
    return Path(str(resources.files("minicnn.data"))) / "bundled"


def bundled_model() -> Path:
    """Path of the bundled network."""
    return _folder() / "mnist.onnx"


def bundled_digits() -> list[Path]:
    """Paths of the bundled digits, 28x28 grey PNG files named by what they show."""
    return sorted(_folder().glob("digit_*.png"))


def bundled_photos() -> list[Path]:
    """Paths of the photos that scikit-learn carries: china.jpg and flower.jpg."""
    found = find_spec("sklearn")  # where it is, without importing it
    places = (found and found.submodule_search_locations) or []
    return [path for place in places for path in sorted(Path(place).glob("datasets/images/*.jpg"))]


def bundled_path(name: str) -> Path:
    """A file by path, or a bundled one by its bare name ("mnist", "digit_7", "china").

    A file of that name in the current folder comes first; a folder does not.
    """
    path = Path(name)
    if not path.is_file() and path.name == name and not path.suffix:
        for own in (bundled_model(), *bundled_digits(), *bundled_photos()):
            if own.stem == name:
                return own
    return path
