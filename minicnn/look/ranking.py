"""The k best of a stream, kept for many channels at once: a running, stable, vectorised top k.

Each batch offers candidates; a channel whose largest candidate does not beat its k-th best is left
alone, and for the others

    best' = the first k of a stable sort of (best, candidates) by value, largest first.

Earlier candidates stand first, so of equal ones they win, and the result is that of one stable sort
of the whole stream, however it was cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minicnn.data.images import Batch

__all__ = ["Best"]


@dataclass(frozen=True, eq=False)
class Best:
    """What was found among the first images of a stream; never changed, only replaced.

    Parameters
    ----------
    images : numpy.ndarray of int, shape (C, k)
        Best first; -1 where there are fewer than k.
    places : numpy.ndarray of int, shape (C, k, axes)
        Coordinates in the map.
    values : numpy.ndarray, shape (C, k)
        Minus infinity where there are fewer than k.
    seen : int
        How many images were looked at.
    """

    images: np.ndarray
    places: np.ndarray
    values: np.ndarray
    seen: int

    @classmethod
    def none(cls, channels: int, k: int, axes: int, dtype: np.dtype) -> Best:
        """Before the first image."""
        images = np.full((channels, k), -1)
        values = np.full((channels, k), -np.inf, dtype)
        return cls(images, np.zeros((channels, k, axes), int), values, 0)

    def merged(self, batch: Batch, y: np.ndarray, once: bool) -> Best:
        """With the responses to the next images.

        Parameters
        ----------
        batch : Batch
            The images.
        y : numpy.ndarray, shape (N, C, ...)
            The responses to them.
        once : bool
            Whether only the largest value of each map is a candidate, or all.
        """
        size, k = y.shape[2:], self.values.shape[1]
        maps = np.moveaxis(y, 1, -1).reshape(len(y), -1, y.shape[1])  # (N, P, C), mostly a view
        beaten = (maps.max(axis=1) > self.values[:, -1]).any(axis=0)  # (C,)
        rows, seen = np.flatnonzero(beaten), int(batch.indices[-1]) + 1
        if not len(rows):
            return replace(self, seen=seen)
        maps = maps[:, :, rows]  # (N, P, R)
        if once:
            places = maps.argmax(axis=1, keepdims=True)  # (N, 1, R), the first of equal ones
        else:
            places = np.argsort(-maps, axis=1, kind="stable")[:, :k]  # (N, up to k, R)
        values = np.take_along_axis(maps, places, axis=1)
        images = np.broadcast_to(batch.indices[:, None, None], places.shape)
        images, places, values = (
            array.transpose(2, 0, 1).reshape(len(rows), -1) for array in (images, places, values)
        )  # (R, candidates), in the order of the images
        coordinates = np.stack(np.unravel_index(places, size or (1,)), -1)[..., : len(size)]
        return self._with(rows, images, coordinates, values, seen)

    def _with(
        self,
        rows: np.ndarray,
        images: np.ndarray,
        places: np.ndarray,
        values: np.ndarray,
        seen: int,
    ) -> Best:
        """With more candidates for some channels, (R, candidates) each."""
        values = np.concatenate([self.values[rows], values], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.values.shape[1]]
        result = Best(self.images.copy(), self.places.copy(), self.values.copy(), seen)
        result.values[rows] = np.take_along_axis(values, order, axis=1)
        images = np.concatenate([self.images[rows], images], axis=1)
        result.images[rows] = np.take_along_axis(images, order, axis=1)
        places = np.concatenate([self.places[rows], places], axis=1)
        result.places[rows] = np.take_along_axis(places, order[..., None], axis=1)
        return result
