"""The networks and the convolutions that the peer benchmark runs, each described once.

    python benchmarks/networks.py            # lists them: layers and parameters

Sizes follow torchvision's models, dropout left out as in evaluation. LeNet is Caffe's, with a ReLU
after each convolution; ResNet-20 is He et al. 2015 (section 4.2) with 1x1 convolutions as
projections. With quick=True images and hidden layers are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from specs import Spec

__all__ = ["CONVOLUTIONS", "NETWORKS", "Convolution", "network", "single"]


class Convolution(NamedTuple):
    """Shapes of one convolution: n images of c x h x w, and o square filters."""

    n: int
    c: int
    h: int
    w: int
    o: int
    kernel: int
    stride: int
    pad: int
    groups: int = 1

    def __str__(self) -> str:
        return (
            f"{self.c}x{self.h}x{self.w} to {self.o}, {self.kernel}x{self.kernel}"
            f", stride {self.stride}, pad {self.pad}"
        )


CONVOLUTIONS = [
    Convolution(1, c, side, side, o, kernel, stride, pad)
    for c, side, o, kernel, stride, pad in (
        # VGG-16
        (3, 224, 64, 3, 1, 1),
        (64, 224, 64, 3, 1, 1),
        (64, 112, 128, 3, 1, 1),
        (128, 112, 128, 3, 1, 1),
        (128, 56, 256, 3, 1, 1),
        (256, 56, 256, 3, 1, 1),
        (256, 28, 512, 3, 1, 1),
        (512, 28, 512, 3, 1, 1),
        (512, 14, 512, 3, 1, 1),
        # ResNet-50
        (3, 224, 64, 7, 2, 3),
        (64, 56, 64, 1, 1, 0),
        (64, 56, 64, 3, 1, 1),
        (64, 56, 256, 1, 1, 0),
        (256, 56, 64, 1, 1, 0),
        (256, 56, 512, 1, 2, 0),
        (128, 56, 128, 3, 2, 1),
        (512, 28, 128, 1, 1, 0),
        (128, 28, 128, 3, 1, 1),
        (256, 28, 256, 3, 2, 1),
        (256, 14, 1024, 1, 1, 0),
        (1024, 14, 256, 1, 1, 0),
        (256, 14, 256, 3, 1, 1),
        (512, 7, 2048, 1, 1, 0),
        (512, 7, 512, 3, 1, 1),
        # ResNet-18
        (64, 56, 128, 3, 2, 1),
        (64, 56, 128, 1, 2, 0),
        (256, 14, 512, 3, 2, 1),
        # AlexNet
        (3, 224, 64, 11, 4, 2),
        (64, 27, 192, 5, 1, 2),
        (192, 13, 384, 3, 1, 1),
        (384, 13, 256, 3, 1, 1),
        (256, 13, 256, 3, 1, 1),
        # SqueezeNet 1.1
        (3, 224, 64, 3, 2, 0),
        (64, 55, 16, 1, 1, 0),
        (16, 55, 64, 3, 1, 1),
        (128, 27, 32, 1, 1, 0),
        (32, 27, 128, 3, 1, 1),
        (48, 13, 192, 3, 1, 1),
        (64, 13, 256, 1, 1, 0),
        (512, 13, 1000, 1, 1, 0),
    )
]


def single(conv: Convolution) -> Spec:
    """The network of one convolution with bias."""
    spec = Spec(str(conv), (conv.c, conv.h, conv.w))
    spec.conv("y", "x", conv.o, conv.kernel, conv.stride, conv.pad, conv.groups)
    return spec


def vgg16_features(quick: bool = False, name: str = "vgg16-features") -> Spec:
    """VGG-16's thirteen convolutions, up to pool5 (Simonyan and Zisserman 2014)."""
    spec = Spec(name, (3, 64, 64) if quick else (3, 224, 224))
    x = "x"
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for block, (width, depth) in enumerate(stages, start=1):
        for i in range(1, depth + 1):
            x = spec.conv(f"conv{block}_{i}", x, width, 3, pad=1)
            x = spec.relu(f"relu{block}_{i}", x)
        x = spec.max_pool(f"pool{block}", x, 2, 2)
    return spec


def _classifier(spec: Spec, widths: Sequence[int], first: int = 1) -> Spec:
    """Fully connected layers with ReLU between them."""
    x = spec.flatten("flat", spec.output)
    for i, width in enumerate(widths[:-1], start=first):
        x = spec.relu(f"relu_fc{i}", spec.linear(f"fc{i}", x, width))
    spec.linear("scores", x, widths[-1])
    return spec


def vgg16(quick: bool = False) -> Spec:
    """VGG-16, configuration D."""
    hidden = 256 if quick else 4096
    return _classifier(vgg16_features(quick, "vgg16"), (hidden, hidden, 1000), first=6)


def alexnet(quick: bool = False) -> Spec:
    """AlexNet with a single tower (Krizhevsky 2014)."""
    spec = Spec("alexnet", (3, 64, 64) if quick else (3, 224, 224))
    x = spec.relu("relu1", spec.conv("conv1", "x", 64, 11, stride=4, pad=2))
    x = spec.max_pool("pool1", x, 3, 2)
    x = spec.relu("relu2", spec.conv("conv2", x, 192, 5, pad=2))
    x = spec.max_pool("pool2", x, 3, 2)
    for i, width in ((3, 384), (4, 256), (5, 256)):
        x = spec.relu(f"relu{i}", spec.conv(f"conv{i}", x, width, 3, pad=1))
    spec.max_pool("pool5", x, 3, 2)
    hidden = 256 if quick else 4096
    return _classifier(spec, (hidden, hidden, 1000), first=6)


def squeezenet(quick: bool = False) -> Spec:
    """SqueezeNet 1.1 (Iandola et al. 2016)."""
    spec = Spec("squeezenet", (3, 64, 64) if quick else (3, 224, 224))
    x = spec.relu("relu1", spec.conv("conv1", "x", 64, 3, stride=2))
    for i, narrow in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
        wide = 4 * narrow
        if i in (2, 4, 6):
            x = spec.max_pool(f"pool{i}", x, 3, 2, ceil_mode=True)
        s = spec.relu(f"fire{i}_squeeze_relu", spec.conv(f"fire{i}_squeeze", x, narrow, 1))
        a = spec.relu(f"fire{i}_1x1_relu", spec.conv(f"fire{i}_1x1", s, wide, 1))
        b = spec.relu(f"fire{i}_3x3_relu", spec.conv(f"fire{i}_3x3", s, wide, 3, pad=1))
        x = spec.concat(f"fire{i}", a, b)
    x = spec.relu("relu10", spec.conv("conv10", x, 1000, 1))
    spec.flatten("scores", spec.mean("mean", x))
    return spec


def _residual_stages(
    spec: Spec, x: str, depths: Sequence[int], width: int, bottleneck: bool = False
) -> str:
    """The stages of a residual network, each of half the side and twice the width."""
    for stage, depth in enumerate(depths, start=1):
        for number in range(1, depth + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            x = _residual_block(spec, f"s{stage}b{number}", x, width, stride, bottleneck)
        width *= 2
    return x


def _residual_block(
    spec: Spec, at: str, x: str, width: int, stride: int, bottleneck: bool = False
) -> str:
    """Convolutions beside a shortcut; a stride stands in the 3x3, as in torchvision."""
    out = 4 * width if bottleneck else width
    windows = (
        [(width, 1, 1), (width, 3, stride), (out, 1, 1)]
        if bottleneck
        else [(width, 3, stride), (out, 3, 1)]
    )
    branch = x
    for i, (channels, kernel, step) in enumerate(windows, start=1):
        name, last = f"{at}_conv{i}", i == len(windows)
        branch = spec.conv(name, branch, channels, kernel, step, kernel // 2, bias=False)
        # small where the branch ends, as in trained networks, or the sums would double each time
        branch = spec.norm(f"{at}_norm{i}", branch, gain=0.4 if last else 1.0)
        branch = branch if last else spec.relu(f"{at}_relu{i}", branch)
    shortcut = x
    if stride > 1 or spec.shapes[x][0] != out:
        shortcut = spec.conv(f"{at}_shortcut", x, out, 1, stride, bias=False)
        shortcut = spec.norm(f"{at}_shortcut_norm", shortcut)
    return spec.relu(f"{at}_relu", spec.add(f"{at}_sum", branch, shortcut))


def _resnet(name: str, depths: Sequence[int], bottleneck: bool, quick: bool) -> Spec:
    spec = Spec(name, (3, 64, 64) if quick else (3, 224, 224))
    x = spec.conv("conv1", "x", 64, 7, stride=2, pad=3, bias=False)
    x = spec.max_pool("pool1", spec.relu("relu1", spec.norm("norm1", x)), 3, 2, pad=1)
    spec.mean("mean", _residual_stages(spec, x, depths, 64, bottleneck))
    return _classifier(spec, (1000,))


def resnet18(quick: bool = False) -> Spec:
    """ResNet-18 (He et al. 2015)."""
    return _resnet("resnet18", (2, 2, 2, 2), bottleneck=False, quick=quick)


def resnet50(quick: bool = False) -> Spec:
    """ResNet-50 with the stride in the 3x3 convolutions."""
    return _resnet("resnet50", (3, 4, 6, 3), bottleneck=True, quick=quick)


def resnet20(quick: bool = False) -> Spec:
    """CIFAR's ResNet-20."""
    spec = Spec("resnet20", (3, 16, 16) if quick else (3, 32, 32))
    x = spec.conv("conv1", "x", 16, 3, pad=1, bias=False)
    x = spec.relu("relu1", spec.norm("norm1", x))
    spec.mean("mean", _residual_stages(spec, x, (3, 3, 3), 16))
    return _classifier(spec, (10,))


def lenet(quick: bool = False) -> Spec:
    """LeNet for 28x28 grey digits, Caffe's widths: 20, 50, 500, 10."""
    spec = Spec("lenet", (1, 28, 28))
    x = spec.max_pool("pool1", spec.relu("relu1", spec.conv("conv1", "x", 20, 5)), 2, 2)
    spec.max_pool("pool2", spec.relu("relu2", spec.conv("conv2", x, 50, 5)), 2, 2)
    return _classifier(spec, (500, 10))


NETWORKS: dict[str, Callable[[bool], Spec]] = {
    "vgg16": vgg16,
    "vgg16-features": vgg16_features,
    "resnet50": resnet50,
    "resnet18": resnet18,
    "alexnet": alexnet,
    "squeezenet": squeezenet,
    "lenet": lenet,
    "resnet20": resnet20,
}


def network(name: str, quick: bool = False) -> Spec:
    """The description of a network by its name."""
    return NETWORKS[name](quick)


if __name__ == "__main__":
    for key in NETWORKS:
        spec = network(key)
        learned = sum(array.size for name, array in spec.weights().items() if "running" not in name)
        print(f"{key:15} {len(spec.layers):4} layers {learned:12,} parameters")
