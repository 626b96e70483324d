"""Writers of functions of one value at a time: ReLU and relatives, masks, smooth functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn.onnx.writers.registry import writer

_ALIKE: dict[type[B.Block], str] = {
    B.Abs: "Abs",
    B.Cos: "Cos",
    B.Erf: "Erf",
    B.Exp: "Exp",
    B.HardSwish: "HardSwish",
    B.Identity: "Identity",
    B.Log: "Log",
    B.Mish: "Mish",
    B.ReLU: "Relu",
    B.Sigmoid: "Sigmoid",
    B.Sin: "Sin",
    B.Softplus: "Softplus",
    B.Softsign: "Softsign",
    B.Sqrt: "Sqrt",
    B.Tanh: "Tanh",
}


@writer(*_ALIKE)
def alike(call: Any) -> Any:
    """Blocks without settings that ONNX has too."""
    return call.node(_ALIKE[type(call.block)], call[0])


@writer(B.LeakyReLU)
def leaky_relu(call: Any) -> Any:
    return call.node("LeakyRelu", call[0], alpha=float(call.block.slope))


@writer(B.ThresholdedReLU)
def thresholded_relu(call: Any) -> Any:
    return call.node("ThresholdedRelu", call[0], alpha=float(call.block.alpha))


@writer(B.Elu)
def elu(call: Any) -> Any:
    return call.node("Elu", call[0], alpha=float(call.block.alpha))


@writer(B.Celu)
def celu(call: Any) -> Any:
    return call.node("Celu", call[0], alpha=float(call.block.alpha))


@writer(B.Selu)
def selu(call: Any) -> Any:
    block = call.block
    return call.node("Selu", call[0], alpha=float(block.alpha), gamma=float(block.gamma))


@writer(B.Gelu)
def gelu(call: Any) -> Any:
    return call.node("Gelu", call[0], approximate=call.block.approximate)


@writer(B.Swish)
def swish(call: Any) -> Any:
    """ONNX's own Swish comes with opset 24 only."""
    beta = call.block.beta
    inner = call[0] if beta == 1 else call.node("Mul", call[0], beta)
    return call.node("Mul", call[0], call.node("Sigmoid", inner))


@writer(B.PReLU)
def prelu(call: Any) -> Any:
    return call.node("PRelu", call[0], call[1])


@writer(B.Clip)
def clip(call: Any) -> Any:
    return call.node("Clip", call[0], call.block.low, call.block.high)


@writer(B.HardSigmoid)
def hard_sigmoid(call: Any) -> Any:
    return call.node(
        "HardSigmoid", call[0], alpha=float(call.block.alpha), beta=float(call.block.beta)
    )


@writer(B.Mask)
def mask(call: Any) -> Any:
    block, bits = call.block, call.block.mask.unpack()
    if bits.ndim > 1 and len(bits) > 1:
        images = call.fixed(0, slice(1))[0]
        bits = np.concatenate([bits] * (images // len(bits)))
    return _either(call, bits, block.inside, block.outside)


@writer(B.Dropout)
def dropout(call: Any) -> Any:
    """The coins of this seed, as a mask: ONNX's Dropout would throw others, or none."""
    x = np.zeros(call.fixed(), call.dtype)
    _, coins = call.block.forward(x)
    rate = call.block.rate
    return _either(call, coins.unpack(), 0.0 if rate >= 1 else 1 / (1 - rate), 0.0)


def _either(call: Any, bits: np.ndarray, inside: float, outside: float) -> str:
    """Inside x where a bit is set, outside x elsewhere."""
    a = call[0] if inside == 1 else call.node("Mul", call[0], inside)
    b = 0.0 if outside == 0 else call.node("Mul", call[0], outside)
    return call.node("Where", bits, a, b)
