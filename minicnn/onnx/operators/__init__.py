"""One small function an operator and version; importing a family enters it into the registry."""

from minicnn.onnx.operators import (
    activations,
    arithmetic,
    comparisons,
    constants,
    control,
    indexing,
    neural,
    normalisation,
    pooling,
    quantisation,
    reductions,
    resizing,
    shapes,
)

__all__ = [
    "activations",
    "arithmetic",
    "comparisons",
    "constants",
    "control",
    "indexing",
    "neural",
    "normalisation",
    "pooling",
    "quantisation",
    "reductions",
    "resizing",
    "shapes",
]
