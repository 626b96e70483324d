"""Networks and tapes: record, reverse, cut, names, parameters, drawing."""

import numpy as np
import pytest

import minicnn
from minicnn import Rule, Tensor, seeds
from minicnn import functional as F
from minicnn.blocks import (
    Add,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Mean,
    Multiply,
    ReLU,
    Scale,
    Sigmoid,
    Softmax,
    Transpose,
)
from minicnn.errors import (
    InputError,
    MiniCNNError,
    NotDifferentiableError,
    RuleError,
    ShapeError,
    UnitError,
    UnknownNameError,
)
from minicnn.graph import Node
from minicnn.network import Network


def small(rng, dtype=np.float32, relu=ReLU):
    """Two branches that meet twice: conv, (conv | conv) -> concat -> + -> pool -> linear."""
    three, one = F.window(3, 1, 1, 1), F.window(1, 1, 0, 1)
    arrays = {
        "a.weight": rng.standard_normal((4, 2, 3, 3)),
        "a.bias": rng.standard_normal(4),
        "b.weight": rng.standard_normal((2, 4, 1, 1)),
        "c.weight": rng.standard_normal((2, 4, 3, 3)),
        "fc.weight": rng.standard_normal((5, 4 * 3 * 3)),
    }
    nodes = [
        Node("a", Conv(three), ("x", "a.weight", "a.bias"), label="first"),
        Node("ra", relu(), ("a",)),
        Node("b", Conv(one), ("ra", "b.weight")),
        Node("c", Conv(three), ("ra", "c.weight")),
        Node("rc", relu(), ("c",)),
        Node("cat", Concat(1), ("b", "rc")),
        Node("sum", Add(), ("cat", "ra")),
        Node("pool", MaxPool(F.window(3, 2, 1, 1)), ("sum",)),
        Node("flat", Flatten(), ("pool",)),
        Node("fc", Linear(), ("flat", "fc.weight")),
        Node("softmax", Softmax(1), ("fc",)),
    ]
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    return Network("small", {"x": (None, 2, 6, 6)}, nodes, ["softmax"], arrays)


@pytest.fixture
def net(rng):
    return small(rng, np.float64)


@pytest.fixture
def x(rng):
    return rng.standard_normal((1, 2, 6, 6))


def numeric(function, x, v, step=1e-6):
    return (function(x + step * v) - function(x - step * v)) / (2 * step)


def test_recording_gives_the_same_as_calling(net, x):
    tape = net.record(x)
    np.testing.assert_array_equal(tape.output, net(x))
    np.testing.assert_array_equal(tape.output, list(net.steps(x))[-1].value)


def test_values_held_and_values_computed_again_are_the_same_bits(net, x):
    held, lean = net.record(x, keep="all"), net.record(x)
    for layer in net.layers:
        np.testing.assert_array_equal(held[layer], lean[layer])


def test_salinet_is_the_directional_derivative(net, x, rng):
    v, p = rng.standard_normal(x.shape), rng.standard_normal((1, 5))
    dx = net.record(x).backward(p)
    assert (dx * v).sum() == pytest.approx((p * numeric(net, x, v)).sum(), rel=1e-6)


def test_parameters_get_their_gradients_too(net, x, rng):
    p = rng.standard_normal((1, 5))
    found = net.record(x).backward(p, wrt="parameters")
    assert set(found) == set(net.arrays)
    for name, gradient in found.items():
        v = rng.standard_normal(gradient.shape)

        def moved(array, name=name):
            return net.derived(arrays={**net.arrays, name: array})(x)

        expected = (p * numeric(moved, net.arrays[name], v)).sum()
        assert (gradient * v).sum() == pytest.approx(expected, rel=1e-5), name


def test_reversing_twice_gives_the_forward_differential(net, x, rng):
    reversed_network = net.record(x).reverse(at="fc")
    again = reversed_network.reverse()
    v = rng.standard_normal(x.shape)
    expected = numeric(lambda x: net.cut(outputs="fc")(x), x, v)
    np.testing.assert_allclose(again(v), expected, rtol=1e-6)


def test_the_reversed_networks_jacobian_is_the_transpose(net, x):
    forward = minicnn.jacobian(net.cut(outputs="fc"), x)
    backward = minicnn.jacobian(net.record(x).reverse(at="fc"), np.zeros((1, 5)))
    np.testing.assert_allclose(backward, forward.T, atol=1e-12)


def test_a_reversed_network_that_depends_on_its_input_asks_for_one(net, x, rng):
    reversed_network = net.record(x).reverse(rule="desalinet", at="fc")
    with pytest.raises(InputError, match="depend on the input"):
        reversed_network.reverse()
    p, q = rng.standard_normal((1, 5)), rng.standard_normal(x.shape)
    again = reversed_network.reverse(p)
    v = rng.standard_normal((1, 5))
    expected = (q * numeric(reversed_network, p, v)).sum()
    assert (again(q) * v).sum() == pytest.approx(expected, rel=1e-6)


def test_all_rules_from_one_tape_equal_the_rules_one_at_a_time(net, x):
    tape = net.record(x)
    codes = minicnn.rules.family_codes()
    starts = [seeds.max_unit(tape, "pool"), seeds.logit(tape)]
    together = tape.compare(starts, codes)
    for code in codes:
        rule = minicnn.rules.find(code)
        for seed, found in zip(starts, together[rule.name], strict=True):
            np.testing.assert_array_equal(found, net.record(x, rules=[code]).backward(seed, code))


def test_running_backwards_changes_nothing(net, x):
    tape = net.record(x, keep="all")
    before = {name: tape[name].copy() for name in net.layers}
    bits = {c.name: c.kept.statistic.planes.copy() for c in tape.calls if c.kept.statistic}
    first = tape.backward(seeds.logit(tape), "desalinet")
    tape.compare(seeds.max_unit(tape, "pool"), minicnn.rules.family_codes())
    np.testing.assert_array_equal(tape.backward(seeds.logit(tape), "desalinet"), first)
    for name, value in before.items():
        np.testing.assert_array_equal(tape[name], value)
    for call in tape.calls:
        if call.kept.statistic:
            np.testing.assert_array_equal(call.kept.statistic.planes, bits[call.name])


def test_a_frozen_network_keeps_bits_only(net, x):
    tape = net.record(x)
    assert tape.kept_bytes("a") == 0
    assert tape.kept_bytes("ra") == 6 * 6  # a byte holds the bits of a pixel's channels
    assert tape.kept_bytes("pool") == 4 * 3 * 3  # 9 taps: 4 bits a window
    assert tape.kept_bytes("softmax") == tape["softmax"].nbytes


def test_steps_of_a_reversed_network_end_in_its_result(net, x):
    reversed_network = net.record(x).reverse(at="pool", rule="deconvnet")
    p = np.ones((1, 4, 3, 3))
    steps = list(reversed_network.steps(p))
    np.testing.assert_array_equal(steps[-1].value, reversed_network(p))
    assert reversed_network.mirror.nodes["pool.T"] == "pool"
    assert "ra.sum" in reversed_network.layers  # three readers of ra meet there


def test_signals_in_between_can_be_asked_for(net, x, rng):
    tape = net.record(x)
    p = rng.standard_normal((1, 5))
    found = tape.backward(p, wrt=["x", "ra"])
    np.testing.assert_array_equal(found["x"], tape.backward(p))
    head = net.cut(inputs="ra")
    expected = head.record(tape["ra"]).backward(p)
    np.testing.assert_allclose(found["ra"], expected, rtol=1e-12)


def test_a_value_is_the_signal_at_itself(net, x):
    tape = net.record(x)
    p = np.ones((1, 5))
    np.testing.assert_array_equal(tape.backward(p, at="fc", wrt="fc"), p)


def test_what_does_not_depend_is_said(net, x):
    with pytest.raises(NotDifferentiableError, match=r"b does not depend on fc"):
        net.record(x).reverse(at="b", wrt="fc")


def test_cut_pieces_can_be_shown(net):
    middle = net.cut(inputs="pool", outputs="fc")
    assert middle.inputs == {"pool": (None, 4, 3, 3)}
    assert "pool 4x3x3" in middle.summary()
    assert middle._repr_html_().count("<tr>") == 3
    assert middle.to_dot().count("->") == 2
    assert "ra 4x6x6" in net.cut(inputs="ra").summary()


def test_names_that_collide_do_not_mix_values_up(rng):
    """A parameter called p, and a value called like a signal: the maps stay right."""
    w, x = rng.standard_normal((3, 2)), rng.standard_normal((1, 2))
    net = Network("odd", {"x": (None, 2)}, [Node("y", Linear(), ("x", "p"))], ["y"], {"p": w})
    p = rng.standard_normal((1, 3))
    np.testing.assert_allclose(net.record(x).backward(p), p @ w)
    nodes = [
        Node("y.T", Sigmoid(), ("x",)),
        Node("z", Multiply(), ("y.T", "x")),
        Node("y", ReLU(), ("z",)),
    ]
    net = Network("odd", {"x": (None, 2)}, nodes, ["y"], dtype=np.dtype(np.float64))
    v, q = rng.standard_normal((1, 2)), rng.standard_normal((1, 2))
    dx = net.record(x).backward(q)
    assert (dx * v).sum() == pytest.approx((q * numeric(net, x, v)).sum(), rel=1e-6)
    with pytest.raises(InputError, match="named 'x'"):
        Network("twice", {"x": (None, 2)}, [Node("x", ReLU(), ("x",))], ["x"])


def test_nobody_can_change_a_tape(net, x):
    x = x.copy()
    tape = net.record(x, keep="all")
    seed = seeds.logit(tape)
    before, value = tape.backward(seed), tape["ra"].copy()
    x[...] = 0
    for array in (tape.output, tape["ra"], tape.inputs["x"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        tape.call("ra").kept.statistic.planes[...] = 0
    np.testing.assert_array_equal(net.record(tape.inputs["x"])["ra"], value)
    np.testing.assert_array_equal(tape.backward(seed), before)


def test_results_have_memory_of_their_own(net, x):
    tape = net.record(x)
    p = np.ones((1, 5))
    result = tape.backward(p, at="fc", wrt="fc")
    result[...] = 7
    assert (p == 1).all()
    flat = Network("flat", {"x": (None, 2, 6, 6)}, [Node("y", Flatten(), ("x",))], ["y"])
    flat = flat.astype(np.float64)
    flat(x)[...] = 7
    assert (x != 7).all()


def test_two_inputs_that_get_the_same_signal_get_their_own_copies():
    nodes = [Node("s", Add(), ("a", "b")), Node("y", ReLU(), ("s",))]
    net = Network("two", {"a": (None, 3), "b": (None, 3)}, nodes, ["y"])
    one = np.ones((1, 3), np.float32)
    tape = net.record(one, one)
    assert len(set(tape.reverse().outputs)) == 2
    found = tape.backward(one)
    found["a"][...] = 9
    assert (found["b"] == 1).all()
    back = tape.reverse()
    again = back.record(one).reverse(at=back.outputs)  # and reversing twice is J again
    np.testing.assert_array_equal(again(one, 2 * one), 3 * one)


def test_outputs_share_no_memory_with_weights_or_each_other(rng):
    w = rng.standard_normal((2, 3)).astype(np.float32)
    nodes = [
        Node("wt", Transpose((1, 0)), ("w",)),
        Node("y", Linear(), ("x", "w")),
        Node("z", Flatten(), ("y",)),
    ]
    net = Network("shares", {"x": (None, 3)}, nodes, ["wt", "y", "z"], {"w": w})
    before = w.copy()
    wt, y, z = net(np.ones((1, 3), np.float32))
    wt[...], z[...] = 7, 8
    np.testing.assert_array_equal(w, before)
    assert (y != 8).all()


def test_values_computed_again_are_read_only(net, x):
    with pytest.raises(ValueError, match="read-only"):
        net.record(x)["a"][...] = 0


def test_a_cut_reversed_network_can_be_reversed_and_drawn(net, x):
    rev = net.record(x).reverse(at="pool")
    piece = rev.cut(outputs="rc.T")
    assert "2x6x6" in piece.reverse().summary().splitlines()[1]
    dot = net.to_dot(piece)
    drawn = [line.split('"')[3] for line in dot.splitlines() if "style=dotted" in line]
    assert drawn
    assert all(f'  "{name}" [label' in dot for name in drawn)


def test_rules_with_predicates_on_shapes_can_be_recorded_for(net, x):
    wide = Rule("wide", {
        lambda call: isinstance(call.block, ReLU) and call.shape[1] > 2: lambda call: ReLU(),
    }, unmatched="transpose")  # fmt: skip
    p = np.ones((1, 5))
    lean, full = net.record(x, rules=[wide]), net.record(x)
    np.testing.assert_array_equal(lean.backward(p, wide), full.backward(p, wide))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda call: lambda p: p.sum(), r"must give a signal of shape \(1, 4, 6, 6\)"),
        (lambda call: lambda p: np.zeros(3), "made of blocks"),
        (lambda call: (ReLU(), ReLU()), "2 maps for 1 operands"),
    ],
)
def test_stand_ins_are_checked(net, x, made, says):
    with pytest.raises(RuleError, match=says):
        net.record(x).backward(np.ones((1, 5)), Rule("odd", {"ra": made}, unmatched="transpose"))


def test_rule_patterns_know_labels(net, x):
    mute = Rule("mute", {"first": lambda call: Scale(0.0)}, unmatched="transpose")
    seen = mute.entry(net.record(x).call("a"))
    assert seen is not None


def test_what_was_kept_is_no_parameter(rng, x):
    net = small(rng, np.float64, Sigmoid)
    rev = net.record(x).reverse()
    assert set(rev.parameter_names()) <= set(net.arrays)
    assert set(rev.state_dict()) <= set(net.arrays)


def test_cut_pieces_compose_to_the_whole(net, x):
    lower, upper = net.cut(outputs="pool"), net.cut(inputs="pool")
    np.testing.assert_array_equal(upper(lower(x)), net(x))
    assert set(lower.arrays) == {"a.weight", "a.bias", "b.weight", "c.weight"}
    with pytest.raises(InputError, match="also depends on x"):
        net.cut(inputs="b")


def test_several_outputs_come_as_a_tuple(net, x):
    both = net.cut(outputs=["b", "rc"])
    b, rc = both(x)
    np.testing.assert_array_equal(np.concatenate([b, rc], 1), net.record(x)["cat"])


def test_labels_are_names_too_and_near_misses_are_offered(net, x):
    tape = net.record(x)
    np.testing.assert_array_equal(tape["first"], tape["a"])
    with pytest.raises(UnknownNameError, match="softmax"):
        tape["sofmax"]


def test_networks_run_and_learn_on_tensors(net, x):
    out = net(Tensor(x, requires_grad=True))
    np.testing.assert_allclose(out.data, net(x), rtol=1e-12)
    loss = F.cross_entropy(net.cut(outputs="fc")(Tensor(x)), [2])
    assert loss.requires_grad
    net_on_tensors = net.cut(outputs="fc")
    loss = F.cross_entropy(net_on_tensors(Tensor(x)), [2])
    loss.backward()
    gradients = {name: t.grad for name, t in net_on_tensors.named_parameters().items()}
    assert all(g is not None for g in gradients.values())
    tape = net_on_tensors.record(x)
    p = minicnn.grad(F.cross_entropy(z := Tensor(tape.output, requires_grad=True), [2]), [z])[0]
    for name, gradient in tape.backward(p.data, wrt="parameters").items():
        np.testing.assert_allclose(gradients[name].data, gradient, rtol=1e-10)


def test_parameters_share_memory_and_state_can_be_loaded(rng):
    net = small(rng)
    net.named_parameters()["a.bias"].data[...] = 7
    assert (net.arrays["a.bias"] == 7).all()
    state = {name: array + 1 for name, array in net.state_dict().items()}
    net.load_state_dict(state)
    assert (net.arrays["a.bias"] == 8).all()
    with pytest.raises(UnknownNameError, match=r"a\.bias"):
        net.load_state_dict({**state, "a.bais": np.zeros(4)})
    with pytest.raises(ShapeError, match=r"a\.bias"):
        net.load_state_dict({**state, "a.bias": np.zeros(3)})
    assert (net.arrays["a.bias"] == 8).all()


def test_two_networks_do_not_trip_over_each_other(rng, x):
    one, two = small(rng, np.float64), small(rng, np.float64)
    tape = one.record(x)
    before = tape.backward(seeds.logit(tape))
    two(Tensor(x, requires_grad=True)).sum().backward()
    two.record(x).compare(seeds.logit(two.record(x)))
    np.testing.assert_array_equal(tape.backward(seeds.logit(tape)), before)
    assert all(t.grad is None for t in one.parameters())


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (np.zeros((1, 2, 6, 6), np.float32), InputError, "float64"),
        (np.zeros((1, 3, 6, 6)), ShapeError, r"\(any, 2, 6, 6\)"),
        (np.zeros((1, 2, 7, 6)), ShapeError, r"\(1, 2, 7, 6\)"),
        (np.zeros((2, 6, 6)), ShapeError, "shape"),
        (np.full((1, 2, 6, 6), np.nan), InputError, "NaN"),
        (np.full((1, 2, 6, 6), np.inf), InputError, "infinity"),
        ([[1.0]], InputError, "list"),
    ],
)
def test_bad_inputs_are_refused(net, bad, error, says):
    with pytest.raises(error, match=says):
        net.record(bad)


def test_errors_name_the_node(net):
    odd = net.derived(inputs={"x": (None, 2, None, None)})
    with pytest.raises(ShapeError, match=r"At fc \(Linear\).*36 input features"):
        odd(np.zeros((1, 2, 9, 9)))


def test_summary_counts_shared_weights_once(net):
    text = net.summary()
    assert f"{sum(a.size for a in net.arrays.values()):,} parameters" in text
    assert str(net) == text
    assert repr(text) == text


def test_dot_shows_both_networks_side_by_side(net, x):
    dot = net.to_dot(net.record(x).reverse(at="fc"))
    assert '"f:a" -> "f:ra"' in dot
    assert '"r:ra.T" -> "r:a.T"' in dot
    assert '"f:pool" -> "r:fc' not in dot
    assert dot.count("rank=same") > 5
    assert dot.count("{") == dot.count("}")


def test_html_for_notebooks(net):
    html = net._repr_html_()
    assert html.count("<tr>") == len(net.nodes) + 1


def test_seeds(net, x):
    tape = net.record(x)
    top = seeds.max_unit(tape, "pool")
    assert tape["pool"][(0, *top.index)] == tape["pool"].max()
    assert top.p.sum() == 1
    weighted = seeds.unit(tape, "pool", top.index, weight="value")
    assert weighted.p.sum() == tape["pool"].max()
    assert seeds.channel(tape, "pool", 2).p[0, 2].all()
    assert seeds.parse(tape, "pool", "2").index[0] == 2
    assert seeds.parse(tape, "pool", "1,2,0").index == (1, 2, 0)
    assert seeds.logit(tape).at == "fc"  # before the softmax
    assert seeds.logit(tape).index == (int(tape["fc"].argmax()),)
    noise = seeds.dense(tape, "pool", 0, place=(1, 1))
    assert (noise.p[0, :, 1, 1] > 0).all()
    assert np.count_nonzero(noise.p) == 4
    again = seeds.random_unit(tape, "pool", 5)
    assert again.index == seeds.random_unit(tape, "pool", 5).index


@pytest.mark.parametrize("text", ["4", "0,3,0", "0,0", "-1", "a", "1,2,3,4", ""])
def test_units_outside_the_map_are_refused(net, x, text):
    with pytest.raises(UnitError):
        seeds.parse(net.record(x), "pool", text)


def test_classes_outside_are_refused(net, x):
    with pytest.raises(UnitError, match="0 to 4"):
        seeds.logit(net.record(x), 5)


def test_logits_are_found_through_reshapes(net):
    assert net.logits == "fc"
    assert net.cut(outputs="pool").logits == "pool"
    assert net.classifies
    assert not net.cut(outputs="pool").classifies


def test_every_error_is_of_one_kind():
    exported = [getattr(minicnn.errors, name) for name in minicnn.errors.__all__]
    kinds = [kind for kind in exported if isinstance(kind, type)]
    assert len(kinds) > 10
    assert all(issubclass(kind, MiniCNNError) for kind in kinds)


def test_a_sigmoid_net_is_reversed_with_its_values(rng, x):
    net = small(rng, np.float64, Sigmoid)
    v, p = rng.standard_normal(x.shape), rng.standard_normal((1, 5))
    dx = net.record(x).backward(p)
    assert (dx * v).sum() == pytest.approx((p * numeric(net, x, v)).sum(), rel=1e-6)


def test_a_mean_reaches_every_pixel(x):
    net = Network("mean", {"x": (None, 2, 6, 6)}, [Node("m", Mean((2, 3)), ("x",))], ["m"])
    net = net.astype(np.float64)
    np.testing.assert_allclose(net.record(x).backward(np.ones((1, 2))), np.full(x.shape, 1 / 36))
