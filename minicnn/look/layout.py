"""Layout: points of an embedding turned to one another, and put on a filled grid.

    min_R |A R - B|^2 over rotations and mirrorings R       (orthogonal Procrustes)
    min_c sum_i |y_i - centre(c_i)|^2 over cells c, each taken once      (linear assignment)

Sources: Schönemann 1966; Kuhn 1955, Jonker and Volgenant 1987. Both are SciPy's.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["aligned", "grid_cells"]


def aligned(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The points turned and mirrored so as to lie near others, (N, dim) each.

    t-SNE's cost does not change under rotations, so pictures of several layers may be turned so
    that the same images lie in the same places, as far as they can.

    Examples
    --------
    >>> corner = np.array([[2.0, 0], [0, 1], [-2, -1]])
    >>> turned = corner @ np.array([[0, 1], [-1, 0]])
    >>> bool(np.allclose(aligned(turned, corner), corner))
    True
    """
    from scipy.linalg import orthogonal_procrustes

    centred, goal = points - points.mean(axis=0), to - to.mean(axis=0)
    return centred @ orthogonal_procrustes(centred, goal)[0]


def grid_cells(points: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """A cell of a filled grid for each point, no two in one, so that all move little.

    Of the grids that are no more than twice as wide as high, the one with the fewest empty cells
    is taken; what is empty lies at the end of the last row.

    Parameters
    ----------
    points : numpy.ndarray, shape (N, 2)
        The second coordinate grows upwards.

    Returns
    -------
    cells : numpy.ndarray of int, shape (N, 2)
        Row (from the top) and column of each.
    size : tuple of int
        Rows and columns of the grid.

    Examples
    --------
    >>> square = np.array([[0, 0], [0, 9], [5, 0], [5, 8]])
    >>> grid_cells(square)[0].tolist()
    [[1, 0], [0, 0], [1, 1], [0, 1]]
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    number = len(points)
    highest = math.isqrt(number)
    heights = [h for h in range(highest, 0, -1) if math.ceil(number / h) <= 2 * h]
    rows = min(heights or [highest], key=lambda height: -number % height)  # the squarest of equals
    columns = math.ceil(number / rows)
    cells = np.array([divmod(i, columns) for i in range(number)])
    low, high = points.min(axis=0), points.max(axis=0)
    shares = (points - low) / np.where(high > low, high - low, 1)
    centres = np.stack([(cells[:, 1] + 0.5) / columns, 1 - (cells[:, 0] + 0.5) / rows], axis=1)
    chosen = linear_sum_assignment(cdist(shares, centres, "sqeuclidean"))[1]
    return cells[chosen], (rows, columns)
