"""Resizing, sampling and windows against onnxruntime, at each opset that changed their meaning.

Left out is what onnxruntime does otherwise than ONNX's text, reference or node tests; comments at
the tables say what and why.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from onnx_cases import NEWEST, Case, F, by_version, case, check_cases, sweep, whole
from onnx_graphs import ints, noise

IMAGE = noise(1, 2, 5, 6)

# Resizing. Left out: coordinates that fall on the edge between two pixels but for rounding (here no
# factor and region does); align_corners where factor times length is no whole number (onnxruntime
# rounds it first, ONNX's node tests do not); tf_crop_and_resize with factor 1 (onnxruntime then
# ignores the region); negative axes with a policy (onnxruntime then does nothing).

COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = [
    {"mode": "nearest", "nearest_mode": how}
    for how in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
]
CUBIC = [
    {"mode": "cubic", **more} for more in sweep(cubic_coeff_a=[None, -0.5], exclude_outside=[0, 1])
]
MODES = [*NEAREST, {"mode": "linear"}, *CUBIC]
FACTORS = [(1, 1, 2, 1.75), (1, 1, 0.7, 0.55), (1, 1, 1, 3), (1, 1, 2.5, 0.5)]
WHOLE_FACTORS = [(1, 1, 2, 3), (1, 1, 1, 4), (1, 1, 3, 1)]
SIZES = [(1, 2, 9, 4), (1, 2, 5, 11), (1, 2, 1, 1), (1, 2, 3, 13), (1, 2, 10, 12)]
REGIONS = [(0, 0, 0.21, 0.13, 1, 1, 0.83, 0.97), (0, 0, -0.23, 0.31, 1, 1, 1.37, 0.64)]
NONE = np.zeros(0, F)


def by_factor(x, factors, at, **attributes):
    return case("Resize", x, NONE, F(factors), at=at, **attributes)


def by_size(x, sizes, at, **attributes):
    return case("Resize", x, NONE, NONE, ints(*sizes), at=at, **attributes)


def resizing() -> Iterator[Case]:
    for at, coordinates, x in [
        ((11, 13), COORDINATES, IMAGE),
        ((19, NEWEST), [*COORDINATES, "half_pixel_symmetric"], IMAGE),
        (18, [*COORDINATES], noise(1, 2, 1, 4)),
        (11, ["tf_half_pixel_for_nn"], IMAGE),
    ]:
        for name, mode in product(coordinates, MODES):
            how = {**mode, "coordinate_transformation_mode": name}
            factors = WHOLE_FACTORS if name == "align_corners" else FACTORS
            yield from (by_factor(x, f, at, **how) for f in factors if f[2] * x.shape[2] >= 1)
            if mode.get("nearest_mode") == "floor" and name == "half_pixel_symmetric":
                continue
            yield from (by_size(x, s, at, **how) for s in SIZES)
    for roi, mode, beyond, sizes in product(
        REGIONS, ("nearest", "linear", "cubic"), (None, 7.0), ((1, 2, 9, 4), (1, 2, 3, 14))
    ):
        yield case(
            "Resize", IMAGE, F(roi), None, ints(*sizes), at=(13, 18, 19, NEWEST), mode=mode,
            coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=beyond,
        )  # fmt: skip
    for name, mode, outside in product(COORDINATES, ("linear", "cubic"), (0, 1)):
        how = {"antialias": 1, "mode": mode, "exclude_outside": outside}
        how["coordinate_transformation_mode"] = name
        factors = WHOLE_FACTORS if name == "align_corners" else FACTORS
        yield from (by_factor(IMAGE, f, (18, NEWEST), **how) for f in factors)
        yield from (by_size(IMAGE, s, (18, NEWEST), **how) for s in SIZES)
    for name, mode, policy, axes, sizes in product(
        ("half_pixel", "asymmetric"), ("nearest", "linear", "cubic"),
        ("stretch", "not_larger", "not_smaller"), ([2, 3], [3, 2]), ((9, 4), (11, 5), (3, 3)),
    ):  # fmt: skip
        how = {"coordinate_transformation_mode": name, "mode": mode, "axes": axes}
        yield by_size(IMAGE, sizes, (18, 19, NEWEST), keep_aspect_ratio_policy=policy, **how)
    for mode in ("nearest", "linear"):
        newer = (13, 19, NEWEST)
        yield by_factor(IMAGE, (2,), (18, 19, NEWEST), mode=mode, axes=[-1])
        yield by_factor(noise(2, 3, 7), (1, 1, 2), newer, mode=mode)
        yield by_factor(noise(2, 3, 7), (1, 1, 0.6), newer, mode=mode)
        yield by_factor(noise(1, 2, 3, 4, 5), (1, 1, 2, 1.5, 0.7), newer, mode=mode)
        yield by_factor(whole(1, 2, 5, 6, low=0, dtype=np.uint8), (1, 1, 2, 1.75), newer)
        for factors in [*FACTORS, *WHOLE_FACTORS]:
            yield case("Resize", IMAGE, F(factors), at=10, mode=mode)
            if min(factors) >= 1:
                yield case("Upsample", IMAGE, at=7, mode=mode, scales=list(map(float, factors)))
                yield case("Upsample", IMAGE, F(factors), at=9, mode=mode)


# Sampling. At the border cubic taps are held and places are not, as onnxruntime and torch have it;
# ONNX's reference moves the place.

GRID = (np.random.default_rng(1).random((2, 4, 5, 2)) * 2.6 - 1.3).astype(F)
VOLUME_GRID = (np.random.default_rng(1).random((1, 2, 3, 4, 3)) * 2.6 - 1.3).astype(F)


def sampling() -> Iterator[Case]:
    for at, modes in [(16, ("bilinear", "nearest", "bicubic")),
                      ((20, 22), ("linear", "nearest", "cubic"))]:  # fmt: skip
        for how in sweep(
            mode=[*modes, None], padding_mode=["zeros", "border", "reflection"],
            align_corners=[0, 1],
        ):  # fmt: skip
            cubic = how["mode"] in ("bicubic", "cubic")
            for x, grid in product((noise(2, 3, 5, 7), noise(2, 3, 1, 7)), (GRID, 3 * GRID)):
                yield case("GridSample", x, grid, at=at, live=2, **how)
            if at != 16 and not cubic:
                yield case("GridSample", noise(1, 2, 3, 4, 5), VOLUME_GRID, at=at, live=2, **how)


# Windows. Left out: SAME pads where the stride exceeds the window (onnxruntime gives transposed
# convolutions other sizes than ONNX's text, and lets pooling begin inside of the image) and of
# dilated pooling (it ignores the dilation).


def windows() -> Iterator[Case]:
    x, w = noise(2, 4, 5, 4), noise(4, 3, 3, 4)
    old = (7, 11, 22)
    for how in sweep(
        strides=[None, [2, 3], [3, 1]], group=[1, 2],
        auto_pad=["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"],
    ):  # fmt: skip
        yield case("ConvTranspose", x, w, noise(3 * how["group"]), at=old, **how)
    for how in sweep(
        strides=[[2, 3]], output_padding=[None, [1, 1], [0, 2]], dilations=[None, [2, 1]],
        auto_pad=["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"],
    ):  # fmt: skip
        yield case("ConvTranspose", x, w, at=old, **how)
    for how in sweep(
        output_shape=[[10, 12], [11, 13], [9, 11], [12, 14], [8, 10]], strides=[[2, 3]],
        auto_pad=[None, "SAME_UPPER", "SAME_LOWER"], output_padding=[None, [1, 1]],
    ):  # fmt: skip
        yield case("ConvTranspose", x, w, at=old, **how)
    for how in sweep(pads=[None, [2, 1]], output_padding=[None, [1]], strides=[[2], [3]]):
        yield case("ConvTranspose", noise(2, 4, 6), noise(4, 3, 3), noise(3), at=old, **how)
    for how in sweep(
        strides=[None, [2, 1, 2]], pads=[None, [1, 0, 1, 0, 1, 1]], group=[None, 2],
        dilations=[None, [1, 2, 1]],
    ):  # fmt: skip
        yield case("ConvTranspose", noise(1, 4, 3, 4, 3), noise(4, 2, 2, 3, 2), at=old, **how)

    x, pads = noise(2, 3, 7, 9), [[0, 0, 0, 0], [1, 0, 2, 1], [1, 1, 1, 1]]
    auto = ["SAME_UPPER", "SAME_LOWER", "VALID"]
    window = {"kernel_shape": [3, 2]}
    for how in [
        *sweep(p=[None, 1, 3], strides=[None, [2, 2]], auto_pad=auto),
        *sweep(p=[None, 1, 3], strides=[None, [2, 3]], pads=pads),
    ]:
        yield case("LpPool", x, at=(7, 11, 18, 22), **window, **how)
    for how in sweep(p=[1, 2], strides=[[2, 2]], dilations=[[2, 1], [2, 2]], ceil_mode=[0, 1]):
        yield case("LpPool", x, at=(18, 22), **window, **how)
    yield case("LpPool", noise(2, 3, 9), at=(7, 18, 22), kernel_shape=[3])
    yield case("LpPool", noise(2, 3, 4, 5, 6), at=(7, 18, 22), kernel_shape=[2, 2, 2])
    for p, shape in product((None, 1, 2, 3), ((2, 3, 5, 4), (2, 3, 5), (1, 2, 3, 4, 5))):
        yield case("GlobalLpPool", noise(*shape), at=7, p=p)

    for how in [
        *sweep(storage_order=[0, 1], strides=[None, [2, 2]], auto_pad=auto, ceil_mode=[0, 1]),
        *sweep(
            storage_order=[0, 1], strides=[None, [2, 3]], pads=pads[:1], dilations=[None, [2, 1]],
            ceil_mode=[0, 1],
        ),
    ]:  # fmt: skip
        yield case("MaxPool", x, at=(10, 11, 12, 22), outputs=2, **window, **how)
    for order, shape in product((0, 1), ((2, 3, 9), (2, 3, 7, 9), (1, 2, 4, 5, 6))):
        wide = [3] * (len(shape) - 2)
        how = {"kernel_shape": wide, "storage_order": order, "outputs": 2}
        yield case("MaxPool", noise(*shape), at=(8, 12, 22), **how)
        how |= {"pads": [1] * 2 * len(wide), "strides": [2] * len(wide)}
        yield case("MaxPool", noise(*shape), at=(8, 12, 22), **how)
    yield case("MaxPool", F(np.zeros((1, 1, 4, 4))), at=(8, 22), outputs=2, kernel_shape=[2, 2])
    for dtype in (np.int8, np.uint8):
        pixels = whole(1, 2, 5, 6, low=0, dtype=dtype)
        yield case("MaxPool", pixels, at=(12, 22), outputs=2, kernel_shape=[2, 2])

    # Left out: MaxUnpool with an output shape (onnxruntime counts indices in the larger image,
    # ONNX's node test in the one that the window gives).
    places, pair = np.array([[0, 3], [12, 15]]), {"kernel_shape": [2, 2], "strides": [2, 2]}
    places = np.stack([places, places[::-1] + 16])[None]
    for live in (1, 2):
        yield case("MaxUnpool", noise(1, 2, 2, 2), places, at=(9, 11, 22), live=live, **pair)
    wide = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}
    yield case("MaxUnpool", noise(1, 1, 2, 2), places[:, :1], at=(9, 11, 22), **wide)
    row = {"kernel_shape": [2], "strides": [2]}
    yield case("MaxUnpool", noise(1, 1, 3), ints(0, 3, 5)[None, None], at=(9, 11, 22), **row)


FAMILIES = [resizing, sampling, windows]
TABLE = by_version(FAMILIES)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow, on purpose
@pytest.mark.parametrize(("op", "version"), TABLE, ids=lambda value: str(value))
def test_operator_gives_what_onnxruntime_gives(op, version, tmp_path):
    check_cases(TABLE[op, version], version, tmp_path)
