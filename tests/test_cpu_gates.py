"""Compiled sums, checks and totals of images: held to NumPy, over sizes that fill no vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import kernels
from minicnn.kernels.cpu import batches, copying, gates
from minicnn.kernels.cpu.program import Bound, Image, Place, Program

CHANNELS = st.sampled_from([1, 3, 7, 8, 15, 16, 17, 33, 64])
SIDES = st.sampled_from([1, 2, 5, 8, 13])


def images(*shape, seed=0):
    """Shape (N, C, H, W) in channels-last memory."""
    batch, channels, height, width = shape
    numbers = np.random.default_rng(seed).standard_normal((batch, height, width, channels))
    return np.moveaxis(numbers.astype(np.float32), -1, 1)


@given(st.integers(1, 3), CHANNELS, SIDES, SIDES)
def test_a_sum_has_numpys_bits(batch, channels, height, width):
    a, b = (images(batch, channels, height, width, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(gates.added(a, b), a + b)


@given(st.integers(1, 3), CHANNELS, SIDES, SIDES)
def test_totals_over_pixels_are_those_of_float64(batch, channels, height, width):
    x = images(batch, channels, height, width)
    exact = x.astype(np.float64).sum(axis=(0, 2, 3))
    scale = abs(x.astype(np.float64)).sum(axis=(0, 2, 3))
    assert (abs(batches.pixel_sum(x) - exact) <= 1e-6 * scale).all()


def test_large_totals_have_the_same_bits_with_one_thread_and_with_two():
    x = images(9, 20, 61, 47)
    two = kernels.pixel_sum(x)
    kernels.set_threads(1)
    try:
        np.testing.assert_array_equal(kernels.pixel_sum(x), two)
    finally:
        kernels.set_threads(2)
    np.testing.assert_allclose(two, x.astype(np.float64).sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [1, 7, 16, 33, copying.BLOCK - 1, 3 * copying.BLOCK + 5])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found_wherever_it_stands(size, bad):
    x = np.full(size, 3e38, np.float32)
    assert copying.all_finite(x)
    for at in {0, size // 2, size - 1}:
        x[at] = bad
        assert not copying.all_finite(x)
        x[at] = -3e38


@pytest.mark.parametrize("view", [
    lambda x: x, lambda x: x.transpose(0, 2, 3, 1), lambda x: x[:, ::-1], lambda x: x[:, :, 1:],
    lambda x: np.ascontiguousarray(x), lambda x: np.broadcast_to(x[:1], (5, *x.shape[1:])),
])  # fmt: skip
def test_any_view_is_checked_as_numpy_does(view):
    x = images(2, 5, 97, 101)
    for place in ((0, 0, 0, 0), (0, 4, 96, 100), (1, 2, 50, 50)):
        bad = x.copy(order="K")
        bad[place] = np.nan
        assert kernels.all_finite(view(bad)) == np.isfinite(view(bad)).all()
    assert kernels.all_finite(view(x))


@given(st.integers(1, 2), st.sampled_from([1, 3, 4]), st.integers(1, 3), st.integers(1, 4),
       st.integers(1, 9), st.integers(1, 9))  # fmt: skip
def test_pixels_of_blocks_go_back_to_their_places(batch, channels, down, across, rows, columns):
    """y[i, j, c] = x[i / down, j / across, (i % down, j % across, c)], cut to any size of y."""
    x = images(batch, down * across * channels, rows, columns)
    whole = x.transpose(0, 2, 3, 1).reshape(batch, rows, columns, down, across, channels)
    whole = whole.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * down, columns * across, -1)
    for missing in range(across):
        height, width = rows * down - missing % down, columns * across - missing
        y = np.full((batch, height, width, channels), 7, np.float32)
        guard = np.full(y.size + 64, 9, np.float32)
        inside = guard[32:-32].reshape(y.shape)
        program = Program()
        shape = (batch, channels, height, width)
        copying.lay_unfolded(
            program, Image.whole("x", x.shape), down, across, Image.whole("y", shape)
        )
        Bound(program).run({"x": x, "y": inside})
        np.testing.assert_array_equal(inside, whole[:, :height, :width])
        assert (guard[:32] == 9).all()
        assert (guard[-32:] == 9).all()


def test_rows_of_pixels_pass_the_epilogue_as_one_line():
    x, other = images(2, 16, 9, 5), images(2, 16, 9, 5, seed=1)
    y = np.empty((2, 9, 5, 16), np.float32)
    program = Program()
    whole = Image.whole("y", (2, 16, 9, 5))
    residual = Image.whole("other", (2, 16, 9, 5)).steps("residual")
    copying.lay_finished(program, Image.whole("x", x.shape), whole, mode=1, **residual)
    Bound(program).run({"x": x, "y": y, "other": other})
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1), np.maximum(x + other, 0))
    assert Place("y") == whole.place
