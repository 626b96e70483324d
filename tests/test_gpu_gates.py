"""GPU kernels of gates and bits, run on the CPU from the same source, against the reference."""

import numpy as np
import pytest

from minicnn.kernels import Packed, reference
from minicnn.kernels.gpu import gates

SHAPES = [(1, 3, 4, 5), (2, 8, 3, 3), (2, 17, 1, 7), (3, 40, 2, 2), (4, 10), (1, 1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_and_masks(cupy, rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    x.flat[0] = 0
    y, mask = gates.relu(cupy.array(x))
    expected, expected_mask = reference.relu(x)
    np.testing.assert_array_equal(y.get(), expected)
    np.testing.assert_array_equal(mask.planes.get(), expected_mask.planes)
    p = rng.standard_normal(shape).astype(dtype)
    np.testing.assert_array_equal(
        gates.masked(cupy.array(p), mask).get(), reference.masked(p, expected_mask)
    )


def test_masks_repeat_over_a_larger_batch_and_nan_stays(cupy, rng):
    x = rng.standard_normal((2, 9, 3, 2)).astype(np.float32)
    p = rng.standard_normal((6, 9, 3, 2)).astype(np.float32)
    x[0, 0, 0, 0] = np.nan
    y, mask = gates.relu(cupy.array(x))
    assert np.isnan(y.get()[0, 0, 0, 0])
    expected = reference.masked(p, reference.relu(x)[1])
    np.testing.assert_array_equal(gates.masked(cupy.array(p), mask).get(), expected)


@pytest.mark.parametrize("shape", [*SHAPES, (), (5,), (2, 3, 4), (2, 9, 2, 3, 2)])
@pytest.mark.parametrize("levels", [1, 2, 3, 9, 300])
def test_bits_are_those_of_the_host(cupy, rng, shape, levels):
    values = rng.integers(0, levels, shape)
    packed, expected = Packed.pack(cupy.array(values), levels), Packed.pack(values, levels)
    np.testing.assert_array_equal(packed.planes.get(), expected.planes)
    unpacked = packed.unpack()
    np.testing.assert_array_equal(unpacked.get(), values)
    assert unpacked.dtype == expected.unpack().dtype
    np.testing.assert_array_equal(packed.to("cpu").unpack(), values)


def test_parts_of_larger_arrays(cupy, rng):
    whole = rng.standard_normal((2, 24, 4, 4)).astype(np.float32)
    on_card = cupy.array(whole)
    for part in (np.s_[:, 8:16], np.s_[:, 3:12], np.s_[:, :, 1:3, ::2]):
        y, mask = gates.relu(on_card[part])
        np.testing.assert_array_equal(y.get(), np.maximum(whole[part], 0))
        np.testing.assert_array_equal(mask.unpack().get(), whole[part] > 0)
