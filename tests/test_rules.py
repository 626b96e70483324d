"""Backward rules: the conformance kit, names and aliases, rules of one's own, ablations."""

import numpy as np
import onnx
import pytest
from conformance import CASES, CHAIN, CODES, TIES

import minicnn
from minicnn import Rule, rules
from minicnn.blocks import LRN, Identity, LeakyReLU, MaxPool, Multiply, ReLU, Scale, Sigmoid
from minicnn.errors import InputError, RuleError, UnknownNameError
from minicnn.graph import Node
from minicnn.network import Network
from minicnn.rules import DECONVNET, DESALINET, SALINET, UnmatchedWarning, family, find


def loaded(case, tmp_path):
    path = tmp_path / "tiny.onnx"
    onnx.save(case.model(), path)
    return minicnn.load(path)


def chain(*blocks, size=6):
    """A network of one-operand blocks in a row."""
    nodes, at = [], "x"
    for i, block in enumerate(blocks):
        nodes.append(Node(f"b{i}", block, (at,)))
        at = f"b{i}"
    return Network("chain", {"x": (None, 1, 1, size)}, nodes, [at])


X = np.array([1, -2, 3, -4, 5, -6], np.float32).reshape(1, 1, 1, 6)
P = np.array([1, 2, -3, -4, 5, 6], np.float32).reshape(1, 1, 1, 6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conformance(case, tmp_path):
    tape = loaded(case, tmp_path).record(case.input())
    p = np.array(case.p, np.float32).reshape(tape.output.shape)
    for code, values in case.expected.items():
        expected = np.array(values, np.float32).reshape(case.input().shape)
        np.testing.assert_allclose(tape.backward(p, code), expected, rtol=1e-6, err_msg=code)


def test_salinet_is_ttf_with_lrn_transposed(tmp_path):
    for case in CASES:
        tape = loaded(case, tmp_path).record(case.input())
        p = np.array(case.p, np.float32).reshape(tape.output.shape)
        np.testing.assert_array_equal(tape.backward(p, "salinet"), tape.backward(p, "TTFF"))


@pytest.mark.parametrize(
    ("alias", "rule"),
    [
        ("gradient", SALINET),
        ("Saliency", SALINET),
        ("TTFF", SALINET),
        ("deconvolution", DECONVNET),
        ("ftt", DECONVNET),
        ("guided_backprop", DESALINET),
        ("guided-backprop", DESALINET),
        ("TTT", DESALINET),
        ("DeSaliNet", DESALINET),
    ],
)
def test_aliases(alias, rule):
    assert find(alias).code == rule.code
    assert find(alias).name == rule.name


def test_the_family_has_eight_codes_or_sixteen_with_lrn():
    assert sorted(rules.family_codes()) == sorted(CODES)
    assert len({family(code).name for code in rules.family_codes(lrn=True)}) == 16


@pytest.mark.parametrize("name", ["salient", "TTX", "TT", "TTTTT", ""])
def test_unknown_rules_are_refused(name):
    with pytest.raises(UnknownNameError):
        find(name)


def test_a_near_miss_is_offered():
    with pytest.raises(UnknownNameError, match="deconvnet"):
        find("deconvent")


def test_a_rule_of_ones_own_in_three_lines():
    mine = Rule("half", {
        ReLU: lambda call: call.transposed >> Scale(0.5),
    })  # fmt: skip
    got = chain(ReLU()).record(X).backward(P, mine)
    np.testing.assert_array_equal(got, 0.5 * P * (X > 0))


def test_patterns_and_predicates_go_before_types():
    net = chain(ReLU(), Scale(1.0), ReLU())
    pattern = Rule("pattern", {ReLU: lambda call: Identity(), "b0": lambda call: Scale(10.0)})
    np.testing.assert_array_equal(net.record(X).backward(P, pattern), 10 * P)
    predicate = Rule(
        "predicate",
        {ReLU: lambda call: Identity(), (lambda call: call.name == "b2"): lambda call: Scale(3.0)},
    )
    np.testing.assert_array_equal(net.record(X).backward(P, predicate), 3 * P)


def test_unmatched_blocks_warn_with_their_names():
    tape = chain(LeakyReLU(0.1), ReLU(), Sigmoid()).record(X)
    with pytest.warns(UnmatchedWarning, match=r"b0 \(LeakyReLU\), b2 \(Sigmoid\)"):
        tape.backward(P, "deconvnet")


def test_unmatched_blocks_can_be_refused_or_transposed():
    tape = chain(LeakyReLU(0.1)).record(X)
    with pytest.raises(RuleError, match="LeakyReLU"):
        tape.backward(P, Rule("strict", {ReLU: lambda call: ReLU()}, unmatched="raise"))
    silent = Rule("silent", {ReLU: lambda call: ReLU()}, unmatched="transpose")
    np.testing.assert_array_equal(tape.backward(P, silent), tape.backward(P, "salinet"))
    with pytest.raises(InputError):
        Rule("odd", {}, unmatched="shrug")


def test_pooling_needs_no_entry(recwarn):
    window = minicnn.functional.window((1, 2), (1, 2), 0, 1)
    tape = chain(ReLU(), MaxPool(window)).record(X)
    tape.backward(np.ones((1, 1, 1, 3), np.float32), Rule("r", {ReLU: lambda call: ReLU()}))
    assert not recwarn.list


def test_a_tape_keeps_no_more_than_its_rules_need(tmp_path):
    net = loaded(CHAIN, tmp_path)
    tape = net.record(CHAIN.input(), rules=["deconvnet"])
    assert tape.call("r1").kept.statistic is None
    assert tape.call("m").kept.statistic is not None
    full = net.record(CHAIN.input())
    p = np.ones_like(tape.output)
    np.testing.assert_array_equal(tape.backward(p, "deconvnet"), full.backward(p, "deconvnet"))
    with pytest.raises(RuleError, match=r"mask of r1.*SaliNet"):
        tape.backward(p, "salinet")


def test_bits_of_bottleneck_information(tmp_path):
    tape = loaded(CHAIN, tmp_path).record(CHAIN.input())
    assert tape.bits("salinet") == 4 + 1 + 3  # two masks (4 and 1 units), 3 windows of 2 taps
    assert tape.bits("deconvnet") == 3
    assert tape.bits("TFT") == 5
    assert tape.bits("FFF") == 0
    lean = loaded(CHAIN, tmp_path).record(CHAIN.input(), rules=["deconvnet"])
    with pytest.raises(RuleError, match="did not keep"):
        lean.bits("salinet")


def test_random_masks_keep_their_number_of_ones_and_repeat(rng):
    x = rng.standard_normal((1, 1, 1, 600)).astype(np.float32)
    tape = chain(ReLU(), size=600).record(x)
    p = np.ones_like(x)
    ablated = SALINET.with_random("mask", seed=3)
    first, again = tape.backward(p, ablated), tape.backward(p, ablated)
    np.testing.assert_array_equal(first, again)
    assert first.sum() == (x > 0).sum()
    assert (first != (x > 0)).any()
    other = tape.backward(p, SALINET.with_random("mask", seed=4))
    assert (first != other).any()


def test_random_switches_stay_in_their_window_and_in_the_image():
    window = minicnn.functional.window((1, 3), (1, 3), (0, 1, 0, 1), 1)
    tape = chain(MaxPool(window), size=4).record(X[..., :4])
    p = np.array([1, 10], np.float32).reshape(1, 1, 1, 2)
    places = set()
    for seed in range(20):
        got = tape.backward(p, SALINET.with_random("switches", seed)).reshape(-1)
        assert got[:2].sum() == 1  # first window: padding, 0, 1
        assert got[2:].sum() == 10  # second: 2, 3, padding
        places.add(tuple(got))
    assert len(places) == 4


def test_ablations_can_be_limited_to_layers(rng):
    x = rng.standard_normal((1, 1, 1, 600)).astype(np.float32)
    tape = chain(LeakyReLU(0.5), Scale(1.0), ReLU(), size=600).record(x)
    one = SALINET.with_random("mask", 0, layers="b2")
    signals = tape.backward(np.ones_like(x), one, wrt=["x", "b0"])
    clean = tape.backward(np.ones_like(x), "salinet", wrt=["x", "b0"])
    assert (signals["b0"] != clean["b0"]).any()
    np.testing.assert_array_equal(signals["x"], signals["b0"] * np.where(x > 0, 1, np.float32(0.5)))


def test_each_layer_gets_its_own_random_mask(rng):
    x = np.abs(rng.standard_normal((1, 1, 1, 600))).astype(np.float32) * np.where(
        rng.random(600) < 0.5, 1, -1
    ).astype(np.float32)
    tape = chain(ReLU(), ReLU(), size=600).record(x)
    found = tape.backward(np.ones_like(x), SALINET.with_random("mask", 0), wrt=["x", "b0"])
    assert (found["x"] != found["b0"]).any()  # equal masks would leave the signal as it is


def test_an_images_random_mask_does_not_depend_on_its_batch(rng):
    x = rng.standard_normal((2, 1, 1, 600)).astype(np.float32)
    net, rule = chain(ReLU(), size=600), SALINET.with_random("mask", 0)
    both = net.record(x).backward(np.ones_like(x), rule)
    alone = net.record(x[:1]).backward(np.ones_like(x[:1]), rule)
    np.testing.assert_array_equal(both[:1], alone)


@pytest.mark.parametrize("rule", [DECONVNET, family("FFF")])
def test_randomising_what_a_rule_does_not_read_is_refused(rule, tmp_path):
    net = loaded(CHAIN, tmp_path)
    ablated = rule.with_random("mask", 0)
    for tape in (net.record(CHAIN.input()), net.record(CHAIN.input(), rules=[ablated])):
        with pytest.raises(RuleError, match="would change nothing"):
            tape.backward(np.ones_like(tape.output), ablated)
    with pytest.raises(RuleError, match="conv"):
        tape.backward(np.ones_like(tape.output), SALINET.with_random("mask", 0, "conv*"))


def test_a_stand_in_that_lies_about_its_needs_is_told():
    liar = Rule("liar", {ReLU: rules.StandIn(lambda call: call.transposed, needs_kept=False)})
    tape = chain(ReLU()).record(X, rules=[liar])
    with pytest.raises(RuleError, match="needs_kept"):
        tape.backward(P, liar)


@pytest.mark.parametrize("made", [None, ReLU, 3])
def test_entries_must_give_a_map(made):
    with pytest.raises(RuleError, match="must give a block"):
        chain(ReLU()).record(X).backward(P, Rule("odd", {ReLU: lambda call: made}))
    with pytest.raises(RuleError, match="give a function"):
        Rule("odd", {ReLU: 3})


def test_products_of_two_signals_are_not_passed_over():
    """A squeeze-and-excitation gate: the rule does not say what to do at the product."""
    nodes = [
        Node("gate", ReLU(), ("x",)),
        Node("y", Multiply(), ("x", "gate")),
    ]
    tape = Network("gated", {"x": (None, 1, 1, 6)}, nodes, ["y"]).record(X)
    with pytest.warns(UnmatchedWarning, match=r"y \(Multiply\)"):
        tape.backward(P, "deconvnet")


def test_products_with_parameters_raise_no_false_alarm(recwarn):
    x = minicnn.Tensor(X, requires_grad=True)
    w = minicnn.Tensor(P, requires_grad=True)
    (minicnn.functional.relu(x) * w).backward(P, reversal=DECONVNET)
    above = minicnn.functional.sigmoid(x)
    minicnn.grad(minicnn.functional.relu(above), above, P, reversal=DECONVNET)
    assert not recwarn.list


def test_random_switches_do_not_depend_on_the_batch(rng):
    window = minicnn.functional.window((1, 3), (1, 3), 0, 1)
    net = chain(MaxPool(window), size=60)
    x = rng.standard_normal((2, 1, 1, 60)).astype(np.float32)
    rule, p = SALINET.with_random("switches", 0), np.ones((2, 1, 1, 20), np.float32)
    both, alone = net.record(x).backward(p, rule), net.record(x[:1]).backward(p[:1], rule)
    np.testing.assert_array_equal(both[:1], alone)


def test_rules_on_tensors_are_checked_too():
    strict = Rule("strict", {ReLU: lambda call: ReLU()}, unmatched="raise")
    x = minicnn.Tensor(X, requires_grad=True)
    with pytest.raises(RuleError, match="Sigmoid"):
        minicnn.functional.sigmoid(x).backward(P, reversal=strict)


def test_a_lean_tape_does_not_hold_what_its_rules_pass_by(tmp_path):
    """DeConvNet replaces LRN by the identity, so LRN's input need not be kept."""
    tape = chain(ReLU(), LRN(3), ReLU()).record(X, rules=["deconvnet"])
    assert "b0" not in tape._held
    assert "b0" in chain(ReLU(), LRN(3), ReLU()).record(X)._held
    tape.backward(P, "deconvnet")


def test_only_maskless_rules_depend_on_ties(tmp_path):
    """The all-zero window routes 7 to its first tap; a mask kills it wherever it lands."""
    tape = loaded(TIES, tmp_path).record(TIES.input())
    p = np.array(TIES.p, np.float32).reshape(tape.output.shape)
    assert tape.backward(p, "FTT").reshape(-1)[:2].sum() == 7
    assert tape.backward(p, "TTT").reshape(-1)[:2].sum() == 0
