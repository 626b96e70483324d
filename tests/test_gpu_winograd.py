"""Winograd's convolutions of the card, run on the CPU from the same source."""

import numpy as np
import pytest
from endings import check_ending

from minicnn.kernels import Convolution, Window, reference
from minicnn.kernels.gpu.winograd import Winograd, by_cublas

# channels, filters, size, pads
CASES = [
    (8, 16, (8, 8), (1, 1, 1, 1)),
    (3, 5, (7, 9), (0, 2, 1, 0)),
    (16, 40, (5, 5), (2, 2, 2, 2)),
    (4, 4, (9, 6), (-1, 1, 0, -1)),
    (1, 1, (3, 3), (0, 0, 0, 0)),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("made", [2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways(cupy, rng, case, made, dtype):
    channels, filters, size, pads = case
    window = Window((3, 3), (1, 1), pads, (1, 1))
    x = rng.standard_normal((2, channels, *size)).astype(dtype)
    w = rng.standard_normal((filters, channels, 3, 3)).astype(dtype)
    b = rng.standard_normal(filters).astype(dtype)
    p = rng.standard_normal((2, filters, *window.output_size(size))).astype(dtype)
    move, method = (
        cupy.array,
        Winograd(made, by_cublas if channels == 8 else Winograd(2).products),
    )
    wanted = reference.conv(x, w, b, window, 1)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    got = method.method().conv(move(x), move(w), move(b), window, 1).get()
    np.testing.assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max())
    wanted = reference.conv_transpose(p, w, None, window, 1, size)
    got = method.method().conv_transpose(move(p), move(w), None, window, 1, size).get()
    np.testing.assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("made", [2, 4])
def test_endings(cupy, rng, made):
    check_ending(cupy, rng, Winograd(made), 6, 35)


def test_where_it_does_not_apply():
    window = Window((3, 3), (2, 1), (1, 1, 1, 1), (1, 1))
    assert "stride 1" in Winograd.why_not(Convolution(8, 8, (9, 9), window))
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    assert "one group" in Winograd.why_not(Convolution(8, 8, (9, 9), window, 2))
    assert not Winograd.why_not(Convolution(8, 8, (9, 9), window))
