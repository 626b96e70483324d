"""What of a feature map is watched while the input changes: its strongest response, sum, or a unit.

Source: Zeiler and Fergus, ECCV 2014, section 4.2: the strongest map of a layer, summed or at its
peak, under occlusion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.errors import InputError, UnitError
from minicnn.network import Network

__all__ = ["Watch", "watch"]


@dataclass(frozen=True)
class Watch:
    """Something of a feature map that is watched while patches slide.

    Parameters
    ----------
    at : str
        The layer.
    channel : int or None
        One channel, or all.
    how : {"max", "sum", "unit"}
        The strongest response, the sum, or the unit at `place`.
    place : tuple of int
        Row and column of the unit.
    """

    at: str
    channel: int | None = None
    how: str = "max"
    place: tuple[int, ...] = ()

    def __str__(self) -> str:
        unit = "" if self.channel is None else f":{','.join(map(str, (self.channel, *self.place)))}"
        return f"{self.at}{unit}" + ("" if self.how == "unit" else f" {self.how}")

    def of(self, values: np.ndarray) -> np.ndarray:
        """The number of each image, (N,), of maps (N, C, H, W) or vectors (N, C)."""
        if self.channel is not None:
            values = values[:, self.channel : self.channel + 1]
        if self.how == "unit":
            place = np.ravel_multi_index(self.place, values.shape[2:]) if self.place else 0
            return values.reshape(len(values), -1)[:, place]
        flat = values.reshape(len(values), -1)
        return flat.max(1) if self.how == "max" else flat.sum(1)


def watch(network: Network, text: str, how: str = "max") -> Watch:
    """What users type: "layer", "layer:channel" or "layer:channel,row,column".

    Parameters
    ----------
    network : Network
        Whose layer it is.
    text : str
        The layer, and a channel or unit of it.
    how : {"max", "sum"}
        What is watched of a map; a unit is watched itself.

    Raises
    ------
    UnitError
        If there is no such unit.
    """
    layer, _, unit = text.rpartition(":") if ":" in text else (text, "", "")
    if unit and layer not in network.layers and text in network.layers:
        layer, unit = text, ""  # names may have colons
    at = network.value_name(layer)
    if how not in ("max", "sum"):
        raise InputError(f"{how!r}: of a map the 'max' or the 'sum' is watched.")
    shape = network.infer_shapes()[at][1:]
    if not unit:
        return Watch(at, None, how)
    try:
        index = tuple(int(part) for part in unit.split(","))
    except ValueError:
        raise UnitError(
            f"{text!r}: a unit is layer:channel, or layer:channel,row,column, in numbers."
        ) from None
    if len(index) not in (1, len(shape)) or not all(
        0 <= i < n for i, n in zip(index, shape, strict=False)
    ):
        raise UnitError(f"{text!r}: {at} has units of shape {shape}.")
    if len(index) == 1 and len(shape) > 1:
        return Watch(at, index[0], how)
    return Watch(at, index[0], "unit", index[1:])
