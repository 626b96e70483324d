"""Preprocessing: how a photo becomes a network's input, as facts a file can carry.

x = (pixel / 255 * scale - mean) / std,   channels in RGB or BGR order, first or last
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from minicnn.errors import InputError, UnknownNameError, nearest

__all__ = ["PRESETS", "Preprocess", "preset"]


@dataclass(frozen=True)
class Preprocess:
    """What happens to a photo on its way into a network.

    Parameters
    ----------
    size : int or None
        Short side after resizing, in pixels; None leaves the photo as it is.
    crop : int, (int, int) or None
        Side of the square, or height and width, cut from the centre; None cuts nothing.
    mean, std : tuple of float
        One a channel, in units of `scale`; their number is the number of channels (1: grey).
    scale : float
        What white becomes: 1 or 255.
    order : {"RGB", "BGR"}
        Order of the channels.
    layout : {"NCHW", "NHWC"}
        Whether channels come before the pixels, as usual, or after them.
    """

    size: int | None = 256
    crop: int | tuple[int, int] | None = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    scale: float = 1.0
    order: str = "RGB"
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        if isinstance(self.size, str):
            raise InputError(
                f"Preprocess({self.size!r}): presets are asked for by name when loading, "
                f"load(file, preprocess={self.size!r})."
            )
        for name in ("mean", "std"):  # one number will do for a grey image
            value = getattr(self, name)
            numbers = (value,) if isinstance(value, (int, float)) else tuple(value)
            object.__setattr__(self, name, numbers)
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise InputError(
                f"mean and std need one or three numbers each; got {self.mean}, {self.std}."
            )
        if self.order not in ("RGB", "BGR"):
            raise InputError(f"order={self.order!r}: channels come as RGB or BGR.")
        if self.layout not in ("NCHW", "NHWC"):
            raise InputError(f"layout={self.layout!r}: images are laid out as NCHW or NHWC.")
        values = (*self.mean, *self.std, self.scale)
        if not all(isinstance(n, (int, float)) and abs(n) < 1e6 for n in values):
            raise InputError(f"mean, std and scale are numbers; got {values}.")
        if not min(self.std) > 0:
            raise InputError(f"std must be positive; got {self.std}.")
        pair = isinstance(self.crop, tuple) and len(self.crop) == 2 and None not in self.crop
        sides = self.crop if pair and isinstance(self.crop, tuple) else (self.crop,)
        if not all(_is_side(side) for side in (self.size, *sides)):
            raise InputError(
                f"size and crop are numbers of pixels, or None; got {self.size!r}, {self.crop!r}."
            )

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """Height and width of the crop."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    @property
    def channels(self) -> int:
        """Number of channels: 1 or 3."""
        return len(self.mean)

    @property
    def channel_axis(self) -> int:
        """The axis of an input (N, C, H, W) or (N, H, W, C) that holds the channels."""
        return self.layout.index("C")

    def to_json(self) -> str:
        """As text for a file's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preprocess:
        """From such text.

        Raises
        ------
        InputError
            If the text does not say how to preprocess.
        """
        try:
            fields = json.loads(text)
            values: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
            }
            return cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"Preprocessing cannot be read from {text[:80]!r}: {error}.") from None


def _is_side(side: object) -> bool:
    return side is None or (type(side) is int and side > 0)


PRESETS = {
    "imagenet": Preprocess(),
    "caffe": Preprocess(
        mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), scale=255.0, order="BGR"
    ),
    "raw": Preprocess(size=None, crop=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}


def preset(name: str) -> Preprocess:
    """A preprocessing by name: imagenet, caffe (BGR 0..255 minus mean) or raw (RGB 0..1)."""
    if name not in PRESETS:
        raise UnknownNameError(f"There is no preprocessing {name!r}. {nearest(name, PRESETS)}")
    return PRESETS[name]
