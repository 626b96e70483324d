"""Resize's taps and GridSample against ONNX's own definition, over a sweep of their settings."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from minicnn import blocks
from minicnn.errors import InputError

RNG = np.random.default_rng(11)


def reference(operator, arrays, opset=19, **attributes):
    """What the onnx package's reference says."""
    names = [f"i{i}" if a is not None else "" for i, a in enumerate(arrays)]
    node = helper.make_node(operator, names, ["y"], **attributes)
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, arrays)
        if n
    ]
    output = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)
    graph = helper.make_graph([node], "g", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    feeds = {n: a for n, a in zip(names, arrays) if n}
    return ReferenceEvaluator(model).run(None, feeds)[0]


COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
               "asymmetric", "tf_crop_and_resize"]  # fmt: skip
# Where scale times size is no whole number these go by the output's length, as the specification
# says; the reference takes the product.
BY_LENGTH = ["pytorch_half_pixel", "tf_crop_and_resize"]
MODES = [
    *[("nearest", {"nearest_mode": how})
      for how in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")],
    *[(mode, {"exclude_outside": e, "antialias": a})
      for mode in ("linear", "cubic") for e in (0, 1) for a in (0, 1)],
    ("cubic", {"cubic_coeff_a": -0.5}),
]  # fmt: skip


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize(("mode", "settings"), MODES, ids=str)
def test_resize_is_that_of_the_onnx_reference(coordinates, mode, settings):
    roi = (0.12, 1.3) if coordinates == "tf_crop_and_resize" else (0.0, 1.0)
    for size, scale in itertools.product((1, 2, 5, 8), (0.3, 0.5, 0.77, 1.3, 2.0, 3.5)):
        out, scales, sizes = int(size * scale), np.array([scale], np.float32), None
        if out < 1:
            continue
        if coordinates in BY_LENGTH:
            scale, scales, sizes = out / size, None, np.array([out])
        if out == 1 and coordinates == "pytorch_half_pixel":
            continue  # the reference has -1/2 where the specification says 0
        x = RNG.standard_normal(size)
        expected = reference(
            "Resize", [x, np.array(roi), scales, sizes], mode=mode, extrapolation_value=7.0,
            coordinate_transformation_mode=coordinates, **settings,
        )  # fmt: skip
        indices, weights, outside = blocks.resize_taps(
            size, out, scale if scales is None else float(scales[0]), mode, coordinates,
            settings.get("nearest_mode", ""), settings.get("cubic_coeff_a", -0.75),
            bool(settings.get("exclude_outside")), bool(settings.get("antialias")), roi,
        )  # fmt: skip
        y = np.where(outside, 7.0, blocks.Resample(0, indices, weights, size)(x))
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5, err_msg=f"{size} x {scale}")


def test_half_pixels_for_nearest_neighbours_of_tensorflow():
    indices, _, _ = blocks.resize_taps(4, 6, 1.5, "nearest", "tf_half_pixel_for_nn", "floor")
    assert indices[:, 0].tolist() == [0, 1, 1, 2, 3, 3]


def test_nearest_is_exact_where_division_is_not():
    """7 / (7 / 3) is a little less than 3 in floating point."""
    for size in range(1, 60):
        for out in range(1, 120):
            indices, _, _ = blocks.resize_taps(
                size, out, out / size, "nearest", "asymmetric", "floor"
            )
            assert (indices[:, 0] == np.arange(out) * size // out).all()


def test_what_resize_does_not_know_is_refused():
    for settings in [("area",), ("linear", "corners"), ("nearest", "half_pixel", "up")]:
        with pytest.raises(InputError, match="Resize"):
            blocks.resize_taps(4, 8, 2.0, *settings)
    with pytest.raises(InputError, match="1 or more"):
        blocks.resize_taps(4, 0, 0.1, "linear")


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample_is_that_of_the_onnx_reference(mode, padding, align):
    if (mode, padding) == ("cubic", "border"):
        pytest.skip("torch and onnxruntime hold only the taps at the border; so does minicnn")
    for size, out in [((4, 5), (3, 6)), ((3, 2, 4), (2, 2, 3))]:
        if len(size) == 3 and mode == "cubic":
            continue
        x = RNG.standard_normal((2, 2, *size)).astype(np.float32)
        grid = RNG.uniform(-2, 2, (2, *out, len(size))).astype(np.float32)
        expected = reference(
            "GridSample", [x, grid], 20, mode=mode, padding_mode=padding, align_corners=align
        )
        y = blocks.GridSample(mode, padding, bool(align))(x, grid)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
