"""One scene: rectangles placed at random, one of them pulled upwards, and what comes of it.

Fleuret, "Predicting the dynamics of 2d objects with a deep residual network", arXiv:1610.04032,
2016: ten rectangles that do not overlap lie in a square; a force pulls one, at a random point of
it, upwards; they collide elastically, in a fluid that slows motion and rotation strongly; after a
fixed time they are looked at again.

The paper's summary gives no numbers for sizes, force, friction and time. Those of `World` are
chosen so that a pulled rectangle of average size moves by about a third of the square, turns
towards hanging from the grabbed point, and pushes what is in its way.

Lengths are in sides of the square, whose lower left corner is (0, 0); y points upwards. Time is
in durations of a scene. A rectangle's mass is its area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.data.rectangles.bodies import bodies, inverse_masses, walls
from minicnn.data.rectangles.compiling import compiled
from minicnn.data.rectangles.dynamics import evolve
from minicnn.data.rectangles.geometry import corners, gap, put_corners
from minicnn.errors import InputError

__all__ = ["Scene", "World", "simulate"]

CANDIDATES = 4096  # poses tried for one choice of sizes
CHOICES = 50  # of sizes, until all find a place


@dataclass(frozen=True)
class World:
    """The numbers behind all scenes of a data set.

    Parameters
    ----------
    rectangles : int
        How many.
    shortest, longest : float
        Range of a rectangle's sides, which are uniform in it.
    apart : float
        Least gap between two rectangles, or one and a wall, at the start; a pixel of 64.
    force : float
        Upwards.
    friction : float
        The rate at which the fluid slows motion and rotation: by e^-friction over a scene.
    steps : int
        Time steps of a scene.

    Raises
    ------
    InputError
        If one of them makes no sense.
    """

    rectangles: int = 10
    shortest: float = 0.1
    longest: float = 0.24
    apart: float = 1 / 64
    force: float = 0.09
    friction: float = 8.0
    steps: int = 1024

    def __post_init__(self) -> None:
        if self.rectangles < 1 or self.steps < 1:
            raise InputError(
                f"A world has at least 1 rectangle and 1 step, not {self.rectangles} rectangles "
                f"and {self.steps} steps."
            )
        if not 0 < self.shortest <= self.longest < 1:
            raise InputError(
                f"Sides from {self.shortest} to {self.longest} do not fit a square of side 1. "
                f"Give 0 < shortest <= longest < 1."
            )
        for name in ("apart", "force", "friction"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise InputError(f"{name} is {value}. Give a finite number of 0 or more.")
        fastest = self.force / self.shortest**2 / max(self.friction, 1.0)  # of the lightest
        if fastest / self.steps > self.shortest / 4:
            raise InputError(
                f"With force {self.force} and {self.steps} steps, a rectangle may move "
                f"{fastest / self.steps:.2g} in one step and pass through others. "
                f"Give at least {int(4 * fastest / self.shortest) + 1} steps."
            )


@dataclass(frozen=True, eq=False)
class Scene:
    """What happened to some rectangles.

    Parameters
    ----------
    sides : numpy.ndarray of float64, shape (n, 2)
        Width and height of each.
    poses : numpy.ndarray of float64, shape (frames, n, 3)
        Centre x, y and angle (radians, counter-clockwise) over time.
    velocities : numpy.ndarray of float64, shape (frames, n, 3)
        Of the centre, and of the angle.
    grabbed : int
        Which is pulled.
    point : numpy.ndarray of float64, shape (2,)
        Where it is grabbed at the start, in the square.
    held : int
        How many times a rectangle kept its place for a step, since it could not move on.
    """

    sides: np.ndarray
    poses: np.ndarray
    velocities: np.ndarray
    grabbed: int
    point: np.ndarray
    held: int

    @property
    def times(self) -> np.ndarray:
        """When each frame is: from 0 to 1, shape (frames,)."""
        return np.linspace(0, 1, len(self.poses))

    @property
    def corners(self) -> np.ndarray:
        """The corners of all rectangles over time, shape (frames, n, 4, 2)."""
        return corners(self.sides, self.poses)


def simulate(seed: int, number: int, frames: int = 2, world: World | None = None) -> Scene:
    """Scene `number` of all those that a seed stands for.

    Parameters
    ----------
    seed, number : int
        The scene depends on these two only, 0 or more.
    frames : int
        At how many moments to note where all are, 2 or more: the start, the end, and others at
        equal distances; `frames - 1` must divide the number of steps.
    world : World, optional
        Other numbers than the usual ones.

    Returns
    -------
    Scene

    Raises
    ------
    InputError
        If a number is out of its range, or the rectangles are too large to find a place.

    Examples
    --------
    >>> scene = simulate(seed=0, number=3, frames=5)
    >>> scene.poses.shape
    (5, 10, 3)
    >>> bool(scene.poses[-1, scene.grabbed, 1] > scene.poses[0, scene.grabbed, 1])  # it went up
    True
    """
    world = world or World()
    if seed < 0 or number < 0:
        raise InputError(f"Seed {seed}, scene {number}: give numbers of 0 or more.")
    if frames < 2 or world.steps % (frames - 1):
        raise InputError(
            f"{frames} frames do not divide {world.steps} steps. Give 2 or more, one more than a "
            f"divisor of {world.steps}, such as 2, 3, 5 or 9 for 1024 steps."
        )
    rng = np.random.default_rng((seed, number))
    sides, poses = _place(rng, world)
    grabbed = int(rng.integers(world.rectangles))
    grip = rng.uniform(-0.5, 0.5, 2) * sides[grabbed]
    x, y, angle = poses[grabbed]
    cos, sin = np.cos(angle), np.sin(angle)
    point = np.array([x + cos * grip[0] - sin * grip[1], y + sin * grip[0] + cos * grip[1]])

    wall_sides, wall_poses = walls()
    some = bodies(
        np.concatenate([sides, wall_sides]),
        np.concatenate([poses, wall_poses]),
        np.zeros((world.rectangles + 4, 3)),
        np.concatenate([inverse_masses(sides), np.zeros((4, 2))]),
    )
    path, speeds = np.empty((2, frames, *some.poses.shape))
    force, step, every = np.array([0.0, world.force]), 1 / world.steps, world.steps // (frames - 1)
    held = evolve(some, grabbed, grip, force, float(world.friction), step, every, path, speeds)
    moving = slice(world.rectangles)
    return Scene(sides, path[:, moving], speeds[:, moving], grabbed, point, held)


def _place(rng: np.random.Generator, world: World) -> tuple[np.ndarray, np.ndarray]:
    """Sides first, so that small rectangles are not favoured; then a free place for each."""
    for _ in range(CHOICES):
        sides = rng.uniform(world.shortest, world.longest, (world.rectangles, 2))
        candidates = rng.random((CANDIDATES, 3)) * [1, 1, np.pi]
        poses = np.empty((world.rectangles, 3))
        if _find_places(sides + world.apart, candidates, poses) == world.rectangles:
            return sides, poses
    raise InputError(
        f"{world.rectangles} rectangles with sides from {world.shortest} to {world.longest} and "
        f"gaps of {world.apart:.3g} found no place in the square. Give fewer or smaller ones."
    )


@compiled
def _find_places(sides: np.ndarray, candidates: np.ndarray, poses: np.ndarray) -> int:
    """Give each rectangle the first candidate where it overlaps with none; how many got one."""
    polygons = np.empty((len(sides), 4, 2))
    placed = 0
    for i in range(len(candidates)):
        put_corners(sides[placed], candidates[i], polygons[placed])
        free = True
        for k in range(4):
            x, y = polygons[placed, k]
            free = free and 0 <= x <= 1 and 0 <= y <= 1
        for other in range(placed):
            free = free and gap(polygons[placed], polygons[other])[0] >= 0
        if free:
            for k in range(3):
                poses[placed, k] = candidates[i, k]
            placed += 1
            if placed == len(sides):
                break
    return placed
