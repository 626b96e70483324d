"""GPU kernels of LRN and softmax, run on the CPU from the same source, against the reference."""

import numpy as np
import pytest

from minicnn.kernels import reference, serving
from minicnn.kernels.gpu import normalise

SHAPES = [(1, 1, 2, 3), (2, 3, 4, 5), (3, 8, 1, 3), (2, 17, 3, 2), (1, 40, 3, 3), (2, 128, 1, 2)]
SETTINGS = [  # size, alpha, beta, bias: AlexNet's; even; one channel; all in registers; farther
    (5, 1e-1, 0.75, 1.0), (4, 0.3, 0.5, 2.0), (1, 1.0, 1.0, 1.0), (9, 1.0, 0.75, 0.5),
    (10, 0.5, 0.75, 2.0), (33, 2.0, 0.6, 1.0), (5, 1.0, 0.75, 0.0),
]  # fmt: skip
PARTS = [np.s_[:, 8:24], np.s_[:, 3:12], np.s_[:, 4:17], np.s_[:, :, 1:3, ::2], np.s_[1:, 1:9, 1:]]
CLOSE = {np.float32: {"rtol": 3e-6, "atol": 3e-6}, np.float64: {"rtol": 1e-12, "atol": 1e-12}}
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def exact(function, *arrays_and_settings):
    """A function of the reference in double precision."""
    doubles = [np.asarray(a, float) if np.ndim(a) else a for a in arrays_and_settings]
    with np.errstate(all="ignore"):
        return function(*doubles)


@pytest.mark.parametrize("shape", SHAPES)
@every_dtype
def test_lrn(cupy, rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    for settings in SETTINGS:
        y = normalise.lrn(cupy.array(x), *settings)
        assert y.dtype == dtype
        wanted = exact(reference.lrn, x, *settings)
        np.testing.assert_allclose(y.get(), wanted, **CLOSE[dtype], err_msg=str(settings))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("repeats", [1, 3])
@every_dtype
def test_lrn_transposed_at_fewer_images(cupy, rng, shape, repeats, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    x += np.sign(x)  # s^-1.75 is steep near 0 where the bias is 0
    p = rng.standard_normal((repeats * shape[0], *shape[1:])).astype(dtype)
    for settings in SETTINGS:
        y = normalise.lrn_transposed(cupy.array(p), cupy.array(x), *settings).get()
        wanted = exact(reference.lrn_transposed, p, np.concatenate([x] * repeats), *settings)
        np.testing.assert_allclose(y, wanted, **CLOSE[dtype], err_msg=str(settings))


@pytest.mark.parametrize("channels", [3, 8, 17, 24])
def test_lrn_without_bias_reads_nothing_beyond_the_channels(cupy, rng, channels):
    x, p = rng.standard_normal((2, 1, channels, 2, 2))
    x[:, [0, -1]] = 0  # so that s of a channel beyond would be 0, and its power infinite
    settings = (3, 1.0, 0.75, 0.0)
    got = normalise.lrn_transposed(cupy.array(p), cupy.array(x), *settings).get()
    wanted = reference.lrn_transposed(p, x, *settings)
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("size", [4, 5, 11])
def test_lrn_spoils_near_channels_only(cupy, rng, value, size):
    x, p = rng.standard_normal((2, 1, 40, 2, 2))
    for channel in (0, 7, 21, 39):
        bad_x, bad_p = x.copy(), p.copy()
        bad_x[0, channel, 1, 0] = bad_p[0, channel, 1, 0] = value
        pairs = [(bad_x,), (bad_p, x), (p, bad_x)]
        for pair in pairs:
            name = "lrn" if len(pair) == 1 else "lrn_transposed"
            got = getattr(normalise, name)(*map(cupy.array, pair), size, 0.1, 0.75, 1.0)
            wanted = exact(getattr(reference, name), *pair, size, 0.1, 0.75, 1.0)
            np.testing.assert_allclose(got.get(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_parts_of_larger_arrays(cupy, rng, part):
    whole, other = rng.standard_normal((2, 2, 24, 4, 4)).astype(np.float32)
    x, p = whole[part], other[part]
    on_card, signal = cupy.array(whole)[part], cupy.array(other)[part]
    last = cupy.array(np.ascontiguousarray(whole.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    for here in (on_card, last[part]):
        pairs = [
            (normalise.lrn(here, 5, 0.1, 0.75, 1.0), exact(reference.lrn, x, 5, 0.1, 0.75, 1.0)),
            (normalise.lrn_transposed(signal, here, 5, 0.1, 0.75, 1.0),
             exact(reference.lrn_transposed, p, x, 5, 0.1, 0.75, 1.0)),
            (normalise.softmax(here, 1), exact(reference.softmax, x, 1)),
            (normalise.log_softmax(here, -3), exact(reference.log_softmax, x, 1)),
        ]  # fmt: skip
        for got, wanted in pairs:
            np.testing.assert_allclose(got.get(), wanted, **CLOSE[np.float32])


ROWS = [(1, 1), (3, 10), (300, 3), (2, 300), (1, 1000), (3, 2600), (70, 8)]


@pytest.mark.parametrize("shape", [*SHAPES, *ROWS, (2, 21, 9, 11)])
@every_dtype
def test_softmax(cupy, rng, shape, dtype):
    x = (10 * rng.standard_normal(shape)).astype(dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else CLOSE[dtype]
    for axis in (*range(len(shape)), 1 - len(shape)):
        for name in ("softmax", "log_softmax"):
            got = getattr(normalise, name)(cupy.array(x), axis)
            assert got.dtype == dtype
            wanted = exact(getattr(reference, name), x, axis)
            np.testing.assert_allclose(got.get(), wanted, **tolerance, err_msg=f"{name} {axis}")


@pytest.mark.parametrize("channels", [5, 37])
def test_softmax_of_extremes(cupy, rng, channels):
    x = rng.standard_normal((7, channels)).astype(np.float32)
    x[0, :5] = [1e4, 0, -np.inf, 1e4, -1e30]
    x[1, 3] = np.nan
    x[2] = -np.inf
    x[3, [1, 4]] = np.inf, -np.inf
    x[4, 1:] = -np.inf
    x[5, :2] = np.nan, np.inf
    for name in ("softmax", "log_softmax"):
        got = getattr(normalise, name)(cupy.array(x), 1).get()
        wanted = exact(getattr(reference, name), x, 1)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)
        assert np.isnan(got[[1, 2, 3, 5]]).all()
        assert not np.isnan(got[[0, 4, 6]]).any()


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 3, 2, 3, 2)])
def test_other_ranks_are_served(cupy, rng, shape):
    x, p = rng.standard_normal((2, *shape))
    for name in ("softmax", "log_softmax"):
        for axis in range(len(shape)):
            got = getattr(serving, name)(cupy.array(x), axis).get()
            np.testing.assert_allclose(got, exact(getattr(reference, name), x, axis), atol=1e-12)
            got = getattr(normalise, name)(cupy.array(x), axis).get()
            np.testing.assert_allclose(got, exact(getattr(reference, name), x, axis), atol=1e-12)
    got = serving.lrn(cupy.array(x), 3, 0.1, 0.75, 1.0).get()
    np.testing.assert_allclose(got, reference.lrn(x, 3, 0.1, 0.75, 1.0), atol=1e-12)
    got = serving.lrn_transposed(cupy.array(p), cupy.array(x), 3, 0.1, 0.75, 1.0).get()
    np.testing.assert_allclose(got, reference.lrn_transposed(p, x, 3, 0.1, 0.75, 1.0), atol=1e-12)
