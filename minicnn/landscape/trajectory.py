"""The trajectory of a training, seen in the plane in which it moves most.

    M = [theta_0 - theta_n; ...; theta_n-1 - theta_n; 0]     one row a state of the training
    directions   the first two principal components of M, of length 1
    coordinates  <theta_i - theta_n, direction>

so that the final state is the origin and coordinates are lengths in the parameter space. Principal
components are those of scikit-learn: the mean of all states is taken off M first, as the authors'
code does (through scikit-learn) though the paper's M is not centred. `centred=False` gives the
paper's: then the share explained is that of the squared distances to the final state.

A plane of random directions would show nothing of the path: two random vectors of so many
dimensions stand at right angles to it.

Source: Li et al. 2018, section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.errors import InputError, ShapeError
from minicnn.landscape.directions import IGNORES, Direction
from minicnn.landscape.weights import learnable, on_host, weights
from minicnn.network import Network
from minicnn.structure import Structure

__all__ = ["Trajectory", "trajectory"]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A training's path in its two principal directions.

    Parameters
    ----------
    directions : tuple of two dict
        Of length 1 each, for `surface`.
    coordinates : numpy.ndarray of float64, shape (states, 2)
        Of every state; the last one is the origin.
    explained : numpy.ndarray of float64, shape (2,)
        Share of the path's variance along each.
    """

    directions: tuple[Direction, Direction]
    coordinates: np.ndarray
    explained: np.ndarray

    def window(self, margin: float = 0.25, points: int = 25) -> tuple[np.ndarray, np.ndarray]:
        """Axes of a grid that holds the whole path, the origin among their points.

        Parameters
        ----------
        margin : float
            Room around the path, as a share of its width or height.
        points : int
            How many each axis has, about.
        """
        return _axis(self.coordinates[:, 0], margin, points), _axis(
            self.coordinates[:, 1], margin, points
        )


def trajectory(
    network: Network,
    states: Sequence[Mapping[str, np.ndarray]],
    ignore: str = "biasbn",
    centred: bool = True,
) -> Trajectory:
    """Principal directions of a training's states, and the path in their plane.

    Parameters
    ----------
    network : Network
        The last state: the point that the landscape is drawn around. Its parameters count as the
        last state, even where `states` ends earlier.
    states : sequence of mapping
        Parameters by name, such as `state_dict()` gave after each epoch; other names are let be.
    ignore : {"biasbn", "none"}
        Whether only weights count, or biases and the parameters of batch norm too.
    centred : bool
        Whether the mean of the states is taken off first.

    Returns
    -------
    Trajectory

    Raises
    ------
    InputError
        If there are fewer than three states, or they do not move.
    ShapeError
        If a state lacks an array or has it in another shape.
    """
    if ignore not in IGNORES:
        raise InputError(f"ignore={ignore!r}: choose {' or '.join(IGNORES)}.")
    network = on_host(network)
    names = list(weights(network)) if ignore == "biasbn" else learnable(network)
    end = _flat(network.arrays, network, names)
    rows = [_flat(state, network, names) - end for state in states]  # (numbers,) each
    if not rows or np.any(rows[-1]):
        rows.append(np.zeros_like(end))
    path = np.stack(rows)
    if len(path) < 3:
        raise InputError(
            f"A plane needs three states of the training or more; {len(path)} are given. Keep the "
            f"parameters after every epoch."
        )
    moves = path.any()
    components, explained = _components(path, centred) if moves else (path[:2], np.zeros(2))
    if not np.all(explained > 1e-12):
        raise InputError(
            "The states of the training lie on a line or a point; a plane needs a path that turns."
        )
    first, second = (_unflat(component, network, names) for component in components)
    return Trajectory((first, second), path @ components.T, explained)


def _components(path: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors and the share of the variance along each."""
    if centred:
        from sklearn.decomposition import PCA

        found = PCA(n_components=2, svd_solver="full").fit(path)
        return found.components_, found.explained_variance_ratio_
    _, lengths, components = np.linalg.svd(path, full_matrices=False)
    squares = lengths**2
    return components[:2], (squares / max(squares.sum(), 1e-300))[:2]


def _flat(arrays: Mapping[str, np.ndarray], network: Structure, names: Sequence[str]) -> np.ndarray:
    """All numbers of a state as one vector."""
    for name in names:
        wanted = network.arrays[name].shape
        if name not in arrays or np.shape(arrays[name]) != wanted:
            found = f"shape {np.shape(arrays[name])}" if name in arrays else "nothing"
            raise ShapeError(f"A state has {found} for {name}; {network.name} needs {wanted}.")
    return np.concatenate([np.asarray(arrays[n], np.float64).reshape(-1) for n in names])


def _unflat(vector: np.ndarray, network: Structure, names: Sequence[str]) -> Direction:
    """The vector as arrays by name."""
    found, first = {}, 0
    for name in names:
        array = network.arrays[name]
        part = vector[first : first + array.size]
        found[name] = np.asarray(part, array.dtype).reshape(array.shape)
        first += array.size
    return found


def _axis(values: np.ndarray, margin: float, points: int) -> np.ndarray:
    """Evenly spaced numbers around the values, zero among them."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    room = margin * (high - low)
    step = (high - low + 2 * room) / max(2, points - 1)
    return step * np.arange(np.floor((low - room) / step), np.ceil((high + room) / step) + 1)
