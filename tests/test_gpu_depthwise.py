"""The card's depthwise convolutions, run on the CPU from the same source, against the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from minicnn.kernels import Convolution, Packed, Window, reference
from minicnn.kernels.gpu import depthwise, images
from minicnn.kernels.gpu.depthwise import DEPTHWISE
from minicnn.kernels.gpu.ending import MASK, RECTIFY, Ending

# The fixture's module may serve many examples: kernels keep nothing between calls.
repeated = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
every_channels = pytest.mark.parametrize("channels", [1, 3, 8, 17, 40])


def both(cupy, rng, window, shape, dtype):
    """Forwards and transposed with biases, against the reference."""
    channels, size = shape[1], shape[2:]
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((channels, 1, *window.kernel)).astype(dtype)
    b = rng.standard_normal(channels).astype(dtype)
    p = rng.standard_normal((*shape[:2], *window.output_size(size))).astype(dtype)
    moved = [cupy.array(a) for a in (x, p, w, b)]
    pairs = [
        (DEPTHWISE.conv(moved[0], *moved[2:], window, channels),
         reference.conv(x, w, b, window, channels)),
        (DEPTHWISE.conv_transpose(moved[1], *moved[2:], window, channels, size),
         reference.conv_transpose(p, w, b, window, channels, size)),
    ]  # fmt: skip
    digits = 1e-12 if dtype == np.float64 else 2e-5
    for got, wanted in pairs:
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(got.get(), wanted, rtol=digits, atol=digits)


@every_channels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "window",
    [
        Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        Window((3, 3), (2, 2), (0, 1, 1, 0), (1, 1)),
        Window((5, 2), (1, 3), (2, -1, 2, 0), (1, 2)),
        Window((9, 8), (1, 1), (0, 0, 0, 0), (1, 1)),
    ],
    ids=["3x3", "stride 2", "cropping", "whole"],
)
def test_both_ways(cupy, rng, window, channels, dtype):
    both(cupy, rng, window, (2, channels, 9, 8), dtype)


@repeated
@given(data=st.data())
def test_any_geometry(cupy, data):
    few = st.tuples(*[st.integers(1, 3)] * 2)
    pads = st.tuples(*[st.integers(-1, 2)] * 4)
    window = Window(data.draw(few), data.draw(few), data.draw(pads), data.draw(few))
    size = data.draw(st.tuples(*[st.integers(1, 8)] * 2))
    assume(min(window.output_size(size)) > 0)
    shape = (2, data.draw(st.sampled_from([1, 8, 11])), *size)
    both(cupy, np.random.default_rng(data.draw(st.integers(0, 99))), window, shape, np.float64)


@every_channels
@pytest.mark.parametrize("transposed", [False, True])
def test_the_whole_ending_with_a_mode_an_image(cupy, rng, channels, transposed):
    window, size = Window((3, 2), (2, 1), (1, 0, 1, 1), (1, 2)), (9, 8)
    x = rng.standard_normal((4, channels, *(window.output_size(size) if transposed else size)))
    w = rng.standard_normal((channels, 1, 3, 2))
    if transposed:
        sums = reference.conv_transpose(x, w, None, window, channels, size)
        problem = Convolution.backward(x, w, window, channels, size)
    else:
        sums = reference.conv(x, w, None, window, channels)
        problem = Convolution.forward(x, w, window, channels)
    bias, scale, shift = rng.standard_normal((3, channels, 1, 1))
    residual = rng.standard_normal(sums.shape)
    mask = rng.random((2, *sums.shape[1:])) > 0.5  # of two images, for four
    modes = [0, MASK, RECTIFY, MASK | RECTIFY]
    wanted = (sums + bias) * scale + shift + residual
    wanted[[1, 3]] *= mask[[1, 1]]
    positive = wanted > 0
    wanted[2:] = np.maximum(wanted[2:], 0)

    y = images.new_image(cupy.array(x), sums.shape)
    signs = images.unfilled(y, y.shape)
    ending = Ending(
        *(images.per_channel(cupy.array(a), y) for a in (bias, scale, shift)),
        residual=images.channels_last(cupy.array(residual)), signs=signs,
        modes=cupy.array(np.int32(modes)), mask=Packed.pack(cupy.array(mask)),
    )  # fmt: skip
    packed = depthwise.pack(cupy.array(w), channels, transposed)
    depthwise.run(images.channels_last(cupy.array(x)), packed, problem, y, ending)
    np.testing.assert_allclose(y.get(), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(signs.unpack().get(), positive)


def test_parts_of_larger_arrays(cupy, rng):
    """Channels that begin at no multiple of four, and results among others'."""
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    whole = rng.standard_normal((2, 24, 5, 6)).astype(np.float32)
    there = cupy.array(whole).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    for part in (slice(8, 16), slice(3, 12)):
        x = whole[:, part]
        channels = x.shape[1]
        w = rng.standard_normal((channels, 1, 3, 3)).astype(np.float32)
        y = images.new_image(there, whole.shape)
        y[...] = 7
        packed = depthwise.pack(cupy.array(w), channels, False)
        problem = Convolution.forward(x, w, window, channels)
        depthwise.run(there[:, part], packed, problem, y[:, part], Ending())
        wanted = np.full_like(whole, 7)
        wanted[:, part] = reference.conv(x, w, None, window, channels)
        np.testing.assert_allclose(y.get(), wanted, rtol=2e-5, atol=2e-5)


def test_what_it_is_not_for():
    window = Window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1))
    for channels, filters, groups in ((4, 4, 2), (4, 8, 4), (1, 1, 1)):
        assert depthwise.why_not(Convolution(channels, filters, (3, 3), window, groups))
    assert not depthwise.why_not(Convolution(4, 4, (3, 3), window, 4))
