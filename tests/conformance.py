"""A conformance kit for backward rules: tiny networks, hand-computed arrays for every letter code.

Each case is an ONNX model of a few nodes, an input, a top signal p, and the signal that must arrive
at the input for each code (ReLU mask, pooling switches, backward ReLU, LRN identity). The
arithmetic is small enough to follow in the comments, and none of it was produced by minicnn, so the
kit can audit any implementation that reads ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CODES = ("TTT", "TFT", "FFT", "FTT", "TTF", "TFF", "FFF", "FTF")


@dataclass(frozen=True)
class Case:
    """A tiny network, what goes in at both ends, and what must come out below."""

    name: str
    nodes: list
    x: list
    p: list
    expected: dict  # code -> signal at the input
    weights: dict = field(default_factory=dict)
    shape: tuple = ()  # of x, where it is not (1, 1, 1, n)

    def input(self) -> np.ndarray:
        return np.array(self.x, np.float32).reshape(self.shape or (1, 1, 1, -1))

    def model(self) -> onnx.ModelProto:
        shape = list(self.input().shape)
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(self.nodes[-1].output[0], TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.array(w, np.float32), n) for n, w in self.weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _node(kind, inputs, output, **settings):
    return helper.make_node(kind, inputs.split(), [output], **settings)


def _by_letters(table: dict) -> dict:
    """Expand patterns such as "T.F" (a dot: any letter) to codes."""
    found = {}
    for code in CODES:
        for pattern, values in table.items():
            if all(a in (b, ".") for a, b in zip(pattern, code, strict=True)):
                assert code not in found, f"two entries for {code}"
                found[code] = values
    assert len(found) == len(CODES), "an entry for every code"
    return found


RELU = Case(
    "one ReLU",
    [_node("Relu", "x", "y")],
    x=[1, -2, 3, -4, 0],
    p=[5, 6, -7, -8, 9],
    # the mask is 1 0 1 0 0: the gate is strict, nothing passes at x = 0
    expected=_by_letters(
        {
            "T.F": [5, 0, -7, 0, 0],
            "F.T": [5, 6, 0, 0, 9],
            "T.T": [5, 0, 0, 0, 0],
            "F.F": [5, 6, -7, -8, 9],
        }
    ),
)

OVERLAP = Case(
    "overlapping pools add",
    [_node("MaxPool", "x", "y", kernel_shape=[1, 3], strides=[1, 2])],
    x=[1, 2, 9, 3, 4],
    p=[10, 1],
    # windows (1 2 9) and (9 3 4): both choose the 9, so 10 + 1 arrive there; centres are 2 and 3
    expected=_by_letters({".T.": [0, 0, 11, 0, 0], ".F.": [0, 10, 0, 1, 0]}),
)

TIES = Case(
    "ties and an all-zero window",
    [
        _node("Relu", "x", "r"),
        _node("MaxPool", "r", "y", kernel_shape=[1, 2], strides=[1, 2]),
    ],
    x=[-1, -2, 3, 3],
    p=[7, 8],
    # after the ReLU 0 0 | 3 3: the first of equals wins, in the all-zero window too. The mask
    # 0 0 1 1 then kills the 7; without it the 7 passes. For windows of 2 the centre is the first.
    expected=_by_letters({"T..": [0, 0, 8, 0], "F..": [7, 0, 8, 0]}),
)

ASYMMETRIC = Case(
    "pads on one side only",
    [_node("MaxPool", "x", "y", kernel_shape=[1, 2], strides=[1, 2], pads=[0, 1, 0, 0])],
    x=[-4, 6, 5],
    p=[1, 2],
    # windows (-inf -4) and (6 5): padding never wins, not even over -4. The centre of the first
    # window lies in the padding, where the signal is lost.
    expected=_by_letters({".T.": [1, 2, 0], ".F.": [0, 2, 0]}),
)

CEIL = Case(
    "a last window that reaches over the edge",
    [_node("MaxPool", "x", "y", kernel_shape=[1, 3], strides=[1, 2], ceil_mode=1)],
    x=[1, 2, 3, 8],
    p=[5, 7],
    # windows (1 2 3) and (3 8 -): winners 3 and 8; centres 2 and 8
    expected=_by_letters({".T.": [0, 0, 5, 7], ".F.": [0, 5, 0, 7]}),
)

CHAIN = Case(
    "conv, ReLU, overlapping pool, conv, ReLU",
    [
        _node("Conv", "x w1", "c1"),
        _node("Relu", "c1", "r1"),
        _node("MaxPool", "r1", "m", kernel_shape=[1, 2], strides=[1, 1]),
        _node("Conv", "m w2", "c2"),
        _node("Relu", "c2", "y"),
    ],
    x=[0, -1, 2, -2, -1],
    p=[1],
    weights={"w1": [[[[1, -1]]]], "w2": [[[[-1, 2, 1]]]]},
    # c1 = x_i - x_i+1 = 1 -3 4 -1; r1 = 1 0 4 0; m = 1 4 4, winners 0 2 2; c2 = -1 + 8 + 4 = 11.
    # Back: p = 1 through the upper ReLU; its conv gives -1 2 1 at m;
    #   by switches  -1 0 3 0 (2 and 1 add up);   to the centres (first taps)  -1 2 1 0.
    # Lower ReLU, mask 1 0 1 0; then q_0, q_1 - q_0, q_2 - q_1, q_3 - q_2, -q_3.
    expected={
        "TTT": [0, 0, 3, -3, 0],  # 0 0 3 0
        "FTT": [0, 0, 3, -3, 0],  # 0 0 3 0
        "TFT": [0, 0, 1, -1, 0],  # 0 0 1 0
        "FFT": [0, 2, -1, -1, 0],  # 0 2 1 0
        "TTF": [-1, 1, 3, -3, 0],  # -1 0 3 0
        "FTF": [-1, 1, 3, -3, 0],  # -1 0 3 0
        "TFF": [-1, 1, 1, -1, 0],  # -1 0 1 0
        "FFF": [-1, 3, -1, -1, 0],  # -1 2 1 0
    },
)

NORMALISED = Case(
    "LRN",
    [_node("LRN", "x", "y", size=3, alpha=3.0, beta=1.0, bias=1.0)],
    x=[1, 2],
    p=[6, 12],
    shape=(1, 2, 1, 1),
    # both channels see both: s = 1 + 1 + 4 = 6. Transposed (a fourth letter F):
    # p/s - 2 x sum(p x)/s^2 = (1 2) - 2 (1 2) 30/36 = -2/3 -4/3. As identity: p.
    expected={
        **{code: [6, 12] for code in CODES},
        **{code + "F": [-2 / 3, -4 / 3] for code in CODES},
    },
)

CASES = (RELU, OVERLAP, TIES, ASYMMETRIC, CEIL, CHAIN, NORMALISED)
