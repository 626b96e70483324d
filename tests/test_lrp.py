"""LRP: rules against dense definitions, by hand, against Zennit; composites; conservation."""

from functools import partial

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import Rule, figures, seeds
from minicnn.attribution import composites, lrp
from minicnn.attribution.composites import Composite, composite_names, find_composite, pixel_bounds
from minicnn.attribution.conservation import conservation, conservation_of
from minicnn.attribution.excitation import ExcitationBackprop
from minicnn.attribution.gradients import GradientTimesInput
from minicnn.attribution.relevance import LRP, Relevance
from minicnn.blocks import (
    OUTPUT,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    LeakyReLU,
    Linear,
    MatMul,
    MaxPool,
    Multiply,
    ReLU,
    Sigmoid,
    Softmax,
    Window,
)
from minicnn.errors import InputError, RuleError, UnknownNameError
from minicnn.figures.conservation import conservation_figure
from minicnn.graph import Node
from minicnn.network import Network
from minicnn.rules import StandIn

LOW, HIGH = -1.5, 2.0


def window(kernel, stride=1, pad=0):
    return Window((kernel, kernel), (stride, stride), (pad,) * 4, (1, 1))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def network(nodes, arrays, shape, dtype=np.float64):
    arrays = {name: np.asarray(array, dtype) for name, array in arrays.items()}
    ends = [nodes[-1].name]
    kind = np.dtype(dtype)
    return Network("tiny", {"x": (None, *shape)}, nodes, ends, arrays, dtype=kind).freeze()


def layer(block, w, b, shape):
    arrays = {"w": w} if b is None else {"w": w, "b": b}
    return network([Node("y", block, ("x", *arrays))], arrays, shape)


# One layer, against the definition on its dense matrix

LAYERS = {
    "linear": (Linear(), normal(4, 6), (6,), 4),
    "matrix": (MatMul(), normal(6, 4), (6,), None),
    "conv, pads and stride": (Conv(window(3, 2, 1)), normal(3, 2, 3, 3), (2, 6, 5), 3),
    "grouped": (Conv(window(2), 2), normal(4, 1, 2, 2), (2, 4, 4), 4),
    "depthwise": (Conv(window(3, 1, 1), 3), normal(3, 1, 3, 3), (3, 4, 4), 3),
    "transposed": (ConvTranspose(window(3, 2)), normal(2, 3, 3, 3), (2, 3, 3), 3),
}


def dense(net, w, shape):
    """The matrix (outputs, inputs) of a layer with weights w and no bias."""
    block = net.nodes[0].block
    basis = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return block(basis, w).reshape(len(basis), -1).T


def spread(net, y):
    """The bias, one number an output."""
    bias = net.arrays.get("b", np.zeros(1))
    return np.broadcast_to(bias.reshape(-1, *[1] * (y.ndim - 2)), y.shape[1:]).reshape(-1)


def stabilised(z, eps):
    return z + np.where(z < 0, -eps, eps)


def shared_out(r, products, bias, eps):
    """R_i = sum_j products_ji R_j / (sum_i products_ji + bias_j)."""
    return (products * (r / stabilised(products.sum(1) + bias, eps))[:, None]).sum(0)


def plus(a):
    return np.maximum(a, 0)


def minus(a):
    return np.minimum(a, 0)


def slow(rule, net, x, r, shape, eps):
    """A rule's definition for one image, on the dense matrix."""
    w = net.arrays["w"]
    a, ones = dense(net, w, shape), dense(net, np.ones_like(w), shape)
    y = net(x[None])
    b, x, r = spread(net, y), x.reshape(-1), r.reshape(-1)
    y = y.reshape(-1)
    good, bad = plus(a * x), minus(a * x)
    match rule:
        case "epsilon":
            return shared_out(r, a * x, b, eps)
        case "gamma":
            more, less = a + 0.25 * plus(a), a + 0.25 * minus(a)
            up = more * plus(x) + less * minus(x)
            down = less * plus(x) + more * minus(x)
            return shared_out(r * (y > 0), up, b + 0.25 * plus(b), eps) + shared_out(
                r * (y < 0), down, b + 0.25 * minus(b), eps
            )
        case "alpha2-beta1":
            return 2 * shared_out(r, good, plus(b), eps) - shared_out(r, bad, minus(b), eps)
        case "z-plus":
            return shared_out(r, good, plus(b), eps)
        case "no bias":
            return shared_out(r, good, 0, eps)
        case "z-box":
            return shared_out(r, a * x - plus(a) * LOW - minus(a) * HIGH, 0, eps)
        case "w-square":
            return shared_out(r, dense(net, w * w, shape), b * b, eps)
        case "flat":
            return shared_out(r, ones, 0, eps)


RULES = {
    "epsilon": lrp.epsilon,
    "gamma": lrp.gamma,
    "alpha2-beta1": lrp.alpha_beta,
    "z-plus": lrp.z_plus,
    "no bias": partial(lrp.z_plus, bias=False),
    "z-box": partial(lrp.z_box, LOW, HIGH),
    "w-square": lrp.w_square,
    "flat": lrp.flat,
}


@pytest.mark.parametrize("eps", [1e-6, 0.3])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_shares_as_its_dense_matrix_does(kind, rule, eps):
    block, w, shape, biases = LAYERS[kind]
    for b in [None] if biases is None else [None, normal(biases, seed=1)]:
        net = layer(block, w, b, shape)
        x = normal(3, *shape, seed=2)
        r = normal(*net(x).shape, seed=3)
        stand_in = RULES[rule](eps=eps)
        tape = net.record(x, rules=[Rule("one", {type(block): stand_in})])
        got = tape.backward(r, Rule("one", {type(block): stand_in}))
        expected = [slow(rule, net, x[n], r[n], shape, eps) for n in range(3)]
        np.testing.assert_allclose(got, np.reshape(expected, x.shape), rtol=1e-9, atol=1e-12)


def test_by_hand():
    """y = (1 2 - 2 1 + 1, 1 2 + 3 1 - 5) = (1, 0); of 3 at y0: 3/1 times (2, -2), 3 to the bias."""
    net = layer(Linear(), [[1, -2], [1, 3]], [1, -5], (2,))
    x, r = np.array([[2.0, 1.0]]), np.array([[3.0, 7.0]])

    def shares(stand_in):
        rule = Rule("hand", {Linear: stand_in})
        return net.record(x, rules=[rule]).backward(r, rule)[0]

    np.testing.assert_allclose(shares(lrp.epsilon(0)), [6, -6])  # y1 = 0 shares nothing
    np.testing.assert_allclose(shares(lrp.z_plus(0)), [3 * 2 / 3 + 7 * 2 / 5, 7 * 3 / 5])
    helps, hinders = [3 * 2 / 3 + 7 * 2 / 5, 7 * 3 / 5], [0, 3 * -2 / -2]
    np.testing.assert_allclose(
        shares(lrp.alpha_beta(2, 1, 0)), 2 * np.array(helps) - np.array(hinders)
    )
    np.testing.assert_allclose(shares(lrp.flat(0)), [5, 5])
    np.testing.assert_allclose(shares(lrp.w_square(0)), [3 / 6 + 7 / 35, 3 * 4 / 6 + 7 * 9 / 35])
    # x w - low w+ - high w-, low 0 and high 4: (2, -2 + 8) and (2, 3)
    np.testing.assert_allclose(
        shares(lrp.z_box(0, 4, 0)), [3 * 2 / 8 + 7 * 2 / 5, 3 * 6 / 8 + 7 * 3 / 5]
    )


def test_sums_and_averages_share_in_proportion():
    nodes = [Node("s", Add(), ("x", "x")), Node("y", AveragePool(window(2, 2)), ("s",))]
    net = network(nodes, {}, (1, 2, 2))
    x = np.array([1.0, 2, 3, -2]).reshape(1, 1, 2, 2)
    rule = find_composite(net, "epsilon", eps=0).rule(net)
    r = net.record(x, rules=[rule]).backward(np.full((1, 1, 1, 1), 8.0), rule)
    np.testing.assert_allclose(r, x * 2)


# Whole networks


def residual(bias, dtype=np.float64):
    """Conv, ReLU, a branch added back and one beside it, pooling, a linear layer."""
    shapes = {"w1": (4, 2, 3, 3), "w2": (4, 4, 3, 3), "w3": (3, 4, 1, 1), "w4": (5, 7 * 9)}
    arrays = {name: normal(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}
    if bias:
        arrays |= {f"b{n}": normal(shapes[f"w{n}"][0], seed=9 + n) for n in range(1, 5)}

    def operands(x, n):
        return (x, f"w{n}", f"b{n}") if bias else (x, f"w{n}")

    same = Conv(window(3, 1, 1))
    nodes = [
        Node("conv1", same, operands("x", 1)),
        Node("relu1", ReLU(), ("conv1",)),
        Node("conv2", same, operands("relu1", 2)),
        Node("sum", Add(), ("conv2", "relu1")),
        Node("relu2", LeakyReLU(0.0), ("sum",)),
        Node("conv3", Conv(window(1)), operands("relu2", 3)),
        Node("beside", Concat(1), ("conv3", "relu2")),
        Node("pool", MaxPool(window(2, 2)), ("beside",)),
        Node("flat", Flatten(), ("pool",)),
        Node("scores", Linear(), operands("flat", 4)),
    ]
    return network(nodes, arrays, (2, 6, 6), dtype)


IMAGES = normal(3, 2, 6, 6, seed=5)


def test_lrp_0_without_biases_is_gradient_times_input():
    net = residual(False)
    expected = GradientTimesInput(net).attribute(IMAGES, [0, 3, 2])
    got = LRP(net, "epsilon", eps=0).attribute(IMAGES, [0, 3, 2])
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)


CONSERVING = {
    "epsilon": lrp.epsilon(0),
    "alpha2-beta1": lrp.alpha_beta(2, 1, 0),
    "alpha1-beta0": lrp.alpha_beta(1, 0, 0),
    "gamma": lrp.gamma(0.5, 0),
    "flat": lrp.flat(0),
}


def chain():
    """Without biases, and with products of both signs at every unit that is active."""
    nodes = [
        Node("conv1", Conv(window(3)), ("x", "w1")),
        Node("relu1", ReLU(), ("conv1",)),
        Node("conv2", Conv(window(3)), ("relu1", "w2")),
        Node("relu2", ReLU(), ("conv2",)),
        Node("flat", Flatten(), ("relu2",)),
        Node("scores", Linear(), ("flat", "w3")),
    ]
    shapes = [(8, 2, 3, 3), (6, 8, 3, 3), (5, 24)]
    return network(
        nodes, {f"w{i + 1}": normal(*n, seed=i) for i, n in enumerate(shapes)}, (2, 6, 6)
    )


@pytest.mark.parametrize("name", CONSERVING)
def test_relevance_is_conserved_without_biases(name):
    stand_in = CONSERVING[name]
    net = chain() if "alpha" in name else residual(False)
    method = LRP(net, Composite(name, stand_in, stand_in, rest=lrp.epsilon(0)))
    found = conservation(method, IMAGES[:1], 3)
    assert found.start == pytest.approx(net(IMAGES[:1])[0, 3])
    lost = max(abs(row.lost) for row in found.layers)
    assert lost < 1e-6 * max(abs(row.arrived) for row in found.layers)
    assert found.end == pytest.approx(method.attribute(IMAGES[:1], 3).sum(), rel=1e-6)


def test_what_biases_take_is_reported_layer_by_layer():
    net = residual(True)
    method = LRP(net, "epsilon", eps=0)
    found = conservation(method, IMAGES[:1], 3)
    rows = {row.name: row for row in found.layers}
    assert list(rows) == [node.name for node in reversed(net.nodes)]
    top = rows["scores"]
    assert top.lost == pytest.approx(net.arrays["b4"][3])
    assert top.total == pytest.approx(found.start - top.lost)
    assert rows["sum"].lost == pytest.approx(0, abs=1e-9)
    assert found.end == pytest.approx(method.attribute(IMAGES[:1], 3).sum())
    assert found.kept == pytest.approx(found.end / found.start)
    assert "arrive" in str(found)
    assert "lost" in str(found)
    with pytest.raises(InputError, match="photo by photo"):
        conservation(method, IMAGES)


def test_gradients_conserve_nothing_and_say_so():
    net = residual(True)
    tape = net.record(IMAGES[:1])
    found = conservation_of(tape, np.eye(5)[:1], "salinet", "scores")
    assert found.end == pytest.approx(tape.backward(np.eye(5)[:1]).sum())


@pytest.mark.parametrize("name", [n for n in composite_names() if "box" not in n])
def test_a_batch_is_its_images_one_by_one(name):
    net = residual(True, np.float32)
    images = IMAGES.astype(np.float32)
    method = LRP(net, name)
    together = method.attribute(images, [0, 3, None])
    assert together.dtype == np.float32
    assert together.shape == images.shape
    for n, target in enumerate([0, 3, None]):
        np.testing.assert_array_equal(
            together[n : n + 1], method.attribute(images[n : n + 1], target)
        )
    np.testing.assert_array_equal(together, LRP(net, name).attribute(images, [0, 3, None]))


def test_several_rules_at_once_are_those_rules_one_by_one():
    """Joint reversals: the values of the one image broadcast over rules and seeds."""
    net = residual(True, np.float32)
    x = IMAGES[:1].astype(np.float32)
    rules = [find_composite(net, n).rule(net) for n in ("epsilon", "epsilon-plus", "flat")]
    rules += [minicnn.rules.SALINET]
    tape = net.record(x, rules=rules)
    tops = [seeds.Seed("scores", np.eye(5, dtype=np.float32)[k : k + 1], str(k)) for k in (1, 4)]
    found = tape.compare(tops, rules)
    for rule in rules:
        for top, got in zip(tops, found[rule.name]):
            np.testing.assert_allclose(got, tape.backward(top, rule), rtol=1e-5, atol=1e-6)


def test_a_tape_holds_what_the_rule_reads_and_no_more(monkeypatch):
    net = residual(True)
    rule = find_composite(net, "z-plus").rule(net)
    tape = net.record(IMAGES, rules=[rule])
    held = {name for name in net.layers if name in tape._held}
    assert held == {"relu1", "relu2", "flat", "conv2", "sum", "scores"}  # conv2: a part of the sum
    assert all(call.kept.statistic is None for call in tape.calls if call.name != "pool")
    monkeypatch.setattr(Network, "values", None)  # nothing is computed again
    assert tape.reverse(rule=rule).inputs == {"p": (3, 5)}


def test_a_stand_in_may_read_what_it_says():
    net = residual(True)
    share = StandIn(
        lambda call: lambda p: call.transposed(p / call.kept.output) * call.kept[0],
        reads=(0, OUTPUT),
    )
    rule = Rule("LRP-0 of the top", {Linear: share}, unmatched="transpose")
    got = net.record(IMAGES, rules=[rule]).backward(np.eye(5)[:3], rule, wrt="flat")
    flat, scores = net.values({"x": IMAGES}, ["flat", "scores"]).values()
    expected = net.arrays["w4"][:3] * flat / np.diag(scores)[:, None]
    np.testing.assert_allclose(got, expected)


def test_the_reversed_network_is_a_network(tmp_path):
    net = residual(True, np.float32)
    method = LRP(net, "epsilon-alpha2-beta1-flat")
    tape, top = method.recorded(IMAGES[:1].astype(np.float32), 2)
    back = tape.reverse(method.at, method.rule)
    r = back(top)
    np.testing.assert_allclose(
        r, method.attribute(IMAGES[:1].astype(np.float32), 2), rtol=2e-4, atol=1e-5
    )
    np.testing.assert_allclose(back(2 * top), 2 * r, rtol=1e-5, atol=1e-6)
    assert "conv1.T" in str(back)
    assert [step.name for step in back.steps(top)][-1] == back.outputs[0]
    back.save(tmp_path / "lrp.onnx")
    np.testing.assert_allclose(minicnn.load(tmp_path / "lrp.onnx")(top), r, rtol=1e-4, atol=1e-5)


# Composites


def test_composites_put_rules_where_they_say():
    net = residual(True)
    made = {name: find_composite(net, name, **box(name)).rule(net) for name in composite_names()}

    def of(name):
        calls = {call.name: call for call in net.record(IMAGES).calls}
        return {layer: made[name].entry(call) for layer, call in calls.items()}

    for name in made:
        found = of(name)
        assert found["relu1"] is found["relu2"] is lrp.PASS
        assert found["pool"] is found["flat"] is found["beside"] is None
        assert found["conv2"] is found["conv3"]
        assert (found["conv1"] is found["conv2"]) == (
            not name.endswith(("box", "plus-flat", "1-flat"))
        )
    assert composites.find_composite(net, "LRP_epsilon_plus").name == "epsilon-plus"


def box(name):
    return {"low": -1, "high": 1} if name.endswith("box") else {}


def test_the_first_layers_are_those_that_see_the_image():
    nodes = [
        Node("left", Conv(window(1)), ("x", "w")),
        Node("right", Conv(window(1)), ("x", "w")),
        Node("both", Concat(1), ("left", "right")),
        Node("next", Conv(window(1)), ("both", "v")),
    ]
    net = network(nodes, {"w": normal(2, 2, 1, 1), "v": normal(1, 4, 1, 1)}, (2, 3, 3))
    first = lrp.flat()
    rule = Composite("mine", lrp.z_plus(), lrp.epsilon(), first).rule(net)
    entries = [rule.entry(call) for call in net.record(normal(1, 2, 3, 3)).calls]
    assert entries[0] is entries[1] is first
    assert entries[3] is not first


def test_batch_norm_is_folded_first():
    names = ("g", "b", "mean", "var")
    arrays = {
        "w": normal(3, 2, 3, 3),
        **{n: np.abs(normal(3, seed=i)) for i, n in enumerate(names)},
    }
    nodes = [
        Node("conv", Conv(window(3)), ("x", "w")),
        Node("norm", BatchNorm(), ("conv", *names)),
        Node("relu", ReLU(), ("norm",)),
    ]
    net = network(nodes, arrays, (2, 5, 5))
    method = LRP(net, "epsilon")
    assert [node.name for node in method.network.nodes] == ["norm", "relu"]
    assert LRP(net, "flat").attribute(normal(1, 2, 5, 5)).shape == (1, 2, 5, 5)


def test_pixel_bounds_are_black_and_white():
    how = minicnn.Preprocess(mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 2.0))
    low, high = pixel_bounds(how)
    assert low.shape == high.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(low.ravel(), [-1, -0.5, 0])
    np.testing.assert_allclose(high.ravel(), [1, 1.5, 0.5])


# Bad input


def test_bad_settings_are_refused_in_one_sentence():
    net = residual(True)
    with pytest.raises(UnknownNameError, match="epsilon-plus"):
        LRP(net, "epsilon-pluss")
    with pytest.raises(InputError, match="no setting gamma"):
        LRP(net, "epsilon", gamma=0.1)
    with pytest.raises(InputError, match="preprocess"):
        LRP(net, "epsilon-gamma-box")
    with pytest.raises(InputError, match="start"):
        LRP(net, "epsilon", start="two")
    with pytest.raises(InputError, match="own already"):
        LRP(net, Composite("mine", lrp.flat(), lrp.flat()), eps=1.0)
    with pytest.raises(InputError, match="alpha - beta"):
        lrp.alpha_beta(2, 2)
    with pytest.raises(InputError, match="0 or more"):
        lrp.epsilon(-1)
    with pytest.raises(InputError, match="gamma"):
        lrp.gamma(-1)
    with pytest.raises(InputError, match="smallest"):
        lrp.z_box(1, 0)
    with pytest.raises(InputError, match="broadcast"):
        LRP(net, "z-box", low=np.zeros((1, 3, 1, 1)), high=1).attribute(IMAGES, 0)
    with pytest.raises(InputError, match="got none"):
        conservation_figure([], "none")


@pytest.mark.parametrize(
    ("block", "operands"), [(Softmax(1), ("conv",)), (Multiply(), ("conv", "gate"))]
)
def test_what_has_no_rule_is_an_error_that_names_it(block, operands):
    nodes = [
        Node("conv", Conv(window(1)), ("x", "w")),
        Node("gate", Sigmoid(), ("conv",)),
        Node("last", block, operands),
    ]
    net = network(nodes, {"w": normal(2, 2, 1, 1)}, (2, 3, 3))
    with pytest.raises(RuleError, match="last"):
        LRP(net, "epsilon", at="last").attribute(normal(1, 2, 3, 3), 0)


# Excitation backprop


def test_excitation_is_a_probability_and_z_plus_without_bias():
    net = residual(True)
    image = np.abs(IMAGES)
    r = ExcitationBackprop(net).attribute(image, 3)
    layer = lrp.z_plus(bias=False)
    same = Relevance(net, Composite("same", layer, layer).rule(net), start="one")
    np.testing.assert_array_equal(r, same.attribute(image, 3))
    positive = network([Node("y", Linear(), ("x", "w"))], {"w": [[1, 3], [2, 2]]}, (2,))
    np.testing.assert_allclose(
        ExcitationBackprop(positive).attribute(np.array([[3.0, 1.0]]), 0), [[0.5, 0.5]], rtol=1e-5
    )


# Figures


def test_the_figure_of_conservation():
    net = residual(True)
    found = [conservation(LRP(net, name), IMAGES[:1], 3) for name in ("epsilon", "flat", "z-plus")]
    figure = conservation_figure(found, "where relevance goes")
    (axis,) = figure.axes
    lines = [line for line in axis.lines if line.get_label().startswith("LRP")]
    assert len(lines) == 3
    assert lines[0].get_ydata()[0] == 1
    assert lines[0].get_ydata()[-1] == pytest.approx(found[0].kept)
    assert isinstance(figure, figures.Figure)
    with pytest.raises(InputError, match="different layers"):
        conservation_figure(
            [found[0], conservation(LRP(net.cut("x", "conv3"), at="conv3"), IMAGES[:1])], ""
        )


# Against Zennit, and where it differs


def theirs(net):
    zc, zr = pytest.importorskip("zennit.composites"), pytest.importorskip("zennit.rules")
    kinds = pytest.importorskip("zennit.types")

    def alike(rule):
        return zc.LayerMapComposite([*zc.layer_map_base(), (kinds.Linear, rule)])

    torch = pytest.importorskip("torch")
    bounds = [torch.from_numpy(v) for v in pixel_bounds(net.preprocess)]
    return {
        "epsilon": alike(zr.Epsilon()),
        "gamma": alike(zr.Gamma()),
        "w-square": alike(zr.WSquare()),
        "flat": alike(zr.Flat()),
        "epsilon-plus": zc.EpsilonPlus(),
        "epsilon-plus-flat": zc.EpsilonPlusFlat(),
        "epsilon-alpha2-beta1": zc.EpsilonAlpha2Beta1(),
        "epsilon-alpha2-beta1-flat": zc.EpsilonAlpha2Beta1Flat(),
        "epsilon-gamma-box": zc.EpsilonGammaBox(*bounds),
    }


def twin():
    pytest.importorskip("torch")
    return pytest.importorskip("zennit_twin")


def deviation(net, name, photo, at=None):
    """Largest difference from Zennit in float64, over the largest relevance."""
    relevance = twin().relevance
    method = LRP(net, name, at)
    x = minicnn.data.photo(photo, net.preprocess).astype(net.dtype)
    _, top = method.recorded(x)
    expected = relevance(method.network, method.at, theirs(net)[name], x, top)
    return np.abs(method.attribute(x) - expected).max() / np.abs(expected).max()


def test_squeezenet_agrees_with_zennit():
    net = minicnn.load(shared("models/squeezenet1.1.onnx"))
    assert deviation(net, "epsilon-plus", shared("photos/cat_dog.png")) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("model", ["squeezenet1.1", "vgg16_features"])
@pytest.mark.parametrize(
    "name",
    ["epsilon", "gamma", "w-square", "flat", "epsilon-plus", "epsilon-alpha2-beta1",
     "epsilon-plus-flat", "epsilon-alpha2-beta1-flat", "epsilon-gamma-box"],
)  # fmt: skip
def test_large_networks_agree_with_zennit(model, name):
    net = minicnn.load(shared(f"models/{model}.onnx"))
    assert deviation(net, name, shared("photos/cat_dog.png")) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epsilon", "epsilon-plus", "flat", "epsilon-gamma-box"])
def test_a_deep_residual_network_agrees_with_zennit_in_double_precision(name):
    """Sums near zero amplify rounding: in float32 two correct results differ by some per cent."""
    net = minicnn.load(shared("models/li2018_resnet56.onnx")).astype(np.float64)
    assert deviation(net, name, shared("photos/cat_dog.png")) < 1e-9


def test_where_the_denominator_is_zero_zennit_divides_by_epsilon():
    """y = 2 - 2: the shares of R would be +-2 R / 0. Zennit gives +-2e6 R, which sum to 0 too."""
    zennit_twin = twin()
    rules = pytest.importorskip("zennit.composites")
    net = layer(Linear(), [[1, -1]], None, (2,))
    x, top = np.array([[2.0, 2.0]]), np.array([[1.0]])
    there = zennit_twin.relevance(net, "y", rules.EpsilonPlus(), x, top)
    np.testing.assert_allclose(there, [[2e6, -2e6]])
    rule = find_composite(net, "epsilon-plus").rule(net)
    np.testing.assert_array_equal(net.record(x, rules=[rule]).backward(top, rule), [[0, 0]])
