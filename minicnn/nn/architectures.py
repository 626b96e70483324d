"""Architectures: networks of the lectures, small enough to train on a CPU.

    lenet       LeNet-5's plan with ReLU and max-pooling      LeCun et al. 1998
    vgg         3x3 convolutions and pools for 32x32          Simonyan and Zisserman 2015
    resnet20 .. resnet110    CIFAR residual networks          He et al. 2016, section 4.2
    plain20 .. plain110      the same without skips           He et al. 2016; Li et al. 2018
    dynamics    18 layers of 5x5 filters, 16 channels         Fleuret 2016

Each is built for images of a shape (C, H, W) and a number of classes, and drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from minicnn import functional as F
from minicnn.errors import InputError, ShapeError, UnknownNameError, nearest
from minicnn.nn.init import initialise
from minicnn.nn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.nn.module import Module

__all__ = ["ARCHITECTURES", "VGG", "BasicBlock", "DynamicsNet", "LeNet", "ResNet", "build"]

Shape = tuple[int, int, int]
Shortcut = Literal["pad", "conv", "none"]


class LeNet(Module):
    """Two convolutions of 5x5, each with ReLU and 2x2 max-pooling, then two linear layers.

    LeNet-5 with ReLU for tanh, maxima for trained averages, and wider: 16 and 32 maps, 128 units.
    Dropout of the units before the scores is off by default.
    """

    def __init__(
        self,
        shape: Shape = (1, 28, 28),
        classes: int = 10,
        maps: tuple[int, int] = (16, 32),
        units: int = 128,
        dropout: float = 0.0,
    ) -> None:
        channels, height, width = shape
        self.conv1, self.relu1 = Conv2d(channels, maps[0], 5, padding=2), ReLU()
        self.pool1 = MaxPool2d(2)
        self.conv2, self.relu2 = Conv2d(maps[0], maps[1], 5, padding=2), ReLU()
        self.pool2, self.flatten = MaxPool2d(2), Flatten()
        self.fc1, self.relu3 = Linear(maps[1] * (height // 4) * (width // 4), units), ReLU()
        self.dropout, self.fc2 = Dropout(dropout), Linear(units, classes)

    def forward(self, x: Any) -> Any:
        x = self.pool1(self.relu1(self.conv1(x)))  # (N, 16, H/2, W/2)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 32, H/4, W/4)
        x = self.relu3(self.fc1(self.flatten(x)))  # (N, 128)
        return self.fc2(self.dropout(x))


class VGG(Module):
    """3x3 convolutions, each with batch norm and ReLU, and 2x2 pools ("M"), for small images.

    A linear layer reads the mean of what the last one gives. Layers are named as VGG's: conv2_1 is
    the first of the second stage.
    """

    def __init__(
        self,
        shape: Shape = (3, 32, 32),
        classes: int = 10,
        plan: Sequence[int | str] = (32, 64, "M", 128, "M", 128, 256, "M", 256, "M"),
        batch_norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        channels, stage, number = shape[0], 1, 1
        self.order: tuple[str, ...] = ()
        for entry in plan:
            if entry == "M":
                self._add(f"pool{stage}", MaxPool2d(2))
                stage, number = stage + 1, 1
                continue
            width, name = int(entry), f"{stage}_{number}"
            self._add(f"conv{name}", Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                self._add(f"bn{name}", BatchNorm2d(width))
            self._add(f"relu{name}", ReLU())
            channels, number = width, number + 1
        self._add("mean", GlobalAvgPool2d())
        self._add("flatten", Flatten())
        self._add("dropout", Dropout(dropout))
        self._add("fc", Linear(channels, classes))

    def _add(self, name: str, layer: Module) -> None:
        setattr(self, name, layer)
        self.order = (*self.order, name)

    def forward(self, x: Any) -> Any:
        for name in self.order:
            x = getattr(self, name)(x)
        return x


class BasicBlock(Module):
    """y = ReLU(shortcut(x) + bn2(conv2(ReLU(bn1(conv1(x))))))   (He et al. 2016, figure 2).

    Where the shape changes the shortcut takes every second pixel and pads with channels of zeros
    ("pad", He's option A) or is a convolution of 1x1 ("conv", option B); "none" leaves it out.
    """

    def __init__(
        self, channels: int, width: int, stride: int, shortcut: Shortcut, batch_norm: bool
    ) -> None:
        def norm() -> Module:
            return BatchNorm2d(width) if batch_norm else Sequential()

        self.conv1 = Conv2d(channels, width, 3, stride, 1, bias=not batch_norm)
        self.bn1, self.relu1 = norm(), ReLU()
        self.conv2 = Conv2d(width, width, 3, 1, 1, bias=not batch_norm)
        self.bn2, self.relu2 = norm(), ReLU()
        self.shortcut, self.stride, self.more = shortcut, stride, width - channels
        self.projection: Module | None = None
        if shortcut == "conv" and (stride > 1 or self.more):
            self.projection = Conv2d(channels, width, 1, stride)

    def _skip(self, x: Any) -> Any:
        if self.projection is not None:
            return self.projection(x)
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        half = self.more // 2
        return F.pad(x, (0, 0, 0, 0, half, self.more - half)) if self.more else x

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y if self.shortcut == "none" else y + self._skip(x))


class ResNet(Module):
    """CIFAR's residual network of 6n + 2 layers: three stages of n blocks, 16, 32 and 64 maps."""

    def __init__(
        self,
        shape: Shape = (3, 32, 32),
        classes: int = 10,
        depth: int = 20,
        shortcut: Shortcut = "pad",
        width: int = 16,
        batch_norm: bool = True,
    ) -> None:
        if depth < 8 or depth % 6 != 2:
            raise InputError(f"CIFAR's ResNets have 6n + 2 layers (20, 56, ...); got {depth}.")
        if shortcut not in ("pad", "conv", "none"):
            raise InputError(f"shortcut={shortcut!r}: a shortcut is 'pad', 'conv' or 'none'.")
        self.conv1 = Conv2d(shape[0], width, 3, 1, 1, bias=not batch_norm)
        self.bn1 = BatchNorm2d(width) if batch_norm else Sequential()
        self.relu1 = ReLU()
        channels = width
        for stage in (1, 2, 3):
            blocks = []
            for number in range((depth - 2) // 6):
                wide, stride = width * 2 ** (stage - 1), 2 if stage > 1 and number == 0 else 1
                blocks.append(BasicBlock(channels, wide, stride, shortcut, batch_norm))
                channels = wide
            setattr(self, f"stage{stage}", Sequential(*blocks))
        self.mean, self.flatten, self.fc = GlobalAvgPool2d(), Flatten(), Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        x = self.relu1(self.bn1(self.conv1(x)))
        for stage in ("stage1", "stage2", "stage3"):
            x = getattr(self, stage)(x)
        return self.fc(self.flatten(self.mean(x)))


class _DynamicsBlock(Module):
    """y = ReLU(x + conv2(ReLU(conv1(x)))), 5x5 filters that keep the size."""

    def __init__(self, width: int) -> None:
        self.conv1, self.relu1 = Conv2d(width, width, 5, padding=2), ReLU()
        self.conv2, self.relu2 = Conv2d(width, width, 5, padding=2), ReLU()

    def forward(self, x: Any) -> Any:
        return self.relu2(x + self.conv2(self.relu1(self.conv1(x))))


class DynamicsNet(Module):
    """Fleuret's network: picture of the grabbing point and the start -> picture of the result.

    18 layers of 5x5 filters with 16 channels that keep the size: one in, eight residual blocks of
    two, one out. Source: arXiv:1610.04032.
    """

    def __init__(self, channels: int = 2, blocks: int = 8, width: int = 16) -> None:
        self.conv_in, self.relu_in = Conv2d(channels, width, 5, padding=2), ReLU()
        self.blocks = [_DynamicsBlock(width) for _ in range(blocks)]
        self.conv_out = Conv2d(width, 1, 5, padding=2)

    def forward(self, x: Any) -> Any:
        x = self.relu_in(self.conv_in(x))
        for block in self.blocks:
            x = block(x)
        return self.conv_out(x)


ARCHITECTURES: dict[str, Callable[[Shape, int], Module]] = {
    "lenet": LeNet,
    "vgg": VGG,
    **{f"resnet{n}": partial(ResNet, depth=n) for n in (20, 32, 56, 110)},
    **{f"plain{n}": partial(ResNet, depth=n, shortcut="none") for n in (20, 32, 56, 110)},
}


def build(
    name: str, shape: Shape, classes: int, seed: int = 0, scheme: str = "he_normal"
) -> Module:
    """An architecture by name for images (C, H, W), its weights drawn from the seed.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    ShapeError
        If the images are too small for it.

    Examples
    --------
    >>> build("resnet20", (3, 32, 32), 10)
    <ResNet: 269,722 parameters>
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError(f"No architecture {name!r}. {nearest(name, ARCHITECTURES)}")
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise ShapeError(f"An architecture needs the shape of an image, (C, H, W); got {shape}.")
    model = ARCHITECTURES[name](shape, classes)
    try:
        model.network(shape)
    except ShapeError as error:
        size = "x".join(map(str, shape))
        raise ShapeError(f"{name} does not take images of {size}: {error}") from None
    return initialise(model, scheme, seed)
