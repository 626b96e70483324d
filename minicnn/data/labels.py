"""Names of ImageNet's 1000 classes, in the order of the 2012 challenge.

The list is made from the challenge's WordNet synsets and WordNet's own lemmas (Princeton
University); `bundled/imagenet_classes.txt` has one class a line.
"""

from __future__ import annotations

from importlib import resources

__all__ = ["imagenet_names"]


def imagenet_names() -> tuple[str, ...]:
    """The 1000 class names.

    Examples
    --------
    >>> imagenet_names()[243]
    'bull mastiff'
    """
    text = resources.files("minicnn.data").joinpath("bundled/imagenet_classes.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())
