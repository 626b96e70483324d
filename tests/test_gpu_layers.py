"""The card's kernels of pooling, norms and learning beyond what the block table shows."""

import numpy as np
import pytest

from minicnn.kernels import Convolution, Packed, Window, reference
from minicnn.kernels.gpu import batch, depthwise, images, learning, normalise, parts, pooling
from minicnn.kernels.gpu.ending import MASK, RECTIFY, Ending

WINDOWS = {
    "2x2": Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
    "overlapping": Window((3, 3), (2, 2), (1, 0, 1, 1), (1, 1)),
    "ceil": Window((3, 2), (2, 3), (0, 1, 0, 0), (1, 1), True),
    "dilated": Window((2, 3), (1, 2), (0, 1, 1, 1), (2, 2)),
    "cropping": Window((2, 2), (1, 1), (-1, 0, 0, -2), (1, 1)),
    "whole": Window((9, 8), (1, 1), (0, 0, 0, 0), (1, 1)),
    "one tap": Window((1, 1), (2, 2), (0, 0, 0, 0), (1, 1)),
}
every_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
every_channels = pytest.mark.parametrize("channels", [1, 3, 8, 17, 40])


@every_window
@every_channels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pooling(cupy, rng, window, channels, dtype):
    x = rng.integers(-2, 3, (2, channels, 9, 8)).astype(dtype)  # with ties
    x.flat[3] = np.nan
    y, switches = pooling.max_pool(cupy.array(x), window)
    expected, kept = reference.max_pool(x, window)
    np.testing.assert_array_equal(y.get(), expected)
    np.testing.assert_array_equal(switches.planes.get(), kept.planes)
    p = rng.standard_normal((6, *expected.shape[1:])).astype(dtype)
    q = rng.standard_normal((2, channels, 9, 8)).astype(dtype)
    three = Packed.pack(np.concatenate([kept.unpack()] * 3), window.volume)
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    pairs = [
        (pooling.unpool(cupy.array(p), switches, window, (9, 8)),  # repeated over the batch
         reference.unpool(p, three, window, (9, 8))),
        (pooling.gather(cupy.array(q), switches, window), reference.gather(q, kept, window)),
        (pooling.unpool_center(cupy.array(p), window, (9, 8)),
         reference.unpool_center(p, window, (9, 8))),
    ]  # fmt: skip
    for include in (False, True):
        pairs += [
            (pooling.average_pool(cupy.array(q), window, include),
             reference.average_pool(q, window, include)),
            (pooling.average_unpool(cupy.array(p), window, include, (9, 8)),
             reference.average_unpool(p, window, include, (9, 8))),
        ]  # fmt: skip
    for got, wanted in pairs:
        np.testing.assert_allclose(got.get(), wanted, **tolerance)


@every_channels
@pytest.mark.parametrize("transposed", [False, True])
def test_depthwise_with_an_ending(cupy, rng, channels, transposed):
    window = Window((3, 2), (2, 1), (1, 0, 1, 1), (1, 2))
    size = (9, 8)
    x = rng.standard_normal((2, channels, *(window.output_size(size) if transposed else size)))
    w, b = rng.standard_normal((channels, 1, 3, 2)), rng.standard_normal(channels)
    if transposed:
        plain = reference.conv_transpose(x, w, b, window, channels, size)
        problem = Convolution.backward(x, w, window, channels, size)
    else:
        plain = reference.conv(x, w, b, window, channels)
        problem = Convolution.forward(x, w, window, channels)
    mask = rng.random((1, *plain.shape[1:])) > 0.5
    wanted = np.maximum(np.where(mask, plain, 0), 0)
    y = images.new_image(cupy.array(x), plain.shape)
    signs = images.unfilled(y, y.shape)
    ending = Ending(
        bias=cupy.array(b), mask=Packed.pack(cupy.array(mask)), mode=MASK | RECTIFY, signs=signs
    )
    packed = depthwise.pack(cupy.array(w), channels, transposed)
    depthwise.run(images.channels_last(cupy.array(x)), packed, problem, y, ending)
    np.testing.assert_allclose(y.get(), wanted, atol=1e-12)
    np.testing.assert_array_equal(signs.unpack().get(), np.where(mask, plain, 0) > 0)


@every_channels
def test_lrn_and_its_transpose_at_fewer_images(cupy, rng, channels):
    x = rng.standard_normal((2, channels, 3, 4))
    p = rng.standard_normal((6, channels, 3, 4))
    for size, alpha, beta, bias in ((5, 1e-1, 0.75, 1.0), (4, 0.3, 0.5, 2.0), (1, 1.0, 1.0, 1.0)):
        settings = (size, alpha, beta, bias)
        got = normalise.lrn(cupy.array(x), *settings).get()
        np.testing.assert_allclose(got, reference.lrn(x, *settings), rtol=1e-12)
        got = normalise.lrn_transposed(cupy.array(p), cupy.array(x), *settings).get()
        wanted = reference.lrn_transposed(p, np.concatenate([x] * 3), *settings)
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 10), (2, 300), (2, 5, 3, 2), (1, 17, 1, 1)])
def test_softmax(cupy, rng, shape):
    x = 50 * rng.standard_normal(shape)
    for axis in range(len(shape)):
        for name in ("softmax", "log_softmax"):
            got = getattr(normalise, name)(cupy.array(x), axis).get()
            wanted = getattr(reference, name)(x, axis)
            np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (4, 40, 9, 7), (70, 33), (1, 1, 2, 2)])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_statistics_keep_their_digits(cupy, rng, shape, offset):
    x = (rng.standard_normal(shape) + offset).astype(np.float32)
    mean, variance = batch.batch_statistics(cupy.array(x))
    axes = (0, *range(2, len(shape)))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean.get(), exact.mean(axes), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance.get(), exact.var(axes), rtol=2e-5, atol=1e-7)
    total = batch.pixel_sum(cupy.array(x)).get()
    np.testing.assert_allclose(total, exact.sum(axes), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 40, 4, 3), (9, 5)])
def test_batch_norm_and_its_transpose(cupy, rng, shape):
    x, p = rng.standard_normal((2, *shape))
    gain, shift = rng.standard_normal((2, shape[1]))
    moved = [cupy.array(a) for a in (x, gain, shift)]
    got = batch.batch_norm(*moved, 1e-5).get()
    np.testing.assert_allclose(got, reference.batch_norm(x, gain, shift, 1e-5), atol=1e-10)
    got = batch.batch_norm_transposed(cupy.array(p), moved[0], moved[1], 1e-5)
    for a, b in zip(got, reference.batch_norm_transposed(p, x, gain, 1e-5)):
        np.testing.assert_allclose(a.get(), b, atol=1e-10)


@pytest.mark.parametrize("in_one_piece", [True, False])
def test_optimisers(cupy, rng, in_one_piece):
    sgd = [{"rate": 0.1}, {"rate": 0.1, "momentum": 0.9, "dampening": 0.1, "decay": 0.01},
           {"rate": 0.1, "momentum": 0.9, "nesterov": True}]  # fmt: skip
    adam = [{"rate": 0.01}, {"rate": 0.01, "decay": 0.1}, {"rate": 0.01, "decay": 0.1,
            "decoupled": True, "betas": (0.8, 0.99)}]  # fmt: skip
    gradient = rng.standard_normal((6, 5))

    def start(make):
        arrays = [make(a) for a in (np.ones((6, 5)), np.zeros((6, 5)), np.zeros((6, 5)))]
        return arrays if in_one_piece else [a[:, ::2] for a in arrays]

    cut = np.s_[:] if in_one_piece else np.s_[:, ::2]
    there = cupy.array(gradient)[cut]
    for settings in sgd:
        host, card = start(np.array), start(cupy.array)
        some = 2 if "momentum" in settings else 1
        for _ in range(3):
            reference.sgd(*_signed(host[:some], gradient[cut]), **settings)
            learning.sgd(*_signed(card[:some], there), **settings)
        np.testing.assert_allclose(card[0].get(), host[0], rtol=1e-12)
    for settings in adam:
        host, card = start(np.array), start(cupy.array)
        for step in (1, 2, 3):
            reference.adam(host[0], gradient[cut], *host[1:], step, **settings)
            learning.adam(card[0], there, *card[1:], step, **settings)
        np.testing.assert_allclose(card[0].get(), host[0], rtol=1e-12)


def _signed(arrays, gradient):
    return (arrays[0], gradient, *arrays[1:])


@pytest.mark.parametrize("channels", [3, 16])
def test_parts(cupy, rng, channels):
    clean = rng.standard_normal((1, channels, 9, 8))
    changed = rng.standard_normal((4, channels, 3, 2))
    places = np.array([[0, 0, 1, 1], [-2, 3, -1, 4], [6, 5, 7, 9], [20, 20, 0, 0]])
    got = parts.parts(cupy.array(clean), cupy.array(changed), places, (5, 6), 0.5).get()
    np.testing.assert_array_equal(got, reference.parts(clean, changed, places, (5, 6), 0.5))
