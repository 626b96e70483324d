"""Convolutions to few channels on the card, run on the CPU from the same source."""

import numpy as np
import pytest
from conftest import on_cpu
from endings import check_ending
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.kernels import Convolution, Window, reference, registry
from minicnn.kernels.gpu import narrow

# channels computed, channels read, size, kernel, stride, pads, dilation
CASES = {
    "colours from 64": (3, 64, (9, 7), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    "stride 2": (3, 20, (11, 10), (5, 5), (2, 2), (2, 1, 2, 3), (1, 1)),
    "odd channels": (1, 5, (6, 6), (3, 2), (1, 2), (0, 1, 2, 0), (1, 1)),
    "eight": (8, 36, (5, 5), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    "dilated": (2, 33, (12, 12), (3, 3), (2, 3), (2, 2, 2, 2), (2, 3)),
    "crops": (8, 8, (9, 9), (3, 3), (1, 2), (-1, 0, -1, -2), (1, 1)),
    "stride beyond kernel": (4, 8, (10, 10), (2, 2), (3, 4), (0, 0, 0, 0), (1, 1)),
    "many rows": (3, 12, (23, 17), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
}


def both(cupy, rng, case, batch, dtype):
    """Forwards to few filters, and transposed to few channels: results and those wanted."""
    few, many, size, kernel, stride, pads, dilation = case
    window = Window(kernel, stride, pads, dilation)
    x = rng.standard_normal((batch, many, *size)).astype(dtype)
    w = rng.standard_normal((few, many, *kernel)).astype(dtype)
    b = rng.standard_normal(few).astype(dtype)
    p = rng.standard_normal((batch, many, *window.output_size(size))).astype(dtype)
    back = np.ascontiguousarray(w.swapaxes(0, 1))
    move, method = cupy.array, narrow.NARROW
    yield (
        method.conv(move(x), move(w), move(b), window, 1),
        reference.conv(x, w, b, window, 1),
    )
    for bias in (None, b):
        there = None if bias is None else move(bias)
        yield (
            method.conv_transpose(move(p), move(back), there, window, 1, size),
            reference.conv_transpose(p, back, bias, window, 1, size),
        )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways(cupy, rng, name, dtype):
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    for got, wanted in both(cupy, rng, CASES[name], 2, dtype):
        assert got.shape == wanted.shape
        assert got.dtype == dtype
        np.testing.assert_allclose(got.get(), wanted, atol=tolerance * np.abs(wanted).max())


@given(data=st.data())
def test_any_geometry(data):
    few = st.integers(1, 3)
    pair = st.tuples(few, few)
    window = Window(
        data.draw(pair), data.draw(pair), data.draw(st.tuples(*[st.integers(-1, 2)] * 4)),
        data.draw(pair),
    )  # fmt: skip
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    assume(min(window.output_size(size)) > 0)
    case = (data.draw(st.integers(1, 8)), data.draw(st.integers(1, 40)), size, window.kernel,
            window.stride, window.pads, window.dilation)  # fmt: skip
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    with on_cpu() as cupy:
        for got, wanted in both(cupy, rng, case, data.draw(few), np.float64):
            np.testing.assert_allclose(got.get(), wanted, atol=1e-10)


@pytest.mark.parametrize("transposed", [False, True])
def test_endings(cupy, rng, transposed):
    check_ending(cupy, rng, narrow.NARROW, 40, 5, transposed)


def test_results_do_not_depend_on_the_batch(cupy, rng):
    x = rng.standard_normal((4, 48, 7, 7)).astype(np.float32)
    w = cupy.array(rng.standard_normal((3, 48, 3, 3)).astype(np.float32))
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    together = narrow.NARROW.conv(cupy.array(x), w, None, window, 1).get()
    for i in range(4):
        alone = narrow.NARROW.conv(cupy.array(x[i : i + 1]), w, None, window, 1).get()
        np.testing.assert_array_equal(together[i : i + 1], alone)


def test_it_serves_gradients_of_colour_images():
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    first = Convolution(3, 64, (224, 224), window, 1, transposed=True)
    assert registry.choose("conv_transpose2d", first, "cuda")[0].name == "narrow"
    inner = Convolution(64, 64, (224, 224), window, 1, transposed=True)
    assert registry.choose("conv_transpose2d", inner, "cuda")[0].name != "narrow"
    assert "eight channels" in narrow.why_not(inner)
    assert "one group" in narrow.why_not(Convolution(4, 4, (9, 9), window, 4))
