"""Compiled pooling and normalisation: held to their definitions, to each other, and to themselves.

Definitions are computed in float64. Sizes are no multiples of any vector, pads stand on one side or
crop, windows overlap, leave gaps and hang over the edge.
"""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import blocks
from minicnn.kernels import Packed, Window, reference
from minicnn.kernels.cpu import batches, lanes, normalise, pooling
from minicnn.kernels.cpu.ending import MASK, RECTIFY
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.vector import LANES, load, store


@st.composite
def problems(draw):
    """A window, and a shape (N, C, H, W) into which it fits."""
    axes = []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        extent = dilation * (kernel - 1) + 1
        begin, end = draw(st.integers(-1, 3)), draw(st.integers(-1, 3))
        least = max(2, extent - begin - end)
        axes.append(
            (kernel, draw(st.integers(1, 4)), begin, end, dilation, draw(st.integers(least, 11)))
        )
    kernel, stride, begins, ends, dilation, size = zip(*axes)
    window = Window(kernel, stride, begins + ends, dilation, draw(st.booleans()))
    return window, (draw(st.integers(1, 3)), draw(st.integers(1, 40)), *size)


seeds = st.integers(0, 99)


def normal(shape, seed=0):
    """Numbers that float32 holds exactly."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tied(shape, seed=0):
    """Few different values, both zeros, infinities, a NaN here and there."""
    values = np.float32([-2, -1, -0.0, 0.0, 1, 2, np.nan, -np.inf, np.inf])
    odds = [0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.04, 0.04, 0.02]
    return np.random.default_rng(seed).choice(values, shape, p=odds)


def double(x):
    return x.astype(np.float64)


def close(found, expected, tolerance=2e-6):
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * max(1, abs(expected).max())
    )


def dot(a, b):
    return (double(a) * double(b)).sum()


# Pooling


@given(problems(), seeds)
def test_max_pool_keeps_the_first_of_equals_and_the_first_nan(problem, seed):
    window, shape = problem
    x = tied(shape, seed)
    y, switches = pooling.max_pool(x, window)
    expected, found = reference.max_pool(double(x), window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches.planes, found.planes)
    assert (switches.shape, switches.levels) == (found.shape, found.levels)


@given(problems(), seeds)
def test_unpooling_gathering_and_centres_agree_with_their_definitions(problem, seed):
    window, shape = problem
    x, size = normal(shape, seed), shape[2:]
    y, switches = pooling.max_pool(x, window)
    p = normal(y.shape, seed + 1)
    close(
        pooling.unpool(p, switches, window, size),
        reference.unpool(double(p), switches, window, size),
    )
    close(pooling.gather(x, switches, window), reference.gather(double(x), switches, window))
    close(pooling.unpool_center(p, window, size), reference.unpool_center(double(p), window, size))


@given(problems(), seeds)
def test_unpooling_is_the_transpose_of_gathering(problem, seed):
    window, shape = problem
    x = normal(shape, seed)
    y, switches = pooling.max_pool(x, window)
    p, v = normal(y.shape, seed + 1), normal(shape, seed + 2)
    back = pooling.unpool(p, switches, window, shape[2:])
    assert np.isclose(dot(back, v), dot(p, pooling.gather(v, switches, window)), atol=1e-3)


@given(problems(), st.booleans(), seeds)
def test_average_pool_and_its_transpose(problem, include_pad, seed):
    window, shape = problem
    x = normal(shape, seed)
    y = pooling.average_pool(x, window, include_pad)
    close(y, reference.average_pool(double(x), window, include_pad))
    p = normal(y.shape, seed + 1)
    back = pooling.average_unpool(p, window, include_pad, shape[2:])
    close(back, reference.average_unpool(double(p), window, include_pad, shape[2:]))
    assert np.isclose(dot(p, y), dot(back, x), atol=1e-3)


def whole(size):
    return Window(size, (1, 1), (0, 0, 0, 0), (1, 1))


@pytest.mark.parametrize("shape", [(2, 70, 33, 29), (1, 300, 7, 7), (3, 1, 1, 1)])
def test_global_average_pool_is_exact_to_a_few_bits(shape):
    x = normal(shape) + 100
    y = pooling.average_pool(x, whole(shape[2:]), False)
    close(y, double(x).mean((2, 3), keepdims=True), 5e-7)


def test_a_constant_image_keeps_its_value():
    x = np.full((1, 5, 9, 9), np.float32(0.1))
    window = Window((3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
    np.testing.assert_allclose(pooling.average_pool(x, window, False), x[:, :, ::2, ::2], rtol=1e-7)


HALVING = Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))
OVERLAPPING = Window((3, 3), (2, 2), (1, 1, 1, 1), (1, 1))


@pytest.mark.parametrize("window", [HALVING, OVERLAPPING])
@pytest.mark.parametrize("channels", [3, 64, 150])
def test_large_maps(window, channels):
    x = tied((2, channels, 41, 37))
    y, switches = pooling.max_pool(x, window)
    expected, found = reference.max_pool(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches.planes, found.planes)
    p = normal(y.shape)
    close(
        pooling.unpool(p, switches, window, (41, 37)),
        reference.unpool(double(p), switches, window, (41, 37)),
    )


def test_arrays_may_have_any_memory_order():
    x = normal((2, 19, 8, 8))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for order in (x, last, x[:, :, ::-1].copy()[:, :, ::-1]):
        y, _ = pooling.max_pool(order, HALVING)
        np.testing.assert_array_equal(y, reference.max_pool(x, HALVING)[0])
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("channels", [5, 64, 69])
def test_one_batch_holds_several_rules(channels):
    """Switches of 2 images serve 6 signals; two go by centres; modes differ."""
    window, size = OVERLAPPING, (9, 10)
    _, switches = pooling.max_pool(normal((2, channels, *size)), window)
    p = normal((6, *switches.shape[1:]), 1)
    mask = Packed.pack(normal((2, channels, *size), 2) > 0)
    centres = np.array([0, 0, 1, 0, 0, 1])
    modes = np.array([0, MASK, RECTIFY, MASK | RECTIFY, RECTIFY, MASK])

    x = Image.whole("x", (6, channels, *size))
    bytes_a_pixel = -(-channels // 8)
    prog = Program()
    pooling.lay_unpool(
        prog, Image.whole("p", p.shape), x, window, Place("switches"), 2, Place("centres"),
        modes=Place("modes"), mask=Place("mask"), mask_images=2,
        mask_image=size[0] * size[1] * bytes_a_pixel, mask_row=size[1] * bytes_a_pixel,
        mask_pixel=bytes_a_pixel,
    )  # fmt: skip
    found = np.full((6, *size, channels), np.nan, np.float32)
    prog.run(
        {
            "p": np.ascontiguousarray(p.transpose(0, 2, 3, 1)), "x": found,
            "switches": switches.planes, "centres": centres, "modes": modes, "mask": mask.planes,
        }
    )  # fmt: skip

    thrice = Packed.pack(np.tile(switches.unpack(), (3, 1, 1, 1)), 9)
    by_switch = reference.unpool(double(p), thrice, window, size)
    by_centre = reference.unpool_center(double(p), window, size)
    expected = np.where(centres[:, None, None, None] != 0, by_centre, by_switch)
    masked = (modes & MASK != 0)[:, None, None, None] & ~np.tile(mask.unpack(), (3, 1, 1, 1))
    expected[masked] = 0
    rectified = modes & RECTIFY != 0
    expected[rectified] = np.maximum(expected[rectified], 0)
    close(found.transpose(0, 3, 1, 2), expected)


def test_max_pool_without_switches_and_into_channels_of_a_larger_image():
    x = normal((2, 21, 8, 6))
    prog = Program()
    y = Image.whole("y", (2, 40, 4, 3))
    pooling.lay_max_pool(prog, Image.whole("x", x.shape), y.part(11, 21), HALVING)
    found = np.zeros((2, 4, 3, 40), np.float32)
    prog.run({"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1)), "y": found})
    np.testing.assert_array_equal(
        found[..., 11:32].transpose(0, 3, 1, 2), reference.max_pool(x, HALVING)[0]
    )
    assert not found[..., :11].any()
    assert not found[..., 32:].any()


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 1, 1)])
def test_nothing_to_pool(shape):
    x = normal(shape)
    y, switches = pooling.max_pool(x, HALVING)
    assert y.shape == switches.shape == (*shape[:2], *HALVING.output_size(shape[2:]))
    assert not pooling.unpool(y, switches, HALVING, shape[2:]).any()


# Normalisation


shapes = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 19))
windows_of_channels = st.tuples(
    st.integers(1, 9), st.sampled_from([1e-4, 0.5, 2.0]),
    st.sampled_from([0.75, 0.5, 1.0, 0.6, 2.0]), st.sampled_from([1.0, 2.0]),
)  # fmt: skip


@given(shapes, windows_of_channels, seeds)
def test_lrn_and_its_transpose(shape, settings, seed):
    x, p = normal(shape, seed), normal(shape, seed + 1)
    block = blocks.LRN(*settings)
    expected, kept = block.record(double(x))
    close(normalise.lrn(x, *settings), expected)
    close(normalise.lrn_transposed(p, x, *settings), block.transposed(kept)(double(p)))


def test_lrn_is_accurate_to_each_number():
    x = normal((1, 37, 20, 20)) * np.float32(30)
    expected = blocks.LRN(5, 1.0, 0.75, 2.0)(double(x))
    np.testing.assert_allclose(normalise.lrn(x, 5, 1.0, 0.75, 2.0), expected, rtol=1e-6)


def test_signals_of_several_rules_share_one_stored_image():
    x, p = normal((2, 21, 4, 11)), normal((6, 21, 4, 11), 1)
    settings = (5, 0.5, 0.75, 1.0)
    found = normalise.lrn_transposed(p, x, *settings)
    thrice = normalise.lrn_transposed(p, np.tile(x, (3, 1, 1, 1)), *settings)
    np.testing.assert_array_equal(found, thrice)


@given(st.one_of(shapes, st.tuples(st.integers(1, 5), st.integers(1, 70))), seeds)
def test_softmax_and_its_logarithm(shape, seed):
    x = normal(shape, seed) * np.float32(8)
    # x - max x alone loses 2e-6
    np.testing.assert_allclose(normalise.softmax(x), blocks.Softmax(1)(double(x)), rtol=5e-6)
    close(normalise.log_softmax(x), blocks.LogSoftmax(1)(double(x)))


def test_softmax_of_extremes():
    x = np.float32([[1e4, 0, -np.inf, 1e4, -1e30], [0, 100, -100, 99, np.nan]])
    found = normalise.softmax(x)
    np.testing.assert_array_equal(found[0], [0.5, 0, 0, 0.5, 0])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(normalise.log_softmax(x)[0, [0, 1]], [-np.log(2), -1e4 - np.log(2)])


@given(shapes, st.sampled_from([0.0, 300.0]), seeds)
def test_batch_statistics_are_those_of_float64_even_far_from_zero(shape, offset, seed):
    x = normal(shape, seed) + np.float32(offset)
    mean, variance = batches.batch_statistics(x)
    np.testing.assert_allclose(mean, double(x).mean((0, 2, 3)), rtol=2e-7, atol=2e-6)
    np.testing.assert_allclose(variance, double(x).var((0, 2, 3)), rtol=1e-5, atol=1e-9)


@given(shapes, seeds)
def test_batch_norm_and_its_gradients(shape, seed):
    x, p = normal(shape, seed) + np.float32(3), normal(shape, seed + 1)
    gain, shift = normal(shape[1], seed + 2), normal(shape[1], seed + 3)
    y, mean, inverse = batches.batch_norm(x, gain, shift, 1e-2)
    block, per_channel = blocks.Normalise((0, 2, 3), 1e-2), (None, slice(None), None, None)
    h, kept = block.record(double(x))
    close(y, h * double(gain)[per_channel] + double(shift)[per_channel], 1e-5)
    dx, dgain, dshift = batches.batch_norm_transposed(p, x, gain, mean, inverse)
    close(dx, block.transposed(kept)(double(p) * double(gain)[per_channel]), 2e-5)
    close(dgain, (double(p) * h).sum((0, 2, 3)), 1e-5)
    close(dshift, double(p).sum((0, 2, 3)), 1e-5)


def test_batch_norm_of_many_blocks_ends_in_relu():
    x = normal((4, 13, 30, 31)) * np.float32(0.1) + np.float32(50)
    mean, inverse = Place("mean"), Place("inverse")
    prog, image = Program(), Image.whole("x", x.shape)
    batches.lay_statistics(prog, image, mean, None, inverse, 1e-5)
    batches.lay_batch_norm(
        prog, image, Image.whole("y", x.shape), mean, inverse, mode=RECTIFY, signs=Place("signs"),
        signs_image=30 * 31 * 2, signs_row=31 * 2, signs_pixel=2,
    )  # fmt: skip
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    y, signs = np.empty_like(last), np.zeros((1, 4, 30, 31, 2), np.uint8)
    buffers = {"x": last, "y": y, "signs": signs}
    prog.run({**buffers, "mean": np.empty(13, "f4"), "inverse": np.empty(13, "f4")})
    expected = blocks.Normalise((0, 2, 3), 1e-5)(double(x))
    close(y.transpose(0, 3, 1, 2), np.maximum(expected, 0), 2e-4)  # 50 +- 1e-6 over 0.1
    np.testing.assert_array_equal(Packed(signs, x.shape, 2).unpack(), y.transpose(0, 3, 1, 2) > 0)


def test_sums_over_a_batch_refuse_images_with_gaps():
    image = Image(Place("x"), 1, 3, 4, 4, 3, row=20)
    with pytest.raises(ValueError, match="follow each other"):
        batches.lay_statistics(Program(), image, Place("mean"))


def test_the_exponential_is_accurate_to_its_last_bits():
    @numba.njit
    def exponentials(x, y, size):
        for at in range(0, 4 * size, 4 * LANES):
            store(lanes.exponential(load(x + at)), y + at)

    x = np.linspace(-87, 80, LANES * 1000, dtype=np.float32)
    y = np.empty_like(x)
    exponentials(x.ctypes.data, y.ctypes.data, x.size)
    np.testing.assert_allclose(y, np.exp(double(x)), rtol=2.5e-7)


# The same bits, whatever else happens

EVERYTHING = """
import sys
import numpy as np
from minicnn.kernels import Window
from minicnn.kernels.cpu import batches, normalise, pooling


def everything(x, p):
    window = Window((3, 3), (2, 2), (1, 0, 1, 1), (1, 1))
    size, gain = x.shape[2:], x[0, :, 0, 0].copy()
    y, switches = pooling.max_pool(x, window)
    p = p[:, :, : y.shape[2], : y.shape[3]]
    yield from (y, np.moveaxis(switches.planes, 0, 1))
    yield pooling.unpool(p, switches, window, size)
    yield pooling.unpool_center(p, window, size)
    yield pooling.gather(x, switches, window)
    yield pooling.average_pool(x, window, False)
    yield pooling.average_unpool(p, window, True, size)
    yield pooling.average_pool(x, Window(size, (1, 1), (0, 0, 0, 0), (1, 1)), False)
    yield normalise.lrn(x, 5, 0.1, 0.75, 1.0)
    yield normalise.lrn_transposed(x[:, ::-1], x, 5, 0.1, 0.6, 1.0)
    yield normalise.softmax(x)
    yield normalise.log_softmax(x)


def over_the_batch(x):
    ones = np.ones(x.shape[1])
    y, mean, inverse = batches.batch_norm(x, ones, ones, 1e-5)
    return [y, mean, inverse, *batches.batch_norm_transposed(x * x, x, ones, mean, inverse)]


def inputs():
    return np.random.default_rng(0).standard_normal((2, 3, 25, 41, 37)).astype(np.float32)
"""

THREADS = """
from minicnn.kernels.cpu import team

found = []
for number in (1, 2, 3):
    team.set_threads(number)
    assert team.threads() == number
    x, p = inputs()
    results = [*everything(x, p), *over_the_batch(x)]
    found.append([array.tobytes() for array in results])
assert found[0] == found[1] == found[2]
print(len(found[0]), "results")
"""


def test_any_number_of_threads_gives_the_same_bits():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "3"}
    script = [sys.executable, "-c", EVERYTHING + THREADS]
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "18 results"


def test_an_image_gives_the_same_bits_alone_and_in_a_batch():
    names = {}
    exec(EVERYTHING, names)
    x, p = names["inputs"]()
    for together, alone in zip(names["everything"](x, p), names["everything"](x[1:2], p[1:2])):
        np.testing.assert_array_equal(together[1:2], alone)
