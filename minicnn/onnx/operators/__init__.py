"""One small function an operator and version; importing a family enters it into the registry."""

from minicnn.onnx.operators import arithmetic, constants, neural, shapes

__all__ = ["arithmetic", "constants", "neural", "shapes"]
