"""Surfaces against a plain loop; resuming, other workers, refusals; convexity; rescaling."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from conftest import shared
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.blocks import BatchNorm, Conv, Flatten, Linear, ReLU, Softmax
from minicnn.errors import InputError, ShapeError, UnknownNameError
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.landscape import (
    Evaluator,
    axis,
    broken_segments,
    negative_cells,
    random_direction,
    rescalable,
    rescale,
    surface,
    towards,
)
from minicnn.landscape.evaluation import moved
from minicnn.network import Network

SAME = (1, 1, 1, 1)


def small_network(rng, dtype=np.float32, first_norm=False):
    """Conv, batch norm, ReLU, (batch norm,) conv, ReLU, linear, softmax on 2x6x6 pictures."""

    def n(*shape):
        return rng.standard_normal(shape).astype(dtype) * dtype(0.5)

    window = Window((3, 3), (1, 1), SAME, (1, 1))
    arrays = {"w": n(4, 2, 3, 3), "g": n(4) + 1, "s": n(4), "m": n(4), "v": n(4) ** 2 + dtype(0.2),
              "w2": n(3, 4, 3, 3), "b2": n(3), "f": n(5, 108), "fb": n(5)}  # fmt: skip
    arrays |= {"g2": n(4), "s2": n(4), "m2": n(4), "v2": n(4) ** 2 + 1} if first_norm else {}
    nodes = [
        Node("conv1", Conv(window), ("x", "w")),
        Node("bn", BatchNorm(1e-5), ("conv1", "g", "s", "m", "v")),
        Node("relu1", ReLU(), ("bn",)),
        *([Node("bn2", BatchNorm(1e-5), ("relu1", "g2", "s2", "m2", "v2"))] if first_norm else []),
        Node("conv2", Conv(window), ("bn2" if first_norm else "relu1", "w2", "b2")),
        Node("relu2", ReLU(), ("conv2",)),
        Node("flat", Flatten(), ("relu2",)),
        Node("scores", Linear(), ("flat", "f", "fb")),
        Node("odds", Softmax(1), ("scores",)),
    ]
    return Network("small", {"x": (None, 2, 6, 6)}, nodes, ["odds"], arrays).freeze()


def samples(rng, number=11, dtype=np.float32):
    x = rng.standard_normal((number, 2, 6, 6)).astype(dtype)
    return x, rng.integers(0, 5, number)


def by_definition(network, x, labels, directions, point):
    """Block by block, unfolded, in float64."""
    arrays = moved(network, directions, point)
    exact = network.derived(arrays=arrays).astype(np.float64)
    odds = exact(x.astype(np.float64))
    losses = -np.log(odds[np.arange(len(x)), labels])
    return losses.mean(), (odds.argmax(1) == labels).mean()


@pytest.mark.parametrize("first_norm", [False, True])
@pytest.mark.parametrize("ignore", ["biasbn", "none"])
def test_surface_is_the_definition(rng, first_norm, ignore):
    """Folded and planned batch norms, those that cannot be folded, and moving ones."""
    network = small_network(rng, first_norm=first_norm)
    x, labels = samples(rng)
    plane = [random_direction(network, seed, ignore=ignore) for seed in (0, 1)]
    xs, ys = axis("-0.5:0.5:4"), axis("-0.3:0.6:3")
    found = surface(network, x, labels, plane, xs, ys)
    assert found.loss.shape == (3, 4)
    for i, b in enumerate(ys):
        for j, a in enumerate(xs):
            loss, accuracy = by_definition(network, x, labels, plane, (a, b))
            np.testing.assert_allclose(found.loss[i, j], loss, rtol=2e-4)
            assert found.accuracy[i, j] == accuracy
    at, lowest = found.lowest
    loss, _ = by_definition(network, x, labels, plane, at)
    np.testing.assert_allclose([lowest, found.loss.min()], loss, rtol=2e-4)


def test_batches_do_not_matter(rng):
    network = small_network(rng)
    x, labels = samples(rng, 13)
    plane = [random_direction(network)]
    found = [Evaluator(network, x, labels, plane, batch).at(0.3) for batch in (1, 5, 13, 64)]
    np.testing.assert_allclose(found, [found[0]] * 4, rtol=1e-5)


def test_between_two_solutions_the_ends_are_theirs(rng):
    one, other = small_network(rng), small_network(rng)
    x, labels = samples(rng)
    found = surface(one, x, labels, [towards(one, other)], axis("0:1:3"))
    for place, network in ((0, one), (2, other)):
        loss, _ = by_definition(network, x, labels, [], ())
        np.testing.assert_allclose(found.loss[place], loss, rtol=1e-4)


def test_beyond_two_solutions_variances_stay_variances(rng):
    one, other = small_network(rng), small_network(rng)
    direction, (x, labels) = towards(one, other), samples(rng)
    names = [name for name in direction if (direction[name] * 3 + one.arrays[name]).min() < 0]
    norms = [n for n in one.nodes if isinstance(n.block, BatchNorm)]
    moving = {n.operands[4] for n in norms} & set(names)
    assert moving  # else nothing is tested
    for step in (-3.0, -0.5, 0.5, 1.5, 3.0):
        arrays = moved(one, [direction], [step])
        for name in moving:
            ends = one.arrays[name], other.arrays[name]
            line = ends[0] + np.float32(step) * (ends[1] - ends[0])
            wanted = line if 0 <= step <= 1 else np.maximum(line, np.minimum(*ends))
            np.testing.assert_allclose(arrays[name], wanted, rtol=1e-5)
    found = surface(one, x, labels, [direction], axis("-3:3:7"))
    assert np.isfinite(found.loss).all()


def test_overflow_is_an_infinite_loss_and_no_right_answer(rng):
    network = small_network(rng)
    x, labels = samples(rng)
    far = {"f": np.full((5, 108), 1e38, np.float32), "w2": np.full((3, 4, 3, 3), 1e38, np.float32)}
    found = surface(network, x, labels, [far], axis("0:1:2"))
    assert np.isfinite(found.loss[0])
    assert np.isinf(found.loss[1])
    assert found.accuracy[1] == 0


def test_the_network_itself_does_not_move(rng):
    network = small_network(rng)
    before, (x, labels) = network.fingerprint(), samples(rng)
    scores = network(x)
    surface(network, x, labels, [random_direction(network)], axis("-1:1:3"))
    assert network.fingerprint() == before
    np.testing.assert_array_equal(network(x), scores)


class Stopped(Exception):
    pass


def stopping(after):
    def track(items, what, total):
        for number, item in enumerate(items):
            if number == after:
                raise Stopped
            yield item

    return track


def counting(seen):
    def track(items, what, total):
        seen.append(total)
        yield from items

    return track


def test_a_stopped_surface_goes_on_and_ends_the_same(rng, tmp_path):
    network = small_network(rng)
    x, labels = samples(rng)
    plane = [random_direction(network, seed) for seed in (0, 1)]
    grid = axis("-1:1:5"), axis("-1:1:4")
    whole = surface(network, x, labels, plane, *grid, tmp_path / "whole.npz")
    file, seen = tmp_path / "part.npz", []
    for after in (7, 6):
        with pytest.raises(Stopped):
            surface(network, x, labels, plane, *grid, file, track=stopping(after))
    with np.load(file) as kept:
        assert kept["done"].sum() == 13
        assert np.isnan(kept["loss"]).sum() == 7
        np.testing.assert_array_equal(kept["x"], grid[0])
    found = surface(network, x, labels, plane, *grid, file, track=counting(seen))
    assert seen == [7]
    np.testing.assert_array_equal(found.loss, whole.loss)
    np.testing.assert_array_equal(found.accuracy, whole.accuracy)
    surface(network, x, labels, plane, *grid, file, track=counting(seen))
    assert seen == [7]  # nothing is left to do


@pytest.mark.parametrize(
    "backend", ["threading", "multiprocessing", pytest.param("loky", marks=pytest.mark.slow)]
)
def test_any_number_of_workers_finds_the_same_bits(rng, backend):
    import joblib

    network = small_network(rng)
    x, labels = samples(rng)
    plane = [random_direction(network, seed) for seed in (0, 1)]
    grid = axis("-1:1:4"), axis("-1:1:3")
    alone = surface(network, x, labels, plane, *grid)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        for workers in (None, 2):
            found = surface(network, x, labels, plane, *grid, workers=workers)
            np.testing.assert_array_equal(found.loss, alone.loss)
            np.testing.assert_array_equal(found.accuracy, alone.accuracy)


def test_two_threads_may_draw_surfaces_at_once(rng):
    network = small_network(rng)
    x, labels = samples(rng)
    plane = [random_direction(network)]
    alone, found = surface(network, x, labels, plane, axis("-1:1:9")), {}

    def draw(name):
        found[name] = surface(network, x, labels, plane, axis("-1:1:9"))

    threads = [threading.Thread(target=draw, args=(name,)) for name in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in found.values():
        np.testing.assert_array_equal(each.loss, alone.loss)
    assert len(found) == 3


def test_a_file_of_something_else_is_refused(rng, tmp_path):
    network, other = small_network(rng), small_network(rng)
    x, labels = samples(rng)
    plane, file, xs = [random_direction(network)], tmp_path / "s.npz", axis("-1:1:3")
    surface(network, x, labels, plane, xs, None, file)
    with pytest.raises(InputError, match="network"):
        surface(other, x, labels, plane, xs, None, file)
    with pytest.raises(InputError, match="in samples"):
        surface(network, x + 1, labels, plane, xs, None, file)
    with pytest.raises(InputError, match="in directions"):
        surface(network, x, labels, [random_direction(network, 1)], xs, None, file)
    with pytest.raises(InputError, match="in x"):
        surface(network, x, labels, plane, axis("-1:1:4"), None, file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="not a checkpoint"):
        surface(network, x, labels, plane, xs, None, file)


def test_refusals(rng):
    network = small_network(rng)
    x, labels = samples(rng)
    plane, xs = [random_direction(network)], axis("-1:1:3")
    with pytest.raises(InputError, match="line"):
        surface(network, x, labels, plane, xs, xs)
    with pytest.raises(ShapeError, match="as many integer labels"):
        surface(network, x, labels[:-1], plane, xs)
    with pytest.raises(InputError, match="Labels run from"):
        surface(network, x, labels + 5, plane, xs)
    with pytest.raises(InputError, match="dtype"):
        surface(network, x.astype(np.float64), labels, plane, xs)
    with pytest.raises(InputError, match="one score a class"):
        surface(network.cut(None, "relu1"), x, labels, plane, xs)
    with pytest.raises(InputError, match="workers=0"):
        surface(network, x, labels, plane, xs, workers=0)
    with pytest.raises(InputError, match="rising"):
        surface(network, x, labels, plane, xs[::-1])
    with pytest.raises(ShapeError, match="no such array"):
        surface(network, x, labels, [{"q": np.ones(3)}], xs)
    for text in ("1:0:5", "a:b:c", "0:1", "0:1:1", "0:inf:3", "nan:1:3"):
        with pytest.raises(InputError, match="axis"):
            axis(text)


# Convexity


def broken_slowly(loss):
    """Every pair of points with a middle point, one by one."""
    height, width = loss.shape
    places = [(i, j) for i in range(height) for j in range(width)]
    found = []
    for number, (i, j) in enumerate(places):
        for k, m in places[number + 1 :]:
            if (i + k) % 2 == 0 and (j + m) % 2 == 0:
                chord = (loss[i, j] + loss[k, m]) / 2
                if np.isfinite(chord):
                    found.append(loss[(i + k) // 2, (j + m) // 2] > chord + 1e-6 * abs(chord))
    return np.mean(found)


@given(st.integers(0, 100), st.integers(1, 6), st.integers(3, 7), st.booleans())
def test_segments_are_all_pairs(seed, height, width, infinite):
    loss = np.random.default_rng(seed).standard_normal((height, width))
    if infinite:
        loss[0, 0] = np.inf
    assert broken_segments(loss) == pytest.approx(broken_slowly(loss))


def test_convex_and_concave(rng):
    a = rng.standard_normal((2, 2))
    y, x = np.mgrid[-1:1:9j, -1:1:9j]
    form = np.einsum("dyx,de,eyx->yx", np.stack([y, x]), a @ a.T, np.stack([y, x]))
    form *= 2 / form.max()
    assert broken_segments(form) == 0
    assert broken_segments(-form) == 1
    assert broken_segments(np.full((5, 5), 3.7)) == 0
    ring = np.where(form > 1, 9 - form, form)  # a bowl that is not convex beyond 1
    assert broken_segments(ring) > 0
    assert broken_segments(ring, 1.0) == 0
    with pytest.raises(InputError, match="no three"):
        broken_segments(np.ones((2, 2)))
    with pytest.raises(InputError, match="finite"):
        negative_cells(np.array([np.nan]), np.array([1.0]))
    assert negative_cells(np.array([-1.0, -0.9, np.nan]), np.array([9.0, 9.0, 9.0])) == 0.5


# Rescaling


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_rescaled_networks_compute_the_same(rng, layer):
    network = small_network(rng)
    x, _ = samples(rng)
    assert [one.layer for one in rescalable(network)] == ["conv1", "conv2"]
    other = rescale(network, layer, 8.0)
    np.testing.assert_allclose(other(x), network(x), rtol=1e-5, atol=1e-7)
    assert other.fingerprint() != network.fingerprint()


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_a_plain_plot_notices_rescaling_and_a_filter_normalised_one_does_not(rng, layer):
    network = small_network(rng)
    other = rescale(network, layer, 8.0)
    x, labels = samples(rng)
    xs = axis("-1:1:7")
    found = {
        norm: [surface(each, x, labels, [random_direction(each, 2, norm)], xs).loss
               for each in (network, other)]
        for norm in ("filter", "none")
    }  # fmt: skip
    np.testing.assert_allclose(*found["filter"], rtol=1e-5)
    assert np.abs(np.diff(found["none"], axis=0)).max() > 0.1 * np.max(found["none"])


def test_powers_of_two_leave_filter_normalised_plots_bit_for_bit():
    net = minicnn.load("mnist")
    rng = np.random.default_rng(0)
    x = rng.random((5, 1, 28, 28)).astype(np.float32)
    labels, xs = rng.integers(0, 10, 5), axis("-1:1:3")
    plots = [surface(each, x, labels, [random_direction(each)], xs).loss
             for each in (net, rescale(net, "conv2", 4.0))]  # fmt: skip
    np.testing.assert_array_equal(*plots)


def test_rescaling_refusals(rng):
    network = small_network(rng)
    with pytest.raises(UnknownNameError, match="cannot be rescaled"):
        rescale(network, "scores", 2.0)
    with pytest.raises(UnknownNameError, match="no layer"):
        rescale(network, "conv9", 2.0)
    for factor in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="positive"):
            rescale(network, "conv1", factor)


# Refilling, what it all stands on


@pytest.mark.parametrize("first_norm", [False, True])
def test_a_refilled_network_is_that_network(rng, first_norm):
    network, other = (small_network(rng, first_norm=first_norm) for _ in range(2))
    x, _ = samples(rng)
    wanted = other(x)
    own = network.derived(arrays={n: a.copy() for n, a in network.arrays.items()}).apart().freeze()
    for source, result in ((network, network(x)), (other, wanted), (network, network(x))):
        own(x)  # planned
        own.refill(source.arrays)
        np.testing.assert_array_equal(own(x), result)
        np.testing.assert_array_equal(own(x[:3]), source(x[:3]))
    with pytest.raises(ShapeError, match="needed"):
        own.refill({"w": np.ones(2, np.float32)})
    with pytest.raises(UnknownNameError, match="no 'q'"):
        own.refill({"q": np.ones(2, np.float32)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "wanted"), [("li2018_resnet56", 0.9366), ("li2018_resnet56_noshort", 0.8669)]
)
def test_li_et_als_networks_are_as_accurate_as_said(name, wanted):
    """On all 10,000 test images, where somebody has written CIFAR-10 beside the shared data."""
    from minicnn.data import read

    mean, std = np.array([125.3, 123.0, 113.9]) / 255, np.array([63.0, 62.1, 66.7]) / 255
    data = replace(read(shared("cifar10"), "test"), mean=tuple(mean), std=tuple(std))
    net = minicnn.load(shared(f"models/{name}.onnx"))
    at = Evaluator(net, data.array(), data.labels, []).at()
    assert at[1] == pytest.approx(wanted, abs=5e-5)
