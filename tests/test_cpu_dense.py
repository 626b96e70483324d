"""Compiled kernels of linear layers, matrix products, filter gradients, depthwise convolution and
learning: held to NumPy and the reference kernels in float64, over sizes that fill no tile.
"""

import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.kernels import Packed, Window, reference
from minicnn.kernels.cpu import dense, depthwise, filters, learning
from minicnn.kernels.cpu.packing import panels
from minicnn.kernels.cpu.program import Image, Place, Program
from minicnn.kernels.cpu.streamed import FEW, lay_panels
from minicnn.kernels.packed import plane_shape

SIZES = st.sampled_from([1, 2, 3, 8, 15, 16, 17, 31, 33, 40, 70])
BATCHES = st.sampled_from([1, 2, 3, 7, FEW, FEW + 1, 30, 45])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def images(*shape, seed=0):
    """Shape (N, C, *size) in channels-last memory."""
    batch, channels, *size = shape
    return np.moveaxis(normal(batch, *size, channels, seed=seed), -1, 1)


def bits_for(*shape):
    """Memory for the signs of an array (N, C, *size)."""
    return np.empty((1, *plane_shape(shape)), np.uint8)


def in_double(function, *arrays):
    """The result in float64, and what it would be if nothing cancelled."""
    doubles = [a if a is None else a.astype(np.float64) for a in arrays]
    return function(*doubles), function(*(a if a is None else abs(a) for a in doubles))


def assert_near(result, exact_and_scale):
    exact, scale = exact_and_scale
    assert result.dtype == np.float32
    assert result.shape == exact.shape
    assert (abs(result - exact) <= 2e-6 * scale).all(), (abs(result - exact) / scale).max()


def assert_alone_as_in_batch(function, x):
    whole = function(x)
    for n in range(len(x)):
        np.testing.assert_array_equal(function(x[n : n + 1]), whole[n : n + 1])


# Linear layers and matrix products


@given(BATCHES, SIZES, SIZES, st.booleans())
def test_linear_layers_and_their_transposes_are_matrix_products(batch, inside, out, biased):
    x, w, p = normal(batch, inside), normal(out, inside, seed=1), normal(batch, out, seed=2)
    b = normal(out, seed=3) if biased else None
    exact = in_double(lambda x, w, b: x @ w.T + (0 if b is None else b), x, w, b)
    assert_near(dense.linear(x, w, b), exact)
    assert_near(dense.linear_transposed(p, w), in_double(np.matmul, p, w))
    assert_near(dense.linear_filter(p, x), in_double(lambda p, x: p.T @ x, p, x))


@settings(max_examples=12)
@given(st.sampled_from([5, FEW, FEW + 1, 31]), SIZES, SIZES)
def test_a_linear_layer_gives_an_image_the_same_bits_in_any_batch(batch, inside, out):
    w = normal(out, inside)
    assert_alone_as_in_batch(lambda x: dense.linear(x, w), normal(batch, inside, seed=1))
    assert_alone_as_in_batch(lambda p: dense.linear_transposed(p, w), normal(batch, out, seed=1))


def test_large_linear_layers_have_the_same_bits_in_any_batch():
    w = normal(300, 700)
    assert_alone_as_in_batch(lambda x: dense.linear(x, w), normal(40, 700, seed=1))
    assert_alone_as_in_batch(lambda p: dense.linear_transposed(p, w), normal(40, 300, seed=1))


def test_linear_layers_take_any_leading_axes_and_none():
    w = normal(3, 5)
    assert dense.linear(normal(2, 4, 5), w).shape == (2, 4, 3)
    assert dense.linear(normal(5), w, normal(3)).shape == (3,)
    assert dense.linear_transposed(normal(2, 4, 3), w).shape == (2, 4, 5)
    assert dense.linear(normal(0, 5), w).shape == (0, 3)
    assert not dense.linear_filter(normal(0, 3), normal(0, 5)).any()


@settings(max_examples=20)
@given(
    BATCHES, SIZES, SIZES, st.booleans(), st.booleans(),
    st.sampled_from([((), ()), ((3,), ()), ((), (2,)), ((2, 1), (3,)), ((2, 1), (1, 3))]),
)  # fmt: skip
def test_matrix_products_of_stacks_stored_either_way(m, k, n, a_turned, b_turned, leads):
    a, b = normal(*leads[0], m, k), normal(*leads[1], k, n, seed=1)
    a, b = (
        np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) if turned else x
        for x, turned in ((a, a_turned), (b, b_turned))
    )
    assert_near(dense.matmul(a, b), in_double(np.matmul, a, b))


@pytest.mark.parametrize(
    ("a", "b"), [((7,), (7,)), ((7,), (7, 3)), ((3, 7), (7,)), ((7,), (2, 7, 3)), ((0, 2), (2, 3))]
)
def test_vectors_and_empty_matrices(a, b):
    a, b = normal(*a), normal(*b, seed=1)
    assert_near(np.asarray(dense.matmul(a, b)), in_double(np.matmul, a, b))


@pytest.mark.parametrize("view", [lambda a: a[::2, 1::3], lambda a: a[::-1], lambda a: a[:, ::-1]])
def test_views_are_copied_where_they_must_be(view):
    a, b = view(normal(60, 90)), view(normal(60, 90, seed=1))
    assert_near(dense.matmul(a, b.T), in_double(np.matmul, a, b.T))


@pytest.mark.parametrize("batch", [1, 5, FEW + 7])
@pytest.mark.parametrize("out", [3, 16, 45])
def test_the_epilogue_of_a_linear_layer(batch, out):
    x, w, b, q = normal(batch, 20), normal(out, 20), normal(out, seed=1), normal(batch, out, seed=2)
    mask = np.random.default_rng(3).random((batch, out)) < 0.5
    masks, signs = Packed.pack(mask), bits_for(batch, out)
    y, step = np.empty((batch, out), np.float32), signs.shape[-1]
    program = Program()
    dense.lay_linear(
        program, Image.whole("x", x.shape), Place("w"), Image.whole("y", y.shape), out, 20,
        bias=Place("b"), residual=Place("q"), residual_image=4 * out, mode=3, mask=Place("mask"),
        mask_images=batch, mask_image=step, signs=Place("signs"), signs_image=step,
    )  # fmt: skip
    program.run({"x": x, "w": w, "b": b, "q": q, "y": y, "mask": masks.planes, "signs": signs})
    expected = np.where(mask, dense.linear(x, w, b) + q, 0)
    np.testing.assert_array_equal(y, np.maximum(expected, 0))
    np.testing.assert_array_equal(Packed(signs, y.shape, 2).unpack(), expected > 0)


@given(st.integers(1, FEW), SIZES, SIZES)
def test_packed_weights_give_the_same_bits(batch, inside, out):
    x, w, b = normal(batch, inside), normal(out, inside, seed=1), normal(out, seed=2)
    y, signs = np.empty((batch, out), np.float32), bits_for(batch, out)
    program = Program()
    lay_panels(
        program, Image.whole("x", x.shape), program.constant(panels(w[..., None], 1, False, (0,))),
        Image.whole("y", y.shape), out, inside, bias=Place("b"), mode=1, signs=Place("signs"),
        signs_image=signs.shape[-1],
    )  # fmt: skip
    program.run({"x": x, "b": b, "y": y, "signs": signs})
    expected = dense.linear(x, w, b)
    np.testing.assert_array_equal(y, np.maximum(expected, 0))
    np.testing.assert_array_equal(Packed(signs, y.shape, 2).unpack(), expected > 0)


@given(
    st.integers(1, FEW), SIZES.filter(lambda n: n > 1), SIZES, st.sampled_from([0, 0.1, 0.5, 0.9])
)
def test_rows_times_zero_are_left_out_and_change_no_bit(batch, inside, out, dense_part):
    p, w = normal(batch, out), normal(out, inside, seed=1)
    p *= np.random.default_rng(2).random((batch, out)) < dense_part
    y = dense.linear_transposed(p, w)
    assert_near(y, in_double(np.matmul, p, w))
    unread = ~p.any(axis=0)
    w[unread] = np.nan
    np.testing.assert_array_equal(dense.linear_transposed(p, w), y)
    assert_alone_as_in_batch(lambda p: dense.linear_transposed(p, np.nan_to_num(w)), p)


# Geometry


@st.composite
def geometries(draw, most=12):
    """A window, pads on each side and negative ones too, and an input size into which it fits."""
    axes = []
    for _ in range(draw(st.sampled_from([1, 2, 2]))):
        kernel, stride, dilation = (draw(st.integers(1, n)) for n in (4, 3, 3))
        begin, end = draw(st.integers(-1, 4)), draw(st.integers(-1, 4))
        least = max(1, dilation * (kernel - 1) + 1 - begin - end, -begin - end + 1)
        axes.append((kernel, stride, begin, end, dilation, draw(st.integers(least, least + most))))
    kernel, stride, begins, ends, dilation, size = zip(*axes)
    return Window(kernel, stride, begins + ends, dilation), size


CHANNELS = st.sampled_from([1, 2, 3, 5, 14, 16, 17, 33, 40])


# Filter gradients


@settings(max_examples=100)
@given(geometries(), CHANNELS, CHANNELS, st.sampled_from([1, 1, 2, 3]), st.integers(1, 3))
def test_filter_gradients_of_any_geometry(geometry, per_group, per_out, groups, batch):
    window, size = geometry
    x = images(batch, per_group * groups, *size)
    p = images(batch, per_out * groups, *window.output_size(size), seed=1)
    exact = in_double(lambda p, x: reference.conv_filter(p, x, window, groups), p, x)
    assert_near(filters.conv_filter(p, x, window, groups), exact)


@settings(max_examples=100)
@given(geometries(), CHANNELS, st.integers(1, 3), st.integers(1, 3))
def test_filter_gradients_of_depthwise_convolutions(geometry, channels, times, batch):
    window, size = geometry
    x = images(batch, channels, *size)
    p = images(batch, channels * times, *window.output_size(size), seed=1)
    exact = in_double(lambda p, x: reference.conv_filter(p, x, window, channels), p, x)
    assert_near(filters.conv_filter(p, x, window, channels), exact)


@pytest.mark.parametrize(
    ("batch", "channels", "count", "size", "side", "groups"),
    [
        (3, 4, 20, (64, 400), 3, 1),  # an image of several chunks, rows cut
        (1, 2, 3, (1, 9000), 1, 1),
        (40, 16, 16, (16, 16), 3, 1),  # images shared out
        (2, 70, 150, (7, 7), 3, 1),  # channels and filters shared out
        (2, 40, 300, (9, 9), 1, 1),
        (2, 8, 66, (20, 20), 7, 2),
        (30, 130, 130, (14, 14), 3, 130),
    ],
)
def test_large_filter_gradients(batch, channels, count, size, side, groups):
    pads = (side // 2, side - 1, 0, 0)
    window = Window((side, side), (1, 1), pads, (1, 1))
    x, p = images(batch, channels, *size), images(batch, count, *window.output_size(size), seed=1)
    exact = in_double(lambda p, x: reference.conv_filter(p, x, window, groups), p, x)
    assert_near(filters.conv_filter(p, x, window, groups), exact)


@given(geometries(most=6), st.integers(1, 2))
def test_filter_gradients_are_the_convolution_seen_from_its_filters(geometry, groups):
    window, size = geometry
    x, w = images(2, 6, *size), normal(4, 6 // groups, *window.kernel, seed=1)
    p = images(2, 4, *window.output_size(size), seed=2)
    x64, w64, p64 = (a.astype(np.float64) for a in (x, w, p))
    value = (p64 * reference.conv(x64, w64, None, window, groups)).sum()
    scale = (abs(p64) * reference.conv(abs(x64), abs(w64), None, window, groups)).sum()
    gradient = filters.conv_filter(p, x, window, groups)
    assert abs((gradient * w64).sum() - value) <= 1e-6 * scale


def test_channels_first_memory_is_copied_and_no_images_give_zeros():
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    p, x = images(2, 5, 6, 7), images(2, 3, 6, 7, seed=1)
    expected = filters.conv_filter(p, x, window, 1)
    first = np.ascontiguousarray(p), np.ascontiguousarray(x)
    np.testing.assert_array_equal(filters.conv_filter(*first, window, 1), expected)
    assert not filters.conv_filter(p[:0], x[:0], window, 1).any()


# Depthwise convolution


@settings(max_examples=100)
@given(geometries(), CHANNELS, st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_depthwise_convolution_and_its_transpose(geometry, channels, times, batch, biased):
    window, size = geometry
    x, w = images(batch, channels, *size), normal(channels * times, 1, *window.kernel, seed=1)
    p = images(batch, channels * times, *window.output_size(size), seed=2)
    b, c = (normal(n, seed=3) if biased else None for n in (channels * times, channels))
    exact = in_double(lambda x, w, b: reference.conv(x, w, b, window, channels), x, w, b)
    assert_near(depthwise.depthwise(x, w, b, window), exact)
    exact = in_double(
        lambda p, w, c: reference.conv_transpose(p, w, c, window, channels, size), p, w, c
    )
    assert_near(depthwise.depthwise_transposed(p, w, c, window, channels, size), exact)


@settings(max_examples=10)
@given(geometries(), st.sampled_from([3, 16, 17]), st.integers(1, 2))
def test_depthwise_results_are_adjoint_and_the_same_in_any_batch(geometry, channels, times):
    window, size = geometry
    x, w = images(3, channels, *size), normal(channels * times, 1, *window.kernel, seed=1)
    p = images(3, channels * times, *window.output_size(size), seed=2)

    def there(x):
        return depthwise.depthwise(x, w, None, window)

    def back(p):
        return depthwise.depthwise_transposed(p, w, None, window, channels, size)

    scale = np.linalg.norm(there(abs(x))) * np.linalg.norm(p) + 1e-9
    assert abs((p * there(x)).sum() - (x * back(p)).sum()) <= 1e-5 * scale
    assert_alone_as_in_batch(there, x)
    assert_alone_as_in_batch(back, p)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [5, 16, 40])
def test_the_epilogue_of_a_transposed_depthwise_convolution(stride, channels):
    window, size = Window((3, 3), (stride, stride), (1, 1, 1, 1), (1, 1)), (7, 8)
    shape, out = (2, channels, *size), window.output_size(size)
    p, w, q = images(2, channels, *out), normal(channels, 1, 3, 3, seed=1), images(*shape, seed=2)
    mask = np.random.default_rng(3).random(shape) < 0.5
    masks, signs, y = Packed.pack(mask), bits_for(*shape), np.zeros((2, *size, channels), "f4")
    bits = signs.shape[-1]

    def steps(name, step):
        sizes = (size[0] * size[1] * step, size[1] * step, step)
        axes = ("image", "row", "pixel")
        return {name: Place(name), **{f"{name}_{a}": n for a, n in zip(axes, sizes)}}

    program = Program()
    depthwise.lay_depthwise(
        program, Image.whole("p", p.shape), Place("w"), Image.whole("y", shape), window, True,
        mode=3, mask_images=2, **steps("mask", bits), **steps("signs", bits),
        **steps("residual", 4 * channels),
    )  # fmt: skip
    program.run({
        "p": np.ascontiguousarray(np.moveaxis(p, 1, -1)), "w": depthwise.packed(w, channels, True),
        "y": y, "mask": masks.planes, "signs": signs, "residual": np.moveaxis(q, 1, -1),
    })  # fmt: skip
    sums = depthwise.depthwise_transposed(p, w, None, window, channels, size)
    expected = np.where(mask, sums + q, 0)
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1), np.maximum(expected, 0))
    np.testing.assert_array_equal(Packed(signs, shape, 2).unpack(), expected > 0)


# Learning

LENGTHS = st.sampled_from([1, 15, 16, 37, 9000])


@given(LENGTHS, st.booleans(), st.sampled_from([0, 0.1]), st.sampled_from([0, 0.3]))
def test_sgd_with_momentum(size, nesterov, decay, dampening):
    w, v = normal(size), np.zeros(size, np.float32)
    exact, speed = w.astype(np.float64), None
    for step in range(3):
        gradient = normal(size, seed=step + 1)
        damp = dampening if step else 0
        learning.sgd(
            w, gradient, v, rate=0.1, momentum=0.9, dampening=damp, decay=decay, nesterov=nesterov
        )
        g = gradient + decay * exact
        speed = g.copy() if speed is None else 0.9 * speed + (1 - dampening) * g
        exact -= 0.1 * (g + 0.9 * speed if nesterov else speed)
    np.testing.assert_allclose(w, exact, atol=2e-6)
    np.testing.assert_allclose(v, speed, atol=5e-6)


@given(LENGTHS, st.sampled_from([0, 0.1]), st.booleans())
def test_adam_and_adamw(size, decay, decoupled):
    w, m, v = normal(size), np.zeros(size, np.float32), np.zeros(size, np.float32)
    exact, mean, square = (a.astype(np.float64) for a in (w, m, v))
    for step in (1, 2, 3):
        gradient = normal(size, seed=step)
        learning.adam(w, gradient, m, v, step, rate=0.01, decay=decay, decoupled=decoupled)
        g = gradient + (0 if decoupled else decay * exact)
        exact *= 1 - 0.01 * decay if decoupled else 1
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
        root = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        exact -= 0.01 * mean / (1 - 0.9**step) / root
    np.testing.assert_allclose(w, exact, atol=1e-5)
    np.testing.assert_allclose(m, mean, atol=2e-6)
    np.testing.assert_allclose(v, square, atol=2e-6)


def test_plain_gradient_descent_keeps_shapes_and_refuses_what_it_cannot_change_in_place():
    w, gradient = normal(3, 4), normal(3, 4, seed=1)
    expected = w - np.float32(0.5) * gradient
    learning.sgd(w, gradient, rate=0.5)
    np.testing.assert_allclose(w, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="contiguous float32"):
        learning.sgd(w[:, ::2], gradient[:, ::2], rate=0.5)
    with pytest.raises(ValueError, match="one shape"):
        learning.sgd(w, gradient[:2], rate=0.5)


# Threads and memory

SCRIPT = """
import hashlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_cpu_dense import digest
from minicnn.kernels.cpu import team
found = []
for number in (1, 2, 3):
    team.set_threads(number)
    found.append(digest())
assert len(set(found)) == 1, found
"""


def digest():
    """Of results of every kernel, of sizes that are worth several threads."""
    window = Window((3, 3), (2, 1), (1, 1, 1, 1), (1, 1))
    x, w = normal(30, 300), normal(500, 300, seed=1)
    image, signal = images(4, 40, 30, 30), images(4, 40, 15, 30, seed=1)
    each = normal(40, 1, 3, 3)
    v, g = normal(50_000), normal(50_000, seed=1)
    learning.sgd(v, g, g.copy(), rate=0.1, momentum=0.9)
    results = [
        v,
        dense.linear(x, w), dense.linear(x[:5], w),
        dense.linear_transposed(dense.linear(x, w), w),
        dense.linear_transposed(w[:3, :100], w[:100]),
        dense.matmul(normal(5, 60, 70), normal(70, 80)),
        dense.linear_filter(w[:30], x),
        filters.conv_filter(signal, image, window, 1),
        filters.conv_filter(signal, image, window, 40),
        depthwise.depthwise(image, each, None, window),
        depthwise.depthwise_transposed(signal, each, None, window, 40, (30, 30)),
    ]  # fmt: skip
    return b"".join(np.ascontiguousarray(r).tobytes() for r in results)


def test_results_are_the_same_bits_with_any_number_of_threads():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)],  # noqa: PTH120
        env={**os.environ, "NUMBA_NUM_THREADS": "3"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_python_threads_may_compute_at_once():
    x, w = [normal(20, 300, seed=i) for i in range(4)], normal(200, 300)
    expected = [dense.linear(a, w) for a in x]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(dense.linear(x[i], w), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_array_is_held_after_a_call():
    x, w = normal(2, 30), normal(40, 30)
    y = dense.linear(x, w)
    held = [weakref.ref(a) for a in (x, w, y)]
    del x, w, y
    gc.collect()
    assert [ref() for ref in held] == [None] * 3
