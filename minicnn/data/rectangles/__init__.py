"""Fleuret's rectangles: a small simulator of rigid bodies, and a data set of pictures from it.

    scene = simulate(seed=0, number=7, frames=9)          what happens, over time
    picture = draw(scene.sides, scene.poses[-1])          a grey picture of one moment
    x, y = generate(1000, seed=0)                         pictures before and after

Fleuret, "Predicting the dynamics of 2d objects with a deep residual network", arXiv:1610.04032.
"""

from minicnn.data.rectangles.dataset import generate, pictures
from minicnn.data.rectangles.drawing import draw, draw_point
from minicnn.data.rectangles.scene import Scene, World, simulate
from minicnn.data.rectangles.storage import read, write

__all__ = [
    "Scene",
    "World",
    "draw",
    "draw_point",
    "generate",
    "pictures",
    "read",
    "simulate",
    "write",
]
