"""Architectures: published sizes, shapes, skips by hand, and the same numbers from an ONNX file."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import minicnn
from minicnn import functional as F
from minicnn import nn
from minicnn.errors import InputError, MiniCNNError, UnknownNameError
from minicnn.tensor import Tensor

SMALL = (3, 16, 16)

MODELS = {
    "lenet": (partial(nn.LeNet, (1, 12, 12), maps=(4, 6), units=10, dropout=0.3), (1, 12, 12)),
    "vgg": (partial(nn.VGG, SMALL, plan=(4, 6, "M", 8, "M"), dropout=0.2), SMALL),
    "vgg without batch norm": (partial(nn.VGG, SMALL, plan=(4, "M"), batch_norm=False), SMALL),
    "resnet20, pad": (partial(nn.ResNet, SMALL, depth=20, width=8), SMALL),
    "resnet20, conv": (partial(nn.ResNet, SMALL, depth=20, width=8, shortcut="conv"), SMALL),
    "resnet20, none": (partial(nn.ResNet, SMALL, depth=20, width=8, shortcut="none"), SMALL),
    "resnet8, odd size": (partial(nn.ResNet, (3, 9, 13), depth=8, width=4), (3, 9, 13)),
    "resnet8 without batch norm": (
        partial(nn.ResNet, SMALL, depth=8, width=4, batch_norm=False), SMALL,
    ),
    "resnet56": (partial(nn.ResNet, SMALL, depth=56, width=4), SMALL),
    "plain56": (partial(nn.ResNet, SMALL, depth=56, width=4, shortcut="none"), SMALL),
    "dynamics": (partial(nn.DynamicsNet, blocks=3, width=4), (2, 10, 10)),
}  # fmt: skip


def settled(make, seed=0):
    """Drawn weights, and running statistics as after some training."""
    model = nn.initialise(make(), seed=seed)
    rng = np.random.default_rng(seed)
    for name, array in model.state_dict().items():
        if name.endswith("running_var"):
            array[...] = rng.uniform(0.5, 2.0, array.shape)
        elif array.ndim == 1:
            array += rng.normal(0, 0.1, array.shape).astype(np.float32)
    return model


def images(shape, count=2, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def assert_near(y, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(y / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_graph_and_file_compute_what_the_model_does(name, tmp_path):
    make, shape = MODELS[name]
    model, x = settled(make), images(shape)
    expected = model.eval()(Tensor(x)).data
    assert_near(model.network(shape)(x), expected)
    model.train().save(tmp_path / "net.onnx", shape)
    assert_near(minicnn.load(tmp_path / "net.onnx")(x), expected)
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), options, providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"image": x})
    assert_near(y, expected)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_gets_a_gradient(name):
    make, shape = MODELS[name]
    model = settled(make)
    y = model(Tensor(images(shape, 4)))
    (y * y).sum().backward()
    for path, tensor in model.named_parameters().items():
        assert tensor.grad is not None, path
        assert np.isfinite(tensor.grad.data).all(), path
        assert tensor.grad.data.any() or "bias" in path, path


@pytest.mark.parametrize(
    ("name", "said"),
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet56", 0.85), ("resnet110", 1.7)],
)
def test_sizes_are_he_and_others(name, said):
    """He et al. 2016, table 6, in millions; running statistics are not counted."""
    size = nn.build(name, (3, 32, 32), 10).size
    assert size / 1e6 == pytest.approx(said, abs=0.03 if said > 1 else 0.0051)
    assert nn.build(name.replace("resnet", "plain"), (3, 32, 32), 10).size == size


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_depth_counts_convolutions_and_the_last_layer(depth):
    model = nn.ResNet(depth=depth)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth
    widths = [m.weight.shape[0] for m in layers]
    third = (depth - 2) // 3
    assert widths == [16] * (third + 1) + [32] * third + [64] * third + [10]
    projected = nn.ResNet(depth=depth, shortcut="conv")
    kernels = [m.weight.shape[2] for m in projected.modules() if isinstance(m, nn.Conv2d)]
    assert kernels.count(1) == 2  # where the shape changes


def test_the_dynamics_network_has_18_layers_of_16_channels():
    model = nn.DynamicsNet()
    layers = [m.weight.shape for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 18
    assert layers[0] == (16, 2, 5, 5)
    assert set(layers[1:-1]) == {(16, 16, 5, 5)}
    assert layers[-1] == (1, 16, 5, 5)
    assert model(Tensor(images((2, 12, 12)))).shape == (2, 1, 12, 12)


@pytest.mark.parametrize("shortcut", ["pad", "conv", "none"])
@pytest.mark.parametrize(("channels", "width", "stride"), [(4, 4, 1), (4, 8, 2), (3, 8, 2)])
def test_a_block_by_its_definition(shortcut, channels, width, stride):
    block = settled(partial(nn.BasicBlock, channels, width, stride, shortcut, True)).eval()
    x = images((channels, 7, 6))
    p = block.state_dict()

    def norm(y, name):
        shape = (1, -1, 1, 1)
        gain = p[f"{name}.weight"] / np.sqrt(p[f"{name}.running_var"] + 1e-5)
        shift = p[f"{name}.bias"] - gain * p[f"{name}.running_mean"]
        return y * gain.reshape(shape) + shift.reshape(shape)

    y = np.maximum(norm(F.conv2d(x, p["conv1.weight"], None, stride, 1), "bn1"), 0)
    y = norm(F.conv2d(y, p["conv2.weight"], None, 1, 1), "bn2")
    if shortcut == "conv" and stride > 1:
        y = y + F.conv2d(x, p["projection.weight"], p["projection.bias"], stride)
    elif shortcut != "none":
        skipped, half = np.zeros_like(y), (width - channels) // 2
        skipped[:, half : half + channels] = x[:, :, ::stride, ::stride]
        y = y + skipped
    np.testing.assert_allclose(block(Tensor(x)).data, np.maximum(y, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet", "vgg", "resnet20", "plain32"])
def test_a_name_builds_and_repeats(name):
    model = nn.build(name, (3, 32, 32), 7, seed=3)
    again = nn.build(name, (3, 32, 32), 7, seed=3)
    other = nn.build(name, (3, 32, 32), 7, seed=4)
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, again.state_dict()[key])
    assert any((a != other.state_dict()[k]).any() for k, a in model.state_dict().items())
    assert isinstance(nn.recipe(name), nn.Recipe)
    last = list(model.named_parameters().values())[-1]
    assert last.shape == (7,)


def test_a_pair_with_and_without_skips_starts_alike():
    """The same weights, so that only the skips differ."""
    one, two = (nn.build(f"{kind}20", (3, 32, 32), 10, seed=1) for kind in ("resnet", "plain"))
    assert one.state_dict().keys() == two.state_dict().keys()
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, two.state_dict()[name])


def test_what_makes_no_sense():
    for depth in (2, 7, 21, 100):
        with pytest.raises(InputError, match="6n"):
            nn.ResNet(depth=depth)
    with pytest.raises(InputError, match="shortcut"):
        nn.ResNet(shortcut="skip")
    with pytest.raises(UnknownNameError, match="resnet20"):
        nn.build("resnet21", (3, 32, 32), 10)
    with pytest.raises(UnknownNameError, match="lenet"):
        nn.recipe("lenett")
    with pytest.raises(UnknownNameError, match="he_normal"):
        nn.build("lenet", (1, 28, 28), 10, scheme="he_norm")


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 20, 28)])
def test_images_of_another_size_than_it_was_built_for(shape):
    model = nn.build("lenet", (1, 28, 28), 10)
    with pytest.raises(MiniCNNError):
        model(Tensor(images(shape)))
    with pytest.raises(MiniCNNError):
        model.network(shape)
