"""Pictures of rectangles: what share of each pixel they cover, computed exactly.

    tone = 1 - INK border - FILL inside        (shares of the pixel's area; 1 is the bare paper)

Rectangles are light grey with a dark border, which lies within their area. So two that touch are
told apart, and the ink of a picture is known: FILL times the area inside plus INK times that of
the borders, to the rounding of a float64, wherever and however turned the rectangles lie.

A pixel's share is the area of the polygon cut along the pixel's four sides; see `geometry`.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.data.rectangles.compiling import compiled, inner
from minicnn.data.rectangles.geometry import area, corners, cut
from minicnn.errors import InputError, ShapeError

__all__ = ["BORDER", "FILL", "INK", "draw", "draw_point"]

BORDER = 1 / 64  # width of the border, in sides of the square
INK, FILL = 1.0, 0.35  # how dark the border and the inside are
RADIUS = 2 / 64  # of the disc that marks a point
DISC_CORNERS = 24  # it is a polygon


def draw(sides: np.ndarray, poses: np.ndarray, size: int = 64) -> np.ndarray:
    """A grey picture of some rectangles, dark on light.

    Parameters
    ----------
    sides : numpy.ndarray, shape (n, 2)
        Widths and heights, in sides of the square.
    poses : numpy.ndarray, shape (n, 3)
        Centres and angles (radians).
    size : int
        Pixels of a side.

    Returns
    -------
    numpy.ndarray of float64, shape (size, size)
        From 0 (black) to 1 (white); the first row is the top of the square. What lies outside the
        square is not drawn.

    Raises
    ------
    ShapeError
        If the arrays do not have these shapes.
    InputError
        If they are not finite, or `size` is less than 1.

    Examples
    --------
    >>> picture = draw(np.array([[0.5, 0.25]]), np.array([[0.5, 0.5, 0.3]]))
    >>> dark = 0.5 * 0.25 - (0.5 - 2 * BORDER) * (0.25 - 2 * BORDER)
    >>> bool(np.isclose((1 - picture).mean(), INK * dark + FILL * (0.5 * 0.25 - dark)))
    True
    """
    sides, poses = np.asarray(sides, np.float64), np.asarray(poses, np.float64)
    if sides.ndim != 2 or sides.shape[1] != 2 or poses.shape != (len(sides), 3):
        raise ShapeError(
            f"draw needs sides (n, 2) and poses (n, 3), not {sides.shape} and {poses.shape}. "
            f"Of a scene, draw one frame: draw(scene.sides, scene.poses[-1])."
        )
    ink = np.zeros((_checked(size), size))
    _add(_pixels(corners(sides, poses), size), INK, ink)
    inside = sides - 2 * BORDER
    wide = (inside > 0).all(1)
    _add(_pixels(corners(inside[wide], poses[wide]), size), FILL - INK, ink)
    return np.clip(1 - ink, 0, 1)


def draw_point(point: np.ndarray, size: int = 64) -> np.ndarray:
    """A grey picture of one point: a dark disc of two pixels' radius (of 64) on light.

    Parameters
    ----------
    point : numpy.ndarray, shape (2,)
        x and y in the square.
    size : int
        Pixels of a side.

    Returns
    -------
    numpy.ndarray of float64, shape (size, size)

    Raises
    ------
    ShapeError
        If `point` is not one point.
    InputError
        If it is not finite, or `size` is less than 1.
    """
    point = np.asarray(point, np.float64)
    if point.shape != (2,):
        raise ShapeError(f"draw_point needs one point (x, y), not an array {point.shape}.")
    ink = np.zeros((_checked(size), size))
    turn = 2 * np.pi * np.arange(DISC_CORNERS) / DISC_CORNERS
    disc = point + RADIUS * np.stack([np.cos(turn), np.sin(turn)], 1)
    _add(_pixels(disc[None], size), INK, ink)
    return np.clip(1 - ink, 0, 1)


def _checked(size: int) -> int:
    if size < 1:
        raise InputError(f"A picture of {size} pixels cannot be drawn. Give 1 or more.")
    return size


def _pixels(polygons: np.ndarray, size: int) -> np.ndarray:
    """From the square, where y points up, to columns and rows; the corners' order is kept ccw."""
    if not np.isfinite(polygons).all():
        raise InputError("A picture of numbers that are not finite cannot be drawn. Check them.")
    return np.ascontiguousarray(((polygons - [0, 1]) * [size, -size])[:, ::-1])


@compiled
def _add(polygons: np.ndarray, tone: float, picture: np.ndarray) -> None:
    """Add to each pixel the share of it that each polygon covers, times a tone."""
    most = polygons.shape[1] + 4
    strip, cell, scratch = np.empty((most, 2)), np.empty((most, 2)), np.empty((most, 2))
    rows, columns = picture.shape
    for polygon in polygons:
        top, bottom = _cells(polygon, len(polygon), 1, rows)
        for row in range(top, bottom):
            count = cut(polygon, len(polygon), 0.0, float(row), 0.0, -1.0, scratch)
            count = cut(scratch, count, 0.0, row + 1.0, 0.0, 1.0, strip)
            left, right = _cells(strip, count, 0, columns)
            for column in range(left, right):
                kept = cut(strip, count, float(column), 0.0, -1.0, 0.0, scratch)
                kept = cut(scratch, kept, column + 1.0, 0.0, 1.0, 0.0, cell)
                picture[row, column] += tone * area(cell, kept)


@inner
def _cells(polygon: np.ndarray, count: int, axis: int, most: int) -> tuple[int, int]:
    """Which rows (axis 1) or columns (axis 0) a polygon touches: the first, and after the last."""
    if count == 0:
        return 0, 0
    low = high = polygon[0, axis]
    for k in range(1, count):
        low, high = min(low, polygon[k, axis]), max(high, polygon[k, axis])
    return max(0, math.floor(low)), min(most, math.ceil(high))
