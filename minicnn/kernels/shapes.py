"""Shapes of convolutions to measure: those of three well-known networks, or written as numbers.

    n,c,h,w,o,k[,stride[,pad[,groups]]]     n images of c x h x w, o filters of k x k

k, stride and pad are one number for both axes or two, as in 1x7. Without a pad the size is kept at
stride 1 (k // 2 on each side).

Sources: Simonyan and Zisserman 2014, configuration D; He et al. 2015 with the strides in the 3x3
convolutions, as torchvision has them; Iandola et al. 2016, version 1.1. All at 224x224.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.errors import InputError, ShapeError, nearest
from minicnn.kernels.geometry import Window
from minicnn.kernels.problems import Convolution

__all__ = ["SETS", "Shape", "find", "parse"]

FORM = "n,c,h,w,o,k[,stride[,pad[,groups]]]"


@dataclass(frozen=True)
class Shape:
    """A convolution of so many images.

    Parameters
    ----------
    batch : int
    problem : Convolution
    """

    batch: int
    problem: Convolution

    def of(self, block: str) -> Shape:
        """The same shapes as a problem of a block: the transpose, or not."""
        transposed = block == "conv_transpose2d"
        return replace(self, problem=replace(self.problem, transposed=transposed))

    def __str__(self) -> str:
        return str(self.problem) + (f", batch {self.batch}" if self.batch > 1 else "")


def find(text: str) -> list[Shape]:
    """The shapes that a text means: a network's name, a .txt file with one a line, or numbers.

    Raises
    ------
    InputError
        If it is none of these, or a line of the file is no shape; "#" begins a comment there.
    """
    if text.lower() in SETS:
        return SETS[text.lower()]
    if not text.endswith(".txt"):
        if "," not in text:
            raise InputError(
                f"{text!r} is no shape and no network known here. {nearest(text, SETS)} Or give an "
                f"ONNX file (.onnx), a list of shapes (.txt), or numbers: {FORM}."
            )
        return [parse(text)]
    path = Path(text)
    if not path.is_file():
        raise InputError(f"The list of shapes {path} does not exist.")
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    if not any(lines):
        raise InputError(f"The list of shapes {path} is empty; a line reads {FORM}.")
    return [parse(line) for line in lines if line]


def parse(text: str) -> Shape:
    """A shape from text.

    Raises
    ------
    InputError
        If these are not numbers of that form.
    ShapeError
        If the window does not fit.

    Examples
    --------
    >>> print(parse("1,64,56,56,128,3,2"))
    64->128 @56x56, 3x3 stride 2x2 pads 1,1,1,1
    """
    pieces = [piece.strip() for piece in text.split(",")]
    try:
        if not 6 <= len(pieces) <= 9:
            raise ValueError
        n, c, h, w, o = (int(piece) for piece in pieces[:5])
        kernel = _pair(pieces[5])
        stride = _pair(pieces[6]) if len(pieces) > 6 else (1, 1)
        pad = _pair(pieces[7]) if len(pieces) > 7 else (kernel[0] // 2, kernel[1] // 2)
        groups = int(pieces[8]) if len(pieces) > 8 else 1
    except ValueError:
        raise InputError(
            f"A shape is written {FORM}, such as 1,64,56,56,64,3; got {text!r}."
        ) from None
    if min(n, c, h, w, o, groups, *kernel, *stride) < 1 or min(pad) < 0:
        raise InputError(f"The numbers of a shape are 1 or more (pads 0 or more); got {text!r}.")
    if c % groups or o % groups:
        raise InputError(f"{groups} groups do not divide {c} channels and {o} filters ({text!r}).")
    problem = Convolution(c, o, (h, w), Window(kernel, stride, pad * 2, (1, 1)), groups)
    if min(problem.out) < 1:
        raise ShapeError(
            f"A window of {kernel} with pads {pad} does not fit into {h}x{w} ({text!r})."
        )
    return Shape(n, problem)


def _pair(text: str) -> tuple[int, int]:
    """One number for both axes, or two: 3 or 1x7."""
    numbers = [int(piece) for piece in text.split("x")]
    if len(numbers) > 2:
        raise ValueError(text)
    return numbers[0], numbers[-1]


_TABLE = {  # c, side, o, k, stride, pad
    "vgg16": (
        (3, 224, 64, 3, 1, 1), (64, 224, 64, 3, 1, 1), (64, 112, 128, 3, 1, 1),
        (128, 112, 128, 3, 1, 1), (128, 56, 256, 3, 1, 1), (256, 56, 256, 3, 1, 1),
        (256, 28, 512, 3, 1, 1), (512, 28, 512, 3, 1, 1), (512, 14, 512, 3, 1, 1),
    ),
    "resnet50": (
        (3, 224, 64, 7, 2, 3),
        (64, 56, 64, 1, 1, 0), (64, 56, 64, 3, 1, 1), (64, 56, 256, 1, 1, 0),
        (256, 56, 64, 1, 1, 0),
        (256, 56, 128, 1, 1, 0), (128, 56, 128, 3, 2, 1), (128, 28, 512, 1, 1, 0),
        (256, 56, 512, 1, 2, 0), (512, 28, 128, 1, 1, 0), (128, 28, 128, 3, 1, 1),
        (512, 28, 256, 1, 1, 0), (256, 28, 256, 3, 2, 1), (256, 14, 1024, 1, 1, 0),
        (512, 28, 1024, 1, 2, 0), (1024, 14, 256, 1, 1, 0), (256, 14, 256, 3, 1, 1),
        (1024, 14, 512, 1, 1, 0), (512, 14, 512, 3, 2, 1), (512, 7, 2048, 1, 1, 0),
        (1024, 14, 2048, 1, 2, 0), (2048, 7, 512, 1, 1, 0), (512, 7, 512, 3, 1, 1),
    ),
    "squeezenet": (
        (3, 224, 64, 3, 2, 0),
        (64, 55, 16, 1, 1, 0), (16, 55, 64, 1, 1, 0), (16, 55, 64, 3, 1, 1),
        (128, 55, 16, 1, 1, 0),
        (128, 27, 32, 1, 1, 0), (32, 27, 128, 1, 1, 0), (32, 27, 128, 3, 1, 1),
        (256, 27, 32, 1, 1, 0),
        (256, 13, 48, 1, 1, 0), (48, 13, 192, 1, 1, 0), (48, 13, 192, 3, 1, 1),
        (384, 13, 48, 1, 1, 0),
        (384, 13, 64, 1, 1, 0), (64, 13, 256, 1, 1, 0), (64, 13, 256, 3, 1, 1),
        (512, 13, 64, 1, 1, 0), (512, 13, 1000, 1, 1, 0),
    ),
}  # fmt: skip

SETS: dict[str, list[Shape]] = {
    name: [
        Shape(1, Convolution(c, o, (side, side), Window((k, k), (s, s), (p,) * 4, (1, 1))))
        for c, side, o, k, s, p in rows
    ]
    for name, rows in _TABLE.items()
}
"""The distinct convolutions of VGG-16, ResNet-50 and SqueezeNet 1.1, by the network's name."""
