"""Module paths: which layer of a torch model a node comes from, e.g. "features.3".

torch's exporter notes the scopes around a node in its metadata, as a printed list of strings
(`pkg.torch.onnx.name_scopes`: "['', 'features', 'features.3', 'conv2d']", the node itself last);
the older one writes them into the node's name ("/features/features.3/Conv").
"""

from __future__ import annotations

import ast

import onnx

__all__ = ["MODULE_KEY", "module_path"]

MODULE_KEY = "minicnn.module"  # what files written by minicnn say


def module_path(proto: onnx.NodeProto) -> str:
    """The module path that a node's file states, or ""."""
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    if MODULE_KEY in facts:
        return facts[MODULE_KEY]
    if "pkg.torch.onnx.name_scopes" in facts:
        try:
            scopes = ast.literal_eval(facts["pkg.torch.onnx.name_scopes"])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ""
        within = scopes[:-1] if isinstance(scopes, list) else []
        return within[-1] if within and isinstance(within[-1], str) else ""
    return _joined(proto.name.split("/")[1:-1]) if proto.name.startswith("/") else ""


def _joined(scopes: list[str]) -> str:
    """Scopes as one path: layer1, layer1.0, conv1 is layer1.0.conv1."""
    path: list[str] = []
    for scope in filter(None, scopes):
        if path and scope.startswith(path[-1] + "."):
            path[-1] = scope
        else:
            path.append(scope)
    return ".".join(path)
