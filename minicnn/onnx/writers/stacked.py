"""Writer of blocks side by side in one batch: each part by its own writers."""

from __future__ import annotations

from typing import Any

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer


@writer(B.Stacked)
def stacked(call: Any) -> Any:
    parts = call.block.parts
    rows = call.fixed(0, slice(1))[0] // len(parts)
    results = []
    for i, chain in enumerate(parts):
        part = call.write(B.Slice((slice(i * rows, (i + 1) * rows),)), call[0])
        for block in chain:
            part = call.write(block, part)
        results.append(part)
    return call.node("Concat", *results, axis=0)
