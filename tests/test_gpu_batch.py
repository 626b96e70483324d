"""GPU kernels of batch norm and of pasted parts, run on the CPU from the same source."""

import numpy as np
import pytest

from minicnn.kernels import reference, serving
from minicnn.kernels.gpu import batch, parts

SHAPES = [
    (1, 1, 1, 1), (1, 1, 2, 2), (2, 3, 5, 4), (3, 8, 3, 3), (2, 17, 9, 7), (4, 40, 9, 7), (70, 33),
    (9, 5), (2, 3, 40, 40), (5, 300), (1500, 12),
]  # fmt: skip
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
PARTS = [np.s_[:, 8:24], np.s_[:, 3:12], np.s_[:, 4:17], np.s_[:, :, 1:3, ::2], np.s_[1:, 1:9, 1:],
         np.s_[:, :, :1, :1], np.s_[:, :, :, 2:3]]  # fmt: skip


def over(x):
    return (0, *range(2, x.ndim))


def close(got, wanted, dtype, terms=0.0):
    """Within rounding of the largest number, or of the terms that it is the sum of."""
    scale = max(np.abs(wanted).max(), terms)
    tolerance = (4e-6 if dtype == np.float32 else 1e-13) * scale
    np.testing.assert_allclose(got.get(), wanted, rtol=0, atol=tolerance)
    assert got.dtype == dtype


@every_shape
@every_dtype
@pytest.mark.parametrize("offset", [0, 300, 1e4])
def test_statistics_are_those_of_float64_even_far_from_zero(cupy, rng, shape, dtype, offset):
    x = (rng.standard_normal(shape) + offset).astype(dtype)
    mean, variance = batch.batch_statistics(cupy.array(x))
    exact, axes = x.astype(np.longdouble), over(x)
    assert mean.dtype == variance.dtype == dtype
    few, many = (2e-7, 1e-5) if dtype == np.float32 else (1e-15, 1e-9)
    np.testing.assert_allclose(mean.get(), exact.mean(axes).astype(float), rtol=few, atol=10 * few)
    np.testing.assert_allclose(variance.get(), exact.var(axes).astype(float), rtol=many, atol=1e-9)
    total, scale = batch.pixel_sum(cupy.array(x)).get(), np.abs(exact).sum(axes)
    assert (np.abs(total - exact.sum(axes)) <= 1e-6 * scale).all()


def test_statistics_of_images_unlike_each_other(cupy, rng):
    x = rng.standard_normal((4, 5, 40, 40)) + 1e4
    x[:, :, :, 0] = 0  # black where blocks begin
    x[2:] += 1e5
    x = x.astype(np.float32)
    mean, variance = batch.batch_statistics(cupy.array(x))
    exact = x.astype(float)
    np.testing.assert_allclose(mean.get(), exact.mean((0, 2, 3)), rtol=2e-7)
    np.testing.assert_allclose(variance.get(), exact.var((0, 2, 3)), rtol=1e-6)
    constant = cupy.array(np.full((2, 9, 30, 30), 1e4 / 3, np.float32))
    assert (batch.batch_statistics(constant)[1].get() == 0).all()


@every_shape
@every_dtype
def test_batch_norm_and_its_transpose(cupy, rng, shape, dtype):
    x, p = rng.standard_normal((2, *shape)).astype(dtype) + dtype(3)
    gain, shift = rng.standard_normal((2, shape[1])).astype(dtype)
    card = {name: cupy.array(a) for name, a in
            (("x", x), ("p", p), ("gain", gain), ("shift", shift))}  # fmt: skip
    x, p, gain, shift = (a.astype(float) for a in (x, p, gain, shift))
    y = batch.batch_norm(card["x"], card["gain"], card["shift"], 1e-2)
    close(y, reference.batch_norm(x, gain, shift, 1e-2), dtype)
    found = batch.batch_norm_transposed(card["p"], card["x"], card["gain"], 1e-2)
    wanted = reference.batch_norm_transposed(p, x, gain, 1e-2)
    close(found[0], wanted[0], dtype, 10)
    for got, one in zip(found[1:], wanted[1:]):
        close(got, one, dtype, np.abs(p).sum(over(p)).max())


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_parts_of_larger_arrays_and_crooked_gains(cupy, rng, part):
    whole, other = rng.standard_normal((2, 2, 24, 4, 4))
    x, p = whole[part], other[part]
    gain, shift = rng.standard_normal((2, x.shape[1]))
    crooked = cupy.array(np.append(0, gain))[1:]
    last = cupy.array(np.ascontiguousarray(whole.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    plain = cupy.array(np.ascontiguousarray(x))
    for here in (cupy.array(whole)[part], last[part]):
        signal = cupy.array(other)[part]
        for got, same in zip(batch.batch_statistics(here), batch.batch_statistics(plain)):
            np.testing.assert_array_equal(got.get(), same.get())  # a layout changes no bits
        close(batch.pixel_sum(here), x.sum((0, 2, 3)), np.float64)
        got = batch.batch_norm(here, crooked, cupy.array(shift.astype(np.float32)), 1e-2)
        wanted = reference.batch_norm(x, gain, shift.astype(np.float32), 1e-2)
        close(got, wanted, np.float64)
        wanted = reference.batch_norm_transposed(p, x, gain, 1e-2)
        for got, one in zip(batch.batch_norm_transposed(signal, here, crooked, 1e-2), wanted):
            close(got, one, np.float64, 10)


def test_nan_spoils_its_channel_only(cupy, rng):
    x, p = rng.standard_normal((2, 2, 19, 5, 4)).astype(np.float32)
    x[1, 9, 2, 3] = np.nan
    ones = cupy.array(np.ones(19, np.float32))
    results = [
        *batch.batch_statistics(cupy.array(x)), batch.pixel_sum(cupy.array(x)),
        batch.batch_norm(cupy.array(x), ones, ones, 1e-5),
        *batch.batch_norm_transposed(cupy.array(p), cupy.array(x), ones, 1e-5)[:2],
    ]  # fmt: skip
    for got in results:
        channels = np.moveaxis(got.get(), 0 if got.ndim == 1 else 1, 0).reshape(19, -1)
        assert np.isnan(channels[9]).all()
        assert not np.isnan(np.delete(channels, 9, 0)).any()


@pytest.mark.parametrize("shape", [(4, 3, 7), (2, 3, 2, 3, 2)])
def test_other_ranks_are_served_and_by_kernels_too(cupy, rng, shape):
    x, p = rng.standard_normal((2, *shape))
    gain, shift = rng.standard_normal((2, shape[1]))
    x_there, p_there, gain_there, shift_there = map(cupy.array, (x, p, gain, shift))
    wanted = [
        *reference.batch_statistics(x), x.sum(over(x)), reference.batch_norm(x, gain, shift, 1e-2),
        *reference.batch_norm_transposed(p, x, gain, 1e-2),
    ]  # fmt: skip
    for module in (serving, batch):
        found = [
            *module.batch_statistics(x_there), module.pixel_sum(x_there),
            module.batch_norm(x_there, gain_there, shift_there, 1e-2),
            *module.batch_norm_transposed(p_there, x_there, gain_there, 1e-2),
        ]  # fmt: skip
        for got, one in zip(found, wanted, strict=True):
            close(got, one, np.float64, 10)


# Parts of images


@pytest.mark.parametrize("channels", [1, 3, 8, 17, 40])
@every_dtype
def test_pasted_parts(cupy, rng, channels, dtype):
    clean = rng.standard_normal((1, channels, 9, 8)).astype(dtype)
    changed = rng.standard_normal((5, channels, 3, 2)).astype(dtype)
    places = np.array([[0, 0, 1, 1], [-2, 3, -1, 4], [6, 5, 7, 9], [20, 20, 0, 0], [2, 1, 9, 9]])
    clean[0, 0, 1, 1], changed[0, 0, 0, 0] = np.nan, np.inf
    for size, filling in (((5, 6), 0.5), ((1, 1), -np.inf), ((12, 3), np.nan)):
        got = parts.parts(cupy.array(clean), cupy.array(changed), places, size, filling)
        wanted = reference.parts(clean, changed, places, size, filling)
        np.testing.assert_array_equal(got.get(), wanted)
        one = parts.parts(cupy.array(clean), cupy.array(changed[:1]), places[:1], size, filling)
        np.testing.assert_array_equal(one.get(), wanted[:1])


@pytest.mark.parametrize("part", [np.s_[:, 8:24], np.s_[:, 3:12], np.s_[:, :, 1:4, ::2]], ids=str)
def test_pasted_parts_of_larger_arrays(cupy, rng, part):
    clean = rng.standard_normal((1, 24, 9, 8)).astype(np.float32)
    changed = rng.standard_normal((2, 24, 5, 4)).astype(np.float32)
    places = np.array([[0, 0, 1, 1], [-1, 2, 3, 1]], np.int32)
    wanted = reference.parts(clean[part], changed[part], places, (4, 5), 0.0)
    got = parts.parts(cupy.array(clean)[part], cupy.array(changed)[part], places, (4, 5), 0.0)
    np.testing.assert_array_equal(got.get(), wanted)
