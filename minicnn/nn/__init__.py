"""Networks that learn: layers with parameters, initialisation, optimisers, schedules, training.

    model = nn.build("lenet", (1, 28, 28), 10, seed=0)
    history = nn.fit(model, train, test, nn.Recipe(epochs=8))
    model.save("lenet.onnx", (1, 28, 28))

The layers call the same blocks and kernels as every network here.
"""

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
