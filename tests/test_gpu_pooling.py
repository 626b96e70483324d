"""The card's pooling and its ways back, run on the CPU from the same source: any geometry."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn.kernels import Packed, Window, reference
from minicnn.kernels.gpu import pooling

# The fixture's module may serve many examples: kernels keep nothing between calls.
repeated = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def problems(draw):
    """An image with many ties and some NaN, and a window that fits into it."""
    axes = []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        begin, end = draw(st.integers(-1, 3)), draw(st.integers(-1, 3))
        least = max(1, 1 - min(begin, 0) - min(end, 0), dilation * (kernel - 1) + 1 - begin - end)
        size = least + draw(st.integers(0, 4))
        axes.append((kernel, draw(st.integers(1, 4)), begin, end, dilation, size))
    kernel, stride, begins, ends, dilation, size = zip(*axes)
    window = Window(kernel, stride, begins + ends, dilation, draw(st.booleans()))
    shape = (draw(st.integers(1, 2)), draw(st.sampled_from([1, 3, 8, 17])), *size)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-1, 2, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    if draw(st.booleans()):
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] = -np.inf
    return x, window, rng


def close(got, wanted):
    """Equal but for the order of sums, and of the same type."""
    got = got.get()
    assert got.dtype == wanted.dtype
    digits = 1e-5 if wanted.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(got, wanted, rtol=digits, atol=digits)


@repeated
@given(problem=problems())
def test_any_window(cupy, problem):
    x, window, rng = problem
    size = x.shape[2:]
    y, switches = pooling.max_pool(cupy.array(x), window)
    wanted, kept = reference.max_pool(x, window)
    np.testing.assert_array_equal(y.get(), wanted)
    np.testing.assert_array_equal(switches.planes.get(), kept.planes)
    assert (switches.shape, switches.levels) == (kept.shape, kept.levels)
    q = rng.standard_normal(x.shape).astype(x.dtype)
    p = rng.standard_normal(wanted.shape).astype(x.dtype)
    there = cupy.array(p)
    read = pooling.gather(cupy.array(q), switches, window).get()
    np.testing.assert_array_equal(read, reference.gather(q, kept, window))
    close(pooling.unpool(there, switches, window, size), reference.unpool(p, kept, window, size))
    close(pooling.unpool_center(there, window, size), reference.unpool_center(p, window, size))
    for include in (False, True):
        close(pooling.average_pool(cupy.array(q), window, include),
              reference.average_pool(q, window, include))  # fmt: skip
        close(pooling.average_unpool(there, window, include, size),
              reference.average_unpool(p, window, include, size))  # fmt: skip


@pytest.mark.parametrize("channels", [1, 40])
@pytest.mark.parametrize("size", [(7, 7), (19, 23)])
def test_a_window_of_the_whole_image(cupy, rng, channels, size):
    window = Window(size, (1, 1), (0, 0, 0, 0), (1, 1))
    x = rng.standard_normal((3, channels, *size)).astype(np.float32)
    x[0, 0] = 1  # all equal: the first wins
    x[-1, -1, 3:5, 2] = np.nan
    y, switches = pooling.max_pool(cupy.array(x), window)
    wanted, kept = reference.max_pool(x, window)
    np.testing.assert_array_equal(y.get(), wanted)
    np.testing.assert_array_equal(switches.unpack().get(), kept.unpack())
    assert switches.unpack().get()[0, 0, 0, 0] == 0
    p = rng.standard_normal(wanted.shape).astype(np.float32)
    close(pooling.unpool(cupy.array(p), switches, window, size),
          reference.unpool(p, kept, window, size))  # fmt: skip
    close(pooling.gather(cupy.array(x), switches, window), reference.gather(x, kept, window))
    x = np.nan_to_num(x)
    close(pooling.average_pool(cupy.array(x), window, False),
          reference.average_pool(x, window, False))  # fmt: skip
    close(pooling.average_unpool(cupy.array(p), window, False, size),
          reference.average_unpool(p, window, False, size))  # fmt: skip


def test_one_image_s_switches_serve_a_batch(cupy, rng):
    window = Window((3, 3), (2, 2), (0, 0, 1, 1), (1, 1))
    x = rng.standard_normal((2, 9, 6, 7))
    _, kept = reference.max_pool(x, window)
    _, switches = pooling.max_pool(cupy.array(x), window)
    three = Packed.pack(np.concatenate([kept.unpack()] * 3), window.volume)
    p, q = rng.standard_normal((6, *kept.shape[1:])), rng.standard_normal((6, *x.shape[1:]))
    close(pooling.unpool(cupy.array(p), switches, window, (6, 7)),
          reference.unpool(p, three, window, (6, 7)))  # fmt: skip
    close(pooling.gather(cupy.array(q), switches, window), reference.gather(q, three, window))


@pytest.mark.parametrize("size", [(6, 6), (9, 5), (4, 8), (3, 3)])
def test_ways_back_to_another_size(cupy, rng, size):
    """As many windows as p has, whatever would fit the image that is asked for."""
    window = Window((2, 2), (2, 2), (0, 1, 0, 0), (1, 1))
    _, kept = reference.max_pool(rng.standard_normal((1, 3, 6, 7)), window)
    p = rng.standard_normal(kept.shape)
    there, switches = cupy.array(p), Packed(cupy.array(kept.planes), kept.shape, kept.levels)
    close(pooling.unpool(there, switches, window, size), reference.unpool(p, kept, window, size))
    close(pooling.unpool_center(there, window, size), reference.unpool_center(p, window, size))


def test_parts_of_larger_arrays(cupy, rng):
    window = Window((3, 2), (1, 2), (1, 0, 1, 0), (1, 1))
    whole = rng.standard_normal((2, 24, 8, 8)).astype(np.float32)
    on_card = cupy.array(whole)
    for part in (np.s_[:, 8:16], np.s_[:, 3:12], np.s_[::-1, :, 1:6, ::2]):
        x = whole[part]
        y, switches = pooling.max_pool(on_card[part], window)
        wanted, kept = reference.max_pool(x, window)
        np.testing.assert_array_equal(y.get(), wanted)
        np.testing.assert_array_equal(switches.planes.get(), kept.planes)
        close(pooling.average_pool(on_card[part], window, True),
              reference.average_pool(x, window, True))  # fmt: skip


def test_the_transposes_are_transposes(cupy, rng):
    """<p, A x> = <A^T p, x> for what is linear."""
    window = Window((3, 3), (2, 1), (1, -1, 2, 1), (1, 2), True)
    x = rng.standard_normal((2, 10, 8, 9))
    on_card = cupy.array(x)
    y, switches = pooling.max_pool(on_card, window)
    p = rng.standard_normal(y.shape)
    there = cupy.array(p)
    for forward, back in (
        (pooling.gather(on_card, switches, window),
         pooling.unpool(there, switches, window, (8, 9))),
        (pooling.average_pool(on_card, window, True),
         pooling.average_unpool(there, window, True, (8, 9))),
    ):  # fmt: skip
        np.testing.assert_allclose((p * forward.get()).sum(), (back.get() * x).sum(), rtol=1e-10)
