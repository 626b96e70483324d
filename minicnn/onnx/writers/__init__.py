"""Writers: one small function a kind of block, one file a family, as in `minicnn.blocks`."""

from minicnn.onnx.writers import (
    arithmetic,
    choose,
    conv,
    grid,
    indexing,
    linear,
    loss,
    norm,
    pointwise,
    pool,
    rank,
    reduce,
    resize,
    shapes,
    stacked,
)

__all__ = [
    "arithmetic",
    "choose",
    "conv",
    "grid",
    "indexing",
    "linear",
    "loss",
    "norm",
    "pointwise",
    "pool",
    "rank",
    "reduce",
    "resize",
    "shapes",
    "stacked",
]
