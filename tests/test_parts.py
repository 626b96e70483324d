"""Parts of an image with changed boxes pasted in: compiled against the definition."""

import numpy as np
import pytest

from minicnn import kernels
from minicnn.kernels import reference


@pytest.mark.parametrize("channels", [1, 3, 16, 37])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 8), (14, 20)])
def test_parts_agree_with_the_definition(rng, channels, size):
    clean = rng.standard_normal((1, channels, 9, 11)).astype(np.float32)
    changed = rng.standard_normal((40, channels, 4, 3)).astype(np.float32)
    places = rng.integers(-6, 12, (40, 4))  # also beyond the image, and boxes beyond the parts
    found = kernels.parts(clean, changed, places, size, -7.5)
    assert found.shape == (40, channels, *size)
    np.testing.assert_array_equal(found, reference.parts(clean, changed, places, size, -7.5))


def test_double_precision_takes_the_definition(rng):
    clean, changed = rng.standard_normal((1, 2, 5, 5)), rng.standard_normal((2, 2, 1, 1))
    places = np.array([[0, 0, 1, 1], [-1, -1, 0, 0]])
    found = kernels.parts(clean, changed, places, (2, 2), 0.0)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[0, :, 1, 1], changed[0, :, 0, 0])
    np.testing.assert_array_equal(found[0, :, 0, 0], clean[0, :, 0, 0])
    np.testing.assert_array_equal(found[1, :, 1, 1], changed[1, :, 0, 0])
    np.testing.assert_array_equal(found[1, :, 0], 0)


def test_the_part_is_the_image_where_nothing_changed(rng):
    clean = rng.standard_normal((1, 4, 6, 6)).astype(np.float32)
    changed = np.empty((1, 4, 1, 1), np.float32)
    found = kernels.parts(clean, changed, np.array([[0, 0, 50, 50]]), (6, 6), 0.0)
    np.testing.assert_array_equal(found, clean)
