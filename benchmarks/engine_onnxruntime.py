"""How onnxruntime does the forward runs of the peer benchmark. Loaded by `peer_worker.py`.

All of its graph optimisations are on. Its threads go on spinning for some 50 ms after a run; that
is left as it is, because the calls of a turn gain from it. The worker waits until they sleep before
it ends its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime
from peer_works import Task

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    """onnxruntime's CPU provider.

    Parameters
    ----------
    threads : int
        How many it computes with within an operator.
    """

    def __init__(self, threads: int, device: str = "cpu") -> None:
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.log_severity_level = 3
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.options.graph_optimization_level = level
        self.versions = {"onnxruntime": onnxruntime.__version__}

    def forward(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One forward run."""
        session = onnxruntime.InferenceSession(
            task.file, self.options, providers=["CPUExecutionProvider"]
        )
        given = {session.get_inputs()[0].name: task.spec.images()}
        return lambda: {"output": session.run(None, given)[0]}
