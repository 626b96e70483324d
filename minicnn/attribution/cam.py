"""Grad-CAM: the last maps of a network, each weighted by what it counts for the class.

    weights  w_k = mean over places of dS/dA_k            A_k: the maps of a layer
    map      max(sum over k of w_k A_k, 0)

resized to the photo; every channel of a pixel gets the same value. Guided Grad-CAM is that times
guided backprop, which adds the fine structure.

Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2 and section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from minicnn import functional as F
from minicnn import rules as rulebook
from minicnn.attribution.gradients import TapeAttribution
from minicnn.attribution.method import Index, one_hot
from minicnn.blocks import AveragePool, Dropout, Identity, MaxPool
from minicnn.errors import InputError, ShapeError
from minicnn.network import Network
from minicnn.rules import SALINET, Rule
from minicnn.structure import spoken
from minicnn.tape import Tape

__all__ = ["GradCAM", "GuidedGradCAM", "last_map"]


class GradCAM(TapeAttribution):
    """Where the maps lie that count for a class.

    Parameters
    ----------
    network : Network
        With one image as its input.
    layer : str, optional
        Whose maps; by default the last that is no pooling, see `last_map`.
    relu : bool
        Whether negative evidence is cut off, as in the paper.
    at : str, optional
        The value whose unit is explained; by default the class scores.

    Raises
    ------
    InputError
        If the layer has no maps, or the scores do not depend on it.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("mnist")
    >>> GradCAM(net).layer
    'relu4'
    """

    name: ClassVar[str] = "Grad-CAM"
    reduction: ClassVar[str] = "mean"

    def __init__(
        self,
        network: Network,
        layer: str | None = None,
        relu: bool = True,
        at: str | None = None,
    ) -> None:
        super().__init__(network, at)
        (shape,) = network.inputs.values()
        if len(shape) != 4:
            raise InputError(
                f"{self.name} needs a network that reads images; {network.name} takes "
                f"{spoken(shape)}."
            )
        self.layer = last_map(self.part, self.at) if layer is None else network.value_name(layer)
        if self.layer in network.inputs and self._channel_axis != 1:
            raise InputError(
                f"{self.layer} has channels last; choose a layer whose maps are (channels, rows, "
                f"columns), such as {last_map(self.part, self.at)}."
            )
        self.relu, self.keep = relu, [self.layer]
        if self.layer == self.at or self.layer not in [*self.part.inputs, *self.part.layers]:
            raise InputError(
                f"{self.layer} is no layer below {self.at}, which is explained: choose another, "
                f"such as {last_map(self.part, self.at)}."
            )

    def recorded_for(self) -> Sequence[Rule]:
        return [SALINET]

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        (x,) = tape.inputs.values()
        axis = self._channel_axis
        height, width = np.delete(x.shape, [0, axis])
        maps: np.ndarray = F.interpolate(self.maps(tape, indices), (height, width), mode="bilinear")
        return np.broadcast_to(np.moveaxis(maps, 1, axis), x.shape).copy()

    def maps(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        """The map before it is resized, shape (N, 1, h, w)."""
        values = tape[self.layer]
        if values.ndim != 4:
            raise ShapeError(
                f"{self.layer} has shape {values.shape}: no maps. Choose a layer before, such as "
                f"{last_map(self.part, self.at)}."
            )
        p = one_hot(tape[self.at], indices)
        slopes = tape.backward(p, SALINET, at=self.at, wrt=self.layer)
        weights = slopes.mean(axis=(2, 3), keepdims=True)  # (N, K, 1, 1)
        found = (weights * values).sum(axis=1, keepdims=True)
        return np.maximum(found, 0) if self.relu else found

    @cached_property
    def _channel_axis(self) -> int:
        how = self.network.preprocess
        return 1 if how is None else how.channel_axis


class GuidedGradCAM(GradCAM):
    """Guided backprop times Grad-CAM: fine, and about the class."""

    name: ClassVar[str] = "guided Grad-CAM"
    reduction: ClassVar[str] = "sum"
    guided: ClassVar[Rule] = rulebook.family("TTTF")

    def recorded_for(self) -> Sequence[Rule]:
        return [SALINET, self.guided]

    def read(self, tape: Tape, indices: Sequence[Index]) -> np.ndarray:
        p = one_hot(tape[self.at], indices)
        fine: np.ndarray = tape.backward(p, self.guided, at=self.at)
        return fine * super().read(tape, indices)


def last_map(network: Network, at: str) -> str:
    """The last value before `at` that is a map, not pooled: usually the last convolution's ReLU.

    Raises
    ------
    InputError
        If there is none.
    """
    shapes = network.infer_shapes()
    shapes.update((name, array.shape) for name, array in network.arrays.items())
    passing = (MaxPool, AveragePool, Identity, Dropout)  # what only pools or passes a map on
    for node in reversed(network.needed([at])):
        shape, before = shapes[node.name], [shapes[operand] for operand in node.operands]
        is_map = len(shape) == 4 and shape[2] * shape[3] > 1
        if is_map and node.block.reads(0, before, ((0, 1), (0, 1))) is None:
            continue  # rows and columns are not what they were, as behind a Transpose
        if node.name != at and is_map and not isinstance(node.block, passing):
            return node.name
    raise InputError(f"No value before {at} of {network.name} is a map: Grad-CAM has no layer.")
