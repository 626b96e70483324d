"""Resizing and sampling images."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.errors import ShapeError, UnsupportedOperatorError
from minicnn.onnx.registry import operator


@operator("Upsample")
def upsample_attributes(node: Any) -> Any:
    scales = node.attribute("scales")
    return _resize(node, scales=scales, coordinates="asymmetric", nearest="floor")


@operator("Upsample", since=9)
def upsample(node: Any) -> Any:
    scales = node.constant(1, "scales")
    return _resize(node, scales=scales, coordinates="asymmetric", nearest="floor")


@operator("Resize", since=10)
def resize_simple(node: Any) -> Any:
    """Where an axis shrinks, the nearest pixel is the next one: so say the tests of ONNX 1.5."""
    scales = node.constant(1, "scales")
    return _resize(node, scales=scales, coordinates="asymmetric", nearest="floor", shrunk="ceil")


@operator("Resize", since=11)
def resize(node: Any) -> Any:
    """Scales or sizes; since 18 for some axes only, keeping their proportions if asked."""
    scales, sizes = node.constant(2, "scales"), node.constant(3, "sizes")
    scales = None if scales is None or not len(scales) else scales
    return _resize(
        node,
        scales=scales,
        sizes=None if scales is not None else sizes,
        coordinates=node.attribute("coordinate_transformation_mode", "half_pixel"),
        nearest=node.attribute("nearest_mode", "round_prefer_floor"),
    )


def _resize(
    node: Any,
    *,
    coordinates: str,
    nearest: str,
    shrunk: str | None = None,
    scales: Any = None,
    sizes: Any = None,
) -> Any:
    x = node.shape()
    axes = [int(a) % len(x) for a in node.attribute("axes", range(len(x)))]
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(
        node.attribute("mode", "nearest"), node.attribute("mode", "nearest")
    )
    if scales is not None:
        factors = [float(s) for s in scales]
        outs = [int(np.floor(x[a] * s)) for a, s in zip(axes, factors, strict=True)]
    elif sizes is not None:
        outs = [int(n) for n in sizes]
        factors = [n / x[a] for a, n in zip(axes, outs, strict=True)]
        policy = node.attribute("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            one = (max if policy == "not_smaller" else min)(factors)
            factors = [one] * len(axes)
            outs = [int(np.floor(one * x[a] + 0.5)) for a in axes]
    else:
        raise ShapeError("neither scales nor sizes are given")
    if min(outs, default=1) < 1:
        raise ShapeError(f"{x} would become {outs} along axes {axes}: nothing is left")
    corners = _corners(node, axes) if coordinates == "tf_crop_and_resize" else {}
    value, beyond = node.inputs[0], False
    for axis, out, factor in zip(axes, outs, factors, strict=True):
        if out == x[axis] and factor == 1 and axis not in corners:
            continue
        block = B.Resize(
            axis,
            factor=factor if scales is not None else None,
            out=None if scales is not None else out,
            mode=mode,
            coordinates=coordinates,
            nearest=shrunk if shrunk and factor < 1 else nearest,
            cubic_a=node.attribute("cubic_coeff_a", -0.75),
            exclude_outside=bool(node.attribute("exclude_outside", 0)),
            antialias=bool(node.attribute("antialias", 0)),
            roi=corners.get(axis, (0.0, 1.0)),
            ratio=factor if scales is None else None,
        )
        beyond = beyond or axis in corners
        value = node.add(block, value)
    if beyond:
        value = _extrapolated(node, value, axes, outs, factors, corners, mode)
    return node.add(B.Identity()) if value is node.inputs[0] else value


def _corners(node: Any, axes: list[int]) -> dict[int, tuple[float, float]]:
    """Where the region of interest begins and ends, by axis."""
    roi = node.constant(1, "region of interest")
    if roi is None or len(roi) != 2 * len(axes):
        raise ShapeError(f"tf_crop_and_resize needs a region of {2 * len(axes)} numbers")
    return {axis: (float(roi[i]), float(roi[i + len(axes)])) for i, axis in enumerate(axes)}


def _extrapolated(
    node: Any, value: Any, axes: Any, outs: Any, factors: Any, corners: Any, mode: str
) -> Any:
    """What lies outside of the image gets one number."""
    node.depends_on_size()
    inside = np.ones(value.shape, bool)
    for axis, out, factor in zip(axes, outs, factors, strict=True):
        block = B.Resize(axis, out=out, mode=mode, coordinates="tf_crop_and_resize",
                         roi=corners[axis], ratio=factor)  # fmt: skip
        outside = block.outside(node.shape()[axis])
        inside &= ~outside.reshape([-1 if i == axis else 1 for i in range(inside.ndim)])
    if inside.all():
        return value
    other = node.make(np.full((), node.attribute("extrapolation_value", 0.0)))
    return node.add(B.Where(), node.make(inside), value, other)


@operator("GridSample", since=16)
def grid_sample(node: Any) -> Any:
    mode = node.attribute("mode", "linear")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    padding, corners = node.attribute("padding_mode", "zeros"), node.attribute("align_corners", 0)
    if mode not in ("linear", "nearest", "cubic"):
        raise UnsupportedOperatorError(f"sampling by {mode} does not exist")
    return node.add(B.GridSample(mode, padding, bool(corners)), 0, 1)


@operator("DepthToSpace")
def depth_to_space(node: Any) -> Any:
    mode = node.attribute("mode", "DCR")
    return node.add(B.DepthToSpace(node.attribute("blocksize"), mode == "DCR"))


@operator("SpaceToDepth")
def space_to_depth(node: Any) -> Any:
    return node.add(
        B.SpaceToDepth(node.attribute("blocksize"), node.attribute("mode", "DCR") == "DCR")
    )
