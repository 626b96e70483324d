"""Reading and writing ONNX files.

`load` opens a file safely (`files`), resolves its names and constant subgraphs (`lower`), and turns
each operator into blocks by one small function an operator and version (`operators`). `save` turns
each block into operators by one small function a block (`writers`); `writer` adds one for a block
of your own.
"""

from minicnn.onnx.check import FileReport, check
from minicnn.onnx.load import load
from minicnn.onnx.save import save
from minicnn.onnx.writers.registry import writer

__all__ = ["FileReport", "check", "load", "save", "writer"]
