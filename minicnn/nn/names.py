"""Names that users of torch look for, and what stands for them here."""

from __future__ import annotations

__all__ = ["SETTINGS", "told"]

THINGS = {
    "ModuleList": "a list or tuple of modules as an attribute does",
    "ModuleDict": "a dictionary of modules as an attribute does",
    "Parameter": "a minicnn.Tensor(array, requires_grad=True) as an attribute does",
    "Identity": "leave the layer out",
    "CrossEntropyLoss": "minicnn.functional.cross_entropy on tensors; nn.fit takes it by itself",
    "MSELoss": "((a - b) ** 2).mean() on tensors; objective=nn.Regression() for nn.fit",
    "AdaptiveAvgPool2d": "nn.GlobalAvgPool2d() gives one number a channel",
    "Dropout2d": "nn.Dropout drops single numbers",
    "Softmax": "networks give scores; minicnn.functional.softmax, or softmax=True in model.network",
    "functional": "it is minicnn.functional",
    "utils": "nn.clip_gradients, nn.gradient_norm",
    "DataLoader": "minicnn.data.Batches, or give nn.fit the data set itself",
}

SETTINGS = {
    "lr": "rate", "learning_rate": "rate", "weight_decay": "decay", "eps": "epsilon",
    "params": "parameters",
}  # fmt: skip
"""What optimisers call torch's settings."""


def told(name: str) -> str:
    """What to write for a name that is not here; empty where nothing is known."""
    return f" Here: {THINGS[name]}." if name in THINGS else ""
