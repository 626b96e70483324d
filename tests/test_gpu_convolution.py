"""The card's convolutions, run on the CPU from the same source, against the reference."""

import numpy as np
import pytest
from conftest import on_cpu
from endings import check_ending
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.kernels import Window, reference
from minicnn.kernels.gpu import convolution, dense, filters
from minicnn.kernels.gpu.ending import RECTIFY, Ending
from minicnn.kernels.gpu.filters import conv_filter

# channels, filters, size, kernel, stride, pads, dilation, groups
CASES = {
    "3x3": (8, 16, (9, 7), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    "first layer": (3, 20, (11, 10), (5, 5), (2, 2), (2, 1, 2, 3), (1, 1), 1),
    "odd channels": (5, 7, (6, 6), (3, 2), (1, 2), (0, 1, 2, 0), (1, 1), 1),
    "1x1": (12, 70, (5, 5), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    "1x1 stride 2": (12, 8, (7, 7), (1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
    "dilated": (4, 9, (12, 12), (3, 3), (2, 3), (2, 2, 2, 2), (2, 3), 1),
    "groups": (8, 12, (6, 5), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 4),
    "crops": (8, 8, (9, 9), (3, 3), (1, 2), (-1, 0, -1, -2), (1, 1), 1),
    "stride beyond kernel": (4, 8, (10, 10), (2, 2), (3, 4), (0, 0, 0, 0), (1, 1), 1),
    "deep, split": (160, 24, (5, 5), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    "many rows": (8, 8, (40, 33), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
}


def both(cupy, rng, case, batch, dtype):
    channels, filters, size, kernel, stride, pads, dilation, groups = case
    window = Window(kernel, stride, pads, dilation)
    x = rng.standard_normal((batch, channels, *size)).astype(dtype)
    w = rng.standard_normal((filters, channels // groups, *kernel)).astype(dtype)
    b, c = rng.standard_normal(filters).astype(dtype), rng.standard_normal(channels).astype(dtype)
    p = rng.standard_normal((batch, filters, *window.output_size(size))).astype(dtype)
    move = cupy.array
    pairs = [
        (convolution.IMPLICIT.conv(move(x), move(w), move(b), window, groups),
         reference.conv(x, w, b, window, groups)),
        (convolution.IMPLICIT.conv_transpose(move(p), move(w), None, window, groups, size),
         reference.conv_transpose(p, w, None, window, groups, size)),
        (convolution.IMPLICIT.conv_transpose(move(p), move(w), move(c), window, groups, size),
         reference.conv_transpose(p, w, c, window, groups, size)),
    ]  # fmt: skip
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    for got, wanted in pairs:
        assert got.shape == wanted.shape
        assert got.dtype == dtype
        np.testing.assert_allclose(got.get(), wanted, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways(cupy, rng, name, dtype):
    both(cupy, rng, CASES[name], 2, dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_filters(cupy, rng, name, dtype):
    channels, filters, size, kernel, stride, pads, dilation, groups = CASES[name]
    window = Window(kernel, stride, pads, dilation)
    x = rng.standard_normal((3, channels, *size)).astype(dtype)
    p = rng.standard_normal((3, filters, *window.output_size(size))).astype(dtype)
    wanted = reference.conv_filter(p, x, window, groups)
    got = conv_filter(cupy.array(p), cupy.array(x), window, groups)
    assert got.shape == wanted.shape
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(got.get(), wanted, atol=tolerance * np.abs(wanted).max())


@given(data=st.data())
def test_any_geometry(data):
    """One trilinear form seen from its three sides, against the reference."""
    few = st.integers(1, 3)
    pair = st.tuples(few, few)
    window = Window(
        data.draw(pair), data.draw(pair), data.draw(st.tuples(*[st.integers(-1, 2)] * 4)),
        data.draw(pair),
    )  # fmt: skip
    groups, batch = data.draw(st.integers(1, 2)), data.draw(few)
    channels, filters = groups * data.draw(st.integers(1, 9)), groups * data.draw(st.integers(1, 9))
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    out = window.output_size(size)
    assume(min(out) > 0)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal((batch, channels, *size))
    w = rng.standard_normal((filters, channels // groups, *window.kernel))
    p = rng.standard_normal((batch, filters, *out))
    with on_cpu() as cupy:
        cx, cw, cp = map(cupy.array, (x, w, p))
        y = convolution.IMPLICIT.conv(cx, cw, None, window, groups).get()
        back = convolution.IMPLICIT.conv_transpose(cp, cw, None, window, groups, size).get()
        gradient = conv_filter(cp, cx, window, groups).get()
    np.testing.assert_allclose(y, reference.conv(x, w, None, window, groups), atol=1e-10)
    wanted = reference.conv_transpose(p, w, None, window, groups, size)
    np.testing.assert_allclose(back, wanted, atol=1e-10)
    np.testing.assert_allclose(gradient, reference.conv_filter(p, x, window, groups), atol=1e-10)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_endings(cupy, rng, transposed, split):
    check_ending(cupy, rng, convolution.IMPLICIT, 192 if split else 12, 20, transposed)


def test_results_do_not_depend_on_the_batch(cupy, rng):
    x = rng.standard_normal((4, 128, 7, 7)).astype(np.float32)
    w = rng.standard_normal((32, 128, 3, 3)).astype(np.float32)
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    move = cupy.array
    together = convolution.IMPLICIT.conv(move(x), move(w), None, window, 1).get()
    alone = [
        convolution.IMPLICIT.conv(move(x[i : i + 1]), move(w), None, window, 1).get()
        for i in range(4)
    ]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize(("stack", "rows", "depth", "columns"), [(3, 70, 12, 9), (1, 5, 2048, 40)])
def test_products(cupy, rng, stack, rows, depth, columns):
    a = rng.standard_normal((stack, rows, depth)).astype(np.float32)
    b = np.zeros((stack, depth, -(-columns // 8) * 8), np.float32)
    b[..., :columns] = rng.standard_normal((stack, depth, columns))
    c = cupy.empty((stack, rows, columns), np.float32)
    convolution.product(cupy.array(a), cupy.array(b), c)
    wanted = a.astype(np.float64) @ b[..., :columns]
    np.testing.assert_allclose(c.get(), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("rows", [1, 3, 16, 20])
def test_linear_layers_give_a_row_the_same_bits_in_any_batch(cupy, rng, rows):
    x = rng.standard_normal((rows, 2050)).astype(np.float32)
    w, b = rng.standard_normal((2050, 44)).astype(np.float32), rng.standard_normal(44)
    packed = dense.pack(cupy.array(w))
    ending = Ending(bias=cupy.array(b.astype(np.float32)), mode=RECTIFY)
    y = cupy.empty((rows, 44), np.float32)
    dense.linear(cupy.array(x), packed, y, ending)
    wanted = np.maximum(x.astype(np.float64) @ w + b, 0)
    np.testing.assert_allclose(y.get(), wanted, atol=1e-5 * wanted.max())
    alone = cupy.empty((1, 44), np.float32)
    dense.linear(cupy.array(x[-1:]), packed, alone, ending)
    np.testing.assert_array_equal(alone.get(), y.get()[-1:])


def test_very_many_phases_and_taps_fit_a_grid(cupy, monkeypatch):
    """Along y and z a card takes 65,535 blocks: what can be many goes along x."""
    grids = []

    def launched(grid, *others, **arguments):
        grids.append((*grid, 1, 1)[:3])

    monkeypatch.setattr(convolution, "_PRODUCT", launched)
    monkeypatch.setattr(filters, "_CORRELATE", launched)
    far = Window((2, 2), (256, 257), (0, 0, 0, 0), (1, 1))  # 65,792 phases
    p, w = cupy.empty((1, 3, 2, 2), np.float32), cupy.empty((3, 2, 2, 2), np.float32)
    convolution.IMPLICIT.conv_transpose(p, w, None, far, 1, (300, 290))
    wide = Window((256, 256), (1, 1), (0, 0, 0, 0), (1, 1))  # 65,536 taps
    p, x = cupy.empty((1, 2, 2, 1), np.float32), cupy.empty((1, 3, 257, 256), np.float32)
    filters.conv_filter(p, x, wide, 1)
    assert grids[0][0] >= 256 * 257
    assert grids[1][0] >= 256 * 256
    assert all(grid[0] < 1 << 31 and max(grid[1:]) < 1 << 16 for grid in grids)
