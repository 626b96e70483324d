"""Networks that learn: layers with parameters, initialisation, optimisers, schedules, training.

    model = nn.build("lenet", (1, 28, 28), 10, seed=0)
    history = nn.fit(model, train, test, nn.Recipe(epochs=8))
    model.save("lenet.onnx", (1, 28, 28))

The layers call the same blocks and kernels as every network here.
"""

from typing import Any

from minicnn.nn.architectures import (
    ARCHITECTURES,
    VGG,
    BasicBlock,
    DynamicsNet,
    LeNet,
    ResNet,
    build,
)
from minicnn.nn.diagnosis import first_not_finite
from minicnn.nn.evaluation import Result, evaluate, predict
from minicnn.nn.history import Epoch, History
from minicnn.nn.init import SCHEMES, draw, fans, initialise
from minicnn.nn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)
from minicnn.nn.module import Module, around
from minicnn.nn.objectives import Classification, Objective, Regression
from minicnn.nn.optimisers import SGD, Adam, AdamW, Optimiser, clip_gradients, gradient_norm
from minicnn.nn.pretrained import Pretrained
from minicnn.nn.recipes import recipe
from minicnn.nn.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Cycles,
    OneCycle,
    Schedule,
    Steps,
    schedule,
)
from minicnn.nn.training import Progress, Recipe, Source, fit

__all__ = [
    "ARCHITECTURES",
    "SCHEDULES",
    "SCHEMES",
    "SGD",
    "VGG",
    "Adam",
    "AdamW",
    "AvgPool2d",
    "BasicBlock",
    "BatchNorm2d",
    "Classification",
    "Constant",
    "Conv2d",
    "Cosine",
    "Cycles",
    "Dropout",
    "DynamicsNet",
    "Epoch",
    "Flatten",
    "GlobalAvgPool2d",
    "History",
    "LeNet",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "Objective",
    "OneCycle",
    "Optimiser",
    "Pretrained",
    "Progress",
    "ReLU",
    "Recipe",
    "Regression",
    "ResNet",
    "Result",
    "Schedule",
    "Sequential",
    "Sigmoid",
    "Source",
    "Steps",
    "Tanh",
    "around",
    "build",
    "clip_gradients",
    "draw",
    "evaluate",
    "fans",
    "first_not_finite",
    "fit",
    "gradient_norm",
    "initialise",
    "predict",
    "recipe",
    "schedule",
]


def __getattr__(name: str) -> Any:
    """Say what stands for a name of torch's."""
    from minicnn.errors import nearest
    from minicnn.nn.names import told

    raise AttributeError(
        f"minicnn.nn has no {name!r}.{told(name) or ' ' + nearest(name, __all__)}", name=name
    )
