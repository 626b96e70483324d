"""What needs no download: three small trained networks, test images of theirs, and two photos.

    mnist      four convolutions on MNIST, trained by examples/train_mnist.py on tensors alone
    lenet      LeNet on MNIST, trained by examples/train_bundled.py
    cifar10    a small VGG on CIFAR-10, by the same

The digits are from MNIST's test set (Y. LeCun, C. Cortes, C. Burges), the 32x32 pictures from
CIFAR-10's (A. Krizhevsky); no network has seen them. The photos, china.jpg and flower.jpg, are
carried by scikit-learn, which names their photographers; their licence is CC BY 2.0.
"""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from minicnn.errors import UnknownNameError, nearest

__all__ = [
    "bundled_digits",
    "bundled_model",
    "bundled_models",
    "bundled_path",
    "bundled_photos",
    "bundled_pictures",
]


def _folder() -> Path:
    return Path(str(resources.files("minicnn.data"))) / "bundled"


def bundled_models() -> list[Path]:
    """Paths of the bundled networks."""
    return sorted(_folder().glob("*.onnx"))


def bundled_model(name: str = "mnist") -> Path:
    """Path of a bundled network.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    found = {path.stem: path for path in bundled_models()}
    if name not in found:
        raise UnknownNameError(f"No bundled network {name!r}. {nearest(name, found)}")
    return found[name]


def bundled_digits() -> list[Path]:
    """Paths of the bundled digits, 28x28 grey PNG files named by what they show."""
    return sorted(_folder().glob("digit_*.png"))


def bundled_pictures() -> list[Path]:
    """Paths of the bundled pictures of CIFAR-10, 32x32 PNG files named by what they show."""
    return sorted(_folder().glob("cifar_*.png"))


def bundled_photos() -> list[Path]:
    """Paths of the photos that scikit-learn carries: china.jpg and flower.jpg."""
    found = find_spec("sklearn")  # where it is, without importing it
    places = (found and found.submodule_search_locations) or []
    return [path for place in places for path in sorted(Path(place).glob("datasets/images/*.jpg"))]


def bundled_path(name: str) -> Path:
    """A file by path, or a bundled one by its bare name ("mnist", "digit_7", "cifar_cat", "china").

    A file of that name in the current folder comes first; a folder does not.
    """
    path = Path(name)
    if not path.is_file() and path.name == name and not path.suffix:
        own_files = (*bundled_models(), *bundled_digits(), *bundled_pictures(), *bundled_photos())
        for own in own_files:
            if own.stem == name:
                return own
    return path
