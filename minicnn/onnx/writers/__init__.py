"""Writers: one small function a kind of block, one file a family, as in `minicnn.blocks`."""

from minicnn.onnx.writers import (
    arithmetic,
    conv,
    linear,
    loss,
    norm,
    pointwise,
    pool,
    shapes,
    stacked,
)

__all__ = [
    "arithmetic",
    "conv",
    "linear",
    "loss",
    "norm",
    "pointwise",
    "pool",
    "shapes",
    "stacked",
]
