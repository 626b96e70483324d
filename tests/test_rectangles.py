"""Fleuret's rectangles: the laws of mechanics, no overlap, pictures by their areas, files."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.checkpoint import save_arrays
from minicnn.data.rectangles import (
    Scene,
    World,
    draw,
    draw_point,
    generate,
    pictures,
    read,
    simulate,
    storage,
    write,
)
from minicnn.data.rectangles.bodies import bodies, energy, inverse_masses, walls
from minicnn.data.rectangles.drawing import BORDER, DISC_CORNERS, FILL, INK, RADIUS
from minicnn.data.rectangles.dynamics import evolve
from minicnn.data.rectangles.geometry import corners
from minicnn.errors import InputError, OutputError, ShapeError

TOLERANCE = 1e-12  # of the square's side: what rounding may let two rectangles overlap by
NO_FORCE, MIDDLE = np.zeros(2), np.zeros(2)


def overlap(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """By how much rectangles (..., 4, 2) overlap along the axis where they do so least, or 0."""
    least = np.full(p.shape[:-2], np.inf)
    for polygon in (p, q):
        for k in (0, 1):
            axis = polygon[..., k + 1, :] - polygon[..., k, :]
            axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
            a, b = (np.einsum("...ij,...j->...i", each, axis) for each in (p, q))
            least = np.minimum(least, a.max(-1) - b.min(-1))
            least = np.minimum(least, b.max(-1) - a.min(-1))
    return np.maximum(0, least)


def shoelace(polygons: np.ndarray) -> np.ndarray:
    x, y = np.moveaxis(polygons, -1, 0)
    return (x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(-1) / 2


def run(sides, poses, velocities, inverse=None, *, frames=65, every=16, friction=0.0, **pull):
    """Let bodies move for 1 unit of time, as a rule; poses and velocities of all frames."""
    sides = np.array(sides, float)
    inverse = inverse_masses(sides) if inverse is None else inverse
    path, speeds = np.empty((2, frames, len(sides), 3))
    evolve(
        bodies(sides, poses, velocities, inverse),
        pull.get("pulled", 0), pull.get("grip", MIDDLE), pull.get("force", NO_FORCE),
        friction, 1 / (every * (frames - 1)), every, path, speeds,
    )  # fmt: skip
    return path, speeds


def in_a_box(rng, count=6, fast=1.0, friction=0.0):
    """Rectangles of a scene with velocities at random, between walls, without a force."""
    scene = simulate(int(rng.integers(1000)), 0, world=World(rectangles=count))
    wall_sides, wall_poses = walls()
    inverse = inverse_masses(scene.sides)
    velocities = np.zeros((count + 4, 3))
    velocities[:count] = rng.normal(0, fast, (count, 3)) * [1, 1, 5]
    path, speeds = run(
        np.concatenate([scene.sides, wall_sides]),
        np.concatenate([scene.poses[0], wall_poses]),
        velocities,
        np.concatenate([inverse, np.zeros((4, 2))]),
        every=64,
        friction=friction,
    )
    return scene.sides, inverse, path[:, :count], speeds[:, :count]


# Nothing overlaps, nothing changes its shape


def check_apart(sides, path):
    at = corners(sides, path)  # (frames, n, 4, 2)
    assert at.min() >= -TOLERANCE
    assert at.max() <= 1 + TOLERANCE
    i, j = np.triu_indices(len(sides), 1)
    assert overlap(at[:, i], at[:, j]).max() <= TOLERANCE
    areas = shoelace(at)
    np.testing.assert_allclose(areas, np.broadcast_to(sides.prod(1), areas.shape), rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_never_overlap_and_keep_their_area(seed):
    scene = simulate(seed, 5 * seed, frames=33)
    check_apart(scene.sides, scene.poses)


@pytest.mark.parametrize("seed", range(3))
def test_never_overlap_in_all_frames_of_many_scenes(seed):
    for number in range(50):
        scene = simulate(seed, number, frames=129)
        check_apart(scene.sides, scene.poses)


@pytest.mark.parametrize("seed", range(5))
def test_never_overlap_when_all_are_fast(seed):
    sides, _, path, _ = in_a_box(np.random.default_rng(seed), count=10, fast=3.0)
    check_apart(sides, path)


def test_what_is_squeezed_never_overlaps():
    # a strong pull presses a column of four, as wide as the square, against the upper wall
    wall_sides, wall_poses = walls()
    sides = np.concatenate([np.full((4, 2), [0.98, 0.2]), wall_sides])
    poses = np.zeros((4, 3))
    poses[:, 0], poses[:, 1] = 0.5, [0.11, 0.33, 0.55, 0.77]
    inverse = np.concatenate([inverse_masses(sides[:4]), np.zeros((4, 2))])
    path, _ = run(
        sides, np.concatenate([poses, wall_poses]), np.zeros((8, 3)), inverse,
        friction=2.0, force=np.array([0.0, 8.0]), grip=np.array([0.3, 0.0]),
    )  # fmt: skip
    check_apart(sides[:4], path[:, :4])
    assert path[-1, 3, 1] > 0.85  # the topmost was pushed up
    assert (np.diff(path[-1, :4, 1]) > 0.19).all()  # all still lie in order


def test_a_scene_that_has_to_hold_rectangles_does_not_overlap():
    scene = simulate(0, 118, frames=65)  # one that wedges a small square between others
    assert scene.held > 0
    check_apart(scene.sides, scene.poses)


# Mechanics


@pytest.mark.parametrize("seed", range(6))
def test_collisions_keep_the_energy(seed):
    sides, inverse, _, speeds = in_a_box(np.random.default_rng(seed))
    energies = energy(speeds, inverse)
    np.testing.assert_allclose(energies, energies[0], rtol=1e-11)
    turned = np.abs(np.diff(speeds, axis=0)).max((0, 2))
    assert (turned > 0.1).any()  # there were collisions
    assert len(sides) == 6


@pytest.mark.parametrize("seed", range(6))
def test_in_a_fluid_energy_only_shrinks(seed):
    _, inverse, _, speeds = in_a_box(np.random.default_rng(seed), friction=3.0)
    energies = energy(speeds, inverse)
    assert (np.diff(energies) < 0).all()
    # friction alone: every velocity shrinks by e^-3t, and collisions take nothing
    expected = energies[0] * np.exp(-6 * np.linspace(0, 1, len(energies)))
    np.testing.assert_allclose(energies, expected, rtol=1e-10)


@given(
    st.floats(-0.4, 0.4), st.floats(0, math.pi), st.floats(0, math.pi),
    st.floats(-4, 4), st.floats(0.1, 0.5), st.floats(0.1, 0.5),
)  # fmt: skip
def test_two_free_bodies_keep_momentum_angular_momentum_and_energy(aside, one, two, spin, w, h):
    sides = np.array([[w, h], [0.2, 0.4]])
    poses = np.array([[-0.6, aside, one], [0.6, 0.0, two]])
    velocities = np.array([[2.0, 0.0, spin], [-1.0, 0.1, 0.3]])
    inverse = inverse_masses(sides)
    path, speeds = run(sides, poses, velocities, every=8)

    mass, inertia = 1 / inverse.T
    momentum = (mass[:, None] * speeds[..., :2]).sum(1)
    np.testing.assert_allclose(momentum, np.broadcast_to(momentum[0], momentum.shape), atol=1e-14)
    (x, y), (vx, vy, spins) = np.moveaxis(path[..., :2], -1, 0), np.moveaxis(speeds, -1, 0)
    angular = (mass * (x * vy - y * vx) + inertia * spins).sum(1)
    np.testing.assert_allclose(angular, angular[0], atol=1e-13)
    energies = energy(speeds, inverse)
    np.testing.assert_allclose(energies, energies[0], rtol=1e-12)
    at = corners(sides, path)
    assert overlap(at[:, 0], at[:, 1]).max() <= TOLERANCE


def test_equal_squares_that_meet_head_on_exchange_their_velocities():
    sides, poses = np.full((2, 2), 0.2), np.array([[0.2, 0.5, 0], [0.6, 0.5, 0]])
    path, speeds = run(sides, poses, np.array([[0.5, 0, 0], [0.0, 0, 0]]))
    np.testing.assert_allclose(speeds[-1], [[0, 0, 0], [0.5, 0, 0]], atol=1e-12)
    assert path[-1, 1, 0] == pytest.approx(0.6 + 0.5 * (1 - 0.2 / 0.5), abs=0.001)


def test_an_off_centre_hit_turns_what_is_hit_as_the_impulse_says():
    # a small square hits the end of a bar at rest, at an arm of 0.3 from its centre
    sides = np.array([[0.1, 0.1], [0.1, 0.8]])
    _, speeds = run(sides, [[0.2, 0.8, 0], [0.5, 0.5, 0]], [[1.0, 0, 0], [0, 0, 0]])
    (m, _), (n, inertia) = 1 / inverse_masses(sides)
    impulse = 2 / (1 / m + 1 / n + 0.3**2 / inertia)
    expected = [[1 - impulse / m, 0, 0], [impulse / n, 0, -0.3 * impulse / inertia]]
    np.testing.assert_allclose(speeds[-1], expected, atol=1e-12)


def test_a_pull_at_the_centre_follows_its_closed_form():
    force, c, sides = np.array([0.0, 0.05]), 4.0, np.array([[0.2, 0.3]])
    path, speeds = run(
        sides, [[0.5, 0.2, 0.4]], np.zeros((1, 3)), friction=c, force=force, every=256
    )
    t = np.linspace(0, 1, 65)
    terminal = force[1] / 0.06 / c
    np.testing.assert_allclose(speeds[:, 0, 1], terminal * -np.expm1(-c * t), rtol=1e-9)
    risen = terminal * (t + np.expm1(-c * t) / c)
    np.testing.assert_allclose(path[:, 0, 1], 0.2 + risen, atol=1e-4)
    assert (path[:, 0, 0] == 0.5).all()
    assert (path[:, 0, 2] == 0.4).all()


def test_a_pull_aside_of_the_centre_turns_it_until_it_hangs_from_its_grip():
    path, _ = run(
        [[0.1, 0.3]], [[0.5, 0.5, 2.0]], np.zeros((1, 3)), friction=8.0, grip=np.array([0, 0.1]),
        force=np.array([0.0, 3.0]), every=256,
    )  # fmt: skip
    assert path[1, 0, 2] < 2.0  # towards the angle at which the grip is on top
    assert abs(path[-1, 0, 2]) < 0.1


def test_the_torque_is_the_cross_product_of_arm_and_force():
    sides, grip, force, angle = np.array([[0.2, 0.4]]), np.array([0.05, 0.1]), [0.3, 0.7], 0.6
    _, speeds = run(
        sides, [[0, 0, angle]], np.zeros((1, 3)), frames=2, every=1, grip=grip,
        force=np.array(force),
    )  # fmt: skip
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inertia = 0.08 * (0.2**2 + 0.4**2) / 12
    arm = turn @ grip
    assert speeds[1, 0, 2] == pytest.approx((arm[0] * 0.7 - arm[1] * 0.3) / inertia)


# Scenes


def test_a_scene_starts_at_rest_apart_and_grabbed_inside():
    for number in range(30):
        scene = simulate(4, number)
        start = scene.corners[0]
        assert not scene.velocities[0].any()
        edges = np.roll(start[scene.grabbed], -1, 0) - start[scene.grabbed]
        to_point = scene.point - start[scene.grabbed]
        assert (edges[:, 0] * to_point[:, 1] - edges[:, 1] * to_point[:, 0] >= 0).all()
        grown = corners(scene.sides + World().apart, scene.poses[0])
        i, j = np.triu_indices(10, 1)
        assert overlap(grown[i], grown[j]).max() <= TOLERANCE


def test_grabbing_points_are_spread_over_their_rectangles():
    grips = []
    for number in range(200):
        scene = simulate(9, number, world=World(steps=1, force=0.0))  # the start is enough
        x, y, angle = scene.poses[0, scene.grabbed]
        dx, dy = scene.point - [x, y]
        along = math.cos(angle) * dx + math.sin(angle) * dy
        up = -math.sin(angle) * dx + math.cos(angle) * dy
        grips.append(np.array([along, up]) / scene.sides[scene.grabbed])
    grips = np.array(grips)
    assert np.abs(grips).max() <= 0.5 + 1e-12
    np.testing.assert_allclose(grips.mean(0), 0, atol=0.06)  # 3 standard errors
    np.testing.assert_allclose(grips.std(0), 12**-0.5, atol=0.04)


def test_a_scene_depends_on_seed_and_number_only():
    first = simulate(3, 7, frames=5)
    simulate(3, 8), simulate(4, 7)
    again = simulate(3, 7, frames=9)
    assert (first.poses == again.poses[::2]).all()
    assert (first.point == again.point).all()
    assert not (first.poses == simulate(3, 8, frames=5).poses).all()
    assert not (first.poses == simulate(4, 7, frames=5).poses).all()
    np.testing.assert_array_equal(first.times, [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rectangles": 0}, "at least 1 rectangle"),
        ({"shortest": 0.3}, "Sides from 0.3"),
        ({"longest": 1.5}, "do not fit"),
        ({"force": -1.0}, "force is -1"),
        ({"friction": math.nan}, "friction is nan"),
        ({"force": 50.0}, "Give at least"),
    ],
)
def test_a_world_that_makes_no_sense(wrong, says):
    with pytest.raises(InputError, match=says):
        World(**wrong)


def test_a_scene_that_makes_no_sense():
    with pytest.raises(InputError, match="0 or more"):
        simulate(-1, 0)
    with pytest.raises(InputError, match="do not divide"):
        simulate(0, 0, frames=8)
    with pytest.raises(InputError, match="found no place"):
        simulate(0, 0, world=World(shortest=0.4, longest=0.5))


# Pictures


def ink(sides: np.ndarray) -> float:
    whole, inside = sides.prod(1).sum(), np.maximum(sides - 2 * BORDER, 0).prod(1).sum()
    return INK * (whole - inside) + FILL * inside


@pytest.mark.parametrize("size", [64, 37, 200])
def test_a_picture_holds_the_ink_of_its_rectangles(size):
    for number in range(5):
        scene = simulate(2, number)
        for poses in scene.poses:
            picture = draw(scene.sides, poses, size)
            assert picture.shape == (size, size)
            assert picture.min() >= 0
            assert (1 - picture).mean() == pytest.approx(ink(scene.sides), rel=1e-10)


def test_grey_levels_keep_the_ink_to_a_per_cent():
    scene = simulate(2, 1)
    point, start, end = 1 - pictures(scene) / 255
    assert start.mean() == pytest.approx(ink(scene.sides), rel=0.01)
    assert end.mean() == pytest.approx(ink(scene.sides), rel=0.01)
    assert point.mean() == pytest.approx(math.pi * RADIUS**2, rel=0.02)


def test_a_picture_is_what_many_points_of_each_pixel_see():
    scene = simulate(6, 0)
    size, fine = 32, 40
    at = (np.arange(size * fine) + 0.5) / (size * fine)
    x, y = np.meshgrid(at, 1 - at)
    seen = np.zeros(x.shape)
    for (w, h), (cx, cy, angle) in zip(scene.sides, scene.poses[-1], strict=True):
        u = np.abs(math.cos(angle) * (x - cx) + math.sin(angle) * (y - cy))
        v = np.abs(-math.sin(angle) * (x - cx) + math.cos(angle) * (y - cy))
        whole = (u < w / 2) & (v < h / 2)
        inside = (u < w / 2 - BORDER) & (v < h / 2 - BORDER)
        seen += INK * (whole & ~inside) + FILL * inside
    expected = 1 - seen.reshape(size, fine, size, fine).mean((1, 3))
    np.testing.assert_allclose(draw(scene.sides, scene.poses[-1], size), expected, atol=0.02)


def test_a_point_is_a_disc_at_its_place():
    picture = 1 - draw_point(np.array([0.25, 0.75]), 64)
    rows, columns = np.mgrid[:64, :64] + 0.5
    assert (picture * rows).sum() / picture.sum() == pytest.approx(16)  # a quarter from the top
    assert (picture * columns).sum() / picture.sum() == pytest.approx(16)
    disc = DISC_CORNERS / 2 * math.sin(2 * math.pi / DISC_CORNERS) * RADIUS**2
    assert picture.mean() == pytest.approx(disc, rel=1e-10)


def test_what_lies_outside_is_not_drawn():
    picture = draw(np.array([[0.4, 0.2]]), np.array([[0.0, 1.0, 0.0]]), 50)
    assert (picture[:5, :10] < 1).all()
    picture[:5, :10] = 1
    assert (picture == 1).all()
    assert (draw(np.array([[0.1, 0.1]]), np.array([[3.0, 3.0, 1.0]])) == 1).all()


def test_no_rectangles_are_a_white_picture():
    assert (draw(np.empty((0, 2)), np.empty((0, 3))) == 1).all()


def test_a_thin_rectangle_is_all_border():
    sides = np.array([[0.5, BORDER]])
    picture = draw(sides, np.array([[0.5, 0.5, 0.2]]))
    assert (1 - picture).mean() == pytest.approx(INK * 0.5 * BORDER)


def test_pictures_that_make_no_sense():
    with pytest.raises(ShapeError, match="poses"):
        draw(np.ones((3, 2)), np.ones((5, 3, 3)))
    with pytest.raises(ShapeError, match="one point"):
        draw_point(np.ones((2, 2)))
    with pytest.raises(InputError, match="not finite"):
        draw(np.ones((1, 2)), np.array([[0, np.nan, 0]]))
    with pytest.raises(InputError, match="0 pixels"):
        draw_point(np.ones(2), 0)


# The data set


def test_samples_do_not_depend_on_order_or_threads():
    x, y = generate(12, seed=5)
    assert (x.dtype, x.shape) == (np.float32, (12, 2, 64, 64))
    assert (y.dtype, y.shape) == (np.float32, (12, 1, 64, 64))
    assert 0 <= x.min() < 0.1
    assert x.max() == y.max() == 1
    for workers in (1, 3):
        again = generate(4, seed=5, first=8, workers=workers)
        assert (again[0] == x[8:]).all()
        assert (again[1] == y[8:]).all()
    for k in (11, 0, 6):
        three = pictures(simulate(5, k)).astype(np.float32) / np.float32(255)
        assert (three[:2] == x[k]).all()
        assert (three[2:] == y[k]).all()
    assert not (generate(1, seed=6)[0] == x[:1]).all()


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(storage, "PART", 4)


def test_what_is_written_is_what_is_generated(tmp_path, small_parts):
    write(tmp_path / "set", 10, seed=2, first=3)
    assert len(list((tmp_path / "set").iterdir())) == 3
    for count in (None, 10, 5):
        for found, made in zip(
            read(tmp_path / "set", count), generate(count or 10, seed=2, first=3), strict=True
        ):
            assert found.dtype == np.float32
            assert (found == made).all()


def test_an_interrupted_writing_goes_on(tmp_path, small_parts):
    folder = tmp_path / "set"

    def stop_after_one(items, what, total):
        for n, item in enumerate(items):
            if n == 1:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        write(folder, 10, track=stop_after_one)
    first = folder / "part-00000.npz"
    assert list(folder.iterdir()) == [first]
    before = first.stat().st_mtime_ns
    write(folder, 10)
    assert first.stat().st_mtime_ns == before
    assert (read(folder)[0] == generate(10)[0]).all()

    write(folder, 13)  # more are wanted: the short last part grows
    assert (read(folder)[1] == generate(13)[1]).all()
    write(folder, 6)  # fewer: nothing to do
    assert len(read(folder)[0]) == 13


def test_a_damaged_or_foreign_part(tmp_path, small_parts):
    folder = tmp_path / "set"
    write(folder, 6, seed=1)
    with pytest.raises(InputError, match="holds other samples"):
        write(folder, 6, seed=2)
    with pytest.raises(InputError, match="holds other samples"):
        write(folder, 6, seed=1, world=World(force=0.01))
    with pytest.raises(InputError, match="holds 6 samples of rectangles, not 7"):
        read(folder, 7)

    part = folder / "part-00000.npz"
    whole = part.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a zip"):
        part.write_bytes(damaged)
        with pytest.raises(InputError, match=r"part-00000\.npz is damaged"):
            read(folder)
        with pytest.raises(InputError, match="Remove it"):
            write(folder, 6, seed=1)
    part.unlink()
    with pytest.raises(InputError, match=r"part-00000\.npz is missing"):
        read(folder)
    write(folder, 6, seed=1)
    assert part.read_bytes()[:4] == whole[:4]
    assert (read(folder)[0] == generate(6, seed=1)[0]).all()


@pytest.mark.parametrize(
    "levels",
    [np.zeros((4, 3, 32, 32), np.uint8), np.zeros((4, 3, 64, 64)), np.zeros((), np.uint8),
     np.zeros((0, 3, 64, 64), np.uint8)],
)  # fmt: skip
def test_a_part_of_a_wrong_shape(tmp_path, levels):
    save_arrays(tmp_path / "part-00000.npz", {"about": "minicnn rectangles 1", "levels": levels})
    with pytest.raises(InputError, match="needed is uint8"):
        read(tmp_path)


def test_a_short_part_in_the_middle(tmp_path, small_parts):
    write(tmp_path, 3)
    write(tmp_path / "longer", 8)
    (tmp_path / "longer" / "part-00001.npz").rename(tmp_path / "part-00001.npz")
    with pytest.raises(InputError, match="holds 3 samples of 4"):
        read(tmp_path)
    write(tmp_path, 8)
    assert (read(tmp_path)[0] == generate(8)[0]).all()


def test_data_sets_that_make_no_sense(tmp_path):
    with pytest.raises(InputError, match="at least"):
        generate(0)
    with pytest.raises(InputError, match="at least"):
        generate(1, workers=0)
    with pytest.raises(InputError, match="0 or more"):
        write(tmp_path / "set", 1, seed=-1)
    assert not (tmp_path / "set").exists()
    with pytest.raises(OutputError, match="Cannot make the folder"):
        write(tmp_path / "no" / "such", 1)
    with pytest.raises(InputError, match="holds 0 samples"):
        read(tmp_path)


def test_a_scene_is_a_value_of_arrays():
    scene = simulate(0, 0, frames=3)
    assert isinstance(scene, Scene)
    assert scene.corners.shape == (3, 10, 4, 2)
