"""Receptive fields: known numbers, brute force by perturbation, what is really used, figures."""

from fractions import Fraction

import numpy as np
import pytest
from conftest import shared
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import minicnn
from minicnn import figures
from minicnn import functional as F
from minicnn.blocks import (
    Add,
    AveragePool,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    MaxPool,
    Multiply,
    Pad,
    ReLU,
    Resize,
    Slice,
    Transpose,
)
from minicnn.cli.app import app
from minicnn.data import Images, bundled_digits
from minicnn.errors import ImageError, InputError, ShapeError, UnitError
from minicnn.graph import Node
from minicnn.look import effective_field, receptive_fields, trace
from minicnn.network import Network


def chain(blocks, shape=(1, 1, 24, 19), seed=0):
    """A network of blocks one after the other; all filters are positive."""
    generator = np.random.default_rng(seed)
    nodes, arrays, below, channels = [], {}, "x", shape[1]
    for i, block in enumerate(blocks):
        operands = (below,)
        if isinstance(block, (Conv, ConvTranspose)):
            arrays[f"w{i}"] = generator.uniform(0.1, 1, (1, channels, *block.window.kernel))
            operands = (below, f"w{i}")
        nodes.append(Node(f"v{i}", block, operands))
        below = f"v{i}"
    return Network("chain", {"x": (None, *shape[1:])}, nodes, [below], arrays, dtype=np.float64)


def conv(kernel, stride=1, padding=0, dilation=1):
    return Conv(F.window(kernel, stride, padding, dilation))


# Known numbers


def test_the_recurrences_of_a_chain():
    net = chain([conv(7, 2, 3), MaxPool(F.window(3, 2, 1, 1)), conv(3, 1, 2, 2)], (1, 1, 64, 64))
    found = receptive_fields(net)
    values = [(f.size[0], f.stride[0], f.start[0], f.centre[0]) for f in found.values()]
    assert values == [(1, 1, 0, 0), (7, 2, -3, 0), (11, 4, -5, 0), (27, 4, -13, 0)]


def test_both_axes_and_asymmetric_pads():
    field = receptive_fields(chain([conv((3, 5), (1, 2), (0, 2, 1, 3))]))["v0"]
    assert (field.size, field.stride, field.spoken()) == ((3, 5), (1, 2), ("3x5", "1x2"))
    pads = F.window((3, 5), (1, 2), (0, 2, 1, 3), 1).begins
    assert field.start == tuple(-b for b in pads)
    assert field.box((0, 0), clip=False)[:2] == field.start
    assert field.box((0, 0))[:2] == (0, 0)


def test_branches_are_united():
    nodes = [
        Node("a", conv(3, 1, 1), ("x", "wa")),
        Node("b", conv(5, 1, (2, 2)), ("x", "wb")),
        Node("y", Add(), ("a", "b")),
        Node("z", Concat(1), ("a", "x")),
    ]
    arrays = {"wa": np.ones((1, 1, 3, 3)), "wb": np.ones((1, 1, 5, 5))}
    found = receptive_fields(Network("two", {"x": (None, 1, 9, 9)}, nodes, ["y", "z"], arrays))
    assert [found[name].size for name in "abyz"] == [(3, 3), (5, 5), (5, 5), (3, 3)]
    assert found["y"].box((4, 4)) == (2, 2, 7, 7)


def test_upsampling_has_fractions_and_unequal_sizes():
    net = chain([Resize(2, factor=2), Resize(3, factor=2), conv(3, 1, 1)])
    field = receptive_fields(net)["v2"]
    assert field.stride == (Fraction(1, 2), Fraction(1, 2))
    assert field.size == (2, 2)  # 3 doubled pixels never come from more than 2
    assert field.spoken() == ("2", "1/2")
    assert field.box((1, 2)) == (0, 0, 2, 2)
    deconvolved = receptive_fields(chain([ConvTranspose(F.window(4, 2, 1, 1))]))["v0"]
    assert (deconvolved.size, deconvolved.stride) == ((2, 2), (Fraction(1, 2), Fraction(1, 2)))


def test_what_reads_everything_sees_all():
    net = chain([conv(3), Flatten()])
    field = receptive_fields(net)["v1"]
    assert field.sees_all
    assert (field.size, field.stride, field.start, field.centre) == (None,) * 4
    assert field.spoken() == ("all", "")
    assert field.box((5,)) == (0, 0, 24, 19)
    gate = [Node("m", MaxPool(None), ("x",)), Node("y", Multiply(), ("x", "m"))]
    found = receptive_fields(Network("gate", {"x": (None, 2, 6, 6)}, gate, ["y"]))
    assert found["y"].sees_all


def test_channels_last_networks_see_pixels():
    nodes = [
        Node("t", Transpose((0, 3, 1, 2)), ("x",)),
        Node("y", conv(3, 2, 1), ("t", "w")),
    ]
    how = minicnn.preprocess.Preprocess(None, None, layout="NHWC")
    arrays = {"w": np.ones((2, 3, 3, 3), np.float32)}
    net = Network("last", {"x": (None, 12, 10, 3)}, nodes, ["y"], arrays, how)
    field = receptive_fields(net)["y"]
    assert (field.image, field.size, field.stride) == ((12, 10), (3, 3), (2, 2))


@pytest.mark.parametrize(
    ("file", "layer", "size", "stride"),
    [
        ("vgg16_features", "conv1_2", 5, 1),
        ("vgg16_features", "pool3", 44, 8),
        ("vgg16_features", "conv5_3", 196, 16),
        ("vgg16_features", "pool5", 212, 32),
        ("alexnet_features", "conv1", 11, 4),
        ("alexnet_features", "conv5", 163, 16),
        ("alexnet_features", "pool5", 195, 32),
    ],
)
def test_published_numbers(file, layer, size, stride):
    """The tables of Araujo et al., Distill 2019, for VGG-16 and AlexNet."""
    net = minicnn.load(shared(f"models/{file}.onnx"))
    field = receptive_fields(net)[layer]
    assert (set(field.size), set(field.stride)) == ({size}, {stride})


def test_a_residual_network():
    """ResNet-56: 1 + 2 (stem and 18 convolutions) + 4 * 18 + 8 * 18, short cuts add nothing."""
    net = minicnn.load(shared("models/li2018_resnet56.onnx"))
    found = receptive_fields(net)
    last = [n for n in net.nodes if n.block.kind == "Conv"][-1]
    assert set(found[last.name].stride) == {4}
    size = 1
    for stage, stride in enumerate((1, 2, 4)):
        size += 2 * stride * 18 + (2 if stage == 0 else -stride)  # the first of a stage strides
    assert set(found[last.name].size) == {size}


# Brute force


def boxes_by_force(net):
    """For each unit of the output the hull of the pixels that change it."""
    name = next(iter(net.inputs))
    shape = (1, *net.inputs[name][1:])
    height, width = shape[2:]
    x = np.random.default_rng(1).uniform(0.5, 1, shape)
    many = np.repeat(x, height * width, axis=0)
    many[np.arange(height * width), 0, *np.divmod(np.arange(height * width), width)] += 1e4
    changed = (net(many) != net(x))[:, 0].reshape(height, width, *net(x).shape[2:])
    boxes = {}
    for unit in np.ndindex(changed.shape[2:]):
        rows, columns = np.nonzero(changed[:, :, *unit])
        empty = not len(rows)
        boxes[unit] = (
            (0, 0, 0, 0)
            if empty
            else (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        )
    return boxes


sides = st.integers(1, 3)
pads = st.integers(0, 1)


@st.composite
def blocks(draw):
    """One block whose outputs read contiguous windows."""
    kind = draw(st.sampled_from(["conv", "pool", "mean", "up", "deconv", "pad", "cut", "relu"]))
    if kind in ("conv", "pool", "mean"):
        kernel = (draw(sides), draw(sides))
        padding = [draw(st.integers(0, k // 2)) for k in (*kernel, *kernel)]
        window = F.window(kernel, (draw(sides), draw(sides)), 0, 1)
        window = type(window)(window.kernel, window.stride, tuple(padding), window.dilation)
        return {"conv": Conv, "pool": MaxPool, "mean": AveragePool}[kind](window)
    if kind == "up":
        return Resize(draw(st.sampled_from([2, 3])), factor=2)
    if kind == "deconv":
        stride = draw(st.integers(1, 2))
        return ConvTranspose(F.window(draw(st.integers(stride, 3)), stride, 0, 1))
    if kind == "pad":
        return Pad(((0, 0), (0, 0), (draw(pads), draw(pads)), (draw(pads), draw(pads))))
    if kind == "cut":
        return Slice((slice(None), slice(None), slice(draw(pads), None, draw(st.integers(1, 2)))))
    return ReLU()


@settings(max_examples=60)
@given(st.lists(blocks(), min_size=1, max_size=4), st.integers(0, 99))
def test_boxes_are_those_of_a_perturbation(listed, seed):
    net = chain(listed, (1, 1, 11, 10), seed)
    try:
        shape = net.infer_shapes()[net.outputs[0]]
    except ShapeError:
        return
    if 0 in shape or max(shape) > 60:
        return
    field = receptive_fields(net)[net.outputs[0]]
    for unit, expected in boxes_by_force(net).items():
        found = field.box(unit)
        if 0 in (expected[2] - expected[0], expected[3] - expected[1]):
            assert (found[2] - found[0]) * (found[3] - found[1]) == 0
        else:
            assert found == expected


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_branches_and_dilation_hold_all_that_counts(dilation):
    pad = dilation
    nodes = [
        Node("a", conv(3, 2, pad, dilation), ("x", "w")),
        Node("b", conv(3, 2, 1), ("x", "w")),
        Node("c", AveragePool(F.window(2, 1, 0, 1)), ("a",)),
        Node("d", MaxPool(F.window(2, 1, 0, 1)), ("b",)),
        Node("y", Add(), ("c", "d")),
    ]
    arrays = {"w": np.random.default_rng(0).uniform(0.1, 1, (1, 1, 3, 3))}
    net = Network("two", {"x": (None, 1, 13, 13)}, nodes, ["y"], arrays)
    field = receptive_fields(net)["y"]
    for unit, expected in boxes_by_force(net).items():
        top, left, bottom, right = found = field.box(unit)
        assert top <= expected[0]
        assert left <= expected[1]
        assert bottom >= expected[2]
        assert right >= expected[3]
        if dilation == 1 or unit == (2, 2):  # hulls of dilated windows may be cut inside a gap
            assert found == expected


# Errors


def test_fields_of_what_is_no_image_or_no_unit():
    net = Network("vector", {"x": (None, 4)}, [Node("y", ReLU(), ("x",))], ["y"])
    with pytest.raises(InputError, match="parts of images"):
        receptive_fields(net)
    with pytest.raises(InputError, match="no input nosuch"):
        receptive_fields(chain([conv(3)]), of="nosuch")
    field = receptive_fields(chain([conv(3)]))["v0"]
    with pytest.raises(UnitError, match="22 x 17"):
        field.box((0, 22, 0))
    with pytest.raises(UnitError, match="no unit 3"):
        field.box((3,))


def test_trace_knows_fields_and_does_without():
    net = minicnn.load("mnist")
    x = minicnn.data.photo(minicnn.data.bundled_path("digit_4"), net.preprocess)
    rows = {row.name: row.field for row in trace(net, x).rows}
    assert rows["pool2"].spoken() == ("16", "4")
    vector = Network("vector", {"x": (None, 4)}, [Node("y", ReLU(), ("x",))], ["y"])
    assert trace(vector, np.ones((1, 4), np.float32)).rows[0].field is None


# The effective field


def test_the_effective_field_of_a_linear_network_is_its_filter():
    """Without nonlinearities the gradient is the product of the filters, for any image."""
    net = chain([conv(3, 1, 1), conv(3, 1, 1)], (1, 1, 11, 11))
    found = effective_field(net, "v1", np.random.default_rng(0).standard_normal((3, 1, 11, 11)))
    first, second = net.arrays["w0"][0, 0], net.arrays["w1"][0, 0]
    expected = np.zeros((11, 11))
    for i, j in np.ndindex(3, 3):
        for k, m in np.ndindex(3, 3):
            expected[5 + i + k - 2, 5 + j + m - 2] += first[k, m] * second[i, j]
    np.testing.assert_allclose(found.weight, expected, rtol=1e-12)
    assert (found.unit, found.box, found.images, found.channels) == ((5, 5), (3, 3, 8, 8), 3, 1)
    assert found.size == np.sqrt((expected > 0.0455 * expected.max()).sum())
    order = np.sort(expected.ravel())[::-1]
    held = next(n for n in range(1, 122) if order[:n].sum() >= 0.9545 * order.sum())
    assert found.mass_size == np.sqrt(held)


def test_the_effective_field_repeats_and_does_not_depend_on_the_batch():
    net, digits = minicnn.load("mnist"), Images(bundled_digits())
    a, b = (effective_field(net, "pool2", digits, channels=5, batch=n) for n in (2, 5))
    np.testing.assert_allclose(a.weight, b.weight, rtol=1e-6)
    np.testing.assert_array_equal(
        a.weight, effective_field(net, "pool2", digits, channels=5, batch=2).weight
    )
    top, left, bottom, right = a.box
    outside = a.weight.copy()
    outside[top:bottom, left:right] = 0
    assert outside.max() < 1e-6 * a.weight.max()  # Winograd kernels round, else 0
    assert a.size < bottom - top


def test_effective_fields_that_there_are_not(tmp_path):
    net, digits = minicnn.load("mnist"), Images(bundled_digits())
    with pytest.raises(UnitError, match="no maps"):
        effective_field(net, "scores", digits)
    with pytest.raises(InputError, match="1 or more"):
        effective_field(net, "conv1", digits, channels=0)
    (tmp_path / "a.png").write_text("junk")
    with pytest.raises(ImageError, match="Not one of 1 images"):
        effective_field(net, "conv1", Images(tmp_path))


# Figures and the command line


def test_figures_draw_boxes():
    net = minicnn.load("mnist")
    seen = minicnn.data.picture(minicnn.data.bundled_path("digit_4"), net.preprocess)
    found = receptive_fields(net)
    figure = figures.fields_figure(seen, [found["conv4"], found["scores"]], [(0, 0), ()], "t")
    whole, part = figure.axes[:2]
    assert len(whole.patches) == 3  # the corner's is dashed in the padding, whole inside
    assert whole.get_xlim()[0] == -6.5
    assert part.images[0].get_array().shape == (8, 8, 3)
    figure = figures.effective_field_figure(
        effective_field(net, "conv4", np.ones((1, 1, 28, 28), np.float32)), "t"
    )
    assert "14 x 14 px" in figure.axes[0].get_xlabel()


@pytest.fixture
def typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        result = CliRunner().invoke(app, ["look", "fields", *map(str, words)])
        return result.exit_code, result.output if result.exit_code == 0 else str(result.exception)

    return run


def test_the_table(typed, tmp_path):
    code, text = typed("mnist", "--save", "f.npz")
    assert code == 0
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert rows["pool2"] == ["pool2", "MaxPool", "64x7x7", "16", "4", "-6", "1.5"]
    assert rows["scores"] == ["scores", "Linear", "10", "all"]
    with np.load(tmp_path / "f.npz") as file:
        assert file["size"][list(file["layers"]).index("pool1")].tolist() == [6, 6]
    assert not list(tmp_path.glob("*.png"))


def test_a_photo_and_an_effective_field(typed, tmp_path):
    assert typed("mnist", "--layer", "conv4,scores", "--photo", "digit_4")[0] == 0
    (tmp_path / "mnist_digit_4_conv4.png").unlink()
    code, text = typed("mnist", "--layer", "conv4", "--photo", "digit_4", "--unit", "3,0,0")
    assert (code, (tmp_path / "mnist_digit_4_conv4.png").exists()) == (0, True), text
    words = [
        "mnist",
        "--layer",
        "conv4",
        "--effective",
        "noise",
        "--out",
        "e.svg",
        "--save",
        "e.npz",
    ]
    code, text = typed(*words)
    assert code == 0
    assert "14 x 14 pixels" in text
    with np.load(tmp_path / "e.npz") as file:
        first = file["weight"]
    typed(*words)
    with np.load(tmp_path / "e.npz") as file:
        np.testing.assert_array_equal(file["weight"], first)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "conv9"], "no layer 'conv9'"),
        (["--photo", "digit_4"], "Of which layer"),
        (["--layer", "conv1", "--unit", "1,1"], "add --photo"),
        (["--layer", "conv1", "--out", "a.png"], "add --photo"),
        (["--layer", "conv1,conv2", "--effective", "noise"], "one layer"),
        (["--layer", "conv1", "--photo", "digit_4", "--effective", "noise"], "one of them"),
        (["--layer", "conv1", "--photo", "digit_4", "--unit", "99,0"], "28 x 28"),
        (["--layer", "conv1", "--photo", "digit_4", "--unit", "a"], "row,column"),
        (["--layer", "conv1", "--effective", "nosuch"], "no folder"),
        (["--device", "gpu"], "is no device"),
    ],
)
def test_bad_words(typed, tmp_path, words, said):
    code, text = typed("mnist", *words)
    assert code != 0
    assert said in text
    assert "\n" not in text
    assert not list(tmp_path.iterdir())
