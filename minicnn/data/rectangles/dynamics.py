"""Rigid rectangles that are pulled, slowed by a fluid and bounce off each other without loss.

With mass m and moment of inertia I = m (width^2 + height^2) / 12, force F at an arm r, friction c:

    dv/dt = F / m - c v        dw/dt = (r x F) / I - c w        (solved exactly over a small step)

Two rectangles that would overlap at a point p, with normal n, exchange the impulse of an elastic
collision, which reverses their speed of approach u there and keeps momentum, angular momentum and
energy (e.g. Baraff, "An introduction to physically based modeling", SIGGRAPH 1997 course notes):

    J = 2 u / (1/m_i + 1/m_j + (r_i x n)^2 / I_i + (r_j x n)^2 / I_j)

A step is only made if nothing overlaps after it. What would overlap bounces, until nothing would;
what still would after many bounces keeps its place and its velocity for this step. So rectangles
never overlap, to the rounding of a float64, whatever the step.

Walls are rectangles of infinite mass: 1/m = 1/I = 0.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.data.rectangles.compiling import compiled, inner
from minicnn.data.rectangles.geometry import MOST_CORNERS, gap, put_corners, shared

__all__ = ["energy", "evolve", "inverse_masses", "walls"]

MOST_BOUNCES = 40  # rounds of collisions within one step


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


@compiled
def evolve(
    sides: np.ndarray,
    poses: np.ndarray,
    velocities: np.ndarray,
    inverse: np.ndarray,
    pulled: int,
    grip: np.ndarray,
    force: np.ndarray,
    friction: float,
    step: float,
    every: int,
    path: np.ndarray,
    speeds: np.ndarray,
) -> int:
    """Let bodies move, and note where they are at equal distances in time.

    Parameters
    ----------
    sides : numpy.ndarray of float64, shape (n, 2)
    poses, velocities : numpy.ndarray of float64, shape (n, 3)
        At the start; changed in place. No two bodies may overlap.
    inverse : numpy.ndarray of float64, shape (n, 2)
        1/m and 1/I; 0 for what does not move.
    pulled : int
        The body that is pulled.
    grip : numpy.ndarray of float64, shape (2,)
        Where: along its width and its height, from its centre. The grip moves with the body.
    force : numpy.ndarray of float64, shape (2,)
    friction : float
        The rate c at which the fluid slows motion and rotation, per unit of time.
    step : float
        Time step; nothing should move further in one than a rectangle is thick.
    every : int
        Steps between two frames.
    path, speeds : numpy.ndarray of float64, shape (frames, n, 3)
        Written: poses and velocities. Frame 0 is the start.

    Returns
    -------
    int
        How many times a body had to keep its place for a step.
    """
    count = len(sides)
    polygons, trial = np.empty((count, 4, 2)), np.empty((count, 4, 2))
    for i in range(count):
        put_corners(sides[i], poses[i], polygons[i])
    stopped = 0
    path[0], speeds[0] = poses, velocities
    for frame in range(1, len(path)):
        for _ in range(every):
            pull(poses[pulled], velocities[pulled], inverse[pulled], grip, force, friction, step)
            slow(velocities, friction, step)
            stopped += move(sides, poses, velocities, inverse, step, polygons, trial)
        path[frame], speeds[frame] = poses, velocities
    return stopped


@inner
def pull(
    pose: np.ndarray,
    velocity: np.ndarray,
    inverse: np.ndarray,
    grip: np.ndarray,
    force: np.ndarray,
    friction: float,
    step: float,
) -> None:
    """What the force adds to the velocity; `slow` takes its part of it as of all else."""
    # exact: (1 - e^-ch) / c is gained over the step, and `slow` multiplies by e^-ch afterwards
    effect = math.expm1(friction * step) / friction if friction > 0 else step
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    rx, ry = cos * grip[0] - sin * grip[1], sin * grip[0] + cos * grip[1]
    velocity[0] += effect * force[0] * inverse[0]
    velocity[1] += effect * force[1] * inverse[0]
    velocity[2] += effect * (rx * force[1] - ry * force[0]) * inverse[1]


@inner
def slow(velocities: np.ndarray, friction: float, step: float) -> None:
    """Fluid friction over one step: all velocities shrink by e^-ch."""
    velocities *= math.exp(-friction * step)


@inner
def move(
    sides: np.ndarray,
    poses: np.ndarray,
    velocities: np.ndarray,
    inverse: np.ndarray,
    step: float,
    polygons: np.ndarray,
    trial: np.ndarray,
) -> int:
    """One step: try it, bounce what would overlap, and make it once nothing does."""
    count = len(sides)
    still = np.zeros(count, np.bool_)
    for _ in range(MOST_BOUNCES):
        attempt(sides, poses, velocities, still, step, polygons, trial)
        if not bounce(poses, velocities, inverse, trial):
            break
    else:
        hold(sides, poses, velocities, still, step, polygons, trial)
    stopped = 0
    for i in range(count):
        if still[i]:
            stopped += 1
        else:
            for k in range(3):
                poses[i, k] += step * velocities[i, k]
    polygons[:] = trial
    return stopped


@inner
def attempt(
    sides: np.ndarray,
    poses: np.ndarray,
    velocities: np.ndarray,
    still: np.ndarray,
    step: float,
    polygons: np.ndarray,
    trial: np.ndarray,
) -> None:
    """Where the corners would be after a step."""
    pose = np.empty(3)
    for i in range(len(sides)):
        if still[i] or not moves(velocities, i):
            trial[i] = polygons[i]
        else:
            for k in range(3):
                pose[k] = poses[i, k] + step * velocities[i, k]
            put_corners(sides[i], pose, trial[i])


@inner
def moves(velocities: np.ndarray, i: int) -> bool:
    """Whether a body has any velocity."""
    return velocities[i, 0] != 0 or velocities[i, 1] != 0 or velocities[i, 2] != 0


@inner
def boxes_meet(p: np.ndarray, q: np.ndarray) -> bool:
    """Whether the upright boxes around two rectangles overlap: if not, they do not either."""
    for axis in range(2):
        low_p = min(min(p[0, axis], p[1, axis]), min(p[2, axis], p[3, axis]))
        high_p = max(max(p[0, axis], p[1, axis]), max(p[2, axis], p[3, axis]))
        low_q = min(min(q[0, axis], q[1, axis]), min(q[2, axis], q[3, axis]))
        high_q = max(max(q[0, axis], q[1, axis]), max(q[2, axis], q[3, axis]))
        if high_p <= low_q or high_q <= low_p:
            return False
    return True


@inner
def bounce(
    poses: np.ndarray, velocities: np.ndarray, inverse: np.ndarray, trial: np.ndarray
) -> bool:
    """Let all pairs that would overlap collide; whether there were any."""
    any_met = False
    one, two = np.empty((MOST_CORNERS, 2)), np.empty((MOST_CORNERS, 2))
    for i in range(len(poses)):
        for j in range(i + 1, len(poses)):
            if not (moves(velocities, i) or moves(velocities, j)):
                continue
            if not boxes_meet(trial[i], trial[j]):
                continue
            depth, nx, ny = gap(trial[i], trial[j])
            if depth < 0:
                any_met = True
                number = shared(trial[i], trial[j], one, two)
                if number:  # none where the depth is rounding
                    px, py = one[:number, 0].mean(), one[:number, 1].mean()
                    collide(poses, velocities, inverse, i, j, px, py, nx, ny)
    return any_met


@inner
def collide(
    poses: np.ndarray,
    velocities: np.ndarray,
    inverse: np.ndarray,
    i: int,
    j: int,
    px: float,
    py: float,
    nx: float,
    ny: float,
) -> None:
    """The elastic collision of bodies i and j at (px, py), if they approach each other there."""
    a, b = velocities[i], velocities[j]
    ix, iy = px - poses[i, 0], py - poses[i, 1]
    jx, jy = px - poses[j, 0], py - poses[j, 1]
    approach = (a[0] - a[2] * iy - b[0] + b[2] * jy) * nx + (a[1] + a[2] * ix - b[1] - b[2] * jx) * ny
    if approach <= 0:
        return
    turn_i, turn_j = ix * ny - iy * nx, jx * ny - jy * nx  # r x n
    give = inverse[i, 0] + inverse[j, 0]
    give += turn_i**2 * inverse[i, 1] + turn_j**2 * inverse[j, 1]
    impulse = 2 * approach / give
    a[0] -= impulse * nx * inverse[i, 0]
    a[1] -= impulse * ny * inverse[i, 0]
    a[2] -= impulse * turn_i * inverse[i, 1]
    b[0] += impulse * nx * inverse[j, 0]
    b[1] += impulse * ny * inverse[j, 0]
    b[2] += impulse * turn_j * inverse[j, 1]


@inner
def hold(
    sides: np.ndarray,
    poses: np.ndarray,
    velocities: np.ndarray,
    still: np.ndarray,
    step: float,
    polygons: np.ndarray,
    trial: np.ndarray,
) -> None:
    """Keep in place what would overlap, and what would then overlap with that.

    It ends at the latest when all keep their places, where nothing overlapped before.
    """
    found = True
    while found:
        found = False
        attempt(sides, poses, velocities, still, step, polygons, trial)
        for i in range(len(sides)):
            for j in range(i + 1, len(sides)):
                if still[i] and still[j]:
                    continue
                if not (moves(velocities, i) or moves(velocities, j)):
                    continue
                if boxes_meet(trial[i], trial[j]) and gap(trial[i], trial[j])[0] < 0:
                    still[i] = still[j] = found = True
