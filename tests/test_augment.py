"""Augmentation against its definition, written slowly; the same numbers give the same image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import set_threads
from minicnn.data import Augment
from minicnn.data.augment import uniform
from minicnn.errors import InputError, UnknownNameError
from minicnn.kernels.cpu.team import threads

FILLS = ["zero", "edge", "reflect"]


def at(image, u, v, fill):
    """A pixel of (H, W), or what stands beyond the border."""
    for place, size in ((u, image.shape[0]), (v, image.shape[1])):
        if fill == "zero" and not 0 <= place < size:
            return 0.0
    if fill == "edge":
        u, v = (min(max(p, 0), n - 1) for p, n in zip((u, v), image.shape, strict=True))
    if fill == "reflect":
        rows, columns = (np.pad(np.arange(n), 9 * n, "reflect") for n in image.shape)
        u, v = rows[u + 9 * image.shape[0]], columns[v + 9 * image.shape[1]]
    return float(image[u, v])


def slowly(image, row, side, fill):
    """One plane (H, W) moved as its row of the table says."""
    down, right, angle, factor, mirror, top, left = row
    height, width = image.shape
    y = np.zeros(image.shape)
    for i in range(height):
        for j in range(width):
            if top <= i < top + side and left <= j < left + side:
                continue
            column = width - 1 - j if mirror else j
            p, q = i - (height - 1) / 2 - down, column - (width - 1) / 2 - right
            u = (math.cos(angle) * p + math.sin(angle) * q) / factor + (height - 1) / 2
            v = (math.cos(angle) * q - math.sin(angle) * p) / factor + (width - 1) / 2
            u, v = round(u, 9), round(v, 9)
            a, b = math.floor(u), math.floor(v)
            for du, weight in ((0, 1 - (u - a)), (1, u - a)):
                for dv, other in ((0, 1 - (v - b)), (1, v - b)):
                    if weight * other > 0:
                        y[i, j] += weight * other * at(image, a + du, b + dv, fill)
    return y


@given(
    st.integers(0, 3), st.sampled_from([0.0, 30.0, 90.0]), st.sampled_from([0.0, 0.3]),
    st.booleans(), st.integers(0, 3), st.sampled_from(FILLS), st.integers(1, 7), st.integers(1, 7),
    st.booleans(),
)  # fmt: skip
def test_every_range_against_the_definition(
    shift, rotate, scale, flip, cutout, fill, high, wide, bytes_
):
    draw = np.random.default_rng([high, wide])
    images = draw.integers(0, 256, (3, 2, high, wide), dtype=np.uint8)
    images = images if bytes_ else (images / 255).astype(np.float32)
    augment = Augment(shift, rotate, scale, flip, cutout, fill)
    numbers = np.array([5, 9, 2])
    y = augment(images, numbers, (1, 2))
    table = augment.table(numbers, (1, 2), (high, wide))
    unit = 255.0 if bytes_ else 1.0
    for n in range(3):
        for c in range(2):
            want = slowly(images[n, c] / unit, table[n], cutout, fill)
            np.testing.assert_allclose(y[n, c], want, atol=2e-5)


def test_whole_shifts_and_flips_move_pixels_exactly():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (64, 3, 8, 8), dtype=np.uint8)
    y = Augment(shift=2, flip=True)(images, np.arange(64), (0,))
    padded = np.pad(images / np.float32(255), ((0, 0), (0, 0), (2, 2), (2, 2)))
    seen = set()
    for n in range(64):
        fits = [
            (i, j, f)
            for i in range(5)
            for j in range(5)
            for f in (1, -1)
            if np.allclose(padded[n, :, i : i + 8, j : j + 8][..., ::f], y[n], atol=1e-6)
        ]
        assert fits
        seen |= set(fits)
    assert len(seen) > 25  # of 50


def test_draws_depend_on_seed_and_number_alone():
    draw = np.random.default_rng(0)
    images = draw.random((40, 1, 6, 6)).astype(np.float32)
    augment = Augment(shift=2, rotate=20, scale=0.2, flip=True, cutout=2)
    numbers = np.arange(40)
    whole = augment(images, numbers, (7, 3))
    some = draw.permutation(40)[:11]
    np.testing.assert_array_equal(augment(images[some], numbers[some], (7, 3)), whole[some])
    assert (augment(images, numbers, (7, 4)) != whole).any()


def test_many_images_by_several_threads_are_the_same():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)
    augment = Augment(shift=2, rotate=20, cutout=2)  # heavy enough to be shared out
    numbers, before = np.arange(300), threads()
    whole = augment(images, numbers, (7, 3))
    try:
        set_threads(1)
        np.testing.assert_array_equal(augment(images, numbers, (7, 3)), whole)
    finally:
        set_threads(before)


def test_draws_are_even():
    draws = uniform(np.arange(20_000), (0,), 3)
    assert 0 <= draws.min() < draws.max() < 1
    for column in draws.T:
        counts = np.histogram(column, 10, (0, 1))[0]
        assert abs(counts - 2000).max() < 220  # five standard deviations
    assert abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 0.03
    table = Augment(shift=1, flip=True).table(np.arange(9000), (1,), (4, 4))
    assert abs(np.bincount((table[:, 0] + 1).astype(int)) - 3000).max() < 250
    assert abs(table[:, 4].mean() - 0.5) < 0.03


def test_parsed():
    assert Augment.parse("") == Augment()
    text = "shift=2, rotate=10,scale=0.1,flip,cutout=4,fill=edge"
    assert Augment.parse(text) == Augment(2, 10.0, 0.1, True, 4, "edge")
    for wrong in (
        "shifts=2",
        "shift=a",
        "shift",
        "flip=2",
        "scale=1",
        "shift=-1",
        "fill=none",
        "rotate=nan",
    ):
        with pytest.raises((InputError, UnknownNameError)):
            Augment.parse(wrong)
