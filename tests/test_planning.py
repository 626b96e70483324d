"""Plans: fused and laid out, a network gives what its blocks give one by one."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import blocks as B
from minicnn import functional as F
from minicnn import rules, seeds, using
from minicnn.graph import Node
from minicnn.kernels import Packed
from minicnn.network import Network
from minicnn.planning.storage import arena_layout


def weights(seed=0):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return (generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return normal


def build(batch=None):
    """Branches, sums, concatenations, batch norm, pooling of every kind, and a classifier."""
    normal = weights()
    arrays = {
        "w1": normal(8, 3, 7, 7), "b1": normal(8),
        "w2": normal(8, 8, 3, 3), "w3": normal(8, 8, 3, 3), "w4": normal(24, 8, 1, 1),
        "w5": normal(20, 8, 3, 3), "b5": normal(20),
        "one": np.ones((1, 1), np.float32),
        "w6": normal(44, 1, 3, 3), "w7": normal(10, 44 * 9), "b7": normal(10),
    }  # fmt: skip
    for name, channels in {"n1": 8, "n2": 8}.items():
        arrays |= {
            f"{name}.{part}": np.abs(normal(channels)) + (0.5 if part in "gv" else 0)
            for part in "gbmv"
        }
    same, seven = F.window(3, 1, 1, 1), F.window(7, 2, 3, 1)
    nodes = [
        Node("conv1", B.Conv(seven), ("x", "w1", "b1")),
        Node("relu1", B.ReLU(), ("conv1",)),
        Node("pool1", B.MaxPool(F.window(3, 2, 1, 1)), ("relu1",)),
        Node("conv2", B.Conv(same), ("pool1", "w2")),
        Node("norm1", B.BatchNorm(), ("conv2", *(f"n1.{p}" for p in "gbmv"))),
        Node("relu2", B.ReLU(), ("norm1",)),
        Node("conv3", B.Conv(same), ("relu2", "w3")),
        Node("norm2", B.BatchNorm(), ("conv3", *(f"n2.{p}" for p in "gbmv"))),
        Node("sum", B.Add(), ("norm2", "pool1")),
        Node("relu3", B.ReLU(), ("sum",)),
        Node("wide", B.Conv(F.window(1, 1, 0, 1)), ("relu3", "w4")),
        Node("relu4", B.ReLU(), ("wide",)),
        Node("deep", B.Conv(same), ("relu3", "w5", "b5")),
        Node("relu5", B.ReLU(), ("deep",)),
        Node("both", B.Concat(1), ("relu4", "relu5")),
        Node("each", B.Conv(F.window(3, 1, 1, 1), 44), ("both", "w6")),
        Node("smooth", B.Add(), ("each", "one")),  # no kernel: runs as it is
        Node("pool2", B.AveragePool(F.window(3, 2, 1, 1), True), ("smooth",)),
        Node("flat", B.Flatten(), ("pool2",)),
        Node("scores", B.Linear(), ("flat", "w7", "b7")),
        Node("odds", B.Softmax(1), ("scores",)),
    ]
    return Network("all sorts", {"x": (batch, 3, 23, 24)}, nodes, ["odds"], arrays)


@pytest.fixture
def net():
    return build().freeze()


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((2, 3, 23, 24)).astype(np.float32)


def by_blocks(network, x):
    """The same run, block by block."""
    return network.record(x, keep="all", timed=True)


def test_the_plan_fuses_what_it_says(net, x):
    lines = str(net.explain_plan(x)).splitlines()
    found = {line.split("  ")[0]: line for line in lines}
    assert "Conv + BatchNorm + ReLU" in found["relu2"]
    assert "Conv + BatchNorm + Add + ReLU" in found["relu3"]
    assert "Conv + ReLU" in found["relu4"]
    assert "view: takes no time" in found["both"]
    assert "depthwise: estimated" in found["each"]
    assert "block: no kernel" in found["smooth"]


def test_a_fused_run_gives_the_bits_of_the_blocks(net, x):
    tape, blocks = net.record(x), by_blocks(net, x)
    np.testing.assert_array_equal(net(x), blocks.output)
    np.testing.assert_array_equal(tape.output, blocks.output)
    assert tape.seconds == {}
    assert blocks.seconds.keys() == set(net.layers)
    for name in net.layers:
        np.testing.assert_array_equal(tape[name], blocks[name], err_msg=name)
        bits, expected = tape.call(name).kept.statistic, blocks.call(name).kept.statistic
        assert (bits is None) == (expected is None)
        if bits is not None:
            assert (bits.shape, bits.levels) == (expected.shape, expected.levels)
            np.testing.assert_array_equal(bits.planes, expected.planes, err_msg=name)


def test_values_in_between_can_be_asked_for(net, x):
    blocks = by_blocks(net, x)
    for name in net.layers:
        (value,) = net.cut(outputs=name).record(x).fetch([name]).values()
        np.testing.assert_array_equal(value, blocks[name], err_msg=name)


@pytest.mark.parametrize("code", rules.family_codes())
def test_reversed_networks_agree_with_their_blocks(net, x, code):
    tape = net.record(x)
    p = np.random.default_rng(2).standard_normal((2, 10)).astype(np.float32)
    drawn = tape.reverse("scores", code)
    expected = drawn.record(p, timed=True).output
    planned = tape.backward(p, code, "scores")
    np.testing.assert_allclose(planned, expected, atol=1e-5 * abs(expected).max())
    np.testing.assert_array_equal(
        planned, tape.backward(p, code, "scores")
    )  # drawn once, run again
    np.testing.assert_array_equal(planned, drawn(p))


def test_a_remembered_reversal_takes_the_bits_of_each_run(net, x):
    p = np.ones((2, 10), np.float32)
    first, second = net.record(x), net.record(-x)
    both = [first.backward(p, at="scores"), second.backward(p, at="scores")]
    fresh = build().freeze()
    np.testing.assert_array_equal(both[1], fresh.record(-x).backward(p, at="scores"))
    np.testing.assert_array_equal(both[0], first.backward(p, at="scores"))
    assert abs(both[0] - both[1]).max() > 0


def test_rules_as_one_batch_give_the_bits_of_each_alone(net):
    x = np.random.default_rng(1).standard_normal((1, 3, 23, 24)).astype(np.float32)
    tape = net.record(x)
    chosen = [seeds.unit(tape, "relu3", (c, 1, 2)) for c in (0, 3, 5)]
    chosen.append(seeds.unit(tape, "pool2", (1, 1, 1)))
    wanted = [*rules.family_codes(), rules.SALINET.with_random("mask", 1)]
    maps = tape.compare(chosen, wanted)
    for rule in wanted:
        for i, seed in enumerate(chosen):
            alone = tape.backward(seed, rule)
            np.testing.assert_array_equal(maps[rules.find(rule).name][i], alone)


def test_several_rules_are_one_network_with_one_set_of_transposed_convolutions(net):
    x = np.zeros((1, 3, 23, 24), np.float32)
    tape = net.record(x)
    joint, _ = tape._joint("relu2", [rules.find(code) for code in rules.family_codes()], 2)
    kinds = [node.block.kind for node in joint.nodes]
    assert kinds.count("ConvTranspose") == 2
    assert kinds.count("Stacked") == 3  # two ReLUs and a pooling
    assert next(iter(joint.inputs.values()))[0] == 16


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_values_that_live_at_once_never_share_memory(drawn):
    sizes = {str(i): size for i, (size, _, _) in enumerate(drawn)}
    lives = {str(i): (min(a, b), max(a, b)) for i, (_, a, b) in enumerate(drawn)}
    offsets, end = arena_layout(sizes, lives)
    for one in sizes:
        assert offsets[one] % 64 == 0
        assert offsets[one] + sizes[one] <= end
        for other in sizes:
            if (
                one < other
                and lives[one][0] <= lives[other][1]
                and lives[other][0] <= lives[one][1]
            ):
                apart = offsets[one] + sizes[one] <= offsets[other]
                assert apart or offsets[other] + sizes[other] <= offsets[one]
    assert end <= sum(-(-size // 64) * 64 for size in sizes.values())


def test_results_own_their_memory(net, x):
    first = net(x)
    kept = first.copy()
    net(-x)
    np.testing.assert_array_equal(first, kept)
    first[...] = 0  # and may be written to
    np.testing.assert_array_equal(net(x), kept)


@pytest.mark.parametrize(
    "make", [np.asfortranarray, lambda a: a[:, ::-1], lambda a: np.moveaxis(a, 1, -1).copy()]
)
def test_inputs_may_have_any_strides(net, x, make):
    y = make(x)
    y = np.moveaxis(y, -1, 1) if y.shape[-1] == 3 else y
    np.testing.assert_array_equal(net(y), by_blocks(net, np.ascontiguousarray(y)).output)


def test_an_image_gives_the_same_bits_alone_and_in_a_batch(net, x):
    np.testing.assert_array_equal(net(x)[1:], net(x[1:]))


def test_threads_may_share_a_network(net, x):
    expected = [net(factor * x) for factor in range(4)]
    tapes = [
        net.record(factor * x).backward(np.ones((2, 10), np.float32), at="scores")
        for factor in range(4)
    ]
    wrong = []

    def work(factor):
        for _ in range(20):
            tape = net.record(factor * x)
            back = tape.backward(np.ones((2, 10), np.float32), at="scores")
            if not np.array_equal(tape.output, expected[factor]):
                wrong.append(factor)
            if not np.array_equal(back, tapes[factor]):
                wrong.append(factor)

    workers = [threading.Thread(target=work, args=(factor,)) for factor in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# Frozen and not


def test_a_network_whose_parameters_can_change_runs_block_by_block(x):
    net = build()
    assert "can change (w1 is writable)" in net.explain_plan(x)
    before = net(x)
    net.arrays["w1"] *= 2
    assert not np.array_equal(net(x), before)


def test_frozen_parameters_refuse_to_be_written(net):
    with pytest.raises(ValueError, match="read-only"):
        net.arrays["w1"] *= 2


def test_training_a_network_thaws_it_and_freezing_it_again_packs_anew(net, x):
    before, tape = net(x), net.record(x)
    back = tape.backward(np.ones((2, 10), np.float32), at="scores")
    for tensor in net.parameters():
        tensor.data *= 1.1
    after = net(x)
    assert not np.allclose(after, before)
    net.freeze()
    np.testing.assert_allclose(net(x), after, atol=1e-6)
    new = net.record(x).backward(np.ones((2, 10), np.float32), at="scores")
    assert not np.allclose(new, back)


def test_filters_are_packed_once_for_a_network_and_its_reversals(net, x):
    p = np.ones((2, 10), np.float32)
    net(x)
    forward = net._planner.packs.nbytes
    net.record(x).backward(p, at="scores")
    both = net._planner.packs.nbytes
    assert both > forward > 0
    net.record(x).backward(p, "deconvnet", "scores")
    net.cut(outputs="relu3")(x)
    assert net._planner.packs.nbytes == both


def test_float64_runs_block_by_block(net, x):
    double = net.astype(np.float64)
    assert "computes in float64" in double.explain_plan(x.astype(np.float64))
    np.testing.assert_allclose(double(x.astype(np.float64)), net(x), atol=1e-5)


def test_kernels_can_be_chosen_for_a_plan(net, x):
    expected = net(x)
    with using(conv2d="im2col"):
        assert "im2col: asked for" in net.explain_plan(x)
        np.testing.assert_allclose(net(x), expected, atol=1e-5)
    with using(conv2d="winograd2"):
        assert "winograd2: asked for" in net.explain_plan(x)
        np.testing.assert_allclose(net(x), expected, atol=1e-5)


def test_one_plan_serves_photos_of_one_size_only():
    net = minicnn.load(minicnn.data.bundled_model())
    for batch in (1, 3, 1):
        x = np.random.default_rng(batch).standard_normal((batch, 1, 28, 28)).astype(np.float32)
        np.testing.assert_array_equal(net(x), by_blocks(net, x).output)


def test_a_mask_of_one_image_serves_a_batch():
    bits = Packed.pack(np.random.default_rng(0).random((1, 20, 3, 3)) > 0.5)
    network = Network("gate", {"p": (None, 20, 3, 3)}, [Node("q", B.Mask(bits), ("p",))], ["q"])
    p = np.random.default_rng(1).standard_normal((4, 20, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(p), np.where(bits.unpack(), p, np.float32(0)))
