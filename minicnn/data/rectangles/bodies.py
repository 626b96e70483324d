"""Rigid bodies: rectangles with mass and moment of inertia, and the walls around them.

    m = width height        I = m (width^2 + height^2) / 12        E = sum of m v^2 / 2 + I w^2 / 2

A wall is a rectangle of infinite mass: 1/m = 1/I = 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.data.rectangles.geometry import corners

__all__ = ["Bodies", "bodies", "energy", "inverse_masses", "walls"]


class Bodies(NamedTuple):
    """Some rectangles on their way, and what a step needs to note about them.

    Make it by `bodies`; `evolve` changes it in place.
    """

    sides: np.ndarray  # (n, 2): width, height
    inverse: np.ndarray  # (n, 2): 1/m, 1/I
    poses: np.ndarray  # (n, 3): x, y, angle
    velocities: np.ndarray  # (n, 3)
    corners: np.ndarray  # (n, 4, 2)
    ahead: np.ndarray  # (n, 4, 2): the corners after the step that is tried
    boxes: np.ndarray  # (n, 2, 2): lowest and highest x and y of those
    still: np.ndarray  # (n,): bool, which ones keep their place in this step


def bodies(
    sides: np.ndarray, poses: np.ndarray, velocities: np.ndarray, inverse: np.ndarray
) -> Bodies:
    """Rectangles ready to move.

    Parameters
    ----------
    sides : numpy.ndarray, shape (n, 2)
        Width and height.
    poses : numpy.ndarray, shape (n, 3)
        Centre and angle (radians). No two may overlap.
    velocities : numpy.ndarray, shape (n, 3)
        Of the centre and of the angle.
    inverse : numpy.ndarray, shape (n, 2)
        1/m and 1/I; 0 for what does not move.

    Returns
    -------
    Bodies
        Of copies of these arrays.
    """
    sides, poses, velocities, inverse = (
        np.array(a, np.float64) for a in (sides, poses, velocities, inverse)
    )
    at = np.ascontiguousarray(corners(sides, poses))
    boxes = np.stack([at.min(1), at.max(1)], 1)
    return Bodies(sides, inverse, poses, velocities, at, at.copy(), boxes, np.zeros(len(at), bool))


def walls() -> tuple[np.ndarray, np.ndarray]:
    """The four walls around the unit square.

    Returns
    -------
    sides : numpy.ndarray of float64, shape (4, 2)
    poses : numpy.ndarray of float64, shape (4, 3)
        Left, right, below, above.
    """
    sides = np.array([[1.0, 4.0], [1.0, 4.0], [4.0, 1.0], [4.0, 1.0]])
    poses = np.array([[-0.5, 0.5, 0], [1.5, 0.5, 0], [0.5, -0.5, 0], [0.5, 1.5, 0]])
    return sides, poses


def inverse_masses(sides: np.ndarray) -> np.ndarray:
    """1/m and 1/I of rectangles whose mass is their area.

    Parameters
    ----------
    sides : numpy.ndarray, shape (n, 2)
        Width and height.

    Returns
    -------
    numpy.ndarray of float64, shape (n, 2)

    Examples
    --------
    >>> inverse_masses(np.array([[0.5, 0.5]])).tolist()
    [[4.0, 96.0]]
    """
    mass = sides.prod(1)
    inertia = mass * (sides**2).sum(1) / 12
    return 1 / np.stack([mass, inertia], 1)


def energy(velocities: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Kinetic energy, the sum over all bodies of m v^2 / 2 + I w^2 / 2.

    Parameters
    ----------
    velocities : numpy.ndarray, shape (..., n, 3)
        vx, vy and the angular velocity w.
    inverse : numpy.ndarray, shape (n, 2)
        1/m and 1/I, none of them 0.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
    """
    return np.asarray((velocities**2 / (2 * inverse[:, [0, 0, 1]])).sum((-2, -1)))
