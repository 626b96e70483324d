"""Rectangles in the plane: corners, the gap between two, what two share, and areas.

A rectangle is its sides (width, height) and its pose (x, y, angle): the centre and the angle in
radians, counter-clockwise. A polygon is an array of corners in counter-clockwise order.

Two convex polygons are apart exactly if an edge of one has the other wholly on its outer side (the
separating axis theorem; Gottschalk, Lin and Manocha, "OBBTree", SIGGRAPH 1996). What they share is
found by cutting one along the edges of the other (Sutherland and Hodgman, "Reentrant polygon
clipping", CACM 17, 1974), and the area of a polygon is half the sum of x_k y_k+1 - x_k+1 y_k.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.data.rectangles.compiling import inner

__all__ = ["area", "copy_rows", "corners", "cut", "gap", "put_corners", "shared"]

MOST_CORNERS = 8  # of what two rectangles share


def corners(sides: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """The corners of rectangles, counter-clockwise.

    Parameters
    ----------
    sides : numpy.ndarray, shape (..., 2)
        Width and height.
    poses : numpy.ndarray, shape (..., 3)
        Centre and angle (radians); the leading axes follow those of `sides` by broadcasting.

    Returns
    -------
    numpy.ndarray of float64, shape (..., 4, 2)

    Examples
    --------
    >>> corners(np.array([4.0, 2.0]), np.array([2.0, 1.0, 0.0])).tolist()
    [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]
    """
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    u, v = np.moveaxis(signs * sides[..., None, :] / 2, -1, 0)  # along the width, the height
    x, y, angle = np.moveaxis(np.asarray(poses)[..., None], -2, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x + cos * u - sin * v, y + sin * u + cos * v], -1)


@inner
def copy_rows(source: np.ndarray, count: int, out: np.ndarray) -> None:
    """out[:count] = source[:count], in a loop: that compiles in a tenth of the time."""
    for i in range(count):
        for k in range(source.shape[1]):
            out[i, k] = source[i, k]


@inner
def put_corners(sides: np.ndarray, pose: np.ndarray, out: np.ndarray) -> None:
    """Write the corners of one rectangle to `out` (4, 2), counter-clockwise."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    ux, uy = cos * sides[0] / 2, sin * sides[0] / 2
    vx, vy = -sin * sides[1] / 2, cos * sides[1] / 2
    for k in range(4):
        along = 1.0 if k in (1, 2) else -1.0
        up = 1.0 if k >= 2 else -1.0
        out[k, 0] = pose[0] + along * ux + up * vx
        out[k, 1] = pose[1] + along * uy + up * vy


@inner
def edge_gap(p: np.ndarray, q: np.ndarray) -> tuple[float, float, float]:
    """How far q lies beyond the edge of p that it is most beyond, and that edge's normal."""
    best, best_x, best_y = -np.inf, 0.0, 0.0
    for k in range(4):
        after = (k + 1) % 4
        ex, ey = p[after, 0] - p[k, 0], p[after, 1] - p[k, 1]
        length = math.sqrt(ex * ex + ey * ey)
        nx, ny = ey / length, -ex / length  # outwards
        nearest = np.inf
        for i in range(4):
            nearest = min(nearest, (q[i, 0] - p[k, 0]) * nx + (q[i, 1] - p[k, 1]) * ny)
        if nearest > best:
            best, best_x, best_y = nearest, nx, ny
    return best, best_x, best_y


@inner
def gap(p: np.ndarray, q: np.ndarray) -> tuple[float, float, float]:
    """The gap between two rectangles, given their corners.

    Returns
    -------
    gap : float
        Negative where they overlap: minus the depth.
    nx, ny : float
        The axis of that gap, of length 1, from p to q.
    """
    one, one_x, one_y = edge_gap(p, q)
    two, two_x, two_y = edge_gap(q, p)
    if one >= two:
        return one, one_x, one_y
    return two, -two_x, -two_y


@inner
def cut(
    polygon: np.ndarray, count: int, px: float, py: float, nx: float, ny: float, out: np.ndarray
) -> int:
    """Keep what of a convex polygon lies behind the line through (px, py) with normal (nx, ny).

    Writes the new corners to `out` and returns their number.
    """
    kept = 0
    for k in range(count):
        ax, ay = polygon[k, 0], polygon[k, 1]
        after = (k + 1) % count
        bx, by = polygon[after, 0], polygon[after, 1]
        a = (ax - px) * nx + (ay - py) * ny  # signed distances to the line
        b = (bx - px) * nx + (by - py) * ny
        if a <= 0:
            out[kept, 0], out[kept, 1] = ax, ay
            kept += 1
        if (a < 0 < b) or (b < 0 < a):
            part = a / (a - b)
            out[kept, 0], out[kept, 1] = ax + part * (bx - ax), ay + part * (by - ay)
            kept += 1
    return kept


@inner
def shared(p: np.ndarray, q: np.ndarray, one: np.ndarray, two: np.ndarray) -> int:
    """Write the corners of what two rectangles share to `one`; `two` is scratch of that size."""
    count = len(p)
    copy_rows(p, len(p), one)
    for k in range(4):
        after = (k + 1) % 4
        nx, ny = q[after, 1] - q[k, 1], q[k, 0] - q[after, 0]
        count = cut(one, count, q[k, 0], q[k, 1], nx, ny, two)
        copy_rows(two, count, one)
    return count


@inner
def area(polygon: np.ndarray, count: int) -> float:
    """The area of a polygon; positive where its corners run counter-clockwise."""
    twice = 0.0
    for k in range(count):
        after = (k + 1) % count
        twice += polygon[k, 0] * polygon[after, 1] - polygon[after, 0] * polygon[k, 1]
    return twice / 2
