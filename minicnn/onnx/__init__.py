"""Reading ONNX files.

`load` opens a file safely (`files`), resolves its names and constant subgraphs (`lower`), and turns
each operator into blocks by one small function an operator and version (`operators`).
"""

from minicnn.onnx.load import load

__all__ = ["load"]
