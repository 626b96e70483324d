"""Running a network again where only a box of its input has changed: exact, and only what changed.

Every value of the clean run is kept once. A changed box reaches a box of the next value, computed
from the part that this box reads: the clean value with the changed box pasted in. So each stage
(see `stages`) runs on parts, many changes in one batch,

    box  ->  reached(box)  ->  reads(reached(box))  ->  the blocks on that part,

until a block that mixes all places (a fully connected layer) takes the whole. The first of those is
linear and gets the difference to the clean run, place by place: a low-rank update of its output.

All boxes of a batch have the size of the largest at each stage: what is computed too much is what
was there before.

Source: Nakandala, Kumar and Papakonstantinou, "Incremental and approximate inference for faster
occlusion-based deep CNN explanations" (Krypton), SIGMOD 2019; geometry: `blocks.sight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from minicnn import kernels
from minicnn.attribution.stages import Source, Stage, spans_reached, stages
from minicnn.blocks import MatMul
from minicnn.errors import InputError
from minicnn.kernels import beside
from minicnn.network import Network

__all__ = ["Change", "Incremental"]

FAR = 1 << 30  # a place that no part reaches
DENSE = 0.7  # share of a map from which on a matrix product with all of it is as fast


@dataclass(frozen=True, eq=False)
class Change:
    """A value of several runs, as far as it differs from the clean one.

    Parameters
    ----------
    values : numpy.ndarray, shape (N, C, h, w), or of any other rank
        The boxes; where there are no `places`, the whole values.
    places : numpy.ndarray of int, shape (N, 2), or None
        Top and left of each box.
    """

    values: np.ndarray
    places: np.ndarray | None = None


class Incremental:
    """A network and one clean input of it.

    Parameters
    ----------
    network : Network
        With one image as input.
    x : numpy.ndarray, shape (1, C, H, W)
        The clean input.
    wanted : sequence of str
        The values that are asked for.

    Attributes
    ----------
    clean : dict
        Values of the clean run by name: the input and the values of all stages.

    Raises
    ------
    InputError
        If this is not one image.
    """

    def __init__(self, network: Network, x: np.ndarray, wanted: Sequence[str]) -> None:
        if x.ndim != 4 or len(x) != 1 or len(network.inputs) != 1:
            raise InputError(f"One image (1, C, H, W) is changed box by box; got {x.shape}.")
        self._caller = network  # whose arrays may be on the host, while all work is on a card
        self.network = network = network.to(network.device)
        x = self._caller.brought(x)
        self.wanted = [network.value_name(name) for name in wanted]
        self.source = next(iter(network.inputs))
        network.check_input(self.source, network.inputs[self.source], x)
        self._shapes = network.infer_shapes(x.shape)
        self._shapes |= {name: array.shape for name, array in network.arrays.items()}
        self.stages = stages(network, self._shapes, self.wanted)
        names = [stage.name for stage in self.stages]
        self._clean = {self.source: x, **network.values({self.source: x}, names)}
        self._matrices: dict[str, np.ndarray] = {}

    @property
    def clean(self) -> dict[str, np.ndarray]:
        """Values of the image as it is, for the caller."""
        return {name: self._caller.handed(value) for name, value in self._clean.items()}

    def run(self, change: Change) -> dict[str, Change]:
        """The wanted values where the input is changed.

        Parameters
        ----------
        change : Change
            Of the input: one box for each run.

        Returns
        -------
        dict
            A `Change` for each wanted value.
        """
        found = {self.source: replace(change, values=self._caller.brought(change.values))}
        last = {name: i for i, stage in enumerate(self.stages) for name in stage.sources}
        for i, stage in enumerate(self.stages):
            found[stage.name] = self._run(stage, found)
            for name in stage.sources:
                if last[name] == i and name not in self.wanted:
                    found.pop(name, None)
        return {name: found[name] for name in self.wanted}

    def whole(self, name: str, change: Change) -> np.ndarray:
        """A changed value in full: (N, C, H, W), or what shape it has."""
        whole: np.ndarray = self._caller.handed(self._whole(name, change))
        return whole

    def _whole(self, name: str, change: Change) -> np.ndarray:
        if change.places is None:
            return change.values
        rows, columns = self._shapes[name][2:]
        zeros = np.zeros_like(change.places)
        return self._parts(name, change, zeros, (rows, columns), 0.0)

    def reached(self, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The sizes (N, 2) that boxes of the input at `places` have at the last stage on parts."""
        boxes = {self.source: np.stack([places, places + np.array(size)], 1)}
        sizes = np.broadcast_to(np.array(size), places.shape)
        for stage in self.stages:
            own = _reached(stage, boxes) if stage.sources.keys() <= boxes.keys() else None
            if own is not None:
                boxes[stage.name] = own
                sizes = own[:, 1] - own[:, 0]
        return sizes

    def bytes_each(self, size: tuple[int, int]) -> int:
        """Bytes that one run takes at its widest stage, for a box of this size in the middle."""
        x = self._clean[self.source]
        middle = np.array([[(n - m) // 2 for n, m in zip(x.shape[2:], size, strict=True)]])
        boxes = {self.source: np.stack([middle, middle + np.array(size)], 1)}
        widest = x[0].nbytes
        for stage in self.stages:
            places = np.prod(stage.shape[2:])
            own = _reached(stage, boxes) if stage.sources.keys() <= boxes.keys() else None
            if own is not None:
                boxes[stage.name] = own
                places = np.prod(own[0, 1] - own[0, 0])
            widest = max(widest, int(places) * stage.channels * x.itemsize)
        return widest

    # One stage

    def _run(self, stage: Stage, found: Mapping[str, Change]) -> Change:
        boxes = None
        if all(found[name].places is not None for name in stage.sources):
            boxes = _reached(stage, {name: _boxes(found[name]) for name in stage.sources})
        if boxes is None:
            return Change(self._run_whole(stage, found))
        size = (boxes[:, 1] - boxes[:, 0]).max(0)  # (rows, columns)
        places = np.minimum(boxes[:, 0], np.array(stage.shape[2:]) - size)  # (N, 2)
        if stage.part is None:
            return Change(_cut(self._run_whole(stage, found), places, size), places)
        inputs = {
            name: self._read(name, found[name], source, places, size)
            for name, source in stage.sources.items()
            if source is not None
        }
        return Change(stage.part.values(inputs, [stage.name])[stage.name], places)

    def _read(
        self, name: str, change: Change, source: Source, places: np.ndarray, size: np.ndarray
    ) -> np.ndarray:
        """The parts that a stage reads of a source, for boxes of its output."""
        stride, extent = np.array(source.stride), np.array(source.extent)
        rows, columns = (size - 1) * stride + extent
        first = places * stride + np.array(source.first)
        return self._parts(name, change, first, (int(rows), int(columns)), source.filling)

    def _run_whole(self, stage: Stage, found: Mapping[str, Change]) -> np.ndarray:
        """Run on whole values; a fully connected layer takes the difference alone."""
        update = self._low_rank(stage, found)
        if update is not None:
            return update
        inputs = {name: self._whole(name, found[name]) for name in stage.sources}
        value: np.ndarray = stage.whole.values(inputs, [stage.name])[stage.name]
        return value

    def _parts(
        self, name: str, change: Change, tops: np.ndarray, size: tuple[int, int], filling: float
    ) -> np.ndarray:
        """Parts of a value at `tops`, of a size, with the changed boxes pasted in."""
        places = np.zeros_like(tops) if change.places is None else change.places
        if change.values.shape[2:] == size and np.array_equal(places, tops):
            return change.values
        both = np.concatenate([tops, places], axis=1)
        return kernels.parts(self._clean[name], change.values, both, size, filling)

    # Fully connected layers

    def _low_rank(self, stage: Stage, found: Mapping[str, Change]) -> np.ndarray | None:
        """A linear layer of a flattened map: the clean output and W times what has changed."""
        if stage.flattened is None:
            return None
        source = next(iter(stage.sources))
        change = found[source]
        rows, columns = self._shapes[source][2:]
        size = change.values.shape[2:]
        if change.places is None or size[0] * size[1] > DENSE * rows * columns:
            return None
        nothing = replace(change, places=np.full_like(change.places, FAR))
        old = self._parts(source, nothing, change.places, (size[0], size[1]), 0.0)
        difference = change.values - old  # (N, C, h, w)
        matrices = self._by_place(stage.flattened, source)  # (H, W, C, K)
        y = np.repeat(self._clean[stage.name], len(difference), axis=0)  # (N, K)
        product = MatMul()
        for i, j in np.ndindex(rows, columns):
            at = np.array([i, j]) - change.places
            mine = np.flatnonzero(((at >= 0) & (at < np.array(size))).all(1))
            if len(mine):
                here, down, across = (beside(k, y) for k in (mine, at[mine, 0], at[mine, 1]))
                y[here] += product(difference[here, :, down, across], matrices[i, j])
        return y

    def _by_place(self, name: str, source: str) -> np.ndarray:
        """Weights (K, C H W) as one matrix (C, K) for each place: (H, W, C, K)."""
        if name not in self._matrices:
            channels, rows, columns = self._shapes[source][1:]
            weights = self.network.arrays[name].reshape(-1, channels, rows, columns)
            self._matrices[name] = weights.transpose(2, 3, 1, 0).copy()
        return self._matrices[name]


def _boxes(change: Change) -> np.ndarray:
    """Firsts and ends of changed boxes: (N, 2, 2)."""
    assert change.places is not None
    return np.stack([change.places, change.places + np.array(change.values.shape[2:])], 1)


def _reached(stage: Stage, boxes: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The boxes of a stage's value that boxes of its sources reach, (N, 2, 2); None: all of it."""
    if len(stage.shape) != 4:
        return None
    total: np.ndarray | None = None
    for name in stage.sources:
        own = np.empty_like(boxes[name])
        for axis in (0, 1):
            spans = spans_reached(stage, name, axis, boxes[name][:, :, axis])
            if spans is None:
                return None
            own[:, :, axis] = spans
        if total is None:
            total = own
        else:
            total = np.stack(
                [np.minimum(total[:, 0], own[:, 0]), np.maximum(total[:, 1], own[:, 1])], 1
            )
    return total


def _cut(values: np.ndarray, places: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A box of each image."""
    return np.stack(
        [
            image[:, top : top + size[0], left : left + size[1]]
            for image, (top, left) in zip(values, places, strict=True)
        ]
    )
