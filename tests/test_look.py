"""Traces and comparisons: the numbers shown are those of the runs."""

import numpy as np
import pytest

import minicnn
from minicnn import figures, seeds
from minicnn import functional as F
from minicnn.attribution import compare, selectivity
from minicnn.blocks import Add, Concat, Conv, ReLU
from minicnn.graph import Node
from minicnn.look import trace
from minicnn.network import Network


@pytest.fixture
def net(rng):
    """Two convolutions that read the same value, and meet in a sum."""
    window = F.window(3, 1, 1, 1)
    arrays = {
        name: rng.standard_normal(shape)
        for name, shape in [("w0", (3, 1, 3, 3)), ("wa", (2, 3, 3, 3)), ("wb", (2, 3, 3, 3))]
    }
    nodes = [
        Node("first", Conv(window), ("x", "w0")),
        Node("r", ReLU(), ("first",)),
        Node("a", Conv(window), ("r", "wa")),
        Node("b", Conv(window), ("r", "wb")),
        Node("y", Add(), ("a", "b")),
    ]
    return Network("fan", {"x": (None, 1, 8, 8)}, nodes, ["y"], arrays)


@pytest.fixture
def x(rng):
    return rng.standard_normal((1, 1, 8, 8))


def test_a_row_shows_the_signal_that_its_own_block_sent(net, x):
    found = {row.name: row for row in trace(net, x).rows}
    tape = net.record(x)
    p = seeds.default(tape).p
    for name in ("a", "b"):
        weight = net.arrays[f"w{name}"]
        sent = F.conv_transpose2d(p, weight, padding=1)
        row = found[name].backward
        assert (row.low, row.high) == pytest.approx((sent.min(), sent.max()))
        assert row.positive == pytest.approx((sent > 0).mean())
    assert found["y"].back_kind == ""
    assert found["y"].backward.high == p.max()
    final = tape.backward(p)
    assert (found["first"].backward.low, found["first"].backward.high) == (final.min(), final.max())


def test_a_row_counts_what_its_block_costs(net, x):
    found = {row.name: row for row in trace(net, x).rows}
    row = found["a"]
    assert row.shape == (1, 2, 8, 8)
    assert row.parameters == 2 * 3 * 9
    assert row.flops == 2 * (2 * 8 * 8) * (3 * 9)  # a multiplication and an addition a tap
    assert row.jacobian == (3 * 8 * 8) * (2 * 8 * 8)
    assert found["y"].jacobian == 2 * (2 * 8 * 8) ** 2
    assert (row.kept_bytes, row.activation_bytes) == (0, 2 * 8 * 8 * 8)
    assert found["r"].kept_bytes == 8 * 8  # a byte holds the bits of a pixel's channels
    assert found["r"].forward.low == 0
    assert row.seconds > 0
    assert row.back_seconds > 0


def test_trace_of_a_network_with_a_parameter_called_p():
    nodes = [Node("y", Add(), ("x", "p"))]
    odd = Network("odd", {"x": (None, 3)}, nodes, ["y"], {"p": np.ones(3, np.float32)})
    assert trace(odd, np.ones((1, 3), np.float32)).rows[0].backward.high == 1


def test_fractions_of_several_signals_count_values(rng):
    arrays = {"wa": rng.standard_normal((1, 1, 1, 1)), "wb": rng.standard_normal((9, 1, 1, 1))}
    window = F.window(1, 1, 0, 1)
    nodes = [
        Node("a", Conv(window), ("x", "wa")),
        Node("b", Conv(window), ("x", "wb")),
        Node("y", Concat(1), ("a", "b")),
    ]
    net = Network("cat", {"x": (None, 1, 1, 1)}, nodes, ["y"], arrays)
    found = trace(net, np.ones((1, 1, 1, 1)), seed=lambda tape: seeds.unit(tape, "y", (0, 0, 0)))
    assert found.rows[2].backward.positive == pytest.approx(0.1)


def test_trace_takes_rules_and_seeds(net, x):
    found = trace(net, x, "desalinet", lambda tape: seeds.unit(tape, "r", (1, 2, 3)))
    rows = {row.name: row for row in found.rows}
    assert rows["a"].backward is None
    assert rows["r"].back_kind == "Mask > ReLU"
    assert found.seed == "r unit 1,2,3"


def test_pictures_carry_their_numbers(net, x):
    tape = net.record(x)
    seed = seeds.max_unit(tape, "r")
    found = compare(tape, seed, ["salinet", "FTT"])
    first, second = found.pictures
    values = tape.backward(seed, "salinet")[0]
    np.testing.assert_array_equal(first.values, values)
    assert (first.low, first.high) == (values.min(), values.max())
    assert first.positive == (values > 0).mean()
    assert (first.bits, second.bits) == (3 * 8 * 8, 0)
    assert list(found.arrays()) == ["SaliNet", "DeConvNet"]


def test_selectivity_correlates_each_pair(net, x):
    found = selectivity(net.record(x), "y", "salinet", seed=1)
    a, b, c = (picture.ravel() for picture in found.pictures)
    assert found.max_random == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.max_noise == pytest.approx(np.corrcoef(a, c)[0, 1])
    assert found.random_noise == pytest.approx(np.corrcoef(b, c)[0, 1])
    again = selectivity(net.record(x), "y", "salinet", seed=1)
    np.testing.assert_array_equal(found.pictures[2], again.pictures[2])
    assert {seed.index[1:] for seed in found.seeds[:2]} == {(4, 4)}


def images(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def test_a_small_box_is_zoomed_with_its_own_contrast(rng):
    """Zeros around a small unit must not set the contrast, as in the authors' display."""
    window = F.window(3, 1, 1, 1)
    arrays = {"w": rng.standard_normal((2, 1, 3, 3))}
    nodes = [Node("c", Conv(window), ("x", "w"))]
    net = Network("one", {"x": (None, 1, 40, 40)}, nodes, ["c"], arrays)
    tape = net.record(rng.standard_normal((1, 1, 40, 40)))
    found = compare(tape, seeds.unit(tape, "c", (0, 20, 30)), ["salinet"])
    photo = rng.random((40, 40, 3))
    shown = images(figures.comparison_figure(photo, found, "t"))
    assert [image.shape for image in shown] == [(40, 40, 3), (3, 3, 3), (3, 3, 3)]
    np.testing.assert_array_equal(shown[1], photo[19:22, 29:32])
    expected = figures.sigmoid(found.pictures[0].values[:, 19:22, 29:32])
    np.testing.assert_allclose(shown[2], expected)


def test_the_familys_columns_and_rows_say_what_is_known():
    net = minicnn.load(minicnn.data.bundled_model())
    path = minicnn.data.bundled_path("digit_2")
    tape = net.record(minicnn.data.photo(path, net.preprocess))
    found = compare(tape, seeds.logit(tape), minicnn.rules.family_codes())
    figure = figures.family_figure(minicnn.data.picture(path, net.preprocess), found, "t")
    for axis in figure.axes:
        code = axis.get_title().rpartition("\n")[2]
        code = code.rpartition("(")[2].rstrip(")") if "(" in code else code
        if len(code) < 3 or set(code) - set("TF"):
            continue
        column = axis.get_subplotspec().colspan.start - 1
        row = axis.get_subplotspec().rowspan.start
        assert code[:2] == ["TT", "TF", "FF", "FT"][column]
        assert code[2] == "TF"[row]
    heads = [a.get_title().split("\n")[0] for a in figure.axes if "\n" in a.get_title()]
    assert heads == [
        "mask and switches", "mask, no switches", "no mask, no switches", "switches, no mask",
    ]  # fmt: skip


def test_a_lean_record_does_not_hold_every_value(net, x):
    assert set(net.record(x)._held) == {"x", "y"}
