"""Which blocks can be part of a CUDA graph: those whose work is kernels on the card's arrays alone.

What is not listed is not captured: CuPy's own functions may copy from the host without a word, and
a graph would copy from memory that is gone. Before a block comes here, read in CuPy what its
forward calls; `tests/test_gpu_blocks.py` then captures every case of it and replays it on other
numbers.

Tables that a block copies to the card are there after a plan's first run. Average pools of other
ranks than two copy in every run, which is told when it is tried.
"""

from __future__ import annotations

from minicnn import blocks as B

__all__ = ["CAPTURABLE"]

CAPTURABLE = (
    B.Abs, B.Add, B.AveragePool, B.AverageUnpool, B.BatchNorm, B.BroadcastTo, B.Celu, B.Clip,
    B.Cos, B.DepthToSpace, B.Divide, B.Elu, B.Erf, B.Exp, B.Flatten, B.Gather, B.Gelu,
    B.GroupNormalise, B.HardSigmoid, B.HardSwish, B.Identity, B.LeakyReLU, B.Log, B.LogSoftmax,
    B.LRN, B.LRNTransposed, B.Mask, B.Maximum, B.MaxPool, B.Mean, B.Minimum, B.Mish, B.Multiply,
    B.Normalise, B.Pad, B.PadFromInside, B.Place, B.Power, B.PReLU, B.PutAdd, B.ReLU, B.Resample,
    B.ResampleTransposed, B.Reshape, B.Resize, B.Scale, B.Selu, B.Sigmoid, B.Sign, B.Sin, B.Slice,
    B.Softmax, B.Softplus, B.Softsign, B.SpaceToDepth, B.Sqrt, B.Squeeze, B.Subtract, B.Sum,
    B.SumTo, B.Swish, B.Take, B.Tanh, B.ThresholdedReLU, B.Transpose, B.Unpool, B.UnpoolCenter,
    B.Unsqueeze,
)  # fmt: skip
