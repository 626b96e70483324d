"""The data set: for each scene, pictures of the grabbed point, of the start, and of the result.

Sample k depends on the seed and on k only, so threads make them in any order with equal results.
Pictures have 256 levels of grey, as picture files do.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minicnn.data.rectangles.drawing import draw, draw_point
from minicnn.data.rectangles.scene import Scene, World, simulate
from minicnn.errors import InputError
from minicnn.progress import Track, silent

__all__ = ["SIZE", "generate", "made", "pictures", "tones"]

SIZE = 64  # pixels of a side


def pictures(scene: Scene, size: int = SIZE) -> np.ndarray:
    """What the network sees of a scene, and what it is to predict.

    Parameters
    ----------
    scene : Scene
        Its first and its last frame are drawn.
    size : int
        Pixels of a side.

    Returns
    -------
    numpy.ndarray of uint8, shape (3, size, size)
        The grabbed point, the start, the result; 255 is white.
    """
    three = [
        draw_point(scene.point, size),
        draw(scene.sides, scene.poses[0], size),
        draw(scene.sides, scene.poses[-1], size),
    ]
    return np.rint(255 * np.stack(three)).astype(np.uint8)


def generate(
    count: int,
    seed: int = 0,
    first: int = 0,
    track: Track = silent,
    world: World | None = None,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make samples.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        0 or more.
    first : int
        The number of the first; a test set starts where the training set ends.
    track : Track
        Shows the progress.
    world : World, optional
        Other numbers than the usual ones.
    workers : int, optional
        Threads, by default as many as there are cores. The result does not depend on it.

    Returns
    -------
    x : numpy.ndarray of float32, shape (count, 2, 64, 64)
        The grabbed point and the start, from 0 (black) to 1 (white).
    y : numpy.ndarray of float32, shape (count, 1, 64, 64)
        The result.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    >>> x, y = generate(3, seed=1)
    >>> x.shape, y.shape
    ((3, 2, 64, 64), (3, 1, 64, 64))
    """
    return tones(made(count, seed, first, track, world or World(), workers))


def made(
    count: int, seed: int, first: int, track: Track, world: World, workers: int | None
) -> np.ndarray:
    """Pictures of scenes first, first + 1, ...: uint8 (count, 3, 64, 64)."""
    if count < 1 or first < 0 or (workers is not None and workers < 1):
        raise InputError(
            f"{count} samples from number {first} on, by {workers or 'all'} threads: give at least "
            f"1 sample and 1 thread, and a number of 0 or more."
        )
    levels = np.empty((count, 3, SIZE, SIZE), np.uint8)

    def make(k: int) -> None:
        levels[k] = pictures(simulate(seed, first + k, world=world))

    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        for _ in track(pool.map(make, range(count)), "samples", count):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return levels


def tones(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From levels of grey to a network's inputs and targets: float32 from 0 to 1."""
    scaled = levels.astype(np.float32) / np.float32(255)
    return scaled[:, :2], scaled[:, 2:]
