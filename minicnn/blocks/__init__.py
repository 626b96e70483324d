"""Blocks: each f with its transposed block beside it, one file a family.

`base` says what a block is. Forward, what it keeps and its transpose stand together in
`conv`, `relu`, `pool`, `linear`, `norm`, `shape`, `arithmetic`, `reduce`, `smooth` and `loss`.
"""

from minicnn.blocks.arithmetic import (
    Add,
    BroadcastTo,
    Divide,
    Multiply,
    Power,
    Scale,
    Subtract,
    SumTo,
)
from minicnn.blocks.base import OUTPUT, Block, Identity, Kept, Operand, Piece, Shape
from minicnn.blocks.conv import Conv, ConvFilter, ConvTranspose
from minicnn.blocks.linear import Linear, MatMul
from minicnn.blocks.loss import CrossEntropy, LogSoftmax, Softmax
from minicnn.blocks.norm import (
    LRN,
    BatchNorm,
    BatchNormTraining,
    ChannelSum,
    LRNTransposed,
    Normalise,
)
from minicnn.blocks.operators import Expression
from minicnn.blocks.pool import AveragePool, AverageUnpool, Gather, MaxPool, Unpool, UnpoolCenter
from minicnn.blocks.reduce import Mean, Sum
from minicnn.blocks.relu import (
    Clip,
    Dropout,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Mask,
    PReLU,
    ReLU,
)
from minicnn.blocks.shape import (
    Concat,
    Flatten,
    Pad,
    PadFromInside,
    Place,
    PutAdd,
    Reshape,
    Slice,
    Squeeze,
    Take,
    Transpose,
    Unsqueeze,
)
from minicnn.blocks.smooth import Exp, Log, Sigmoid, Tanh
from minicnn.blocks.stacked import Stacked
from minicnn.kernels import Packed, Window

__all__ = [
    "LRN",
    "OUTPUT",
    "Add",
    "AveragePool",
    "AverageUnpool",
    "BatchNorm",
    "BatchNormTraining",
    "Block",
    "BroadcastTo",
    "ChannelSum",
    "Clip",
    "Concat",
    "Conv",
    "ConvFilter",
    "ConvTranspose",
    "CrossEntropy",
    "Divide",
    "Dropout",
    "Exp",
    "Expression",
    "Flatten",
    "Gather",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Kept",
    "LRNTransposed",
    "LeakyReLU",
    "Linear",
    "Log",
    "LogSoftmax",
    "Mask",
    "MatMul",
    "MaxPool",
    "Mean",
    "Multiply",
    "Normalise",
    "Operand",
    "PReLU",
    "Packed",
    "Pad",
    "PadFromInside",
    "Piece",
    "Place",
    "Power",
    "PutAdd",
    "ReLU",
    "Reshape",
    "Scale",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Squeeze",
    "Stacked",
    "Subtract",
    "Sum",
    "SumTo",
    "Take",
    "Tanh",
    "Transpose",
    "Unpool",
    "UnpoolCenter",
    "Unsqueeze",
    "Window",
]
