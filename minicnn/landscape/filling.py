"""Filling a grid: the points that are not known yet, on many processes, again and again.

Only what is missing is computed, chunk by chunk, through joblib: with `workers` processes on this
machine, each with its share of the threads; or, where `workers` is None, however
`joblib.parallel_config(backend="dask")` or "ray" says. A chunk's numbers do not depend on who
computes it. What is known is written now and then, and whenever the filling ends, also by Ctrl-C:
the same call goes on from there. The file is an .npz with the axes `x` and `y`, an array (y, x) for
each value, and `done`, which says where they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.errors import InputError
from minicnn.kernels import set_threads
from minicnn.kernels.devices import current
from minicnn.landscape.weights import on_host
from minicnn.network import Network
from minicnn.progress import Track, silent
from minicnn.structure import Structure

__all__ = ["Grid", "Task", "Work", "fill", "plain"]

Work = Callable[[Any, np.ndarray], np.ndarray]
"""From a task and points (n, D) to values (n, V); a function of a module, so that it travels."""

CHUNKS_EACH = 4  # per worker, at least, while points last


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker needs to know: plain arrays and texts, which can be sent anywhere.

    Parameters
    ----------
    network : mapping
        The fields of the network, as `plain` gives them.
    x, labels : numpy.ndarray
        Samples.
    directions : sequence of dict
        The plane.
    options : mapping
        Of the work.
    device : str
        Where it is done.
    """

    network: Mapping[str, Any]
    x: np.ndarray
    labels: np.ndarray
    directions: Sequence[Mapping[str, np.ndarray]]
    options: Mapping[str, Any]
    device: str = "cpu"

    def opened(self) -> Network:
        """The network, with plans of its own."""
        return Network(**self.network).to(self.device, hosted=True)


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the values are wanted.

    Parameters
    ----------
    xs : numpy.ndarray, shape (X,)
        Coordinates along the first direction.
    ys : numpy.ndarray, shape (Y,), or None
        Along the second; None makes the grid a line.

    Raises
    ------
    InputError
        If an axis is empty, does not rise, or is not finite.
    """

    xs: np.ndarray
    ys: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, axis in (("x", self.xs), ("y", self.ys)):
            if axis is None:
                continue
            rising = axis.ndim == 1 and len(axis) > 0 and bool(np.all(np.diff(axis) > 0))
            if not rising or not np.all(np.isfinite(axis)):
                raise InputError(f"The {name} axis of a grid is a list of rising numbers: {axis}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """(Y, X), or (X,) on a line."""
        return (len(self.xs),) if self.ys is None else (len(self.ys), len(self.xs))

    @property
    def points(self) -> np.ndarray:
        """Coordinates (P, D) of all points, row by row."""
        if self.ys is None:
            return self.xs[:, None].astype(np.float64)
        y, x = np.meshgrid(self.ys, self.xs, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """The axes by name."""
        return {"x": self.xs} if self.ys is None else {"x": self.xs, "y": self.ys}


def plain(network: Network) -> dict[str, Any]:
    """A network's fields on the host, without its plans: what can be sent to other processes."""
    network = on_host(network)
    return {field.name: getattr(network, field.name) for field in fields(Structure)}


def fill(
    grid: Grid,
    names: Sequence[str],
    work: Work,
    task: Task,
    store: Checkpoint,
    workers: int | None = 1,
    chunk: int = 32,
    track: Track = silent,
) -> dict[str, np.ndarray]:
    """Compute what is missing of a grid.

    Parameters
    ----------
    grid : Grid
        The points.
    names : sequence of str
        What is found at each: as many values as `work` gives.
    work : callable
        Computes some points.
    task : Task
        Its first argument.
    store : Checkpoint
        Where everything is kept.
    workers : int or None
        Processes; None lets joblib's configuration decide.
    chunk : int
        Points handed out at once, at most.
    track : Track
        Shows progress.

    Returns
    -------
    dict of numpy.ndarray of float64, each of the grid's shape
        By name.

    Raises
    ------
    InputError
        If there is less than one worker, or the store holds another grid.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers}: give 1 or more, or None for joblib's configuration.")
    points = grid.points
    values, done = np.full((len(names), len(points)), np.nan), np.zeros(len(points), bool)
    kept = store.read()
    if kept:
        values = np.stack([kept[name].reshape(-1) for name in names])
        done = kept["done"].reshape(-1).copy()
    missing = np.flatnonzero(~done)
    size = max(1, min(chunk, -(-len(missing) // (CHUNKS_EACH * (workers or 1)))))
    chunks = [missing[i : i + size] for i in range(0, len(missing), size)]

    def shaped() -> dict[str, np.ndarray]:
        return {n: row.reshape(grid.shape) for n, row in zip(names, values, strict=True)}

    def state() -> dict[str, np.ndarray]:
        return {**grid.axes, **shaped(), "done": done.reshape(grid.shape)}

    try:
        if len(missing):
            with closing(_results(work, task, points, chunks, workers)) as results:
                for row, found in track(results, "points", len(missing)):
                    values[:, row], done[row] = found, True
                    store.offer(state)
    finally:
        store.write(state())
    return shaped()


def _results(
    work: Work,
    task: Task,
    points: np.ndarray,
    chunks: Sequence[np.ndarray],
    workers: int | None,
) -> Generator[tuple[int, np.ndarray]]:
    """The row and values of each point, as they are found."""
    from joblib import Parallel, delayed

    team = _team()
    threads = None if workers in (None, 1) else max(1, team.threads() // workers)
    calls = [delayed(_chunk)(work, task, rows, points[rows], threads) for rows in chunks]
    try:
        waves, parallel = [calls], Parallel(n_jobs=workers, return_as="generator_unordered")
    except ValueError:  # a backend, such as Ray's, that gives its results together
        step = CHUNKS_EACH * (workers or 1)
        waves = [calls[i : i + step] for i in range(0, len(calls), step)]
        parallel = Parallel(n_jobs=workers)
    for wave in waves:
        for rows, values in parallel(wave):
            yield from zip(rows.tolist(), values, strict=True)


def _chunk(
    work: Work, task: Task, rows: np.ndarray, points: np.ndarray, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Some points: what a worker does."""
    if threads is None:
        with current(task.device):
            return rows, work(task, points)
    team = _team()
    before = team.threads()
    set_threads(min(threads, before))
    try:
        with current(task.device):
            return rows, work(task, points)
    finally:
        set_threads(before)


def _team() -> Any:
    """The module of threads; it imports Numba, so only when needed."""
    from minicnn.kernels.cpu import team

    return team
