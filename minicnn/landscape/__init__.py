"""Landscapes: the loss around what a network learned.

samples               which images, normalised as the network asks
weights, directions   where to go from there: filter-normalised random directions, other solutions
trajectory            the plane in which a training moved
evaluation, surface   loss and accuracy at the points of a grid
hessian               its curvature there
convexity             how often it is not convex
rescale               the same function with other weights, which a fair picture must not notice
"""

from minicnn.landscape.convexity import broken_segments, negative_cells
from minicnn.landscape.directions import Direction, normalised, random_direction, towards
from minicnn.landscape.evaluation import Evaluator
from minicnn.landscape.hessian import Curvature, HessianProducts, curvature, extreme_eigenvalues
from minicnn.landscape.rescale import Rescalable, rescalable, rescale
from minicnn.landscape.samples import samples_of
from minicnn.landscape.surface import Surface, axis, surface
from minicnn.landscape.trajectory import Trajectory, trajectory

__all__ = [
    "Curvature",
    "Direction",
    "Evaluator",
    "HessianProducts",
    "Rescalable",
    "Surface",
    "Trajectory",
    "axis",
    "broken_segments",
    "curvature",
    "extreme_eigenvalues",
    "negative_cells",
    "normalised",
    "random_direction",
    "rescalable",
    "rescale",
    "samples_of",
    "surface",
    "towards",
    "trajectory",
]
