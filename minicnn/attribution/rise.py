"""RISE: how the score goes with what random masks leave to be seen.

    attribution  =  1 / (N p)  sum over masks M of  score(x M) M

Each mask is a coarse grid of zeros and ones (one with probability p), enlarged bilinearly and
shifted at random by less than a cell. Masked are the network's inputs: 0 there is the mean colour
of preprocessing.

Source: Petsiuk, Das and Saenko, "RISE: Randomized input sampling for explanation of black-box
models", BMVC 2018, equations 5 and 6.
"""

from __future__ import annotations

import numpy as np

from minicnn import functional, kernels
from minicnn.attribution.method import Attribution, Index, Target
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.progress import Track, silent

__all__ = ["RISE", "masks"]

CHUNK = 32  # masks made and run at a time; a constant, so that results repeat


class RISE(Attribution):
    """Randomised input sampling; see the module.

    Parameters
    ----------
    network, at
        See `Attribution`. Class scores are turned into softmax probabilities, as in the paper.
    count : int
        Number of masks; the paper takes 4000 for VGG-16 and 8000 for ResNet-50.
    cells : int
        Cells of the coarse grid, along each side.
    keep : float
        Probability p that a cell is seen.
    seed : int
        Of the masks.
    track : Track
        Shows progress.
    """

    name = "RISE"
    reduction = "mean"  # all channels of a pixel are alike

    def __init__(
        self,
        network: Network,
        at: str | None = None,
        count: int = 4000,
        cells: int = 7,
        keep: float = 0.5,
        seed: int = 0,
        track: Track = silent,
    ) -> None:
        super().__init__(network, at)
        if count < 1 or cells < 1 or not 0 < keep < 1:
            raise InputError(
                f"RISE needs 1 mask and 1 cell or more, and keep between 0 and 1; got {count}, "
                f"{cells}, {keep}."
            )
        if network.preprocess is not None and network.preprocess.layout != "NCHW":
            raise InputError(
                f"{network.name} takes photos with channels last; RISE needs channels first."
            )
        if seed < 0:
            raise InputError(f"A seed is 0 or more; got {seed}.")
        self.count, self.cells, self.keep, self.seed, self.track = count, cells, keep, seed, track

    def attribute(self, x: np.ndarray, target: Target = None) -> np.ndarray:
        self.check(x)
        source = next(iter(self.network.inputs))
        found = self.targets(x, target)
        return np.concatenate(
            [self._one(source, x[n : n + 1], index) for n, index in enumerate(found)]
        )

    def _one(self, source: str, x: np.ndarray, index: Index) -> np.ndarray:
        size = x.shape[2:]
        total = np.zeros((1, 1, *size))
        generator = np.random.default_rng(self.seed)
        chunks = range(0, self.count, CHUNK)
        for first in self.track(chunks, "batches of masks", len(chunks)):
            mask = masks(min(CHUNK, self.count - first), self.cells, self.keep, size, generator)
            inputs = (x * mask).astype(x.dtype)
            scores = np.moveaxis(self._scores(source, inputs), 0, -1)[index]  # (masks,)
            total += np.tensordot(scores.astype(np.float64), mask, 1)
        values = total / (self.count * self.keep)
        return np.ascontiguousarray(np.broadcast_to(values, x.shape).astype(x.dtype))

    def _scores(self, source: str, x: np.ndarray) -> np.ndarray:
        """Probabilities of classes, or values of a layer."""
        single = self.network.inputs[source][0] is not None
        parts = [x[i : i + 1] for i in range(len(x))] if single else [x]
        found = [self.network.values({source: part}, [self.at])[self.at] for part in parts]
        scores = np.concatenate(found)
        classes = self.network.classifies and self.at == self.network.logits
        return kernels.softmax(scores, 1) if classes else scores


def masks(
    count: int, cells: int, keep: float, size: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray:
    """Random masks.

    Returns
    -------
    numpy.ndarray of float32, shape (count, 1, height, width)
        Values from 0 to 1.
    """
    height, width = (-(-n // cells) for n in size)  # of a cell
    grid = (generator.random((count, 1, cells + 1, cells + 1)) < keep).astype(np.float32)
    large = functional.interpolate(
        grid, size=((cells + 1) * height, (cells + 1) * width), mode="bilinear"
    )
    tops, lefts = generator.integers(height, size=count), generator.integers(width, size=count)
    return np.stack(
        [
            mask[:, top : top + size[0], left : left + size[1]]
            for mask, top, left in zip(large, tops, lefts, strict=True)
        ]
    )
