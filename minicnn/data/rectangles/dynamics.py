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

from minicnn.data.rectangles.bodies import Bodies
from minicnn.data.rectangles.compiling import compiled, inner
from minicnn.data.rectangles.geometry import (
    MOST_CORNERS,
    copy_rows,
    gap,
    put_corners,
    shared,
)

__all__ = ["evolve"]

MOST_BOUNCES = 40  # rounds of collisions within one step


@compiled
def evolve(
    some: Bodies,
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
    some : Bodies
        At the start; changed in place.
    pulled : int
        The body that is pulled.
    grip : numpy.ndarray of float64, shape (2,)
        Where: along its width and its height, from its centre. The grip moves with the body.
    force : numpy.ndarray of float64, shape (2,)
        In x and y.
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
    stopped, count = 0, len(some.poses)
    for i in range(count):  # the same roundings as in all later steps
        put_corners(some.sides[i], some.poses[i], some.corners[i])
    copy_rows(some.poses, count, path[0])
    copy_rows(some.velocities, count, speeds[0])
    for frame in range(1, len(path)):
        for _ in range(every):
            slow(some.velocities, friction, step)
            pull(some, pulled, grip, force, friction, step)
            stopped += move(some, step)
        copy_rows(some.poses, count, path[frame])
        copy_rows(some.velocities, count, speeds[frame])
    return stopped


@inner
def slow(velocities: np.ndarray, friction: float, step: float) -> None:
    """Fluid friction over one step: all velocities shrink by e^-ch."""
    shrink = math.exp(-friction * step)
    for i in range(len(velocities)):
        for k in range(3):
            velocities[i, k] *= shrink


@inner
def pull(
    some: Bodies, i: int, grip: np.ndarray, force: np.ndarray, friction: float, step: float
) -> None:
    """What the force adds to the velocity of body i within one step, in a fluid."""
    effect = -math.expm1(-friction * step) / friction if friction > 0 else step
    cos, sin = math.cos(some.poses[i, 2]), math.sin(some.poses[i, 2])
    rx, ry = cos * grip[0] - sin * grip[1], sin * grip[0] + cos * grip[1]
    velocity, inverse = some.velocities[i], some.inverse[i]
    velocity[0] += effect * force[0] * inverse[0]
    velocity[1] += effect * force[1] * inverse[0]
    velocity[2] += effect * (rx * force[1] - ry * force[0]) * inverse[1]


@inner
def move(some: Bodies, step: float) -> int:
    """One step: try it, bounce what would overlap, and make it once nothing does.

    After many rounds, what would overlap keeps its place instead; this returns how many did. That
    ends at the latest when all keep their places, where nothing overlapped before.
    """
    for i in range(len(some.poses)):
        some.still[i] = False
    look_ahead(some, step)
    rounds = 0
    while meet(some, rounds < MOST_BOUNCES):
        rounds += 1
        look_ahead(some, step)
    stopped = 0
    for i in range(len(some.poses)):
        stopped += some.still[i]
        for k in range(3):
            some.poses[i, k] += 0.0 if some.still[i] else step * some.velocities[i, k]
        copy_corners(some.ahead, i, some.corners)
    return stopped


@inner
def at_rest(some: Bodies, i: int) -> bool:
    """Whether a body stays where it is in this step."""
    v = some.velocities  # no view v[i]: views count references, which takes most of the time here
    return some.still[i] or (v[i, 0] == 0 and v[i, 1] == 0 and v[i, 2] == 0)


@inner
def copy_corners(source: np.ndarray, i: int, out: np.ndarray) -> None:
    """Copy the corners of body i."""
    for k in range(4):
        for axis in range(2):
            out[i, k, axis] = source[i, k, axis]


@inner
def boxes_apart(boxes: np.ndarray, i: int, j: int) -> bool:
    """Whether the upright boxes around two bodies do not overlap: then they do not either."""
    for axis in range(2):
        if boxes[i, 1, axis] <= boxes[j, 0, axis] or boxes[j, 1, axis] <= boxes[i, 0, axis]:
            return True
    return False


@inner
def look_ahead(some: Bodies, step: float) -> None:
    """Where the corners would be after a step."""
    pose = np.empty(3)
    for i in range(len(some.poses)):
        if at_rest(some, i):
            copy_corners(some.corners, i, some.ahead)
        else:
            for k in range(3):
                pose[k] = some.poses[i, k] + step * some.velocities[i, k]
            put_corners(some.sides[i], pose, some.ahead[i])
        for axis in range(2):
            low = high = some.ahead[i, 0, axis]
            for k in range(1, 4):
                low, high = min(low, some.ahead[i, k, axis]), max(high, some.ahead[i, k, axis])
            some.boxes[i, 0, axis], some.boxes[i, 1, axis] = low, high


@inner
def meet(some: Bodies, collide: bool) -> bool:
    """Whether any two would overlap; let those collide, or else keep their places."""
    one, two = np.empty((MOST_CORNERS, 2)), np.empty((MOST_CORNERS, 2))
    found = False
    for i in range(len(some.poses)):
        for j in range(i + 1, len(some.poses)):
            if (at_rest(some, i) and at_rest(some, j)) or boxes_apart(some.boxes, i, j):
                continue
            depth, nx, ny = gap(some.ahead[i], some.ahead[j])
            if depth >= 0:
                continue
            found = True
            if not collide:
                some.still[i] = some.still[j] = True
                continue
            count = shared(some.ahead[i], some.ahead[j], one, two)
            px, py = 0.0, 0.0  # the middle of what they would share; count > 0 but for rounding
            for k in range(count):
                px += one[k, 0] / count
                py += one[k, 1] / count
            if count > 0:
                bounce(some, i, j, px, py, nx, ny)
    return found


@inner
def bounce(some: Bodies, i: int, j: int, px: float, py: float, nx: float, ny: float) -> None:
    """The elastic collision of bodies i and j at (px, py), if they approach each other there."""
    a, b, p, q = some.velocities[i], some.velocities[j], some.poses[i], some.poses[j]
    turn_i = (px - p[0]) * ny - (py - p[1]) * nx  # r x n; w (r x n) is its part of the speed
    turn_j = (px - q[0]) * ny - (py - q[1]) * nx
    approach = (a[0] - b[0]) * nx + (a[1] - b[1]) * ny + a[2] * turn_i - b[2] * turn_j
    if approach <= 0:
        return
    m, n = some.inverse[i], some.inverse[j]
    impulse = 2 * approach / (m[0] + n[0] + turn_i**2 * m[1] + turn_j**2 * n[1])
    a[0] -= impulse * nx * m[0]
    a[1] -= impulse * ny * m[0]
    a[2] -= impulse * turn_i * m[1]
    b[0] += impulse * nx * n[0]
    b[1] += impulse * ny * n[0]
    b[2] += impulse * turn_j * n[1]
